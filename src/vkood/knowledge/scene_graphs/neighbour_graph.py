"""A coarse scene graph without a parse: colours before things, numbers, and what stands between two things."""

from __future__ import annotations

from collections.abc import Mapping

from vkood.knowledge.language import word_lists as lists
from vkood.knowledge.language.phrases import base_phrase
from vkood.knowledge.language.words import Words
from vkood.knowledge.linking.linked_fact import Span
from vkood.knowledge.scene_graphs.graph import Attribute, Relation, SceneGraph, SceneObject


def neighbour_graph(words: Words, names: Mapping[Span, tuple[str, bool]]) -> SceneGraph:
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
            kept.append((base_phrase(word) or word) if kind == "verb" else word)
    return " ".join(kept)
