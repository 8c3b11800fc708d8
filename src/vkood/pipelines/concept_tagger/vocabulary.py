"""From the classes of a classifier to the concepts of a store, and from probabilities to probabilities.

A picture of a golden retriever is one of a dog, and of an animal: a concept has the sum of the probabilities of all
classes that are it or a kind of it.

Legend: B pictures, C classes, N different names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vkood.fields import Real, as_count, require_fields
from vkood.knowledge.linking.linker import Store

_DIGITS = 6
"""Of probabilities: what lies below depends on how many pictures a processor took at once."""


@dataclass(frozen=True, slots=True)
class PictureConcepts:
    """What a picture shows. Iterating over it yields `names`, as a tagger of `FactFilter` does.

    Args:
        names: The likeliest classes by name with probabilities, likeliest first: the context of the untrained gate.
        concepts: Entries of the store with probabilities, likeliest first. A concept has what its kinds have, so these
            do not sum to 1.

    Example:
        >>> shown = PictureConcepts(names=(("golden retriever", 0.9),), concepts=(("dog", 0.95), ("retriever", 0.9)))
        >>> list(shown)
        [('golden retriever', 0.9)]
    """

    names: tuple[tuple[str, float], ...]
    concepts: tuple[tuple[str, float], ...]

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """Iterate over the names, with their probabilities."""
        return iter(self.names)


@dataclass(frozen=True, slots=True)
class ClassConcepts:
    """What a class is called, and what it is in a store.

    Args:
        name: What the classifier calls it, for people and for encoders of sentences.
        entries: How a store may spell it, the best first; the first that the store knows is used.
        hypernyms: What it is a kind of, from near to far.
    """

    name: str
    entries: tuple[str, ...]
    hypernyms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How much of what a tagger makes of a picture is kept.

    Args:
        num_names: Number of names.
        mass: Concepts are those of the likeliest classes that together have this probability.
        max_concepts: Max number of concepts.

    Raises:
        ValueError: A value is out of range.
    """

    num_names: int = 20
    mass: float = 0.95
    max_concepts: int = 50

    def __post_init__(self) -> None:
        """Check the values."""
        for name, value in (("num_names", self.num_names), ("max_concepts", self.max_concepts)):
            object.__setattr__(self, name, as_count(name, value))
        require_fields({"mass": self.mass}, {"mass": Real(0, 1, above=True)})


class Vocabulary:
    """The classes that a classifier tells apart, linked to a store.

    Args:
        classes: One for each of the classifier's outputs, in their order.
        store: Where concepts are looked up.
        exclusive: Whether a picture has one class: probabilities then sum to 1, and a concept has the sum of its
            classes'; otherwise it has the largest.

    Attributes:
        names: The different names, in their order.
        concepts: All concepts that pictures may have, in alphabetical order.
        fingerprint: Changes with any of the above.

    Raises:
        ValueError: The store is empty, or knows none of the classes and none of their hypernyms.
    """

    def __init__(self, classes: Sequence[ClassConcepts], store: Store, *, exclusive: bool = True) -> None:
        self.names = tuple(dict.fromkeys(named.name for named in classes))
        self.exclusive = exclusive
        known = store.known({entry for named in classes for entry in (*named.entries, *named.hypernyms)})
        own = [_linked(named, known) for named in classes]
        self.concepts = tuple(sorted(set().union(*own)))
        if not self.concepts:
            raise ValueError(_unknown(classes, store))
        number = {concept: place for place, concept in enumerate(self.concepts)}
        pairs = [(place, number[concept]) for place, linked in enumerate(own) for concept in linked]
        self._class_of_pair, self._concept_of_pair = torch.tensor(pairs, dtype=torch.long).T
        name_number = {name: place for place, name in enumerate(self.names)}
        self._name_of_class = torch.tensor([name_number[named.name] for named in classes], dtype=torch.long)
        self._concepts_of = [[number[concept] for concept in linked] for linked in own]
        self._breadth = self._concept_of_pair.bincount(minlength=len(self.concepts)).tolist()
        content = repr(
            (exclusive, [(named.name, linked) for named, linked in zip(classes, own, strict=True)])
        )
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()[:20]

    def __len__(self) -> int:
        """Number of classes."""
        return len(self._concepts_of)

    def classes_of(self, concept: str) -> list[int]:
        """The classes that are a concept or a kind of it, by number; none for one that is not in the vocabulary."""
        return [
            place
            for place, own in enumerate(self._concepts_of)
            if concept in map(self.concepts.__getitem__, own)
        ]

    def shown(self, probabilities: Float[Tensor, "B C"], cut: Cut) -> list[PictureConcepts]:
        """What pictures show, by the probabilities of classes."""
        named = self._combined(probabilities, len(self.names), self._name_of_class)
        linked = self._combined(
            probabilities[:, self._class_of_pair], len(self.concepts), self._concept_of_pair
        )
        top = named.topk(min(cut.num_names, len(self.names)))
        return [
            PictureConcepts(
                names=tuple(
                    (self.names[place], float(f"{value:.{_DIGITS}g}"))
                    for place, value in zip(top.indices[row].tolist(), top.values[row].tolist(), strict=True)
                ),
                concepts=self._cut(probabilities[row], linked[row].tolist(), cut),
            )
            for row in range(len(probabilities))
        ]

    def _combined(
        self, parts: Float[Tensor, "B parts"], number: int, of_part: Tensor
    ) -> Float[Tensor, "B {number}"]:
        """The sum of the parts of each, or the largest."""
        zero = parts.new_zeros(len(parts), number)
        if self.exclusive:
            return zero.index_add(1, of_part, parts).clamp(max=1.0)
        return zero.scatter_reduce(1, of_part.expand(len(parts), -1), parts, "amax")

    def _cut(
        self, of_classes: Float[Tensor, "C"], of_concepts: Sequence[float], cut: Cut
    ) -> tuple[tuple[str, float], ...]:
        order = of_classes.argsort(descending=True, stable=True)
        before = of_classes[order].cumsum(0) - of_classes[order]
        candidates = {
            concept
            for place in order[before < cut.mass * float(of_classes.sum())].tolist()
            for concept in self._concepts_of[place]
        }
        # Of concepts that are equally likely the narrower comes first: of a kind and its only class, the class.
        likeliest = sorted(
            (-round(of_concepts[concept], _DIGITS), self._breadth[concept], self.concepts[concept])
            for concept in candidates
        )
        return tuple((concept, -value) for value, _, concept in likeliest[: cut.max_concepts])


def _linked(named: ClassConcepts, known: frozenset[str]) -> tuple[str, ...]:
    """The concepts of a class: its own, if the store knows it, and those that it is a kind of."""
    own = next((entry for entry in named.entries if entry in known), None)
    hypernyms = [hypernym for hypernym in named.hypernyms if hypernym in known]
    return tuple(dict.fromkeys([*([] if own is None else [own]), *hypernyms]))


def _unknown(classes: Sequence[ClassConcepts], store: Store) -> str:
    if store.longest_entry < 1:
        return (
            "the fact store is empty: build one with facts (`vkood knowledge build`), or leave `store` out for the one "
            "that comes with vkood."
        )
    examples = ", ".join(repr(named.name) for named in classes[:3])
    return (
        f"the fact store knows none of the {len(classes):,} classes that the tagger tells apart ({examples}, ...), nor "
        "what they are kinds of: take a store with facts about them, or another tagger. To have facts of your own "
        "beside those that come with vkood, copy the store that `vkood knowledge stats` names, and add to the copy: "
        "`vkood knowledge build table FACTS --output COPY --append`."
    )
