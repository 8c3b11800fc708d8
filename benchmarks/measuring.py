"""How the benchmarks measure and report: contestants take turns, so a busy machine disturbs all alike."""

from __future__ import annotations

import datetime
import gc
import json
import os
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

Contestant = Callable[[], object]


def clock() -> float:
    """Seconds: of this process's own computing on one thread, else of the clock on the wall.

    With one thread the two agree on an idle machine, and the first stays true on a busy one.
    """
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def interleaved(
    contestants: Mapping[str, Contestant], rounds: int, warm_up: int = 2
) -> dict[str, list[float]]:
    """Seconds of every contestant in every round; each round runs each of them once."""
    for contestant in contestants.values():
        for _ in range(warm_up):
            contestant()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    gc.collect()
    for _ in range(rounds):
        for name, contestant in contestants.items():
            begin = clock()
            contestant()
            seconds[name].append(clock() - begin)
    return seconds


def ratio(slower: Sequence[float], faster: Sequence[float]) -> float:
    """Median over the rounds of how many times longer the first contestant took in the same round."""
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))


def milliseconds(seconds: Sequence[float]) -> str:
    """The median and, in brackets, the minimum."""
    return f"{statistics.median(seconds) * 1e3:.2f} ({min(seconds) * 1e3:.2f})"


def peak_bytes(work: Contestant) -> int:
    """Most bytes that were held at one time within `work`, by tensors and by NumPy.

    The two are measured one after the other, by torch's allocator's own account and by Python's, and added: their
    peaks need not fall together, so this is an upper bound. Numba's arrays are not counted: force the back end "torch".
    """
    work()
    gc.collect()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        kept = work()
    del kept
    kineto = profiler.profiler
    assert kineto is not None
    assert kineto.kineto_results is not None
    events: list[Any] = [event for event in kineto.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    tracemalloc.start()
    kept = work()
    _, traced = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return peak + traced


def setting() -> dict[str, str | int]:
    """What the numbers depend on besides the code."""
    return {
        "date": datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "clock": "CPU time" if torch.get_num_threads() == 1 else "wall time",
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
    }


class Table(NamedTuple):
    """A table of results.

    Attributes:
        title: What it shows.
        header: A name for each column.
        rows: Cells as they are shown.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The table without its title, in Markdown, with columns of one width."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]

        def shown(cells: Sequence[str]) -> str:
            padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            return f"| {' | '.join(padded)} |"

        rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        return "\n".join([shown(self.header), rule, *map(shown, self.rows)])


def targets_table(lines: Sequence[tuple[str, str, bool]]) -> Table:
    """Targets beside what was measured.

    Args:
        lines: For each target what it asks for, what was measured, and whether it is met.
    """
    rows = [[target, measured, "met" if met else "missed"] for target, measured, met in lines]
    return Table("Targets", ["target", "measured", ""], rows)


def print_tables(tables: Mapping[str, Table]) -> None:
    """Print tables one after the other."""
    for table in tables.values():
        print_table(*table)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table under its title."""
    print(f"\n{title}\n\n{Table(title, header, rows).markdown()}", flush=True)


def run_parts(parts: Mapping[str, Callable[[], Mapping[str, float]]]) -> dict[str, Mapping[str, float]]:
    """Measure one part after the other, and print its numbers at once."""
    results: dict[str, Mapping[str, float]] = {}
    for name, part in parts.items():
        results[name] = part()
        print(name)
        for what, value in results[name].items():
            print(f"  {what}: {value:.4g}", flush=True)
    return results


def as_read(content: Mapping[str, object]) -> dict[str, Any]:
    """Results as they are read from a file: tables are made of nothing else."""
    return json.loads(json.dumps(content))


def write_json(path: Path | None, content: Mapping[str, object]) -> None:
    """Write the raw numbers, if a path was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n")
