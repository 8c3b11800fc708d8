"""The tables of gates in front of a vision-language model, of what `--json` writes."""

from __future__ import annotations

from typing import Any

from ..measuring import Table


def tables(results: dict[str, Any]) -> dict[str, Table]:
    """Answers and tokens of each arm, and how the layer tells facts apart."""
    floods: dict[str, dict[str, Any]] = results["irrelevant facts"]
    rows = [
        [name, *(cell for result in floods.values() for cell in _cells(result, name))]
        for name in next(iter(floods.values()))["accuracy"]
    ]
    header = [""]
    for flood in floods:
        header += [f"{flood} irrelevant: accuracy", "tokens a prompt"]
    number = next(iter(floods.values()))["questions"]
    return {
        "answers": Table(f"Answers to {number} knowledge questions", header, rows),
        "gates": Table(
            "The layer's gates over all test questions",
            ["irrelevant", "AUROC", "open for facts that match", "open for the others"],
            [
                [
                    flood,
                    f"{result['auroc']:.3f}",
                    f"{result['open gates']['matching']:.1%}",
                    f"{result['open gates']['others']:.1%}",
                ]
                for flood, result in floods.items()
            ],
        ),
    }


def _cells(result: dict[str, Any], name: str) -> list[str]:
    tokens = result["tokens a prompt"]
    saved = 1 - tokens[name] / tokens["all facts"]
    return [f"{result['accuracy'][name]:.3f}", f"{tokens[name]:.0f} ({saved:.0%} saved)"]
