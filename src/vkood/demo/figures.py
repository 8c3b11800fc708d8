"""The report's figures, drawn for light and for dark pages, as HTML that holds the whole drawing."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vkood.escaping import html_text

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ink:
    """The colours of one mode; those of the lines are told apart by the colour-blind too (Okabe and Ito)."""

    text: str
    faint: str
    arms: dict[str, str]
    kinds: dict[str, str]


_LIGHT = _Ink(
    text="#22262b",
    faint="#d5d9de",
    arms={"no_facts": "#6b7280", "unfiltered": "#c2500a", "filtered": "#0064a6"},
    kinds={"matching": "#0064a6", "contradicting": "#c2500a", "irrelevant": "#6b7280"},
)
_DARK = _Ink(
    text="#e4e7eb",
    faint="#3a414a",
    arms={"no_facts": "#a3abb5", "unfiltered": "#f0a35e", "filtered": "#63b9f2"},
    kinds={"matching": "#63b9f2", "contradicting": "#f0a35e", "irrelevant": "#a3abb5"},
)


def flood_figure(results: dict[str, Any]) -> str:
    """Accuracy on knowledge questions against the number of facts added, for each arm.

    Args:
        results: The content of results.json.

    Returns:
        HTML of the figure.
    """
    panels = {kind: _flood_panel(results["knowledge"], kind) for kind in ("irrelevant", "contradicting")}

    def draw(ink: _Ink) -> Figure:
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
            _plain(axes, ink)
        figure.axes[0].set_ylabel("share answered rightly")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper center", ncols=4, frameon=False, labelcolor=ink.text
        )
        return figure

    told = "; ".join(
        f"{ARM_NAMES[arm]}, with {kind} facts: "
        + ", ".join(f"{number} added {share:.3f}" for number, share in shares.items())
        for kind, accuracies in panels.items()
        for arm, shares in accuracies.items()
    )
    return _picture(draw, f"Two line charts of the share of questions answered rightly, from 0 to 1. {told}.")


def learning_figure(curves: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Training loss of each arm.

    Args:
        curves: For each arm, (step, loss) in the order of training.

    Returns:
        HTML of the figure.
    """

    def draw(ink: _Ink) -> Figure:
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        axes = figure.subplots()
        for arm, curve in curves.items():
            (line,) = axes.plot([step for step, _ in curve], [loss for _, loss in curve], **_line(arm, ink))
            line.set_marker("")
        axes.set(xlabel="optimiser step", ylabel="loss (cross-entropy)", ylim=(0, None), xlim=(0, None))
        _plain(axes, ink)
        axes.legend(frameon=False, labelcolor=ink.text)
        return figure

    told = "; ".join(
        f"{ARM_NAMES[arm]}: from {curve[0][1]:.2f} to {curve[-1][1]:.2f} at step {curve[-1][0]}"
        for arm, curve in curves.items()
        if curve
    )
    return _picture(draw, f"Line chart of the training loss. {told}.")


def gate_figure(gates: Mapping[str, Sequence[float]]) -> str:
    """Every fact of the gallery as a dot: how far the filter let it through, by kind of fact.

    Args:
        gates: For each kind of fact, the gates.

    Returns:
        HTML of the figure.
    """

    def draw(ink: _Ink) -> Figure:
        figure = Figure(figsize=(6.4, 2.5), layout="constrained")
        axes = figure.subplots()
        for place, (kind, values) in enumerate(gates.items()):
            spread = np.random.default_rng(place).uniform(-0.25, 0.25, len(values))
            axes.scatter(
                values,
                place + spread,
                s=26,
                marker=_KIND_MARKERS[kind],
                color=ink.kinds[kind],
                alpha=0.65,
                linewidths=0,
                clip_on=False,
            )
        axes.set(xlim=(-0.02, 1.02), ylim=(len(gates) - 0.5, -0.5), xlabel="gate: 0 shut, 1 open")
        axes.set_yticks(range(len(gates)), [f"{KIND_NAMES[kind]} ({len(gates[kind])})" for kind in gates])
        _plain(axes, ink)
        axes.grid(visible=False, axis="y")
        return figure

    told = "; ".join(
        f"{KIND_NAMES[kind]}: {len(values)} facts, median gate {np.median(values):.2f}"
        for kind, values in gates.items()
        if values
    )
    return _picture(draw, f"Dots for the gates of all facts in the examples, by kind. {told}.")


def _flood_panel(knowledge: dict[str, Any], kind: str) -> dict[str, dict[str, float]]:
    """For each arm, its accuracies by flood; with nothing added both kinds of flood are the same test."""
    start = "0"
    return {
        arm: ({start: found["irrelevant"][start]} if start in found["irrelevant"] else {}) | found[kind]
        for arm, found in knowledge.items()
    }


def _line(arm: str, ink: _Ink) -> dict[str, Any]:
    return {
        "color": ink.arms[arm],
        "linestyle": _LINES[arm],
        "marker": _MARKERS[arm],
        "label": ARM_NAMES[arm],
        "linewidth": 2,
        "markersize": 6,
    }


def _plain(axes: Axes, ink: _Ink) -> None:
    """Take away what carries nothing, and draw the rest in the mode's colours."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(ink.faint)
    axes.grid(visible=True, axis="y", color=ink.faint, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=ink.text)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(ink.text)


def _picture(draw: Callable[[_Ink], Figure], alt: str) -> str:
    """Both drawings, of which the page shows the one that fits its mode."""
    light, dark = _data_address(draw(_LIGHT)), _data_address(draw(_DARK))
    return (
        f'<picture><source srcset="{dark}" media="(prefers-color-scheme: dark)">'
        f'<img src="{light}" alt="{html_text(alt)}"></picture>'
    )


def _data_address(figure: Figure) -> str:
    drawing = io.BytesIO()
    # The salt makes the same figure the same file.
    with matplotlib.rc_context({"svg.hashsalt": "vkood"}):
        figure.savefig(drawing, format="svg", transparent=True, metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(drawing.getvalue()).decode()}"
