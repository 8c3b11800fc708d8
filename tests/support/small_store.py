"""A store in memory, for tests of what asks a store."""

from collections.abc import Iterable, Sequence

from vkood.knowledge import Fact


class SmallStore:
    """Knows some entries; counts how often it is asked."""

    def __init__(self, *entries: str) -> None:
        self.entries = frozenset(entries)
        self.questions = 0

    @property
    def longest_entry(self) -> int:
        return max(len(entry.split()) for entry in self.entries)

    def known(self, names: Iterable[str]) -> frozenset[str]:
        self.questions += 1
        return self.entries.intersection(names)

    def lookup(
        self, concepts: Sequence[str], relations: Iterable[str] | None = None, limit: int | None = 5
    ) -> dict[str, list[Fact]]:
        if limit is not None and limit < 1:
            raise ValueError(f"`limit` must be at least 1; got {limit}.")
        self.questions += 1
        facts = {
            name: [Fact(name, "IsA", f"{name} {kind}") for kind in ("thing", "sort", "kind")]
            for name in concepts
        }
        return {name: facts[name][:limit] if name in self.entries else [] for name in concepts}
