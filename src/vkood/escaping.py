"""Foreign text (names, questions, facts) escaped for one line of a terminal or a plot."""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"
"""Format characters that belong to words of some scripts and to emoji."""


def printable(text: str) -> str:
    r"""The text on one line, with a visible escape in place of each character that a terminal would act on.

    These are control characters (line breaks and ANSI escapes among them), marks of writing direction and other
    invisible ones, which make a text look like another, and halves of characters, which cannot be encoded.

    Example:
        >>> printable("red\x1b[2J \u202eder\n")
        'red\\x1b[2J \\u202eder\\n'
        >>> printable("Straße, 猫, 👩‍🚀")
        'Straße, 猫, 👩‍🚀'
    """
    if text.isprintable():
        return text
    return "".join(_escaped(character) if _acts(character) else character for character in text)


def _acts(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in _JOINERS


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
