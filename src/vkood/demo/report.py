"""The demo's report: one HTML page that needs nothing else, to be opened from disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vkood.demo.figures import ARM_NAMES, KIND_NAMES, flood_figure, gate_figure, learning_figure
from vkood.files import write_text
from vkood.reporting.pages import render
from vkood.reporting.pictures import highlighted

FactKind = Literal["matching", "contradicting", "irrelevant"]

_KIND_LABELS: dict[str, str] = {
    "matching": "✓ agrees",
    "contradicting": "✗ contradicts",
    "irrelevant": "· unrelated",
}
_TEMPLATE = Path(__file__).with_name("report.html.jinja")


@dataclass(frozen=True, kw_only=True)
class GalleryFact:
    """A fact of an example, with its gate.

    Attributes:
        sentence: The fact.
        matches: Whether it agrees with the picture.
        gate: How far the filter lets it through, from 0 to 1.
        score: How outlying it is to the filter; larger = more outlying.
        kind: What the fact is to the picture.
    """

    sentence: str
    matches: bool
    gate: float
    score: float
    kind: FactKind


@dataclass(frozen=True, kw_only=True)
class GalleryItem:
    """A test question with its facts and predictions.

    Attributes:
        image: (3, 64, 64) the picture, 0 to 255.
        question: The question.
        answer: The right answer.
        predictions: The answer of each arm.
        facts: The facts of the question.
        patches: (components, rows, columns) how much of each component of the fitted mixture lies in which part of the
            picture; None if nothing was fitted.
    """

    image: UInt8[Tensor, "3 64 64"]
    question: str
    answer: str
    predictions: dict[str, str]
    facts: list[GalleryFact]
    patches: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class DemoReport:
    """All that the report shows.

    Attributes:
        results: The content of results.json.
        curves: For each arm, (step, loss) in the order of training.
        gallery: Examples.
    """

    results: dict[str, Any]
    curves: dict[str, list[tuple[int, float]]]
    gallery: list[GalleryItem]


def write_report(report: DemoReport, path: Path) -> None:
    """Write the report as one HTML file.

    Args:
        report: What it shows.
        path: The file. It appears under this name, or replaces one, only when it is complete.
    """
    results = report.results
    gates: dict[str, list[float]] = {kind: [] for kind in KIND_NAMES}
    for item in report.gallery:
        for fact in item.facts:
            gates[fact.kind].append(fact.gate)
    values = {
        "results": results,
        "arm_names": ARM_NAMES,
        "best": {kind: _best(results["knowledge"], kind) for kind in ("irrelevant", "contradicting")},
        "flood": flood_figure(results),
        "gates": gate_figure(gates) if any(gates.values()) else None,
        "curves": learning_figure(report.curves) if any(report.curves.values()) else None,
        "gallery": [_example(item) for item in report.gallery],
    }
    write_text(path, render(_TEMPLATE, values) + "\n")


def _best(knowledge: dict[str, Any], kind: str) -> dict[str, float]:
    """The best accuracy of all arms, for each number of facts added."""
    numbers = next(iter(knowledge.values()))[kind]
    return {number: max(accuracies[kind][number] for accuracies in knowledge.values()) for number in numbers}


def _example(item: GalleryItem) -> dict[str, Any]:
    """What the template shows of a test question."""
    picture = Image.fromarray(item.image.permute(1, 2, 0).contiguous().cpu().numpy())
    return {
        "item": item,
        "picture": picture,
        "components": [
            highlighted(picture, weights) for weights in (() if item.patches is None else item.patches)
        ],
        "facts": [
            (fact, _KIND_LABELS[fact.kind] + (", answers" if _answers(fact, item.answer) else ""))
            for fact in sorted(item.facts, key=lambda fact: -fact.gate)
        ],
    }


def _answers(fact: GalleryFact, answer: str) -> bool:
    return fact.kind == "matching" and answer.lower() in fact.sentence.lower().rstrip(".").split()
