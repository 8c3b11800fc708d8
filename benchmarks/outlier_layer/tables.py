"""The tables of the outlier layer's speed, of what `--json` writes; each part has its own."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from ..measuring import Table, milliseconds, ratio, targets_table

OURS, FITS = "vkood Squarem", ("vkood", "scikit-learn")


def tables(results: dict[str, Any]) -> dict[str, Table]:
    """Those of the parts that were measured, and the targets if all were."""
    by_name: dict[str, Table] = {}
    for number, record in enumerate(results.get("torchdeq", ())):
        by_name[f"torchdeq {number}"] = _beside_torchdeq(record)
    for number, record in enumerate(results.get("scikit_learn", ())):
        by_name[f"scikit_learn {number}"] = _beside_scikit_learn(record)
    if "floor" in results:
        by_name["floor"] = _floor(results["floor"])
    if "memory" in results:
        by_name["memory"] = _memory(results["memory"])
    for name, record in results.get("training_step", {}).items():
        by_name[f"training_step {name}"] = _shares(name, record)
    parts = {"torchdeq", "scikit_learn", "memory", "training_step"}
    return {"targets": _targets(results), **by_name} if parts <= results.keys() else by_name


def _fastest_torchdeq(record: dict[str, Any]) -> str:
    names = (name for name in record["seconds"] if name.startswith("torchdeq"))
    return min(names, key=lambda name: min(record["seconds"][name]))


def _times(slower: Sequence[float], faster: Sequence[float]) -> float:
    """Those who ran ten times as long sat out after two rounds."""
    rounds = min(len(slower), len(faster))
    return ratio(slower[:rounds], faster[:rounds])


def _beside_torchdeq(record: dict[str, Any]) -> Table:
    fastest = record["seconds"][_fastest_torchdeq(record)]
    return Table(
        f"Forward + backward, {tuple(record['shape'])}, {record['data']}",
        ["contestant", "steps: mean / max", "ms: median (min)", "x fastest torchdeq"],
        [
            [name, record["steps"][name], milliseconds(times), f"{_times(fastest, times):.2f}"]
            for name, times in record["seconds"].items()
        ],
    )


def _beside_scikit_learn(record: dict[str, Any]) -> Table:
    theirs = record["seconds"]["scikit-learn"]
    return Table(
        record["title"],
        ["contestant", "steps: mean / max", "ms: median (min)", "x scikit-learn"],
        [
            [
                name,
                record["steps"][name.partition(" in ")[0]],
                milliseconds(times),
                f"{_times(theirs, times):.2f}",
            ]
            for name, times in record["seconds"].items()
        ],
    )


def _floor(records: list[dict[str, Any]]) -> Table:
    return Table(
        "Distance from the floor: the fit without gradients, and the matrix products of its live rows",
        ["shape", "fit, ms", "products, ms", "ratio"],
        [
            [
                str(tuple(record["shape"])),
                milliseconds(record["seconds"]["fit"]),
                milliseconds(record["seconds"]["products"]),
                f"{ratio(record['seconds']['fit'], record['seconds']['products']):.2f}",
            ]
            for record in records
        ],
    )


def _memory(peaks: dict[str, dict[str, int]]) -> Table:
    return Table(
        "Peak memory of forward + backward in torch, MiB",
        ["gradient", *(f"{steps} steps" for steps in next(iter(peaks.values())))],
        [[name, *(f"{peak / 2**20:.1f}" for peak in by_steps.values())] for name, by_steps in peaks.items()],
    )


def _shares(name: str, record: dict[str, Any]) -> Table:
    return Table(
        f"Layer in a training step of the demo: {name}; {record['measured']}",
        ["forward + backward of", "ms: median (min)", "share"],
        [
            [part, milliseconds(times), f"{share(record, part):.1%}"]
            for part, times in record["seconds"].items()
        ],
    )


def share(record: dict[str, Any], part: str) -> float:
    """A part's share of the whole training step, by medians."""
    seconds = record["seconds"]
    return statistics.median(seconds[part]) / statistics.median(seconds["whole step"])


def _targets(results: dict[str, Any]) -> Table:
    lines: list[tuple[str, str, bool]] = []
    for record in results["torchdeq"]:
        if record["data"] == "overlapping":
            times = _times(record["seconds"][_fastest_torchdeq(record)], record["seconds"][OURS])
            shape = tuple(record["shape"])
            lines.append(
                (f"4 x torchdeq's fastest solver at {shape}, same EM map", f"{times:.1f} x", times >= 4)
            )
    for record, target, what in zip(
        results["scikit_learn"],
        (15, 1.3),
        ("scikit-learn in a loop over small sets", "scikit-learn on one large set"),
        strict=True,
    ):
        times = _times(*(record["seconds"][name] for name in reversed(FITS)))
        lines.append((f"{target:g} x {what}", f"{times:.1f} x", times >= target))
    peaks = list(results["memory"]["LastIterate"].values())
    steps = ", ".join(results["memory"]["LastIterate"])
    grown = f"{min(peaks) / 2**20:.1f} to {max(peaks) / 2**20:.1f} MiB at {steps} steps"
    lines.append(("memory does not grow with the steps", grown, max(peaks) < 1.05 * min(peaks)))
    name, record = next(iter(results["training_step"].items()))
    layer, fit = share(record, "layer alone"), share(record, "of which the fit")
    measured = f"{name}: the layer {layer:.1%}, the fit in it {fit:.1%}"
    lines.append(("at most 5 % of a training step of the demo", measured, layer <= 0.05))
    return targets_table(lines)
