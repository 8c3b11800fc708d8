"""Text in its plain form: composed letters of usual width, nothing invisible; with the way back to the user's text.

The same word comes in many writings: accents as characters of their own (macOS), soft hyphens and zero-width characters
of web pages, ligatures of PDFs, full-width letters of East Asian keyboards, marks for the direction of writing. All
must link to the same concepts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_MARKS = 30
"""Combining marks after a letter that are kept, as Unicode's stream-safe format has it: putting more of them into their
order takes time that grows with their square."""

_AS_IT_IS = re.compile(
    "[\t\n\r -~\u00a1-\u00ac\u00ae-\u00b3\u00b5-\u0131\u0134-\u013e\u0141-\u0148\u014a-\u017e\u2013\u2014\u2018\u2019"
    "\u201c-\u201f]*"
)
"""Texts that are plain already; most are."""
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    "\uffa0\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    # Joiners matter inside words of Persian and of Indic scripts, and nowhere else.
    "|(?<![\u0370-\u1fff\u2c00-\U0010ffff])[\u200c\u200d]|[\u200c\u200d](?![\u0370-\u1fff\u2c00-\U0010ffff])"
)
_ESCAPED_BYTES = re.compile("[\udc80-\udcff]+")
"""What Python makes of a command line in UTF-8 where the locale says ASCII."""
_WIDTHS_AND_FONTS = ("<wide>", "<narrow>", "<font>", "<noBreak>")
_APOSTROPHES = "\u02bc\u02b9\u2032\u00b4`\u201b\u055a\ua78b\ua78c"
_HYPHENS = "\u2010\u2011\ufe63\u2212"
_SAME_LENGTH = {**dict.fromkeys(map(ord, _APOSTROPHES), "'"), **dict.fromkeys(map(ord, _HYPHENS), "-")}


@dataclass(frozen=True, slots=True)
class PlainText:
    """A text in its plain form.

    Args:
        text: The plain form.
        starts: Where in the user's text each of its characters begins; None if they stand where they stood.
        ends: Where each ends.
    """

    text: str
    starts: Sequence[int] | None = None
    ends: Sequence[int] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where a part of the plain form, of at least one character, stands in the user's text."""
        if self.starts is None or self.ends is None:
            return start, end
        return self.starts[start], self.ends[end - 1]


def plain_text(text: str) -> PlainText:
    """Bring a text into its plain form.

    Args:
        text: Any text.

    Example:
        >>> plain_text("two pin\u0303atas").text == "two pi\u00f1atas"
        True
        >>> plain = plain_text("\ufb01re\u00ad hydrant")
        >>> plain.text, plain.span(0, 4), plain.span(5, 12)
        ('fire hydrant', (0, 3), (5, 12))
    """
    if _AS_IT_IS.fullmatch(text):
        return PlainText(text.translate(_SAME_LENGTH) if "`" in text or "\u00b4" in text else text)
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end, cluster in _clusters(text):
        piece = _plain_cluster(cluster)
        pieces.append(piece)
        starts.extend([start] * len(piece))
        ends.extend([end] * len(piece))
    return PlainText("".join(pieces), starts, ends)


def without_invisible(text: str) -> str:
    """Return a text without characters that cannot be seen, and with no more marks on a letter than `MAX_MARKS`.

    Example:
        >>> without_invisible("fire\u200b hy\u00addrant")
        'fire hydrant'
    """
    text = _INVISIBLE.sub("", _ESCAPED_BYTES.sub(_decoded, text))
    if len(text) <= MAX_MARKS or text.isascii():
        return text
    kept: list[str] = []
    num_marks = 0
    for character in text:
        num_marks = num_marks + 1 if unicodedata.combining(character) else 0
        if num_marks <= MAX_MARKS:
            kept.append(character)
    return "".join(kept)


def _decoded(escaped: re.Match[str]) -> str:
    try:
        return escaped[0].encode("utf-8", "surrogateescape").decode()
    except UnicodeDecodeError:
        return escaped[0]


def without_accents(text: str) -> str:
    """Return a text with Latin letters for those with accents; other scripts stay as they are.

    Example:
        >>> without_accents("caf\u00e9")
        'cafe'
    """
    bases = (unicodedata.normalize("NFD", character)[0] for character in text)
    return "".join(base if base.isascii() else character for base, character in zip(bases, text, strict=True))


def is_mark(character: str) -> bool:
    """Whether a character stands on or beside the letter before it."""
    return unicodedata.category(character) in ("Mn", "Mc")


def _clusters(text: str) -> Iterator[tuple[int, int, str]]:
    """Where each visible character with its marks begins, where it ends, and what can be seen of it."""
    decoded = _ESCAPED_BYTES.sub(_decoded, text)
    hidden = {match.start() for match in _INVISIBLE.finditer(decoded)}
    same = len(decoded) == len(text)
    start, end, cluster = 0, 0, ""
    after = 0
    for place, character in enumerate(decoded):
        before = after
        # Where it was escaped, a character takes the place of its bytes.
        after += 1 if same or text[before] == character else len(character.encode())
        if place in hidden:
            continue
        if cluster and (unicodedata.combining(character) or "\u1160" <= character <= "\u11ff"):
            end, cluster = after, cluster + character if len(cluster) <= MAX_MARKS else cluster
            continue
        if cluster:
            yield start, end, cluster
        start, end, cluster = before, after, character
    if cluster:
        yield start, end, cluster


def _plain_cluster(cluster: str) -> str:
    first = _plain_character(cluster[0])
    return first if len(cluster) == 1 else unicodedata.normalize("NFC", first + cluster[1:])


def _plain_character(character: str) -> str:
    if character.isascii():
        return " " if unicodedata.category(character) == "Cc" and character not in "\t\n\r" else character
    category = unicodedata.category(character)
    if category == "Cs":  # half a character, which Python can hold and a parser cannot
        return "\N{REPLACEMENT CHARACTER}"
    if category == "Cc" or character.isspace():
        return " "
    tag = unicodedata.decomposition(character).partition(" ")[0]
    if tag in _WIDTHS_AND_FONTS or (tag == "<compat>" and character.isalpha()):
        character = unicodedata.normalize("NFKC", character)
    elif not tag.startswith("<"):
        character = unicodedata.normalize("NFC", character)
    return character.translate(_SAME_LENGTH)
