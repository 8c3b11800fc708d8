"""The tables of gates on ambiguous words, of what `--json` writes."""

from __future__ import annotations

import statistics
from typing import Any

from ..measuring import Table

COSINE = "cosine to the sentence"
HEADER = ("gate", "AUROC", "FPR95", "AUROC within a sentence", "AUROC less cosine's (splits)")


def tables(results: dict[str, Any]) -> dict[str, Table]:
    """One for each test and state."""
    records = results["splits"]
    return {
        f"{test}, {state}": Table(
            f"{test[0].upper()}{test[1:]}, {state}", HEADER, _summary(records, state, test)
        )
        for test in records[0][COSINE]["trained"]
        for state in ("trained", "untrained")
    }


def _summary(records: list[dict[str, Any]], state: str, test: str) -> list[list[str]]:
    """A line for each arm: means over the splits, and how far it is from the cosine in the same state."""
    rows: list[list[str]] = []
    for name in records[0]:
        own = [record[name][state][test] for record in records]
        baseline = [record[COSINE][state][test] for record in records]
        away = [a["auroc"] - b["auroc"] for a, b in zip(own, baseline, strict=True)]
        means = [f"{statistics.mean(row[kind] for row in own):.3f}" for kind in ("auroc", "fpr95", "within")]
        spread = f"{statistics.mean(away):+.3f} ({min(away):+.3f} to {max(away):+.3f})"
        rows.append([name, *means, "" if name == COSINE else spread])
    return rows
