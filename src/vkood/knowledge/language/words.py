"""A text as words: where each stands, what joins it to the next, and what kind of word it is.

The kind is guessed from closed lists and from the words around: enough to keep most verbs from being taken for things
("he watches the game"), and no more than that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from vkood.knowledge.language import word_lists as lists
from vkood.knowledge.language.lemmas import singulars
from vkood.knowledge.language.plain_text import is_mark

Kind = Literal[
    "noun", "adjective", "verb", "auxiliary", "determiner", "preposition", "conjunction", "number", "other"
]
"""What sort of word a word is; "other" are pronouns, adverbs and all else."""

_WORD = re.compile(r"[^\W_]+")
_SPACE = re.compile(r"\s+\Z")


@dataclass(slots=True)
class Words:
    """The words of a text, side by side.

    Args:
        text: The text.
        starts: Where each word begins in it.
        ends: Where each ends.
        lower: The words in lower case.
        gaps: What stands between each word and the next, and after the last: " ", "-", "'s ", or "," for all else.
        kinds: What sort of word each is.
    """

    text: str
    starts: list[int]
    ends: list[int]
    lower: list[str]
    gaps: list[str]
    kinds: list[Kind] = field(default_factory=list)

    def __len__(self) -> int:
        """How many words there are."""
        return len(self.lower)


def split_words(text: str) -> Words:
    """Split a text into words: runs of letters and digits of any script, with the marks on them.

    Args:
        text: A text in its plain form; punctuation, emoji and control characters belong to no word.

    Example:
        >>> words = split_words("The dog's T-shirt, please.")
        >>> words.lower, words.gaps
        (['the', 'dog', 't', 'shirt', 'please'], [' ', "'s ", '-', ',', ','])
    """
    words = Words(text, [], [], [], [])
    end = 0
    for match in _WORD.finditer(_with_marks_as_letters(text)):
        start = match.start()
        gap = text[end:start]
        if words.lower and match[0] in ("s", "S") and gap in ("'", "\u2019"):
            words.gaps.append("'s")  # completed by what follows
            end = match.end()
            continue
        if words.lower:
            possessive = len(words.gaps) == len(words.lower)
            joint = _joint(gap)
            if possessive:
                words.gaps[-1] = "'s " if joint == " " else ","
            else:
                words.gaps.append(joint)
        end = match.end()
        words.starts.append(start)
        words.ends.append(end)
        words.lower.append(text[start:end].lower())
    if words.lower:
        del words.gaps[len(words.lower) - 1 :]
        words.gaps.append(",")
    return words


def _with_marks_as_letters(text: str) -> str:
    """Return a text of the same length in which marks that were not composed with their letters count as letters."""
    if text.isascii():
        return text
    shape: list[str] = []
    inside = False
    for character in text:
        joined = inside and is_mark(character)
        inside = joined or character.isalnum()
        shape.append("x" if joined else character)
    return "".join(shape)


def _joint(gap: str) -> str:
    if gap == " " or _SPACE.match(gap):
        return " "
    if gap in ("-", "\u2010", "\u2011"):
        return "-"
    if gap in ("' ", "\u2019 "):
        return "' "
    return "," if gap not in ("'", "\u2019") else "'"


_CLOSED: dict[str, Kind] = {
    **dict.fromkeys(lists.ADVERBS, "other"),
    **dict.fromkeys(lists.PRONOUNS, "other"),
    **dict.fromkeys(lists.AUXILIARIES, "auxiliary"),
    **dict.fromkeys(lists.PREPOSITIONS, "preposition"),
    **dict.fromkeys(lists.CONJUNCTIONS, "conjunction"),
    **dict.fromkeys(lists.NUMBERS, "number"),
    **dict.fromkeys(lists.DETERMINERS, "determiner"),
}
_BEFORE_THINGS = frozenset(("determiner", "adjective", "number"))


def guess_kinds(words: Words) -> list[Kind]:
    """Guess what sort of word each is, from the word, from what stands before it and from what comes after.

    Example:
        >>> guess_kinds(split_words("A man watches a building"))
        ['determiner', 'noun', 'verb', 'determiner', 'noun']
    """
    kinds: list[Kind] = []
    before: Kind = "other"
    lower = words.lower
    for place, word in enumerate(lower):
        kind = _CLOSED.get(word)
        if kind is None:
            following = lower[place + 1] if place + 1 < len(lower) and words.gaps[place] == " " else ""
            kind = _guess_open(word, before if place else None, following)
            if kind == "verb" and before == "noun" and word in _AGREEING and _is_one(lower[place - 1]):
                # After a single thing the verb has an -s: "a stop sign at", but "men walk at".
                kind = "noun"
        before = "determiner" if words.gaps[place] == "'s " else kind
        kinds.append(kind)
    return kinds


def _guess_open(word: str, before: Kind | None, following: str) -> Kind:
    """Guess a word of an open class; `before` is None at the beginning of a text."""
    closed_next = _CLOSED.get(following)
    before_thing = following != "" and closed_next is None
    if word.isdigit():
        return "number"
    if word in lists.ADJECTIVES:
        return "noun" if before in _BEFORE_THINGS and not before_thing else "adjective"
    if word in lists.COLOURS:
        return "adjective"
    if word.endswith("ing") and word not in lists.ING_NOUNS and len(word) > 4:
        if before in _BEFORE_THINGS and before_thing:
            return "adjective"
        return "noun" if before == "determiner" else "verb"
    if word.endswith("ed") and len(word) > 4 and word not in _NOUNS_IN_ED:
        return "adjective" if before in _BEFORE_THINGS and closed_next is None else "verb"
    if word in lists.VERB_FORMS:
        return "verb"
    if any(form in lists.VERBS for form in singulars(word)):
        return _noun_or_verb(word, before, closed_next)
    return "noun"


_AGREEING = lists.VERBS - lists.VERB_FORMS
_NOUNS_IN_ED = lists.words("nouns", "nouns_in_ed")


def _noun_or_verb(word: str, before: Kind | None, closed_next: Kind | None) -> Kind:
    """Decide between the thing and what is done ("watches"), by the words around."""
    if before not in ("noun", "other", "auxiliary"):
        return "noun"
    if before == "noun" and _is_one(word):
        return "verb" if closed_next in ("determiner", "preposition", "number") else "noun"
    return "verb" if closed_next is not None and closed_next != "auxiliary" else "noun"


def _is_one(noun: str) -> bool:
    """Whether a noun is in the singular."""
    return noun not in lists.INVARIANT and singulars(noun)[0] == noun
