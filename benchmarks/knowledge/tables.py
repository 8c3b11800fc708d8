"""The tables of the knowledge's figures, of what `--json` writes; each part has its own."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from ..measuring import Table, milliseconds, ratio, targets_table


def tables(results: dict[str, Any]) -> dict[str, Table]:
    """Those of the parts that were measured, with their targets."""
    by_name: dict[str, Table] = {}
    for name, part in (
        ("looking_up", _looking_up),
        ("importing", _importing),
        ("linking", _linking),
        ("encoding", _encoding),
    ):
        if name in results:
            by_name |= part(results[name])
    return by_name


def _looking_up(result: dict[str, Any]) -> dict[str, Table]:
    theirs, facts = result["lookup"]["conceptnet-lite"], f"{result['facts']:,} facts"
    times = ratio(theirs, result["lookup"]["vkood"])
    opened = max(statistics.median(result[name]) for name in ("open", "open_default"))
    return {
        "looking_up targets": targets_table(
            [
                ("a batch of 100 concepts 50 x conceptnet-lite's way", f"{times:.0f} x", times >= 50),
                ("a store opened in 30 ms", f"{1e3 * opened:.2f} ms", opened <= 0.03),
            ]
        ),
        "looking_up": Table(
            f"Up to 5 facts of each of 100 concepts, of {facts}",
            ["contestant", "ms: median (min)", "x conceptnet-lite"],
            [
                [name, milliseconds(seconds), f"{ratio(theirs, seconds):.1f}"]
                for name, seconds in result["lookup"].items()
            ],
        ),
        "opening": Table(
            "Opening a store",
            ["store", "ms: median (min)"],
            [
                [facts, milliseconds(result["open"])],
                ["the one that comes with vkood", milliseconds(result["open_default"])],
            ],
        ),
    }


def _importing(result: dict[str, Any]) -> dict[str, Table]:
    cases = {name: runs for name, runs in result.items() if name != "setting"}
    speeds = {name: [run["lines"] / run["cpu_seconds"] for run in runs] for name, runs in cases.items()}
    slowest = min(statistics.median(values) for values in speeds.values())
    peak = max(run["peak_mib"] for runs in cases.values() for run in runs)
    size = max(runs[0]["bytes_per_fact"] for runs in cases.values())
    return {
        "importing targets": targets_table(
            [
                ("150,000 assertions a second on one core", f"{slowest:,.0f}", slowest >= 150_000),
                ("at most 1.2 GB of memory", f"{peak:.0f} MiB", peak <= 1200),
                ("at most 350 bytes a fact on disk", f"{size:.0f}", size <= 350),
            ]
        ),
        "importing": Table(
            "Import of synthetic assertions, in the form of ConceptNet's dump, on one core",
            ["assertions", "a second of CPU: median (max)", "peak MiB", "facts", "concepts", "bytes a fact"],
            [
                [
                    f"{name} ({runs[0]['lines']:,} lines)",
                    f"{statistics.median(speeds[name]):,.0f} ({max(speeds[name]):,.0f})",
                    f"{max(run['peak_mib'] for run in runs):.0f}",
                    f"{runs[0]['facts']:,.0f}",
                    f"{runs[0]['concepts']:,.0f}",
                    f"{runs[0]['bytes_per_fact']:.0f}",
                ]
                for name, runs in cases.items()
            ],
        ),
    }


def _linking(result: dict[str, Any]) -> dict[str, Table]:
    quality, rates = result["quality"], result["sentences_a_second"]
    concepts, graphs = quality["all, concepts"], quality["all, parsed: triplets"]
    lines = [
        (
            "precision and recall of concepts at least 0.95",
            f"{concepts['precision']:.3f} / {concepts['recall']:.3f}",
            min(concepts["precision"], concepts["recall"]) >= 0.95,
        ),
        ("F1 of the scene graph's triplets at least 0.80", f"{graphs['f1']:.3f}", graphs["f1"] >= 0.8),
    ]
    for what, name, target in (
        ("`link`", "link, nothing remembered", 3000),
        ("`facts_for`, texts new", "facts_for, facts remembered, texts new", 2000),
        ("`parse`, with spaCy", "parse, parsed", 250),
    ):
        rate = statistics.median(rates[name])
        lines.append((f"{what}: {target:,} sentences a second", f"{rate:,.0f}", rate >= target))
    return {
        "linking targets": targets_table(lines),
        "agreement": Table(
            f"Agreement with the labels of {result['sentences']} sentences",
            ["part", "what", "precision", "recall", "F1", "labels"],
            [[*name.split(", ", 1), *_agreement(figure)] for name, figure in quality.items()],
        ),
        "speed": Table(
            "Sentences a second, all different",
            ["what", "median", "min"],
            [
                [name, f"{statistics.median(values):,.0f}", f"{min(values):,.0f}"]
                for name, values in rates.items()
            ],
        ),
    }


def _agreement(figure: dict[str, float]) -> list[str]:
    return [*(f"{figure[name]:.3f}" for name in ("precision", "recall", "f1")), str(figure["labelled"])]


def _encoding(result: dict[str, Any]) -> dict[str, Table]:
    again, together = result["again"], result["together"]
    facts, first, later = again["facts"], again["first"], again["later"]
    lines = {
        "the encoder alone, nothing kept": again["plain"],
        "first encoding": first,
        "later ones, median": statistics.median(later),
        "later ones, slowest": max(later),
    }
    return {
        "encoding targets": targets_table(
            [
                (
                    "the second encoding 200 x faster than the first",
                    f"{again['ratio']:,.0f} x",
                    again["ratio"] >= 200,
                )
            ]
        ),
        "encoding": Table(
            f"Encoding {facts:,} facts (CPU seconds, one thread); {again['bytes_per_fact']:,.0f} bytes a fact on disk, "
            f"of which {again['bytes_per_vector']:,} are its vector",
            ["", "seconds", "facts a second", "x first"],
            [
                [name, f"{seconds:.3f}", f"{facts / seconds:,.0f}", f"{first / seconds:,.1f}"]
                for name, seconds in lines.items()
            ],
        ),
        "together": Table(
            f"{together['facts']:,} facts that every process needs, from one empty folder",
            ["processes", "encoded by each", "CPU s in all", "wall s"],
            [
                [number, _sum(run["encoded"]), f"{run['cpu_seconds']:.1f}", f"{run['wall_seconds']:.1f}"]
                for number, run in together["processes"].items()
            ],
        ),
    }


def _sum(numbers: Sequence[int]) -> str:
    return " + ".join(f"{number:,}" for number in numbers)
