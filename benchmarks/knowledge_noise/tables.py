"""The tables, made of whatever records there are."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable

from ..measuring import Table, print_table
from .arms import ARMS
from .mosaic import MOSAIC, SCREEN
from .parts import FRACTIONS, SINGLE, held_out
from .records import Record, Records

_FLOODS = (("irrelevant", "0"), ("irrelevant", "48"), ("irrelevant", "150"), ("contradicting", "48"))
_CORRUPTED = ("noise, 0", "noise, 48", "foreign, 0", "foreign, 48")


def show(part: str, records: Records) -> None:
    """Print a part's tables.

    Args:
        part: The part.
        records: The records.
    """
    for table in tables(part, records):
        print_table(*table)
    for run in records.find(part=part):
        if "failed" in run:
            print(f"Diverged: {run['arm']}, rate {run['learning_rate']:g}, seed {run['seed']}.")


def tables(part: str, records: Records) -> list[Table]:
    """A part's tables, of whatever records there are.

    Args:
        part: The part.
        records: The records.
    """
    of_part = {
        "main": _main,
        "quick": _main,
        "fractions": _fractions,
        "corrupted": _corrupted,
        "mosaic": _mosaic,
        "tokens": _tokens,
    }
    return of_part[part](records)


def chosen(records: Records, name: str, fraction: float = 1.0) -> list[Record]:
    """The runs of an arm at its tuned rate: the one with the best held-out accuracy with seed 0."""
    tried = records.find(part="main", arm=name, seed=0, fraction=1.0, steps=SINGLE.steps)
    if not tried:
        return []
    rate = max(tried, key=held_out)["learning_rate"]
    runs = records.find(part="main", arm=name, learning_rate=rate, fraction=fraction, steps=SINGLE.steps)
    return sorted(_finished(runs), key=lambda record: record["seed"])


def _finished(runs: list[Record]) -> list[Record]:
    """The trainings that did not diverge."""
    return [record for record in runs if "failed" not in record]


def spread(values: Iterable[float]) -> str:
    """The mean and, in brackets, the lowest and the highest."""
    numbers = list(values)
    if not numbers:
        return ""
    if len(numbers) == 1:
        return f"{numbers[0]:.2f}"
    return f"{statistics.mean(numbers):.2f} ({min(numbers):.2f}-{max(numbers):.2f})"


def _main(records: Records) -> list[Table]:
    rows: list[list[str]] = []
    for name in ARMS:
        runs = chosen(records, name)
        if not runs:
            continue
        reached = [run for run in runs if run["steps_to_95"] is not None]
        rows.append(
            [
                name,
                str(len(runs)),
                f"{runs[0]['learning_rate']:g}",
                *(spread(run["test"][kind][number] for run in runs) for kind, number in _FLOODS),
                _optional(runs, lambda run: run["test"].get("filter_auroc")),
                f"{len(reached)} of {len(runs)}",
                _median(reached, "steps_to_95"),
                _median(reached, "cpu_seconds_to_95"),
            ]
        )
    floods = [f"{number} {kind}" for kind, number in _FLOODS]
    header = ["arm", "seeds", "rate", *floods, "filter AUROC", "reached 95 %", "steps to it", "CPU s to it"]
    return [Table(f"Accuracy under floods; {SINGLE.steps} steps, mean (lowest-highest)", header, rows)]


def _fractions(records: Records) -> list[Table]:
    rows: list[list[str]] = []
    for name in ARMS:
        cells = [chosen(records, name, fraction) for fraction in (*FRACTIONS, 1.0)]
        if not any(cells[:-1]):
            continue
        few = [[run for run in runs if run["seed"] < 3] for runs in cells]
        rows.append(
            [
                name,
                "/".join(str(len(runs)) for runs in few),
                *(spread(run["test"]["irrelevant"]["0"] for run in runs) for runs in few),
                *(spread(run["test"]["irrelevant"]["48"] for run in runs) for runs in few),
            ]
        )
    shares = [f"{100 * fraction:g} %" for fraction in (*FRACTIONS, 1.0)]
    header = ["arm", "seeds", *(f"{share}, 0" for share in shares), *(f"{share}, 48" for share in shares)]
    return [Table("Accuracy by share of the training pictures, with 0 and 48 irrelevant facts", header, rows)]


def _corrupted(records: Records) -> list[Table]:
    rows: list[list[str]] = []
    for name in ARMS:
        runs = [run for run in chosen(records, name) if run["seed"] < 3]
        if runs:
            tests = [run["test"]["a third of the tokens"] for run in runs]
            clean = (spread(run["test"]["irrelevant"][number] for run in runs) for number in ("0", "48"))
            rows.append(
                [name, str(len(runs)), *clean, *(spread(test[case] for test in tests) for case in _CORRUPTED)]
            )
    header = ["arm", "seeds", "clean, 0", "clean, 48", *_CORRUPTED]
    return [
        Table("Accuracy with a third of the image tokens replaced, by irrelevant facts added", header, rows)
    ]


def _mosaic(records: Records) -> list[Table]:
    of_part: list[Table] = []
    for plan, title in (
        (SCREEN, "Mosaics, screening of every arm with seed 0"),
        (MOSAIC, "Mosaics, full budget"),
    ):
        groups: dict[tuple[str, float], list[Record]] = {}
        runs = records.find(part="mosaic", steps=plan.steps)
        for run in _finished(runs):
            groups.setdefault((run["arm"], run["learning_rate"]), []).append(run)
        rows = [
            [
                name,
                f"{rate:g}",
                "/".join(str(run["seed"]) for run in runs),
                spread(run["curve"][-1][1] for run in runs),
                *(
                    spread(run["test"]["irrelevant"][str(number)] for run in runs)
                    for number in plan.irrelevant
                ),
                spread(run["test"]["contradicting"]["24"] for run in runs),
                _optional(runs, lambda run: (run["gate_at_end"] or {}).get("matching")),
                _optional(runs, lambda run: (run["gate_at_end"] or {}).get("other")),
                _median([run for run in runs if run["steps_to_95"]], "steps_to_95"),
                f"{statistics.median(run['cpu_seconds'] for run in runs):.0f}",
            ]
            for (name, rate), runs in groups.items()
        ]
        floods = [f"{number} irrelevant" for number in plan.irrelevant]
        gates = ["gate on match", "on others"]
        header = [
            "arm",
            "rate",
            "seeds",
            "loss",
            *floods,
            "24 contradicting",
            *gates,
            "steps to 95 %",
            "CPU s",
        ]
        if rows:
            of_part.append(Table(f"{title}; {plan.steps} steps", header, rows))
    return of_part


def _tokens(records: Records) -> list[Table]:
    rows = [
        [
            run["arm"],
            str(run["tokens"]),
            str(run["candidates"]),
            f"{run['forward_seconds'] * 1e3:.1f}",
            f"{run['both_seconds'] * 1e3:.1f}",
            f"{run['peak_bytes'] / 2**20:.1f}",
        ]
        for run in sorted(records.find(part="tokens"), key=lambda run: (run["candidates"], run["tokens"]))
    ]
    header = ["layer", "tokens", "facts", "forward, ms", "with backward, ms", "peak, MiB"]
    return [Table("Long contexts, 16 images", header, rows)]


def _optional(runs: list[Record], value: Callable[[Record], float | None]) -> str:
    return spread(number for run in runs if (number := value(run)) is not None)


def _median(runs: list[Record], name: str) -> str:
    return f"{statistics.median(run[name] for run in runs):.0f}" if runs else ""
