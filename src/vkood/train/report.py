"""The report of a run: one HTML file with its curves, its numbers, and examples with the gates of their facts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vkood.data.rows import Example, Rows
from vkood.escaping import printable
from vkood.files import write_text
from vkood.reporting.pages import render
from vkood.tasks.task import evaluating
from vkood.train.assembly import Assembly, autocast_type
from vkood.train.record import LEDGER_FILE, RUN_FILE, read_metrics

REPORT_FILE = "report.html"
_TEMPLATE = Path(__file__).with_name("report.html.jinja")
_EXAMPLES = 6


def write_report(folder: Path, assembly: Assembly, model: Any) -> None:
    """Write `report.html` to a run's folder.

    Args:
        folder: The run's folder, with its metrics and costs.
        assembly: The run's parts.
        model: The model that the examples are of.
    """
    rows = assembly.validation if assembly.validation is not None else assembly.train
    assert rows is not None
    values = {
        "name": assembly.run.recipe or assembly.task.name,
        "start": assembly.built.summary,
        "curves": _curves(folder),
        "cost": json.loads((folder / LEDGER_FILE).read_text(encoding="utf-8")),
        "metrics": _last_numbers(folder),
        "examples": _examples(assembly, rows, model),
        "settings": (folder / RUN_FILE).read_text(encoding="utf-8"),
    }
    write_text(folder / REPORT_FILE, render(_TEMPLATE, values) + "\n")


def _curves(folder: Path) -> list[Any]:
    """A drawing of the loss and of each number that validations gave."""
    from matplotlib.figure import Figure

    from vkood.reporting.figures import Ink, drawing, style_axes

    lines = read_metrics(folder)
    names = [name for line in lines for name in line if name == "loss" or name.startswith("eval_")]
    names = [name for name in names if "," not in name]  # those by type of question are dozens
    curves = []
    for name in dict.fromkeys(names):
        points = [(line["step"], line[name]) for line in lines if name in line]
        title = printable(name.removeprefix("eval_"))

        def draw(ink: Ink, points: list[tuple[int, float]] = points, title: str = title) -> Figure:
            figure = Figure(figsize=(4.2, 2.6), layout="constrained")
            axes = figure.subplots()
            axes.plot(*zip(*points, strict=True), color=ink.blue, marker="." if len(points) < 30 else "")
            axes.set_xlabel("step")
            axes.set_title(title, fontsize=10, parse_math=False)
            style_axes(axes, ink)
            return figure

        (first, start), (last, end) = points[0], points[-1]
        curves.append(
            drawing(draw, f"Line chart of {name}: {start:.4g} at step {first}, {end:.4g} at step {last}.")
        )
    return curves


def _last_numbers(folder: Path) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for line in read_metrics(folder):
        numbers |= {name: value for name, value in line.items() if name == "loss" or name.startswith("eval_")}
    return numbers


def _examples(assembly: Assembly, rows: Rows, model: Any) -> list[dict[str, Any]]:
    if not assembly.task.explains:
        return []
    indices = range(0, len(rows), max(1, len(rows) // _EXAMPLES))[:_EXAMPLES]
    model.processor = assembly.built.processor
    model.processor.fact_cache = str(assembly.vectors.folder)  # a cluster's home folder may not be written to
    with evaluating(model, autocast_type(assembly.run)):
        return [_explained(model, rows, rows[index], assembly) for index in indices]


def _explained(model: Any, rows: Rows, example: Example, assembly: Assembly) -> dict[str, Any]:
    """What the model answers for an example, and what the example's target is."""
    facts = [rows.sentences[fact] for fact in example.facts] if assembly.run.data.facts else []
    explanation = model.explain(example.images, example.text, facts=facts or None)
    return {"shown": explanation.template_values(), "target": assembly.task.target(example)}
