"""Means by group, kept as sums that add up over ranks: the basis of the accumulators."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable


class GroupedMean:
    """Means of numbers by group. Its reduction over ranks is the sum: `merge` them in any order.

    Example:
        >>> first, second = GroupedMean(), GroupedMean()
        >>> first.add(1.0, ["all", "colour"])
        >>> second.add(0.0, ["all"])
        >>> first.merge(second)
        >>> first.means()
        {'all': 0.5, 'colour': 1.0}
    """

    def __init__(self) -> None:
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._counts: defaultdict[str, int] = defaultdict(int)

    def add(self, value: float, groups: Iterable[str]) -> None:
        """Count a number in each of its groups.

        Raises:
            ValueError: If it is not finite.
        """
        if not math.isfinite(value):
            raise ValueError(f"`value` must be finite; got {value}.")
        for group in groups:
            self._sums[group] += value
            self._counts[group] += 1

    def merge(self, other: GroupedMean) -> None:
        """Add the counts of another accumulator, such as that of another rank."""
        for group, count in other._counts.items():
            self._sums[group] += other._sums[group]
            self._counts[group] += count

    def means(self) -> dict[str, float]:
        """The mean of each group, in the order of their first numbers."""
        return {group: self._sums[group] / count for group, count in self._counts.items()}

    def state(self) -> dict[str, tuple[float, int]]:
        """Sum and count of each group."""
        return {group: (self._sums[group], count) for group, count in self._counts.items()}
