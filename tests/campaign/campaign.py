"""Which cases a campaign has."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from .case import Case
from .kinds import KINDS


def cases_of(kinds: Sequence[str], number: int, seed: int, kit: Path) -> Iterator[tuple[str, int, Case]]:
    """Draw `number` cases, the kinds in turn by their weights; kind and number decide a case for each seed.

    Args:
        kinds: Names of kinds.
        number: How many cases.
        seed: Another seed gives other cases.
        kit: The sound inputs.
    """
    turn = [name for name in kinds for _ in range(KINDS[name].weight)]
    random.Random(0).shuffle(turn)
    numbers = {name: count() for name in kinds}
    for index in range(number):
        kind = turn[index % len(turn)]
        which = next(numbers[kind])
        yield kind, which, KINDS[kind].draw(random.Random(f"{seed}/{kind}/{which}"), kit)
