"""What a text says of a scene: its things, what they are like, and how they stand to each other."""

from __future__ import annotations

from dataclasses import dataclass

from vkood.knowledge.linking.linked_fact import Span

ASKED = "?"
"""The name of what a question asks for."""


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
        names = [item.name for item in self.objects]
        triplets = [
            *((names[item.object], _denied(item.name, item.negated), item.value) for item in self.attributes),
            *((item.name, "count", item.count) for item in self.objects if item.count and not item.negated),
            *(
                (names[item.subject], _denied(item.name, item.negated), names[item.object])
                for item in self.relations
            ),
        ]
        return list(dict.fromkeys(triplets))


def _denied(name: str, negated: bool) -> str:
    return f"not {name}" if negated else name
