"""Text that is not ours, such as names, questions and facts, made safe to show in a terminal or on a page."""

from __future__ import annotations

import html
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


def html_text(text: str) -> str:
    """The text as it can stand in an element or an attribute of a page; line breaks stay.

    Example:
        >>> html_text("<b>'red'</b>")
        '&lt;b&gt;&#x27;red&#x27;&lt;/b&gt;'
    """
    return html.escape("\n".join(map(printable, text.split("\n"))))


def _acts(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in _JOINERS


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
