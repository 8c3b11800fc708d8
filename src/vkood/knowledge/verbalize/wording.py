"""A fact as an English sentence, one wording for each relation of ConceptNet, the negated ones included."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

from vkood.knowledge.language.lemmas import article, third_person
from vkood.knowledge.language.noun_forms import is_kind_of_name, kind_form, may_be_place, name_form
from vkood.knowledge.language.phrases import (
    base_phrase,
    begins_with_verb,
    doing,
    gerund_phrase,
    head,
    is_activity,
    is_done_to_another,
    is_many,
    is_mass,
    is_name_alone,
    kind_phrase,
    material,
    may_be_counted,
    name_phrase,
    noun_phrase,
    part_phrase,
    participle_phrase,
    place,
    quality,
    several,
    thing_phrase,
    with_article,
    written,
)
from vkood.knowledge.language.word_lists import ADJECTIVES, COUNTED_SUBJECTS, UNCOUNTED_SUBJECTS


@lru_cache(maxsize=65_536)
def sentence_of(subject: str, relation: str, object_: str) -> str:
    """Return a fact as a sentence, with a full stop and without a capital letter at its beginning.

    Args:
        subject: Lower-case words separated by single spaces.
        relation: One of ConceptNet's relations.
        object_: Words, as in `subject`.

    Example:
        >>> sentence_of("umbrella", "UsedFor", "keep dry")
        'an umbrella is used for keeping dry.'
        >>> sentence_of("wheel", "PartOf", "bicycle")
        'a wheel is part of a bicycle.'
        >>> sentence_of("scissors", "IsA", "tool")
        'scissors are tools.'
        >>> sentence_of("guffaw", "IsA", "laugh")
        'a guffaw is a laugh.'
        >>> sentence_of("penguin", "NotCapableOf", "fly"), sentence_of("person", "NotDesires", "be ill")
        ('a penguin cannot fly.', 'a person does not want to be ill.')
    """
    return f"{_WORDINGS[relation](subject, object_)}."


def _be(subject: str, *, negated: bool = False) -> str:
    be = "am" if subject == "i" else "are" if _takes_many(subject) else "is"
    return f"{be} not" if negated else be


def _agreeing(subject: str, verb: str, *, negated: bool = False) -> str:
    if negated:
        return f"{'do' if _takes_many(subject) else 'does'} not {verb}"
    return verb if _takes_many(subject) else third_person(verb)


def _takes_many(subject: str) -> bool:
    return subject in ("i", "you") or subject.rsplit(" ", 1)[-1] in ("we", "they") or is_many(subject)


def _thing(subject: str, phrase: Callable[[str], str] = noun_phrase) -> str:
    """What is said to be or to do something: an iron can scorch a shirt, bark (the mass) can peel off."""
    if subject in COUNTED_SUBJECTS:
        return f"{article(subject)} {written(subject)}"
    return written(subject) if subject in UNCOUNTED_SUBJECTS else phrase(subject)


def _quoted(concept: str) -> str:
    return f'"{written(concept)}"'


_ARTICLES = ("a ", "an ", "the ")
_WHAT_ONE_DOES = frozenset(("act", "activity", "exercise", "game", "hobby", "pastime", "sport"))
"""Kinds of which each activity is one: "surfing is a sport", but "sewing is a kind of handicraft"."""


# --- What a thing is ------------------------------------------------------------------------------------------------


def _is_a(subject: str, object_: str, *, negated: bool = False) -> str:
    thing, verb, kind = _thing_and_kind(subject, object_)
    return f"{thing} {verb} not {kind}" if negated else f"{thing} {verb} {kind}"


def _thing_and_kind(subject: str, object_: str) -> tuple[str, str, str]:
    """What is of a kind, "is" or "are", and the kind."""
    kind = kind_phrase(object_)
    form = kind_form(subject, object_)
    if form is not None:
        return with_article(form), "is", kind
    name = name_form(subject)
    if object_ == "river" and name is not None:
        return f"the {name.text}", "is", "a river"  # not the state of that name
    if object_ == "wood" and name is None and not is_many(subject):
        return written(subject), "is", "a wood"  # not the tree
    if object_ in ("island", "mountain") and name is not None and is_many(subject):
        return name_phrase(subject), "are", several(object_)
    if is_name_alone(subject) or (is_kind_of_name(object_) and name is not None):
        if may_be_counted(object_):
            # A name is that of one: "is a war"; but "is a kind of hyperthyroidism".
            is_one = is_kind_of_name(object_)
            kind = f"{article(object_) if is_one else 'a kind of'} {written(object_)}"
        return name_phrase(subject), _be(subject) if is_name_alone(subject) else "is", kind
    are_things = is_many(subject) and not object_.startswith(("a ", "an "))
    if are_things and kind.startswith(("a ", "an ")):
        # Many of one kind: "scissors are tools".
        return noun_phrase(subject), "are", several(object_)
    thing = thing_phrase(subject)
    if not is_many(subject) and (
        is_many(object_)
        or may_be_counted(subject) != may_be_counted(object_)
        or (thing.startswith(_ARTICLES) and is_mass(object_) and kind == written(object_))
        or (is_activity(subject) and kind.startswith(_ARTICLES) and head(object_) not in _WHAT_ONE_DOES)
    ):
        # Right of masses and of count nouns: "barratry is a kind of fraud", "a kneel is a kind of motion".
        return thing, "is", f"a kind of {written(object_)}"
    return thing, "is" if subject == "i" else _be(subject), kind  # iodine


def _has_property(subject: str, object_: str, *, negated: bool = False) -> str:
    object_ = object_.removeprefix("be ")  # "is able to swim"
    is_done = begins_with_verb(object_) and object_ not in ADJECTIVES  # "a sandal is open"
    text = noun_phrase(object_) if is_done else quality(object_)
    return f"{_thing(subject)} {_be(subject, negated=negated)} {text}"


def _has_a(subject: str, object_: str, *, negated: bool = False) -> str:
    whole, part = _names(subject, object_)
    if not is_activity(subject):
        verb = _agreeing(subject, "have", negated=negated)
    else:
        verb = "does not involve" if negated else third_person("involve")
    return f"{whole} {verb} {part}"


def _part_of(subject: str, object_: str) -> str:
    part, whole = _names(subject, object_)
    return f"{part} {_be(subject)} part of {whole}"


def _names(part: str, whole: str) -> tuple[str, str]:
    """A part and its whole: where one is a name, so is the other, if it can be ("Antalya", "Turkey")."""
    if is_name_alone(part) or is_name_alone(whole) or (may_be_place(part) and may_be_place(whole)):
        return _name_if_place(part), _name_if_place(whole)
    return _thing(part, part_phrase), part_phrase(whole)


def _name_if_place(concept: str) -> str:
    may_be_name = is_name_alone(concept) or may_be_place(concept)
    return name_phrase(concept) if may_be_name else thing_phrase(concept)


def _capable_of(subject: str, object_: str, *, negated: bool = False) -> str:
    can = "cannot" if negated else "can"
    base = base_phrase(object_)
    if base is not None:
        return f"{_thing(subject)} {can} {base}"
    if not (
        is_activity(object_)
        or is_mass(object_)
        or object_.startswith(("a ", "an ", "the "))
        or (is_many(object_) and " " not in object_)
    ):
        return f"{_thing(subject)} {can} {written(object_)}"  # what something is capable of is done
    return f"{_thing(subject)} {_be(subject, negated=negated)} capable of {doing(object_)}"


def _desires(subject: str, object_: str, *, negated: bool = False) -> str:
    return f"{_thing(subject)} {_agreeing(subject, 'want', negated=negated)} {_wanted(object_)}"


def _wanted(object_: str) -> str:
    event = object_.removeprefix("to ")
    if begins_with_verb(event):
        return f"to {base_phrase(object_)}"
    return f"to {written(event)}" if is_done_to_another(event) else noun_phrase(object_)


def _receives(subject: str, object_: str) -> str:
    return f"{_thing(subject)} can be {participle_phrase(object_)}"


def _made_of(subject: str, object_: str, *, negated: bool = False) -> str:
    return f"{_thing(subject)} {_be(subject, negated=negated)} made of {material(object_)}"


def _created_by(subject: str, object_: str) -> str:
    return f"{_thing(subject)} {_be(subject)} created by {doing(object_)}"


def _defined_as(subject: str, object_: str) -> str:
    return f"{_thing(subject)} {_be(subject)} defined as {noun_phrase(object_)}"


def _is(words: str) -> Callable[[str, str], str]:
    """A wording "a wheel is <words> a bicycle"."""
    return lambda subject, object_: f"{_thing(subject)} {_be(subject)} {words} {noun_phrase(object_)}"


# --- Where, and what for --------------------------------------------------------------------------------------------


def _at_location(subject: str, object_: str) -> str:
    return f"{_thing(subject)} can be found {place(object_)}"


def _near(subject: str, object_: str) -> str:
    return f"{_thing(subject)} can be found near {noun_phrase(object_)}"


def _used_for(subject: str, object_: str) -> str:
    return f"{_thing(subject)} {_be(subject)} used for {doing(object_)}"


# --- What happens ---------------------------------------------------------------------------------------------------


def _event(words: str) -> Callable[[str, str], str]:
    """A wording "eating <words, agreeing> chewing"."""
    verb, _, rest = words.partition(" ")
    after = f" {rest}" if rest else ""

    def wording(subject: str, object_: str) -> str:
        return f"{doing(subject)} {_event_verb(subject, verb)}{after} {doing(object_)}"

    return wording


def _event_verb(subject: str, verb: str) -> str:
    return verb if not begins_with_verb(subject) and is_many(subject) else third_person(verb)


def _causes_desire(subject: str, object_: str) -> str:
    makes = _event_verb(subject, "make")
    event = object_.removeprefix("to ")
    base = base_phrase(event) if begins_with_verb(event) or " " not in event else None
    return f"{doing(subject)} {makes} people want {f'to {base}' if base else noun_phrase(object_)}"


def _motivated_by(subject: str, object_: str) -> str:
    return f"the goal of {doing(subject)} is {doing(object_)}"


def _obstructed_by(subject: str, object_: str) -> str:
    return f"{doing(subject)} can be hindered by {doing(object_)}"


def _manner_of(subject: str, object_: str) -> str:
    if base_phrase(subject) is not None and base_phrase(object_) is not None:
        return f"{gerund_phrase(str(base_phrase(subject)))} is a way of {gerund_phrase(str(base_phrase(object_)))}"
    return f"{doing(subject)} {_be(subject)} a way of {doing(object_)}"


# --- Words ----------------------------------------------------------------------------------------------------------


def _word(words: str) -> Callable[[str, str], str]:
    """A wording about words: '"sofa" <words> "couch"'."""
    return lambda subject, object_: f"{_quoted(subject)} {words} {_quoted(object_)}"


def _has_context(subject: str, object_: str) -> str:
    return f"{_quoted(subject)} is a word used in the context of {doing(object_)}"


def _at_address(subject: str, object_: str) -> str:
    return f"{_quoted(subject)} is described at {object_}"


_WORDINGS: dict[str, Callable[[str, str], str]] = {
    "Antonym": _word("is the opposite of"),
    "AtLocation": _at_location,
    "CapableOf": _capable_of,
    "Causes": _event("cause"),
    "CausesDesire": _causes_desire,
    "CreatedBy": _created_by,
    "DefinedAs": _defined_as,
    "DerivedFrom": _word("is derived from"),
    "Desires": _desires,
    "DistinctFrom": _is("different from"),
    "EtymologicallyDerivedFrom": _word("comes from the word"),
    "EtymologicallyRelatedTo": _word("has the same origin as"),
    "ExternalURL": _at_address,
    "FormOf": _word("is a form of"),
    "HasA": _has_a,
    "HasContext": _has_context,
    "HasFirstSubevent": _event("begin with"),
    "HasLastSubevent": _event("end with"),
    "HasPrerequisite": _event("require"),
    "HasProperty": _has_property,
    "HasSubevent": _event("involve"),
    "IsA": _is_a,
    "LocatedNear": _near,
    "MadeOf": _made_of,
    "MannerOf": _manner_of,
    "MotivatedByGoal": _motivated_by,
    "NotCapableOf": partial(_capable_of, negated=True),
    "NotDesires": partial(_desires, negated=True),
    "NotHasA": partial(_has_a, negated=True),
    "NotHasProperty": partial(_has_property, negated=True),
    "NotIsA": partial(_is_a, negated=True),
    "NotMadeOf": partial(_made_of, negated=True),
    "ObstructedBy": _obstructed_by,
    "PartOf": _part_of,
    "ReceivesAction": _receives,
    "RelatedTo": _word("is related to"),
    "SimilarTo": _is("similar to"),
    "SymbolOf": _is("a symbol of"),
    "Synonym": _word("means the same as"),
    "UsedFor": _used_for,
}
"""One wording for each relation."""
