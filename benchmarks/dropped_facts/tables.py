"""The table of the time that dropped facts save, of what `--json` writes."""

from __future__ import annotations

from typing import Any

from ..measuring import Table, milliseconds, ratio


def tables(results: dict[str, Any]) -> dict[str, Table]:
    """One row for each number of facts."""
    rows: list[list[str]] = []
    for count, record in results["facts"].items():
        soft, hard = record["seconds"]["soft"], record["seconds"]["hard"]
        rows.append(
            [count, str(record["kept"]), milliseconds(soft), milliseconds(hard), f"{ratio(soft, hard):.3f}"]
        )
    title = "A forward pass of the two-stream model at full size"
    header = ["facts", "kept by hard gates", "soft gates, ms", "hard gates, ms", "times as fast"]
    return {"forward": Table(title, header, rows)}
