"""The table of retrieval's speed, of what `--json` writes."""

from __future__ import annotations

from typing import Any

from ..measuring import Table, targets_table


def tables(results: dict[str, Any]) -> dict[str, Table]:
    """Targets and what was measured."""
    full, few, recall = results["full scoring"], results["shortlist"], results["recall"]
    theirs, their_few = full["seconds, all pairs, METER's way"], few["seconds, METER's way"]
    lost = recall["mean recall, all pairs"] - recall["mean recall, shortlist"]
    lines = [
        (
            f"full retrieval, {results['images']} images x {results['texts']:,} texts, 2.5 x METER's way",
            f"{full['times faster']:.1f} x ({theirs:,.0f} s to {full['seconds, all pairs, ours']:,.0f} s)",
            full["times faster"] >= 2.5,
        ),
        (
            "BLIP with the shortlist, 15 x",
            f"{few['times faster']:.0f} x ({their_few:,.0f} s to {few['seconds, shortlist']:,.0f} s; "
            f"{few['share of pairs re-ranked']:.1%} of the pairs)",
            few["times faster"] >= 15,
        ),
        (
            "recall with the shortlist within 0.1 points of the full one",
            f"{recall['mean recall, shortlist']:.2%}, full {recall['mean recall, all pairs']:.2%}",
            lost <= 0.001,
        ),
    ]
    return {"targets": targets_table(lines)}
