"""The tables of what `--json` writes."""

from __future__ import annotations

import statistics
from typing import Any

from ...measuring import Table, targets_table


def tables(results: dict[str, Any]) -> dict[str, Table]:
    """The targets, and the accuracy of each arm."""
    language = results["language alone"]
    by_arm: dict[str, list[dict[str, Any]]] = {}
    for record in results["arms"]:
        by_arm.setdefault(record["arm"], []).append(record)
    means = {
        arm: statistics.mean(record["accuracy"] for record in records) for arm, records in by_arm.items()
    }
    best = max(means.values())
    knowledge = means["filtered facts"] - means["no knowledge"]
    targets = targets_table(
        [
            ("3 points above language alone", f"{100 * (best - language):+.1f}", best >= language + 0.03),
            ("filtered facts not below no knowledge", f"{100 * knowledge:+.1f}", knowledge >= 0),
        ]
    )
    rows = [["language alone (linear SVM)", f"{100 * language:.1f}", "", "", ""]]
    for arm, records in by_arm.items():
        rows.append(
            [
                arm,
                f"{100 * means[arm]:.1f}",
                ", ".join(f"{100 * record['accuracy']:.1f}" for record in records),
                f"{statistics.mean(record['mean_gate'] for record in records):.2f}",
                f"{statistics.mean(record['cpu_seconds'] for record in records):.0f}",
            ]
        )
    accuracy = Table(
        "Share of questions answered exactly, in percent",
        ["arm", "mean", "seeds", "mean gate of facts", "CPU seconds a model"],
        rows,
    )
    return {"targets": targets, "accuracy": accuracy}
