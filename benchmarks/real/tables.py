"""The tables of the gates on photographs, of what `gate.py --json` and `learnt_gates.py --json` write."""

from __future__ import annotations

import statistics
from typing import Any

from ..measuring import Table, targets_table

KINDS = ("own", "less context's", "less usual")


def tables(results: dict[str, Any]) -> dict[str, Table]:
    """The targets, and the arms if they were compared; or the gates on learnt projections."""
    if "splits" in results:
        return {"learnt": learnt_table(results)}
    kept, within, pooled = results["kept"], results["auroc_within"], results["auroc_pooled"]
    targets = targets_table(
        [
            ("AUROC within a photograph 0.92", f"{within:.3f}", within >= 0.92),
            ("AUROC over all photographs 0.94", f"{pooled:.3f}", pooled >= 0.94),
            (
                "share kept 0.93 to 0.97",
                f"{kept:.3f} ({results['kept_least']:.3f} to {results['kept_most']:.3f})",
                0.93 <= kept <= 0.97,
            ),
        ]
    )
    as_it_comes = Table(
        "As it comes, nothing trained",
        ["AUROC within", "AUROC pooled", "kept", "let through", "seconds per picture"],
        [
            [
                *(f"{value:.3f}" for value in (within, pooled, kept, results["let_through"])),
                f"{results['seconds_per_picture']:.2f}",
            ]
        ],
    )
    by_name = {"targets": targets, "as it comes": as_it_comes}
    return by_name | ({"arms": _arms(results["arms"])} if "arms" in results else {})


def _arms(records: list[dict[str, Any]]) -> Table:
    by_arm: dict[str, dict[str, dict[str, Any]]] = {}
    for record in records:
        by_arm.setdefault(record["arm"], {})[record["kind"]] = record
    rows: list[list[str]] = []
    for name, by_kind in by_arm.items():
        scores = [
            f"{by_kind[kind]['auroc_within']:.3f} / {by_kind[kind]['auroc_pooled']:.3f}" for kind in KINDS
        ]
        last = by_kind[KINDS[-1]]
        rows.append([name, *scores, f"{last['kept']:.3f}, {last['let_through']:.3f}"])
    return Table(
        "Gates side by side, AUROC within / pooled",
        ["gate", "own score", "less the context's own", "less the usual", "kept, let through"],
        rows,
    )


def learnt_table(results: dict[str, Any]) -> Table:
    """Gates on learnt projections, over the halvings of the nouns."""
    splits: list[dict[str, Any]] = results["splits"]
    columns = [(test, figure) for test in ("seen", "unseen") for figure in ("within", "pooled")]

    def cell(name: str, test: str, figure: str) -> str:
        values = [split[name][test][figure] for split in splits]
        return f"{statistics.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})"

    return Table(
        f"Projections learnt on half of the nouns, AUROC over {len(splits)} halvings: mean (lowest-highest)",
        ["gate: projections", *(f"{test} nouns, {figure}" for test, figure in columns)],
        [[name, *(cell(name, *column) for column in columns)] for name in splits[0]],
    )
