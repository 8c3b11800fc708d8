"""Longest match: which runs of words may be entries of a store, and which of those that are to take.

Pure functions; `linking` asks the store in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from vkood.knowledge.language import word_lists as lists
from vkood.knowledge.language.lemmas import singulars
from vkood.knowledge.language.plain_text import without_accents
from vkood.knowledge.language.words import Words
from vkood.knowledge.linking.denial import Denials, find_denials

Scope = Literal["things", "all"]
"""Names of things, or verbs and adjectives too."""

Reach = Literal["things", "all", "phrases"]
"""As a scope; "phrases" are all of these, and runs of words with a verb in them ("eat fish")."""

MAX_NAME_WORDS = 6
"""Longer entries are sayings, not names."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run of words, and the entries that it may be, the likeliest first."""

    first: int
    last: int
    forms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """A run of words that is an entry."""

    first: int
    last: int
    entry: str
    negated: bool


def candidates(words: Words, longest: int) -> list[list[Candidate]]:
    """Return for each word the runs that begin there, the longest first.

    Args:
        words: The words of a text.
        longest: Max number of words in an entry.
    """
    longest = min(longest, MAX_NAME_WORDS)
    runs: list[list[Candidate]] = []
    for first, word in enumerate(words.lower):
        here = [Candidate(first, first, singulars(word))] if word not in _NEVER else []
        if word not in lists.FUNCTION_WORDS or words.gaps[first] == "-" or len(word) == 1:
            here.extend(_longer_runs(words, first, longest))
        if len(word) == 1:
            here.extend(_initials(words, first))
        here.reverse()
        runs.append(here)
    return runs if words.text.isascii() else [list(map(_with_folded, here)) for here in runs]


_NEVER = lists.FUNCTION_WORDS | lists.ADVERBS
_INSIDE_NAMES = lists.words("function_words", "inside_names")
_NAMES_WITH_AND = lists.words("function_words", "names_with_and")
_ABBREVIATIONS = lists.words("function_words", "initials")
_NEAR_PICTURES = lists.words("nouns", "near_pictures")
_APART = lists.COLOURS | {"a"}
"""First words that no entry joins with the next: "a b" is no "ab"."""


def _longer_runs(words: Words, first: int, longest: int) -> Iterator[Candidate]:
    lower, gaps = words.lower, words.gaps
    text = lower[first]
    for last in range(first + 1, min(first + longest, len(lower))):
        gap = gaps[last - 1]
        if gap == ",":
            return
        word = lower[last]
        if word not in lists.FUNCTION_WORDS or (gap == "-" and word not in lists.DETERMINERS):
            yield Candidate(first, last, _forms(text, gap, word, first, last, lower))
        elif word not in _INSIDE_NAMES:
            return
        text = f"{text}{gap}{word}"


def _initials(words: Words, first: int) -> Iterator[Candidate]:
    """Abbreviations that are written letter by letter: "t v", "U.S.A."."""
    lower = words.lower
    text = lower[first]
    for last in range(first + 1, min(first + MAX_NAME_WORDS, len(lower))):
        letter = lower[last]
        between = words.text[words.ends[last - 1] : words.starts[last]]
        if between not in (" ", ".", ". ") or not (
            len(letter) == 1 or (len(letter) == 2 and letter[1] == "s")
        ):
            return
        text += letter
        if (name := text if text in _ABBREVIATIONS else text.removesuffix("s")) in _ABBREVIATIONS:
            yield Candidate(first, last, (name,))


def _forms(text: str, gap: str, word: str, first: int, last: int, lower: list[str]) -> tuple[str, ...]:
    """All ways in which a run may be written as an entry."""
    before = [text]
    if last - first >= 2 and lower[first + 1] in ("of", "in"):
        # The plural of "bird of prey" is inside.
        rest = text[len(lower[first]) :]
        before = [f"{form}{rest}" for form in singulars(lower[first])]
    forms: list[str] = []
    endings = singulars(word)
    for start in before:
        forms.extend(f"{start}{gap}{ending}" for ending in endings)
        if "-" in gap or "-" in start:
            spaced = f"{start} ".replace("-", " ")
            forms.extend(f"{spaced}{ending}" for ending in endings)
        if len(start) == 1:
            forms.extend(f"{start}-{ending}" for ending in endings)  # "t shirt", "x ray"
        digits = start.isdigit() and word.isdigit()  # "1 0 0" is no ten
        if last == first + 1 and gap in ("-", " ") and lower[first] not in _APART and not digits:
            forms.extend(f"{start}{ending}" for ending in endings)
    return tuple(forms)


def _with_folded(run: Candidate) -> Candidate:
    """A run with its forms, and after them those without accents, as English dictionaries have many words."""
    return Candidate(run.first, run.last, (*run.forms, *map(without_accents, run.forms)))


def choose(
    words: Words, runs: list[list[Candidate]], known: Callable[[str], bool], scope: Reach
) -> list[Match]:
    """Take from left to right the longest runs that are entries and name something.

    Args:
        words: The words, with their kinds.
        runs: What `candidates` gave.
        known: Whether the store has an entry.
        scope: Which entries count.
    """
    denials: Denials | None = None
    matches: list[Match] = []
    place = 0
    while place < len(words):
        match = _match_at(words, runs[place], known, scope)
        if match is None:
            place += 1
            continue
        first, last, entry = match
        place = last + 1
        if _is_stop(words, first, last, entry) and not first == 0 == len(words) - 1 - last:
            continue
        if denials is None:
            denials = find_denials(words)
        if not any(denials.denying[first:place]):
            matches.append(Match(first, last, entry, denials.denied[last]))
    return matches


def _match_at(
    words: Words, runs: list[Candidate], known: Callable[[str], bool], scope: Reach
) -> tuple[int, int, str] | None:
    for run in runs:
        if not _names(words, run.first, run.last, scope):
            continue
        for form in _ordered(words, run):
            if known(form):
                return run.first, run.last, form
    return None


def _ordered(words: Words, run: Candidate) -> tuple[str, ...]:
    """The forms of a run, where its surroundings decide between the plural and a meaning of its own."""
    if run.first == run.last and words.lower[run.first] == "glasses" and not _are_vessels(words, run.first):
        return ("glasses", *run.forms)
    return run.forms


def _are_vessels(words: Words, place: int) -> bool:
    """Whether "glasses" are to drink from."""
    after = words.lower[place + 1] if place + 1 < len(words) else ""
    return after in ("of", "filled", "full") or (place > 0 and words.kinds[place - 1] in ("number", "noun"))


def _names(words: Words, first: int, last: int, scope: Reach) -> bool:
    """Whether a run of words is used as a name."""
    kinds, lower = words.kinds, words.lower
    if first != last:
        if scope == "phrases":
            return True
        are_initials = len(lower[first]) == 1 and max(map(len, lower[first : last + 1])) <= 2
        return are_initials or _run_names(words, first, last)
    if scope != "things":
        return kinds[last] not in ("determiner", "auxiliary", "preposition", "conjunction", "number")
    if kinds[last] == "noun":
        return True
    if lower[last] in lists.COLOURS:
        return kinds[last] == "adjective"
    return kinds[last] == "verb" and lower[last] in lists.PASTIMES


def _run_names(words: Words, first: int, last: int) -> bool:
    """Whether a run of several words is used as a name."""
    kinds, lower = words.kinds, words.lower
    # A tagger takes rare nouns for adverbs ("a fire hydrant"); true ones are in a list.
    is_noun = kinds[last] in ("noun", "number") or (
        kinds[last] == "other" and lower[last] not in lists.ADVERBS
    )
    if kinds[last] == "adjective":
        is_noun = lower[last] not in lists.COLOURS and kinds[first] == "noun"
    if not is_noun and words.gaps[last - 1] != "-":
        return False
    # The letter of "t-shirt" is no verb.
    if any(kinds[place] in ("verb", "auxiliary") and len(lower[place]) > 1 for place in range(first, last)):
        return False
    if "and" in lower[first : last + 1] and " ".join(lower[first : last + 1]) not in _NAMES_WITH_AND:
        return False
    return not (lower[first + 1] == "of" and singulars(lower[first])[0] in lists.AMOUNTS)


# --- Stop concepts --------------------------------------------------------------------------------------------------


def _is_stop(words: Words, first: int, last: int, entry: str) -> bool:
    """Whether an entry is no thing here, but says how much, where in the picture, or what is asked."""
    if first != last:
        return False
    after = words.lower[last + 1] if last + 1 < len(words) else ""
    if entry in lists.EMPTY_NOUNS or (entry == "close" and after == "up"):
        return True
    if after == "of" and entry in lists.AMOUNTS:
        return True
    if entry in lists.PICTURES:
        return not (_NEAR_PICTURES & set(words.lower[last + 1 : last + 4]))
    if entry in lists.PLACES:
        return not _is_owned(words, first)
    return entry == "make" and words.lower[0] in ("what", "which")


_OWNING = lists.words("function_words", "owning")


def _is_owned(words: Words, place: int) -> bool:
    """Whether what could be a place is a thing: "its back", "a red top"."""
    if place == 0 or (place + 1 < len(words) and words.lower[place + 1] == "of"):
        return False
    before = words.lower[place - 1]
    return before in _OWNING or before in lists.COLOURS or words.gaps[place - 1] == "'s "
