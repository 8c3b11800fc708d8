"""Phrases for sentences about facts: a noun with its article, a verb as -ing form, base form or participle.

Concepts come in lower case and without articles ("fire hydrant", "keep dry"); what they are has to be inferred from
the words themselves.
"""

from __future__ import annotations

import re
from functools import lru_cache

from vkood.knowledge.language import word_lists as lists
from vkood.knowledge.language.lemmas import article, gerund, is_plural, plural, singulars
from vkood.knowledge.language.noun_forms import NounForm, name_form, noun_form
from vkood.knowledge.language.word_lists import (
    ADJECTIVES,
    ADVERBS,
    COLOURS,
    DETERMINERS,
    ING_NOUNS,
    NUMBERS,
    PASTIMES,
    PREPOSITIONS,
    PRONOUNS,
    pairs,
    words,
)

_HEAD = re.compile(
    r" (?:of|in|on|with|for|from|that|which|to|at|by|made|without|like|under|over|"
    r"between|who|where|around|along|behind|above|below|through|across|near|inside|full|worn|used) "
)
_OWN_DETERMINER = DETERMINERS | NUMBERS | PRONOUNS | words("function_words", "other_determiners")
_BEFORE_OBJECTS = words("function_words", "before_objects")
_AFTER_VERBS = DETERMINERS | words("function_words", "objects_and_particles")
_VERB_BEFORE_PREPOSITION = PREPOSITIONS - frozenset(("of",))
_MASS_ENDINGS = ("ness", "ism", "wear", "ware", "ity")


def head(phrase: str) -> str:
    """Return the word on which a noun phrase hangs.

    Example:
        >>> head("cup of tea"), head("fire hydrant")
        ('cup', 'hydrant')
    """
    return _HEAD.split(phrase, maxsplit=1)[0].rsplit(" ", 1)[-1]


def is_mass(phrase: str) -> bool:
    """Whether a noun phrase goes without "a".

    Example:
        >>> is_mass("orange juice"), is_mass("orange"), is_mass("happiness")
        (True, False, True)
    """
    word = head(phrase)
    if phrase in ("traffic jam", "door jam"):
        return False
    if word != phrase and (form := noun_form(phrase)) is not None and form.text == phrase:
        return form.article == "none" and not form.is_plural
    if word not in lists.MASSES | lists.MATERIALS_TOO | lists.FIXED:
        form = noun_form(word)
        if form is not None and form.text == word:
            return form.article == "none" and not form.is_plural
    if word == "light" and phrase != word and word == phrase.rsplit(" ", 1)[-1]:  # "traffic light"
        return False
    return word in lists.MASSES or phrase in _COLOURS_ONLY or ends_as_mass(word) or _is_science(word)


def _is_science(word: str) -> bool:
    return word.endswith("ics") and len(word) > 6 and word not in ("ceramics", "graphics", "plastics")


def ends_as_mass(word: str) -> bool:
    """Whether a word has an ending of masses, such as "happiness"."""
    return word.endswith(_MASS_ENDINGS) and len(word) > 5 and word not in COUNTED


_COLOURS_ONLY = COLOURS - words("nouns", "colours_and_things")
COUNTED = words("nouns", "counted")
_MANY_NAMES = words("nouns", "many_names")
_MASSES_OF_KINDS = words("nouns", "masses_of_kinds")
_UNIQUE = words("nouns", "unique")
_NAMES = words("nouns", "names")
_NAMES_ALSO_COMMON = words("nouns", "names_also_common")
_CAPITALISED_ONLY = words("nouns", "capitalised_only")
_NO_ARTICLE_PLACES = pairs("nouns", "no_article_places")
_ON_PLACES = words("nouns", "on_places")
_AT_PLACES = words("nouns", "at_places")
_AROUND_PLACES = words("nouns", "around_places")
_PLACE_PHRASES = {
    phrase: preposition
    for preposition in ("in", "on", "at")
    for phrase in words("nouns", f"{preposition}_phrases")
}
_COUNTED_PARTS = words("nouns", "counted_parts")
_UNCOUNTED_MATERIALS = words("nouns", "uncounted_materials")
_MOSTLY_NOUNS = words("verbs", "mostly_nouns")
_IRREGULAR_PARTICIPLES = pairs("verbs", "irregular_participles")
_FEW = words("function_words", "small_numbers")
_SUBSTANCE_ENDINGS = (
    "wood",
    "ium",
    "ide",
    "ine",
    "ate",
    "ose",
    "ene",
    "acid",
    "gen",
    "oil",
    "phate",
    "um",
    "ol",
    "ane",
)
_COUNTED_SUBSTANCES = words("nouns", "counted_substances")


def is_many(phrase: str) -> bool:
    """Whether a noun phrase takes "are"."""
    form = noun_form(phrase)
    if form is None and phrase.split(" ", 1)[0] in _FEW:
        return True
    if form is not None and form.is_name:
        return form.is_plural or (form.article == "the" and phrase.rsplit(" ", 1)[-1] in _MANY_NAMES)
    if is_mass(phrase) or is_activity(phrase) or is_name(phrase) or form is not None:
        return form is not None and form.is_plural  # "growing pains"
    return (is_plural(head(phrase)) and not _is_science(head(phrase))) or " and " in _HEAD.split(
        phrase, maxsplit=1
    )[0]


_WITH_THE = frozenset(("left", "right", "wild", "tropics", "seaside"))
_AS_LISTED = _UNIQUE | COLOURS | lists.FIXED


@lru_cache(maxsize=65_536)
def noun_phrase(concept: str) -> str:
    """Return a concept as a subject or object: with "a", "an", "the", or nothing.

    Example:
        >>> noun_phrase("umbrella"), noun_phrase("orange juice"), noun_phrase("sun"), noun_phrase("scissors")
        ('an umbrella', 'orange juice', 'the sun', 'scissors')
        >>> noun_phrase("eat lunch"), noun_phrase("paris"), noun_phrase("a lot of noise")
        ('eating lunch', 'Paris', 'a lot of noise')
    """
    form = noun_form(concept)
    is_as_written = form is not None and (form.is_name or form.text != concept or form.article == "a")
    if form is not None and is_as_written and concept not in _AS_LISTED:
        return with_article(form)
    if form is None and begins_with_verb(concept):
        return gerund_phrase(concept)
    words = concept.split(" ")
    text = written(concept)
    if (
        " of the " in concept
        and words[0] not in _OWN_DETERMINER | {"a", "an", "the"}
        and not is_many(concept)
    ):
        return f"the {text}"
    if words[0] in _OWN_DETERMINER or words[0] in ("the", "a", "an") or is_activity(concept):
        return text
    if concept in _UNIQUE or concept in _WITH_THE or words[0] == "same":
        return f"the {text}"
    if (
        is_name(concept)
        or is_mass(concept)
        or is_many(concept)
        or words[0] in PREPOSITIONS
        or concept in ADVERBS
        or words[-1].isdigit()
    ):
        return text
    return f"{article(text)} {text}"


def name_phrase(concept: str) -> str:
    """Return a concept as a subject or object that is a name, if it can be one, though it is more often none.

    Example:
        >>> name_phrase("turkey"), name_phrase("nile"), name_phrase("dog")
        ('Turkey', 'the Nile', 'a dog')
    """
    form = name_form(concept)
    return thing_phrase(concept) if form is None or concept in _UNIQUE else with_article(form)


def is_name_alone(concept: str) -> bool:
    """Whether a concept is the name of one thing, place or being before it is anything else."""
    form = noun_form(concept)
    return form is not None and form.is_name and concept not in _UNIQUE


def with_article(form: NounForm) -> str:
    """Return a noun with the article of its form."""
    if form.article == "a":
        return f"{article(form.text)} {form.text}"
    return form.text if form.article == "none" or form.text.startswith("the ") else f"the {form.text}"


def is_name(concept: str) -> bool:
    """Whether a concept is the name of a place, a person, a day or a language, as far as lists know."""
    return concept in _NAMES or head(concept) in _NAMES - _NAMES_ALSO_COMMON


@lru_cache(maxsize=65_536)
def written(concept: str) -> str:
    """Return a concept with the capital letters that its words always have.

    Example:
        >>> written("mexican restaurant"), written("new york"), written("flat tv")
        ('Mexican restaurant', 'New York', 'flat TV')
    """
    form = noun_form(concept)
    return form.text if form is not None and concept not in COLOURS | lists.FIXED else quality(concept)


def quality(concept: str) -> str:
    """Return what something is like, with the capital letters that its words always have.

    Example:
        >>> quality("white"), quality("american"), quality("popular in new york")
        ('white', 'American', 'popular in New York')
    """
    words = concept.split(" ")
    texts: list[str] = []
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        is_name = word in _NAMES
        name = noun_form(f"{before} {word}") if is_name and before else None
        if name is not None:
            texts[-1] = name.text
        elif is_name and (len(words) == 1 or before in PREPOSITIONS or word not in _NAMES_ALSO_COMMON):
            texts.append(word.capitalize())
        else:
            texts.append(_written_word(word))
    return " ".join(texts)


def _written_word(word: str) -> str:
    if word in lists.FIXED:
        return {"t-shirt": "T-shirt", "x-ray": "X-ray"}.get(word, word.upper())
    return word.capitalize() if word in _CAPITALISED_ONLY else word


def is_activity(phrase: str) -> bool:
    """Whether a phrase is something that one does, in the -ing form.

    Example:
        >>> is_activity("keeping dry"), is_activity("building"), is_activity("swimming pool")
        (True, False, False)
    """
    words = phrase.split(" ")
    if not words[0].endswith("ing") or words[0] in ING_NOUNS or len(words[0]) < 5:
        return words[-1] in PASTIMES
    if (form := noun_form(phrase)) is not None:
        return form.article == "none" and not form.is_name
    if len(words) == 1 or words[0] in PASTIMES:
        return len(words) == 1 or words[1] in PREPOSITIONS or words[1] in DETERMINERS
    # "swimming pool", "cooling system": things; "swimming pools" could be either, "making tires" is not.
    is_done_to = any(word in _AFTER_VERBS or word in PREPOSITIONS for word in words[1:])
    may_be_object = is_plural(words[-1]) or is_mass(words[-1]) or words[-1] in ADVERBS | ADJECTIVES
    return is_done_to or (may_be_object and not _is_named_for(words))


_NAMED_FOR = words("nouns", "named_for")
_THINGS_FOR = words("nouns", "things_for")


def _is_named_for(words: list[str]) -> bool:
    return words[0] in _NAMED_FOR and words[-1] in _THINGS_FOR


# --- Verbs ----------------------------------------------------------------------------------------------------------


def begins_with_verb(phrase: str, *, likely: bool = False) -> bool:
    """Whether a phrase is something that one does, in the base form.

    Args:
        phrase: The phrase.
        likely: Whether what is done is to be expected here, so that "play tennis" is not taken for a thing.

    Example:
        >>> begins_with_verb("keep dry"), begins_with_verb("drink"), begins_with_verb("drink from a cup")
        (True, False, True)
    """
    words = phrase.split(" ")
    first = words[0]
    if first not in lists.BASE_VERBS:
        return False
    if first not in _MOSTLY_NOUNS:
        return True
    if len(words) == 1:
        return False
    if words[1] in _AFTER_VERBS or words[1] in _VERB_BEFORE_PREPOSITION:
        return True
    # Names of things end in a singular noun: "drink holder", but "drink milk", "drive nails".
    return likely and (words[-1] in lists.MASSES or is_plural(words[-1]))


def is_done_to_another(phrase: str) -> bool:
    """Whether a phrase is a verb, perhaps one that no list has, before "a", "the", "their" or "him".

    Example:
        >>> is_done_to_another("stub their toe"), is_done_to_another("hair in their food")
        (True, False)
    """
    first, _, rest = phrase.partition(" ")
    return (
        rest.partition(" ")[0] in _BEFORE_OBJECTS
        and first.isalpha()
        and first not in _OWN_DETERMINER | PREPOSITIONS | ADVERBS | ADJECTIVES
    )


def is_base_verb(phrase: str) -> bool:
    """Whether a phrase can be something that one does; also of words that are as often nouns ("walk")."""
    return phrase.split(" ", 1)[0] in lists.BASE_VERBS


def gerund_phrase(phrase: str) -> str:
    """Return a phrase that begins with a verb in the -ing form.

    Example:
        >>> gerund_phrase("keep dry"), gerund_phrase("to go home"), gerund_phrase("eat and drink")
        ('keeping dry', 'going home', 'eating and drinking')
    """
    phrase = _without_to(phrase)
    words = written(phrase).split(" ")
    words[0] = gerund(words[0])
    for place in range(1, len(words) - 1):
        if words[place] in ("and", "or") and words[place + 1] in lists.BASE_VERBS:
            words[place + 1] = gerund(words[place + 1])
    return " ".join(words)


def _without_to(phrase: str) -> str:
    for start in ("to ", "be able to ", "can "):
        phrase = phrase.removeprefix(start)
    return phrase


_FROM_GERUND: dict[str, str] = {gerund(verb): verb for verb in sorted(lists.BASE_VERBS)}


def base_phrase(phrase: str) -> str | None:
    """Return what one does in the base form, after "can" or "to"; None if the phrase is nothing that one does.

    Example:
        >>> base_phrase("flying"), base_phrase("barks at cats"), base_phrase("fly"), base_phrase("red")
        ('fly', 'bark at cats', 'fly', None)
    """
    phrase = _without_to(phrase)
    first, _, rest = phrase.partition(" ")
    base = first if first in lists.BASE_VERBS or first in _MORE_VERBS else _FROM_GERUND.get(first)
    if base is None:
        base = next((form for form in _verb_forms(first) if form in lists.BASE_VERBS), None)
    if base is None:
        return None
    return f"{base} {_object(rest)}" if rest else base


def _object(phrase: str) -> str:
    """What follows a verb: "cross the street" is not of Wall Street, "the Street", and "far" no abbreviation."""
    if phrase.startswith("the "):
        return f"the {written(phrase[4:])}"
    return quality(phrase) if written(phrase).isupper() else written(phrase)


def _verb_forms(word: str) -> tuple[str, ...]:
    return singulars(word)[:-1] if word.endswith("s") else ()


_MORE_VERBS = words("verbs", "more_verbs")
_FROM_MORE_GERUNDS = frozenset(map(gerund, _MORE_VERBS))


def participle_phrase(phrase: str) -> str:
    """Return what is done to something, after "can be".

    Example:
        >>> participle_phrase("eat"), participle_phrase("worn by women"), participle_phrase("be peeled")
        ('eaten', 'worn by women', 'peeled')
    """
    first, _, rest = phrase.removeprefix("be ").removeprefix("being ").partition(" ")
    done = {"read", "cut", "put", "set", "hit", "let", "shut", "split", "spread"}
    if first in lists.BASE_VERBS and first not in done and first not in _PARTICIPLES:
        first = participle(first)
    return f"{first} {_object(rest)}" if rest else first


_PARTICIPLES = frozenset(_IRREGULAR_PARTICIPLES.values())


def participle(verb: str) -> str:
    """Return the past participle of a verb.

    Example:
        >>> participle("eat"), participle("bake"), participle("carry"), participle("chop")
        ('eaten', 'baked', 'carried', 'chopped')
    """
    if verb in _IRREGULAR_PARTICIPLES:
        return _IRREGULAR_PARTICIPLES[verb]
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return verb[:-1] + "ied"
    doubled = gerund(verb).removesuffix("ing")
    return (doubled if doubled.startswith(verb) else verb) + "ed"


def doing(phrase: str) -> str:
    """Return what something is used for, or what it causes: in the -ing form where it is done, else as a noun.

    Example:
        >>> doing("keep dry"), doing("keeping dry"), doing("picnic"), doing("walk a dog"), doing("drink")
        ('keeping dry', 'keeping dry', 'a picnic', 'walking a dog', 'drinking')
    """
    phrase = _without_to(phrase)
    first, _, rest = phrase.partition(" ")
    if not rest and (first in _FROM_GERUND or first in _FROM_MORE_GERUNDS or first in PASTIMES):
        return first  # what a pen is used for is drawing, no drawing
    # "covering the head", though a covering is a thing
    second = rest.split(" ", 1)[0]
    is_doing = second in _AFTER_VERBS or second == "as" or second.endswith("ly")
    if rest and (first in _FROM_GERUND or (first in ING_NOUNS and is_doing)):
        return written(phrase)
    is_gerund = first.endswith("ing") and first not in ING_NOUNS | lists.BASE_VERBS
    if rest and is_gerund and noun_form(phrase) is None:
        return written(phrase)  # "herding sheep", of a verb that no list has
    if begins_with_verb(phrase, likely=True) or (
        " " not in phrase and is_base_verb(phrase) and phrase not in lists.MASSES
    ):
        return gerund_phrase(phrase)
    return noun_phrase(phrase)


def material(phrase: str) -> str:
    """Return what something is made of: masses as they are, things in the plural.

    Example:
        >>> material("glass"), material("egg"), material("thick paper"), material("a shell")
        ('glass', 'eggs', 'thick paper', 'a shell')
    """
    words = phrase.split(" ")
    if words[0] in _OWN_DETERMINER or is_mass(phrase) or is_many(phrase):
        return written(phrase)
    if words[-1] in lists.MATERIALS_TOO | _UNCOUNTED_MATERIALS:
        return written(phrase)
    if words[-1].endswith("ing") and words[-1] not in ING_NOUNS:
        return written(phrase)
    if words[-1].endswith(_SUBSTANCE_ENDINGS) and words[-1] not in _COUNTED_SUBSTANCES:
        return written(phrase)
    return several(phrase)


def several(phrase: str) -> str:
    """Return the plural of a phrase.

    Example:
        >>> several("kitchen tool"), several("cup of tea")
        ('kitchen tools', 'a cup of tea')
    """
    words = phrase.split(" ")
    if len(words) > 1 and _HEAD.search(phrase):
        return noun_phrase(phrase)
    return written(" ".join([*words[:-1], plural(words[-1])]))


def place(phrase: str) -> str:
    """Return where something is, with the preposition that the place takes.

    Example:
        >>> place("kitchen"), place("wall"), place("home"), place("sky"), place("wedding"), place("on a table")
        ('in a kitchen', 'on a wall', 'at home', 'in the sky', 'at a wedding', 'on a table')
    """
    words = phrase.split(" ")
    if phrase in _NO_ARTICLE_PLACES:
        return _NO_ARTICLE_PLACES[phrase]
    if words[0] in PREPOSITIONS | {"where"} and len(words) > 1:
        return written(phrase)
    name = quality(phrase) if phrase in _NAMES else noun_phrase(phrase)  # "in Japan", not in lacquer
    if re.search(" of an? ", phrase):
        name = f"the {written(phrase)}"  # "the neck of a doctor"
    if phrase in _PLACE_PHRASES:
        return f"{_PLACE_PHRASES[phrase]} {name}"
    word = singulars(head(phrase))[0]
    if word in _AROUND_PLACES:
        return f"around {name}"
    if word in _ON_PLACES or phrase in _ON_PLACES:
        return f"on {name}"
    if word == "ground" and words[0] == "the":
        return f"on {name}"
    if word in _AT_PLACES or words[-1] in _AT_PLACES:
        return f"at {name}"
    return f"in {name}"


def thing_phrase(concept: str) -> str:
    """Return a concept as a subject or object where it is sure to be a thing: "hit man" is nothing that one does.

    Example:
        >>> thing_phrase("hit man"), thing_phrase("guffaw"), thing_phrase("keep dry"), thing_phrase("turkey")
        ('a hit man', 'a guffaw', 'keeping dry', 'a turkey')
        >>> thing_phrase("open cargo bed")
        'an open cargo bed'
    """
    words = concept.split(" ")
    is_described = words[0] in ADJECTIVES and len(words) > 2 and words[1] not in _AFTER_VERBS | PREPOSITIONS
    if is_described and begins_with_verb(concept) and not (is_mass(concept) or is_many(concept)):
        return f"{article(concept)} {written(concept)}"
    if concept in ADVERBS:
        return f"{article(concept)} {concept}"  # "a back is part of a chair"
    if not begins_with_verb(concept) or is_mass(concept) or len(words) > 2 or is_many(concept):
        return noun_phrase(concept)
    if len(words) == 2 and (words[1] in ADVERBS | ADJECTIVES | PREPOSITIONS or is_mass(words[1])):
        return noun_phrase(concept)
    return f"{article(concept)} {written(concept)}"


def part_phrase(concept: str) -> str:
    """Return a concept as a part or a whole: a word that is mostly a noun is one before a preposition too.

    Example:
        >>> part_phrase("ring in its nose"), thing_phrase("ring in its nose")
        ('a ring in its nose', 'ringing in its nose')
    """
    words = concept.split(" ")
    if concept in _COUNTED_PARTS:
        return f"{article(concept)} {written(concept)}"
    if len(words) > 2 and words[0] in _MOSTLY_NOUNS and words[1] in PREPOSITIONS and not is_mass(words[0]):
        return f"{article(concept)} {written(concept)}"
    return thing_phrase(concept)


def may_be_counted(phrase: str) -> bool:
    """Whether a noun phrase goes without "a" by what a dictionary shows, not by our own lists: some are counted."""
    return (
        is_mass(phrase)
        and head(phrase) not in lists.MASSES
        and not is_activity(phrase)
        and phrase not in COLOURS
        and not is_name_alone(phrase)
    )


_UNIQUE_OF_KINDS = words("nouns", "unique_of_kinds")


def kind_phrase(concept: str) -> str:
    """Return what something is one of: of many masses there are kinds, each of which is one.

    Example:
        >>> kind_phrase("fruit"), kind_phrase("edible fruit"), kind_phrase("furniture"), kind_phrase("fruit tree")
        ('a fruit', 'an edible fruit', 'furniture', 'a fruit tree')
    """
    is_one_of_many = (
        head(concept) in _MASSES_OF_KINDS and written(concept) == concept
    ) or concept in _UNIQUE_OF_KINDS
    if is_one_of_many or (" of the " in concept and noun_form(concept) is None and not is_many(concept)):
        return f"{article(concept)} {written(concept)}"
    return thing_phrase(concept)
