"""The table of what `--json` writes."""

from __future__ import annotations

import statistics
from typing import Any

from ...measuring import Table

FIGURES = tuple(f"{way}_recall@{k}" for way in ("text", "image") for k in (1, 5, 10))


def tables(results: dict[str, Any]) -> dict[str, Table]:
    """The mean recalls of each arm over the seeds, and the lowest and the highest."""
    by_arm: dict[str, list[dict[str, Any]]] = {}
    for record in results["arms"]:
        by_arm.setdefault(record["arm"], []).append(record)
    rows = []
    for arm, records in by_arm.items():
        cells = []
        for figure in FIGURES:
            values = [100 * record[figure] for record in records]
            cells.append(f"{statistics.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})")
        rows.append([arm, *cells, f"{statistics.mean(record['cpu_seconds'] for record in records):.0f}"])
    photographs, captions = results["target_photographs"], results["target_captions"]
    title = f"Recall in percent, {photographs} photographs and {captions} captions: mean over seeds (lowest to highest)"
    header = [f"{way} @{k}" for way in ("captions", "photographs") for k in (1, 5, 10)]
    return {"recall": Table(title, ["arm", *header, "CPU seconds a model"], rows)}
