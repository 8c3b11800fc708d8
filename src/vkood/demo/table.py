"""The demo's numbers as a table for the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

ARM_NAMES = {
    "no_facts": "no facts",
    "unfiltered": "all facts, unfiltered",
    "filtered": "filtered by the layer",
}


_QUICK = " after a quick run: the models have learned less than those of a full one"


def print_table(results: dict[str, Any], console: Console) -> None:
    """Print the accuracies of all arms, flood by flood.

    Args:
        results: The content of results.json.
        console: Where to print.
    """
    floods = [
        (kind, number)
        for kind in ("irrelevant", "contradicting")
        for number in next(iter(results["knowledge"].values()))[kind]
    ]
    table = Table(
        title=f"Share of test questions answered rightly{_QUICK if results['quick'] else ''}",
        caption=_caption(results),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("Test")
    for arm in results["knowledge"]:
        table.add_column(ARM_NAMES[arm], justify="right", max_width=14)
    table.add_row("easy-VQA's own questions", *_shares(results["easy_vqa"]["by_arm"]), end_section=True)
    before = "irrelevant"
    for kind, number in floods:
        if kind != before:
            table.add_section()
            before = kind
        title = f"knowledge, {number} {kind} facts added" if number != "0" else "knowledge, nothing added"
        table.add_row(
            title, *_shares({arm: scores[kind][number] for arm, scores in results["knowledge"].items()})
        )
    if results["filter"] is not None:
        table.add_section()
        for kind, number in floods:
            scores = results["filter"][kind][number]
            title = f"filter's AUROC (FPR95), {number} {kind}" if number != "0" else "filter's AUROC (FPR95)"
            blank = [""] * (len(results["knowledge"]) - 1)
            table.add_row(title, *blank, f"{scores['auroc']:.3f} ({scores['fpr95']:.3f})")
    console.print(table)


def _shares(by_arm: dict[str, float]) -> list[str]:
    """The shares as text, the best of them bold."""
    best = max(by_arm.values())
    return [f"[bold]{share:.3f}[/bold]" if share == best else f"{share:.3f}" for share in by_arm.values()]


def _caption(results: dict[str, Any]) -> str:
    counts = results["num_questions"]
    text = f"{counts['easy_vqa']:,} easy-VQA and {counts['knowledge']:,} knowledge questions"
    return f"{text}; {results['seconds']:.0f} seconds"
