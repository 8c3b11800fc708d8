"""The tables of the gradients, of what `--json` writes."""

from __future__ import annotations

import statistics
from typing import Any

from ..measuring import Table, milliseconds, targets_table

TARGET = 0.9999
"""Least cosine of `Implicit`."""


def tables(results: dict[str, Any]) -> dict[str, Table]:
    """One for each kind of data, and the target."""
    kinds = {name: record for name, record in results.items() if name != "setting"}
    lowest = min(min(record["gradients"]["Implicit"]["cosine"]) for record in kinds.values())
    target = targets_table(
        [
            (
                f"a cosine of at least {TARGET:g} for `Implicit`, on every set",
                f"at least {lowest:.6f}",
                lowest >= TARGET,
            )
        ]
    )
    return {"targets": target, **{name: _table(name, record) for name, record in kinds.items()}}


def _table(kind: str, record: dict[str, Any]) -> Table:
    seconds = record["seconds"]
    rows = [["the solve alone", "", "", "", milliseconds(seconds["the solve alone"])]]
    for name, numbers in record["gradients"].items():
        cosine, norms = numbers["cosine"], numbers["norm_ratio"]
        rows.append(
            [
                name,
                f"{statistics.median(cosine):.4f}",
                f"{min(cosine):.4f}",
                f"{statistics.median(norms):.3f}",
                milliseconds(seconds[name]),
            ]
        )
    radius = record["radius"]
    title = (
        f"{kind}: {tuple(record['shape'])}; spectral radius of J: median {statistics.median(radius):.3f}, "
        f"max {max(radius):.3f}"
    )
    return Table(title, ["gradient", "cosine: median", "min", "norm ratio: median", "ms: median (min)"], rows)
