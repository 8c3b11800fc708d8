"""The figures of the demo's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vkood.reporting.figures import Drawing, Ink, drawing, style_axes

ARM_NAMES = {
    "no_facts": "sees no facts",
    "unfiltered": "sees all facts, unfiltered",
    "filtered": "filters facts with the layer",
}
KIND_NAMES = {
    "matching": "agrees with the picture",
    "contradicting": "contradicts the picture",
    "irrelevant": "about something else",
}
NUM_BASE_FACTS = 6  # with every knowledge question, before any flood

_MARKERS = {"no_facts": "o", "unfiltered": "s", "filtered": "D"}
_LINES = {"no_facts": "-.", "unfiltered": "--", "filtered": "-"}
_KIND_MARKERS = {"matching": "D", "contradicting": "X", "irrelevant": "o"}
_ARM_INKS = {"no_facts": "grey", "unfiltered": "orange", "filtered": "blue"}
_KIND_INKS = {"matching": "blue", "contradicting": "orange", "irrelevant": "grey"}


def flood_figure(results: dict[str, Any]) -> Drawing:
    """Accuracy on knowledge questions against the number of facts added, for each arm.

    Args:
        results: The content of results.json.

    Returns:
        The figure, for both modes.
    """
    panels = {kind: _flood_panel(results["knowledge"], kind) for kind in ("irrelevant", "contradicting")}

    def draw(ink: Ink) -> Figure:
        figure = Figure(figsize=(9.6, 4.1), layout="constrained")
        for axes, (kind, accuracies) in zip(figure.subplots(1, 2, sharey=True), panels.items(), strict=True):
            numbers = [int(number) for number in next(iter(accuracies.values()))]
            places = range(len(numbers))
            for arm, shares in accuracies.items():
                axes.plot(places, list(shares.values()), **_line(arm, ink), clip_on=False, zorder=3)
            added = numbers if kind == "contradicting" else [0] * len(numbers)
            chance = [1 / (NUM_BASE_FACTS + more) for more in added]
            axes.plot(
                places, chance, color=ink.text, linewidth=1, dashes=(1, 2), label="chance: any entity named"
            )
            axes.set(ylim=(0, 1), xlabel=f"{kind} facts added to every question", yticks=np.linspace(0, 1, 6))
            axes.set_xticks(places, [str(number) for number in numbers])
            style_axes(axes, ink)
        figure.axes[0].set_ylabel("share answered rightly")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper center", ncols=4, frameon=False, labelcolor=ink.text
        )
        return figure

    alt = "; ".join(
        f"{ARM_NAMES[arm]}, with {kind} facts: "
        + ", ".join(f"{number} added {share:.3f}" for number, share in shares.items())
        for kind, accuracies in panels.items()
        for arm, shares in accuracies.items()
    )
    return drawing(draw, f"Two line charts of the share of questions answered rightly, from 0 to 1. {alt}.")


def learning_figure(curves: Mapping[str, Sequence[tuple[int, float]]]) -> Drawing:
    """Training loss of each arm.

    Args:
        curves: For each arm, (step, loss) in the order of training.

    Returns:
        The figure, for both modes.
    """

    def draw(ink: Ink) -> Figure:
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        axes = figure.subplots()
        for arm, curve in curves.items():
            (line,) = axes.plot([step for step, _ in curve], [loss for _, loss in curve], **_line(arm, ink))
            line.set_marker("")
        axes.set(xlabel="optimiser step", ylabel="loss (cross-entropy)", ylim=(0, None), xlim=(0, None))
        style_axes(axes, ink)
        axes.legend(frameon=False, labelcolor=ink.text)
        return figure

    alt = "; ".join(
        f"{ARM_NAMES[arm]}: from {curve[0][1]:.2f} to {curve[-1][1]:.2f} at step {curve[-1][0]}"
        for arm, curve in curves.items()
        if curve
    )
    return drawing(draw, f"Line chart of the training loss. {alt}.")


def gate_figure(gates: Mapping[str, Sequence[float]]) -> Drawing:
    """Every fact of the gallery as a dot: how far the filter let it through, by kind of fact.

    Args:
        gates: For each kind of fact, the gates.

    Returns:
        The figure, for both modes.
    """

    def draw(ink: Ink) -> Figure:
        figure = Figure(figsize=(6.4, 2.5), layout="constrained")
        axes = figure.subplots()
        for place, (kind, values) in enumerate(gates.items()):
            spread = np.random.default_rng(place).uniform(-0.25, 0.25, len(values))
            axes.scatter(
                values,
                place + spread,
                s=26,
                marker=_KIND_MARKERS[kind],
                color=getattr(ink, _KIND_INKS[kind]),
                alpha=0.65,
                linewidths=0,
                clip_on=False,
            )
        axes.set(xlim=(-0.02, 1.02), ylim=(len(gates) - 0.5, -0.5), xlabel="gate: 0 shut, 1 open")
        axes.set_yticks(range(len(gates)), [f"{KIND_NAMES[kind]} ({len(gates[kind])})" for kind in gates])
        style_axes(axes, ink)
        axes.grid(visible=False, axis="y")
        return figure

    alt = "; ".join(
        f"{KIND_NAMES[kind]}: {len(values)} facts, median gate {np.median(values):.2f}"
        for kind, values in gates.items()
        if values
    )
    return drawing(draw, f"Dots for the gates of all facts in the examples, by kind. {alt}.")


def _flood_panel(knowledge: dict[str, Any], kind: str) -> dict[str, dict[str, float]]:
    """For each arm, its accuracies by flood; with nothing added both kinds of flood are the same test."""
    start = "0"
    return {
        arm: ({start: scores["irrelevant"][start]} if start in scores["irrelevant"] else {}) | scores[kind]
        for arm, scores in knowledge.items()
    }


def _line(arm: str, ink: Ink) -> dict[str, Any]:
    return {
        "color": getattr(ink, _ARM_INKS[arm]),
        "linestyle": _LINES[arm],
        "marker": _MARKERS[arm],
        "label": ARM_NAMES[arm],
        "linewidth": 2,
        "markersize": 6,
    }
