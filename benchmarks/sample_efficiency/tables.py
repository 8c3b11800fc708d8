"""The tables of sample efficiency, of what `--json` writes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from vkood.demo.plan import Arm

from ..measuring import Table

ARMS: dict[Arm, str] = {
    "no_facts": "no knowledge",
    "unfiltered": "knowledge, no layer",
    "filtered": "knowledge and layer",
}
TESTS = {
    "easy_vqa": "easy-VQA's own questions",
    "knowledge": "knowledge questions",
    "flooded": "knowledge questions, 48 irrelevant facts more",
}


def tables(results: dict[str, Any]) -> dict[str, Table]:
    """One for each test; medians over the seeds, accuracy as mean (lowest-highest)."""
    target = results["target"]
    header = [
        "arm",
        "seeds",
        "accuracy at the end",
        f"questions to {target:.0%}",
        "CPU s to it",
        "CPU s in all",
    ]
    return {
        test: Table(f"{title[0].upper()}{title[1:]}", header, _rows(results["runs"], test, target))
        for test, title in TESTS.items()
    }


def _rows(records: Sequence[dict[str, Any]], test: str, target: float) -> list[list[str]]:
    rows: list[list[str]] = []
    for arm, name in ARMS.items():
        of_arm = [record["looks"] for record in records if record["arm"] == arm]
        if not of_arm:
            continue
        last = [looks[-1][test] for looks in of_arm]
        samples, seconds = (
            [next((look[what] for look in looks if look[test] >= target), None) for looks in of_arm]
            for what in ("samples", "seconds")
        )
        rows.append(
            [
                name,
                str(len(of_arm)),
                f"{statistics.mean(last):.3f} ({min(last):.3f}-{max(last):.3f})",
                _spread(samples, lambda number: f"{number:,.0f}"),
                _spread(seconds, lambda number: f"{number:.0f}"),
                f"{statistics.median(looks[-1]['seconds'] for looks in of_arm):.0f}",
            ]
        )
    return rows


def _spread(values: Sequence[float | None], form: Callable[[float], str]) -> str:
    """The median, with the number of seeds that got there if some did not."""
    reached = [value for value in values if value is not None]
    if not reached:
        return "never"
    median = form(statistics.median(reached))
    return median if len(reached) == len(values) else f"{median} ({len(reached)} of {len(values)})"
