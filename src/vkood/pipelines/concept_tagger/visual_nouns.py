"""Which entries of a store are names of visible things."""

from __future__ import annotations

import re
from collections import Counter

from vkood.knowledge import FactStore
from vkood.knowledge.linking.linker import Store

MAX_NOUNS = 10_000

_OF_VISIBLE_THINGS = ("AtLocation", "CapableOf", "HasProperty", "UsedFor")
_MAX_WORDS = 3


def visual_nouns(store: Store, limit: int = MAX_NOUNS) -> list[str]:
    """The names of visible things in a store: subjects of facts that say where a thing is, or what it is like or for.

    Args:
        store: A store.
        limit: Max number of them; those with most such facts, if there are more.

    Returns:
        They, in alphabetical order; none for a store of another class, which cannot list its facts.

    Example:
        >>> with FactStore.open() as store:
        ...     "umbrella" in visual_nouns(store)
        True
    """
    if not isinstance(store, FactStore):
        return []
    counts = Counter(fact.subject for fact in store.facts() if fact.relation in _OF_VISIBLE_THINGS)
    nouns = [noun for noun, _ in counts.most_common() if len(re.split(r"[ -]", noun)) <= _MAX_WORDS][:limit]
    return sorted(nouns)
