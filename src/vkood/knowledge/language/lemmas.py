"""Forms of English words: from a plural to its singular, from a verb to its -ing form, and which article fits.

By a few rules and tables of what breaks them. Where a rule alone does not decide ("cookies": cooky or cookie?), all
singulars that may be meant come back, the likeliest first; a dictionary then chooses.
"""

from __future__ import annotations

import re
from functools import lru_cache

from vkood.knowledge.language.word_lists import INVARIANT, PLURAL_ONLY, pairs, words

_SINGULAR_IN_S = words("plurals", "singular_in_s")
_SINGULAR_IN_MEN = words("plurals", "singular_in_men")
_SINGULAR_IN_IE = words("plurals", "singular_in_ie")
_IRREGULAR_SINGULARS = pairs("plurals", "irregular_singulars")
_ENDING_SINGULARS = pairs("plurals", "ending_singulars")
_IRREGULAR_PLURALS = {
    singular: plural for plural, singular in _IRREGULAR_SINGULARS.items() if singular != plural
} | pairs("plurals", "irregular_plurals")
_PLURAL_IN_OES = words("plurals", "plural_in_oes")
_PLURAL_IN_MANS = words("plurals", "plural_in_mans")


@lru_cache(maxsize=65_536)
def singulars(word: str) -> tuple[str, ...]:
    """Return the words that this one may be the plural of, the likeliest first, and the word itself.

    The word comes last, unless it is the likeliest: few words in -us and -is are plurals.

    Args:
        word: A word in lower case.

    Example:
        >>> singulars("knives"), singulars("boxes"), singulars("tennis")
        (('knife', 'knives'), ('box', 'boxe', 'boxes'), ('tennis',))
    """
    if word in _IRREGULAR_SINGULARS:
        return _unique(_IRREGULAR_SINGULARS[word], word)
    if word in PLURAL_ONLY or word in _SINGULAR_IN_S or word in INVARIANT or len(word) < 3:
        return (word,)
    for ending, singular in _ENDING_SINGULARS.items():
        if word.endswith(ending):
            return _unique(word.removesuffix(ending) + singular, word)
    if word.endswith("men") and word not in _SINGULAR_IN_MEN:
        return _unique(word[:-2] + "an", word)
    if not word.endswith("s") or word.endswith("ss"):
        return (word,)
    return _unique(*_stripped(word), word)


def _stripped(word: str) -> tuple[str, ...]:
    """Singulars of a word in -s."""
    without_s, without_es = word[:-1], word[:-2]
    if word.endswith("ies") and len(word) > 4:
        return (without_s,) if without_s in _SINGULAR_IN_IE else (word[:-3] + "y", without_s)
    if word.endswith(("ches", "shes", "sses", "xes")):
        return (without_es, without_s)
    if word.endswith("oes"):
        return (without_es, without_s)
    if word.endswith(("uses", "ses", "zes")):
        return (without_s, without_es)
    if word.endswith(("us", "is")):
        return (word, without_s)
    return (without_s,)


def singular(word: str) -> str:
    """Return the likeliest singular.

    Example:
        >>> singular("women"), singular("glasses"), singular("bus")
        ('woman', 'glass', 'bus')
    """
    return singulars(word)[0]


def is_plural(word: str) -> bool:
    """Return whether a noun takes "are".

    Example:
        >>> is_plural("children"), is_plural("scissors"), is_plural("glass"), is_plural("sheep")
        (True, True, False, False)
    """
    return word in PLURAL_ONLY or word in ("cattle", "police", "people") or singular(word) != word


@lru_cache(maxsize=65_536)
def plural(word: str) -> str:
    """Return the plural of a singular noun.

    Example:
        >>> plural("knife"), plural("box"), plural("berry"), plural("egg")
        ('knives', 'boxes', 'berries', 'eggs')
    """
    if word in INVARIANT or word in PLURAL_ONLY:
        return word
    if word in _IRREGULAR_PLURALS:
        return _IRREGULAR_PLURALS[word]
    for ending, singular in _ENDING_SINGULARS.items():
        if word.endswith(singular) and singular != "person":
            return word.removesuffix(singular) + ending
    if word.endswith("man") and word not in _PLURAL_IN_MANS:
        return word[:-2] + "en"
    if word.endswith(("s", "x", "z", "ch", "sh")) and not word.endswith("stomach"):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word in _PLURAL_IN_OES else "s")


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Return what the forms of a word have in common, so that "cuts", "cutting" and "cut" match; it may be no word.

    Args:
        word: A word in lower case.

    Example:
        >>> [stem(word) for word in ("knives", "cutting", "baked", "bake", "dog")]
        ['knif', 'cut', 'bak', 'bak', 'dog']
    """
    word = singular(word)
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            word = word.removesuffix(ending)
            if len(word) > 2 and word[-1] == word[-2] and word[-1] not in "ls":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


# --- Verbs ----------------------------------------------------------------------------------------------------------

_DOUBLING = words("verbs", "doubling_last_letter")
_IRREGULAR_GERUNDS = pairs("verbs", "irregular_gerunds")
_THIRD_PERSONS = pairs("verbs", "third_persons")


@lru_cache(maxsize=65_536)
def gerund(verb: str) -> str:
    """Return the -ing form of a verb's base form.

    Example:
        >>> gerund("keep"), gerund("make"), gerund("sit"), gerund("lie"), gerund("panic")
        ('keeping', 'making', 'sitting', 'lying', 'panicking')
    """
    if verb in _IRREGULAR_GERUNDS:
        return _IRREGULAR_GERUNDS[verb]
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return verb[:-1] + "ing"
    if verb in _DOUBLING:
        return verb + verb[-1] + "ing"
    if verb.endswith("ic"):
        return verb + "king"
    return verb + "ing"


def third_person(verb: str) -> str:
    """Return the form of a verb after "it".

    Example:
        >>> third_person("fly"), third_person("catch"), third_person("have"), third_person("play")
        ('flies', 'catches', 'has', 'plays')
    """
    if verb in _THIRD_PERSONS:
        return _THIRD_PERSONS[verb]
    if verb.endswith(("s", "x", "z", "ch", "sh", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


# --- Articles -------------------------------------------------------------------------------------------------------

_SILENT_H = re.compile(r"hours?\b|hourglass|hono|hones|heir|herbs?\b")
_CONSONANT_START = re.compile(
    r"uni(?!n|mp|mag|ll|d|a)|unanim|unary|u[bcfhjkqrt][aeiou]|us(?:[aeiou]|$)|uk|eu(?!ler)|ewe|one\b|once|ouija|u\b|ufo|uga"
)
_LETTERS_LIKE_VOWELS = frozenset("aefhilmnorsx")

_READ_AS_WORDS = words("nouns", "read_as_words")


@lru_cache(maxsize=65_536)
def article(phrase: str) -> str:
    """Return "a" or "an", by the sound that a phrase begins with.

    Example:
        >>> [article(word) for word in ("apple", "hour", "unicorn", "umbrella", "x-ray", "one-way street")]
        ['an', 'an', 'a', 'an', 'an', 'a']
    """
    initials = re.match(r"[A-Z]{2,}\b", phrase)
    if initials is not None and initials[0] not in _READ_AS_WORDS:
        return "an" if initials[0][0].lower() in _LETTERS_LIKE_VOWELS else "a"
    word = phrase.lower()
    if word.startswith(("8", "11 ", "18 ", "11-", "18-")):
        return "an"
    first = re.match(r"[^\W_]+", word)
    if first is not None and len(first[0]) == 1 and first[0] != "a":
        return "an" if first[0] in _LETTERS_LIKE_VOWELS else "a"
    if _SILENT_H.match(word):
        return "an"
    if word[:1] not in "aeiou":
        return "a"
    return "a" if _CONSONANT_START.match(word) else "an"


def _unique(*words: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))
