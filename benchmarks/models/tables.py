"""The tables of both families' time and memory, of what `--json` writes."""

from __future__ import annotations

from typing import Any

from ..measuring import Table, milliseconds, ratio, targets_table

FAMILIES = {"two-stream": "CLIP-B/16 + RoBERTa-base", "blip": "BLIP-base"}
COST = 0.06
"""Largest share that 20 facts may add to a training step."""


def tables(results: dict[str, Any]) -> dict[str, Table]:
    """One for each family that was measured, and the targets."""
    families = {name: results[name] for name in FAMILIES if name in results}
    return {
        "targets": targets_table(
            [line for name, record in families.items() for line in _targets(name, record)]
        ),
        **{name: _table(FAMILIES[name], record) for name, record in families.items()},
    }


def _table(title: str, record: dict[str, Any]) -> Table:
    rows: list[list[str]] = []
    base = next(iter(record["step"]["seconds"]))
    for name in record["step"]["seconds"]:
        cells = [name]
        for part in (record["forward"], record["step"]):
            seconds = part["seconds"]
            cells += [
                milliseconds(seconds[name]),
                f"{ratio(seconds[base], seconds[name]):.3f}",
                f"{part['peak_bytes'][name] / 2**20:.0f}",
            ]
        rows.append(cells)
    return Table(
        title,
        ["", "forward, ms", "times as fast", "peak, MiB", "training step, ms", "times as fast", "peak, MiB"],
        rows,
    )


def _targets(name: str, record: dict[str, Any]) -> list[tuple[str, str, bool]]:
    base, own = list(record["step"]["seconds"])[:2]
    times = {
        part: ratio(record[part]["seconds"][base], record[part]["seconds"][own])
        for part in ("forward", "step")
    }
    cost = record["facts_cost"]
    return [
        (
            f"{name}: as fast as {base.removesuffix(', no facts')}",
            f"{times['forward']:.3f} x forward, {times['step']:.3f} x in a training step",
            min(times.values()) >= 1,
        ),
        (f"{name}: 20 facts cost at most {COST:.0%} of a training step", f"{cost:.1%}", cost <= COST),
    ]
