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

    @property
    def content_hash(self) -> str:
        return "\n".join(sorted(self.entries))

    def known(self, names: Iterable[str], *, objects: bool = False) -> frozenset[str]:
        self.questions += 1
        return self.entries.intersection(names)

    def names(self) -> Iterable[str]:
        return sorted(self.entries)

    def about(self, concepts: Sequence[str], limit: int | None = 1000) -> dict[str, list[Fact]]:
        self.questions += 1
        facts = {
            name: [Fact(name, "IsA", f"{name} {kind}") for kind in ("thing", "sort", "kind")]
            for name in concepts
        }
        return {name: facts[name] if name in self.entries else [] for name in concepts}
