"""What a text says of a scene: its things, what they are like, and how they stand to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vkood.knowledge.language import word_lists as lists
from vkood.knowledge.language.words import Words

ASKED = "?"
"""The name of what a question asks for."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SceneObject:
    """A thing that a text names.

    Args:
        name: Its noun in the singular, with the nouns that belong to it ("kitchen counter"); "?" for what is asked.
        lemma: The last of those words ("counter").
        span: Where it stands: the first character, and the one after the last.
        count: The word for how many there are; "?" if that is asked, empty if nothing is said.
        negated: Whether the text says that there is none.
    """

    name: str
    lemma: str
    span: Span
    count: str = ""
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Attribute:
    """What a thing is like.

    Args:
        object: Its place in `SceneGraph.objects`.
        value: The word for it ("red", "sleeping"); "?" if it is asked for.
        name: "is", or what is asked for ("color", "kind").
        negated: Whether the text denies it.
    """

    object: int
    value: str
    name: str = "is"
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """How one thing stands to another.

    Args:
        subject: The place of the first in `SceneGraph.objects`.
        name: A verb, a preposition, or both ("hold", "in front of", "sit on").
        object: The place of the other.
        negated: Whether the text denies it.
    """

    subject: int
    name: str
    object: int
    negated: bool = False


@dataclass(frozen=True, slots=True)
class SceneGraph:
    """The things of a text, what they are like, and how they stand to each other.

    Args:
        objects: The things, in the order of the text.
        attributes: What they are like.
        relations: How they stand to each other.

    Example:
        >>> man, hat = SceneObject("man", "man", (2, 5)), SceneObject("hat", "hat", (20, 23), count="two")
        >>> graph = SceneGraph((man, hat), (Attribute(1, "red"),), (Relation(0, "wear", 1),))
        >>> graph.triplets()
        [('hat', 'is', 'red'), ('hat', 'count', 'two'), ('man', 'wear', 'hat')]
    """

    objects: tuple[SceneObject, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    relations: tuple[Relation, ...] = ()

    def triplets(self) -> list[tuple[str, str, str]]:
        """Return attributes, counts and relations in words, "not" before what is denied."""
        named = [item.name for item in self.objects]
        found = [(named[one.object], _denied(one.name, one.negated), one.value) for one in self.attributes]
        found += [
            (item.name, "count", item.count) for item in self.objects if item.count and not item.negated
        ]
        found += [
            (named[one.subject], _denied(one.name, one.negated), named[one.object]) for one in self.relations
        ]
        return list(dict.fromkeys(found))


def _denied(name: str, negated: bool) -> str:
    return f"not {name}" if negated else name


# --- Without a parser -----------------------------------------------------------------------------------------------

_JOINING_VERBS = frozenset(("is", "are"))


def coarse_graph(words: Words, names: Mapping[Span, tuple[str, bool]]) -> SceneGraph:
    """Return a graph by neighbourhood alone: colours before things, numbers, and what stands between two things.

    Args:
        words: The words of a text, with their kinds.
        names: The concepts that were found: where they stand, their entries, and whether they are denied.
    """
    first_word = {start: place for place, start in enumerate(words.starts)}
    last_word = {end: place for place, end in enumerate(words.ends)}
    things: list[SceneObject] = []
    ends: list[tuple[int, int]] = []
    attributes: list[Attribute] = []
    relations: list[Relation] = []
    for span, (entry, negated) in names.items():
        first, last = first_word[span[0]], last_word[span[1]]
        if (
            entry in lists.COLOURS
            and last + 1 < len(words)
            and words.kinds[last + 1] in ("noun", "adjective", "conjunction")
        ):
            continue
        number, described = _before(words, first)
        things.append(SceneObject(entry, entry.rsplit(" ", 1)[-1], span, count=number, negated=negated))
        here = len(things) - 1
        attributes += [Attribute(here, word) for word in described]
        if ends:
            name = _between(words, ends[-1][1] + 1, first)
            if name:
                relations.append(Relation(here - 1, name, here, negated and name != "without"))
        ends.append((first, last))
    return SceneGraph(tuple(things), tuple(attributes), tuple(relations))


def _before(words: Words, first: int) -> tuple[str, list[str]]:
    """The number and the adjectives that stand right before a thing."""
    described: list[str] = []
    place = first - 1
    while place >= 0 and (words.kinds[place] == "adjective" or words.lower[place] in lists.COLOURS | {"and"}):
        if words.lower[place] not in lists.PLACES and words.lower[place] != "and":
            described.append(words.lower[place])
        place -= 1
    number = words.lower[place] if place >= 0 and words.kinds[place] == "number" else ""
    return number, described[::-1]


def _between(words: Words, start: int, stop: int) -> str:
    """The verb and preposition that join two things which follow each other; empty if anything else stands between."""
    kept: list[str] = []
    for place in range(start, stop):
        kind, word = words.kinds[place], words.lower[place]
        if kind == "conjunction" or (place and words.gaps[place - 1] == ","):
            return ""
        if kind == "verb" or kind == "preposition" or (word in lists.PLACES and kept):
            kept.append(_base(word) if kind == "verb" else word)
    return " ".join(kept)


def _base(verb: str) -> str:
    from vkood.knowledge.language.phrases import base_phrase

    return base_phrase(verb) or verb
