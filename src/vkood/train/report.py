"""The report of a run: one HTML file with its curves, its numbers, and examples with the gates of their facts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from vkood.data.layout import TEXT_NAMES
from vkood.data.rows import Example, Rows
from vkood.escaping import printable
from vkood.files import read_json_object, write_text
from vkood.reporting.pages import format_number, render
from vkood.tasks import Task
from vkood.tasks.task import evaluating
from vkood.train.assembly import Assembly, autocast_type
from vkood.train.callbacks import SCORES_FILE
from vkood.train.record import BEST, LEDGER_FILE, RUN_FILE, read_metrics

REPORT_FILE = "report.html"
_TEMPLATE = Path(__file__).with_name("report.html.jinja")
_EXAMPLES = 6
_CANDIDATES = 1000
"""From so many the examples are taken."""
_COSTS = {
    "seconds": "wall time of training and validating (s)",
    "device_seconds": "time of all GPUs, or else of this process on the CPU (s)",
    "trainable_parameters": "trainable parameters",
    "peak_memory": "peak memory, of a GPU or else of this process (MiB)",
}
"""What those of a run's costs are that a name alone does not say."""


def write_report(
    folder: Path,
    assembly: Assembly,
    model: Any,
    predictions: Sequence[dict[str, Any]] = (),
    gates: Mapping[str, int | float] | None = None,
) -> None:
    """Write `report.html` to a run's folder.

    Args:
        folder: The run's folder, with its metrics and costs.
        assembly: The run's parts.
        model: The model that the examples are of.
        predictions: Its predictions for the rows to validate on, if there are any.
        gates: What `GateWatch.summary` gives for these rows.
    """
    rows = assembly.validation if assembly.validation is not None else assembly.train
    assert rows is not None
    cost = json.loads((folder / LEDGER_FILE).read_text(encoding="utf-8"))
    best = _best_numbers(folder)
    last = _last_numbers(folder)
    values = {
        "name": assembly.run.recipe or assembly.task.name,
        "start": assembly.built.summary,
        "result": _result(
            best, last, f"eval_{assembly.task.metric}", f"{len(rows):,} {TEXT_NAMES[rows.kind]}"
        ),
        "curves": _curves(folder),
        "cost": {_COSTS.get(name, name): value for name, value in cost.items()},
        "heads": ["metric", *([f"best (step {best['step']:,})"] if best else []), "last"],
        "metrics": [
            (name, *([_shown(best.get(name))] if best else []), _shown(value)) for name, value in last.items()
        ],
        "gates": dict(gates or {}),
        "is_tiny": assembly.run.is_new,
        "examples": _examples(assembly, rows, model, predictions),
        "settings": (folder / RUN_FILE).read_text(encoding="utf-8"),
    }
    write_text(folder / REPORT_FILE, render(_TEMPLATE, values) + "\n")


def _result(best: Mapping[str, Any], last: Mapping[str, float], metric: str, examples: str) -> str:
    """The sentence that says how good the run's models are."""
    name = metric.removeprefix("eval_")
    if not best:
        return (
            "There was no validation, so that no step is known to be the best: the last one's model was kept."
        )
    return (
        f"The best model is that of step {best['step']:,}, with {name} {best[metric]:.4f} on {examples} of validation; "
        f"the last has {last[metric]:.4f}."
    )


def _shown(value: int | float | None) -> str:
    return "" if value is None else format_number(value)


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


def _best_numbers(folder: Path) -> dict[str, Any]:
    """The step of the best model and its metrics; empty if nothing was validated."""
    path = folder / BEST / SCORES_FILE
    return read_json_object(path, what="scores") if path.exists() else {}


def _last_numbers(folder: Path) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for line in read_metrics(folder):
        numbers |= {name: value for name, value in line.items() if name == "loss" or name.startswith("eval_")}
    return numbers


def _examples(
    assembly: Assembly, rows: Rows, model: Any, predictions: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    if not assembly.task.explains:
        return []
    indices = _chosen(assembly.task, rows, predictions)
    model.processor = assembly.built.processor
    model.processor.fact_cache = str(assembly.vectors.folder)  # a cluster's home folder may not be written to
    with evaluating(model, autocast_type(assembly.run)):
        return [
            _explained(model, rows, rows[index], assembly) | {"verdict": verdict}
            for index, verdict in indices
        ]


def _chosen(
    task: Task, rows: Rows | Sequence[Example], predictions: Sequence[dict[str, Any]]
) -> list[tuple[int, str]]:
    """Examples over all types of questions, each with "wrong", "right" or "": some that are wrong come first."""
    by_verdict: dict[str, dict[str, list[int]]] = {"wrong": {}, "right": {}, "": {}}
    for index in np.random.default_rng(0).permutation(len(rows))[:_CANDIDATES].tolist():
        example = rows[index]
        right = task.is_right(example, predictions[index]) if len(predictions) == len(rows) else None
        verdict = {None: "", True: "right", False: "wrong"}[right]
        kind = example.question_type or example.answer_type
        by_verdict[verdict].setdefault(kind, []).append(index)
    wrong, *others = (
        [(index, verdict) for turn in zip_longest(*kinds.values()) for index in turn if index is not None]
        for verdict, kinds in by_verdict.items()
    )
    others = [example for examples in others for example in examples]
    num_wrong = max(_EXAMPLES // 2, _EXAMPLES - len(others))
    wrong = wrong[:num_wrong]
    return wrong + others[: _EXAMPLES - len(wrong)]


def _explained(model: Any, rows: Rows, example: Example, assembly: Assembly) -> dict[str, Any]:
    """What the model answers for an example, and what the example's target is."""
    facts = [rows.sentences[fact] for fact in example.facts] if assembly.run.data.facts else []
    explanation = model.explain(example.images, example.text, facts=facts or None)
    return {"shown": explanation.template_values(), "target": assembly.task.target(example)}
