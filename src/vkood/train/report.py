"""A run to look at: one HTML file with its curves, its numbers, and examples with the gates of their facts."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

from vkood.data.rows import Example, Rows
from vkood.escaping import html_text, printable
from vkood.files import write_text
from vkood.models.explain import MATCHING, TRUTH
from vkood.tasks.task import evaluating
from vkood.train.assembly import Assembly, autocast_type
from vkood.train.record import LEDGER_FILE, RUN_FILE, read_metrics

REPORT_FILE = "report.html"
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
    curves = "".join(f'<img alt="{html_text(name)}" src="{url}">' for name, url in _curves(folder))
    cost = json.loads((folder / LEDGER_FILE).read_text(encoding="utf-8"))
    content = (
        f"<h1>{html_text(assembly.run.recipe or assembly.run.task)}</h1>"
        f"<p>{html_text(assembly.built.told)}</p>"
        f"<h2>Curves</h2>{curves}"
        f"<h2>Cost</h2>{_table(cost)}"
        f"<h2>Numbers</h2>{_table(_last_numbers(folder))}"
        f"<h2>Examples</h2>{_examples(assembly, rows, model)}"
        f"<h2>The run</h2><pre>{html_text((folder / RUN_FILE).read_text(encoding='utf-8'))}</pre>"
    )
    title = html_text(f"vkood: {assembly.run.recipe or assembly.run.task}")
    write_text(
        folder / REPORT_FILE,
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"{content}</html>\n",
    )


def _curves(folder: Path) -> list[tuple[str, str]]:
    """A picture for the loss and one for each number that validations gave."""
    from matplotlib.figure import Figure

    lines = read_metrics(folder)
    names = [name for line in lines for name in line if name == "loss" or name.startswith("eval_")]
    names = [name for name in names if "," not in name]  # those by type of question are dozens
    found = []
    for name in dict.fromkeys(names):
        points = [(line["step"], line[name]) for line in lines if name in line]
        figure = Figure(figsize=(4.2, 2.6), layout="constrained")
        axis = figure.subplots()
        axis.plot(*zip(*points, strict=True), color="#4c78a8", marker="." if len(points) < 30 else "")
        axis.set_xlabel("step")
        axis.set_title(printable(name.removeprefix("eval_")), fontsize=10, parse_math=False)
        file = io.BytesIO()
        figure.savefig(file, format="svg")
        found.append((name, f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"))
    return found


def _last_numbers(folder: Path) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for line in read_metrics(folder):
        numbers |= {name: value for name, value in line.items() if name == "loss" or name.startswith("eval_")}
    return numbers


def _table(values: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{html_text(name)}</th><td>{value:,.4g}</td></tr>"
        if isinstance(value, float)
        else f"<tr><th>{html_text(name)}</th><td>{value:,}</td></tr>"
        for name, value in values.items()
    )
    return f"<table>{rows}</table>"


def _examples(assembly: Assembly, rows: Rows, model: Any) -> str:
    if assembly.run.task == "pretrain" and not assembly.run.options.matching:
        return "<p>None: without a matching head the model says nothing of a text.</p>"
    chosen = [rows[index] for index in range(0, len(rows), max(1, len(rows) // _EXAMPLES))][:_EXAMPLES]
    model.processor = assembly.built.processor
    model.processor.fact_cache = str(assembly.vectors.folder)  # a cluster's home folder may not be written to
    with evaluating(model, autocast_type(assembly.run)):
        return "".join(_explained(model, rows, example, assembly) for example in chosen)


def _explained(model: Any, rows: Rows, example: Example, assembly: Assembly) -> str:
    """What the model makes of an example, and what it should have made of it."""
    facts = [rows.sentences[fact] for fact in example.facts] if assembly.run.data.facts else []
    explanation = model.explain(example.images, example.text, facts=facts or None)
    return f"{explanation.to_html()}<p>{html_text(_right(assembly.run.task, example))}</p>"


def _right(task: str, example: Example) -> str:
    if task == "nlvr2":
        return f"It is {TRUTH[example.labels[0]]}." if example.labels else "Whether it is true is not known."
    if task in ("vqa", "blip-vqa"):
        return f"Annotators: {', '.join(example.answers) or 'not known'}"
    return f"It {MATCHING[1]}: the caption is the picture's own."


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#1d2430}"
    "section{border-top:1px solid #dde;padding-top:.6rem;margin:1rem 0}img{max-height:16rem}"
    "table{border-collapse:collapse}th{text-align:left;font-weight:400;padding:.1rem 1rem .1rem 0}"
    "td{text-align:right;font-variant-numeric:tabular-nums}pre{background:#f4f5f8;padding:1rem;overflow:auto}"
)
