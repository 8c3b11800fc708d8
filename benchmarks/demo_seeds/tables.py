"""The table of the demo's seeds, of what `--json` writes."""

from __future__ import annotations

import statistics
from typing import Any

from ..measuring import Table

FLOODS = (("irrelevant", "0"), ("irrelevant", "150"), ("contradicting", "48"))
COLUMNS = ("easy-VQA", "no flood", "150 irrelevant", "48 contradicting", "filter AUROC")
MEANS, WORST = (0.995, 0.99, 0.985, 0.985, 0.995), 0.97
"""Targets: for the mean of each column, and for the worst seed."""


def tables(results: dict[str, Any]) -> dict[str, Table]:
    """A line for each seed, then mean, worst and target."""
    records = sorted(results["seeds"], key=lambda record: record["seed"])
    columns = list(zip(*map(_row, records), strict=True))
    rows = [[str(record["seed"]), *_shown(_row(record))] for record in records]
    rows.append(["mean", *_shown([statistics.mean(values) for values in columns])])
    rows.append(["worst", *_shown([min(values) for values in columns])])
    rows.append(["target: mean (worst)", *(f"{target:g} ({WORST:g})" for target in MEANS)])
    title = f"Filtered arm of the demo, {records[0]['steps']} steps, gate_loss {records[0]['gate_loss']:g}"
    return {"seeds": Table(title, ["seed", *COLUMNS], rows)}


def _row(record: dict[str, Any]) -> list[float]:
    floods = [record["knowledge"][kind][number] for kind, number in FLOODS]
    return [record["easy_vqa"], *floods, record["filter"]["irrelevant"]["0"]["auroc"]]


def _shown(values: list[float]) -> list[str]:
    return [f"{value:.4f}" for value in values]
