"""Closed lists of English words that linking and wording need, from the files in `data/`.

A row of a file is the name of a list and some of its words; a phrase has underscores for spaces, a pair a slash between
its halves. What a list is for stands above it in its file. Lists that one module alone needs are read there.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files


def words(file: str, name: str) -> frozenset[str]:
    """Return the words of a list.

    Args:
        file: The file in `data/`, without its ending.
        name: The list.

    Example:
        >>> sorted(words("plurals", "plural_in_mans"))[:2]
        ['caiman', 'german']
    """
    return frozenset(_lists(file)[name])


def pairs(file: str, name: str) -> dict[str, str]:
    """Return the pairs of a list, in its order.

    Args:
        file: The file in `data/`, without its ending.
        name: The list.

    Example:
        >>> pairs("plurals", "irregular_singulars")["mice"]
        'mouse'
    """
    return dict(pair.split("/") for pair in _lists(file)[name])


@lru_cache(maxsize=16)
def _lists(file: str) -> dict[str, list[str]]:
    path = files("vkood.knowledge.language") / "data" / f"{file}.tsv"
    lists: dict[str, list[str]] = {}
    for row in path.read_text(encoding="utf-8").splitlines():
        if row and not row.startswith("#"):
            name, words_of_row = row.split("\t")
            lists.setdefault(name, []).extend(word.replace("_", " ") for word in words_of_row.split())
    return lists


DETERMINERS = words("function_words", "determiners")
PRONOUNS = words("function_words", "pronouns")
NUMBERS = words("function_words", "numbers")
PREPOSITIONS = words("function_words", "prepositions")
CONJUNCTIONS = words("function_words", "conjunctions")
AUXILIARIES = words("function_words", "auxiliaries")
ADVERBS = words("function_words", "adverbs")
FUNCTION_WORDS = DETERMINERS | PRONOUNS | PREPOSITIONS | CONJUNCTIONS | AUXILIARIES | NUMBERS
"""Words with which no name of several words begins or ends."""

EMPTY_NOUNS = words("nouns", "empty_nouns")
AMOUNTS = words("nouns", "amounts")
PICTURES = words("nouns", "pictures")
PLACES = words("nouns", "places")
COLOURS = words("nouns", "colours")
MATERIALS = words("nouns", "materials")
PASTIMES = words("nouns", "pastimes")
ING_NOUNS = words("nouns", "ing_nouns")
MASSES = words("nouns", "masses")
MATERIALS_TOO = words("nouns", "materials_too")
FIXED = words("nouns", "fixed")
COUNTED_SUBJECTS = words("nouns", "counted_subjects")
UNCOUNTED_SUBJECTS = words("nouns", "uncounted_subjects")

PLURAL_ONLY = words("plurals", "plural_only")
INVARIANT = words("plurals", "invariant")

VERBS = words("verbs", "verbs")
VERB_FORMS = words("verbs", "verb_forms")
BASE_VERBS = words("verbs", "base_verbs")
ADJECTIVES = words("verbs", "adjectives")
