"""What concepts of a store are kinds of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from vkood.knowledge.facts import Fact

MAX_LEVELS = 8
"""A chain of WordNet's from a breed to "animal" is about as long."""

_GENERAL = frozenset(
    [
        "abstraction",
        "act",
        "activity",
        "artifact",
        "attribute",
        "being",
        "cause",
        "cognition",
        "entity",
        "event",
        "feature",
        "force",
        "group",
        "happening",
        "instrumentality",
        "item",
        "matter",
        "object",
        "organism",
        "part",
        "phenomenon",
        "process",
        "quality",
        "relation",
        "set",
        "shape",
        "something",
        "state",
        "substance",
        "thing",
        "unit",
        "whole",
    ]
)
"""What tells nothing of a picture."""


_SAME_SENSE = 0.75
"""Of the heaviest fact's weight: WordNet's second sense has half of the first's, and what we wrote ourselves weighs a
little less from one to the next."""


@runtime_checkable
class FactLookup(Protocol):
    """The part of a `FactStore` that hypernyms come from."""

    def lookup(
        self, concepts: Sequence[str], relations: Iterable[str] | None = None, limit: int | None = 5
    ) -> dict[str, list[Fact]]:
        """Return the facts of each concept."""
        ...


def hypernyms_of(
    entries: Iterable[str], store: FactLookup, *, max_levels: int = MAX_LEVELS
) -> dict[str, tuple[str, ...]]:
    """What each entry is a kind of by the store's IsA, from near to far.

    Of a word with several senses only the heaviest facts are followed: those of its first sense, or of its everyday
    one. Words that say nothing of a picture ("object", "entity") are left out, and so is what they are kinds of.

    Args:
        entries: Entries of the store.
        store: The store.
        max_levels: Max number of steps up.

    Example:
        >>> from vkood.knowledge import FactStore
        >>> with FactStore.open() as store:
        ...     hypernyms_of(["pagoda"], store, max_levels=1)
        {'pagoda': ('tower', 'temple')}
    """
    entries = list(dict.fromkeys(entries))
    parents: dict[str, tuple[str, ...]] = {}
    frontier = entries
    for _ in range(max_levels):
        for entry, facts in store.lookup(frontier, relations=["IsA"], limit=None).items():
            heaviest = max((fact.weight for fact in facts), default=0.0)
            objects = [fact.object for fact in facts if fact.weight > _SAME_SENSE * heaviest]
            parents[entry] = tuple(object_ for object_ in objects if object_ not in _GENERAL)
        frontier = list(
            {above: None for entry in frontier for above in parents[entry] if above not in parents}
        )
        if not frontier:
            break
    return {entry: _chain(entry, parents, max_levels) for entry in entries}


def _chain(entry: str, parents: dict[str, tuple[str, ...]], max_levels: int) -> tuple[str, ...]:
    """All that an entry is a kind of, level by level."""
    chain: dict[str, None] = {}
    level = [entry]
    for _ in range(max_levels):
        level = [
            above
            for below in level
            for above in parents.get(below, ())
            if above not in chain and above != entry
        ]
        chain.update(dict.fromkeys(level))
    return tuple(chain)
