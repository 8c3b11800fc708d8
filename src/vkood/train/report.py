"""A run to look at: one HTML file with its curves, its numbers, and examples with the gates of their facts."""

from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path
from typing import Any

import torch

from vkood.data.rows import Example, Rows
from vkood.files import write_text
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
    curves = "".join(f'<img alt="{html.escape(name)}" src="{url}">' for name, url in _curves(folder))
    cost = json.loads((folder / LEDGER_FILE).read_text(encoding="utf-8"))
    content = (
        f"<h1>{html.escape(assembly.run.recipe or assembly.run.task)}</h1>"
        f"<p>{html.escape(assembly.built.told)}</p>"
        f"<h2>Curves</h2>{curves}"
        f"<h2>Cost</h2>{_table(cost)}"
        f"<h2>Numbers</h2>{_table(_last_numbers(folder))}"
        f"<h2>Examples</h2>{_examples(assembly, rows, model)}"
        f"<h2>The run</h2><pre>{html.escape((folder / RUN_FILE).read_text(encoding='utf-8'))}</pre>"
    )
    title = html.escape(f"vkood: {assembly.run.recipe or assembly.run.task}")
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
        axis.set_title(name.removeprefix("eval_"), fontsize=10)
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
        f"<tr><th>{html.escape(name)}</th><td>{value:,.4g}</td></tr>"
        if isinstance(value, float)
        else f"<tr><th>{html.escape(name)}</th><td>{value:,}</td></tr>"
        for name, value in values.items()
    )
    return f"<table>{rows}</table>"


def _examples(assembly: Assembly, rows: Rows, model: Any) -> str:
    chosen = [rows[index] for index in range(0, len(rows), max(1, len(rows) // _EXAMPLES))][:_EXAMPLES]
    if hasattr(model, "explain"):
        model.processor = assembly.built.processor
        with evaluating(model, autocast_type(assembly.run)):
            return "".join(_explained(model, rows, example, assembly) for example in chosen)
    return "".join(_gated(assembly, rows, example, model) for example in chosen)


def _sentences(assembly: Assembly, rows: Rows, example: Example) -> list[str]:
    return [rows.sentences[fact] for fact in example.facts] if assembly.run.data.facts else []


def _explained(model: Any, rows: Rows, example: Example, assembly: Assembly) -> str:
    facts = _sentences(assembly, rows, example)
    explanation = model.explain(example.images[0], example.text, facts=facts or None)
    wanted = ", ".join(example.answers) or "not known"
    return f"{explanation.to_html()}<p>Annotators: {html.escape(wanted)}</p>"


def _gated(assembly: Assembly, rows: Rows, example: Example, model: Any) -> str:
    """A text with its images, what the model makes of it, and how far each fact's gate is open."""
    batch = assembly.collator(rows, training=False)([example])
    batch = {name: t.to(model.device) for name, t in batch.items() if "labels" not in name}
    with evaluating(model, autocast_type(assembly.run)):
        output = model(**batch)
    facts = _sentences(assembly, rows, example)
    gates = [] if output.fact_gate is None else output.fact_gate.flatten()[-len(facts) :].tolist()
    told = sorted(zip(facts, map(float, gates or [1.0] * len(facts)), strict=False), key=lambda one: -one[1])
    pictures = "".join(
        f'<img alt="" src="data:image;base64,{base64.b64encode(image).decode()}">' for image in example.images
    )
    matches = output.get("match_logits")
    said = ""
    if assembly.run.task == "nlvr2":
        chance = torch.softmax(output.logits[0].float(), -1)[1]
        said = f"true with probability {chance:.2f}; it is {bool(example.labels[0])}"
    elif matches is not None:
        chance = torch.softmax(matches.reshape(-1, 2)[-1].float(), -1)[1]
        said = f"goes with the picture with probability {chance:.2f}"
    return (
        f"<section><h3>{html.escape(example.text)}</h3>{pictures}<p>{said}</p>{_table(dict(told))}</section>"
    )


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#1d2430}"
    "section{border-top:1px solid #dde;padding-top:.6rem;margin:1rem 0}img{max-height:16rem}"
    "table{border-collapse:collapse}th{text-align:left;font-weight:400;padding:.1rem 1rem .1rem 0}"
    "td{text-align:right;font-variant-numeric:tabular-nums}pre{background:#f4f5f8;padding:1rem;overflow:auto}"
)
