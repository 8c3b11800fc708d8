"""The report of a run: what others named is shown as it is written."""

import base64
import json

from support.html_page import Page
from vkood.data.rows import Example
from vkood.reporting.pages import render
from vkood.tasks import AnsweringTask
from vkood.train.record import METRICS_FILE
from vkood.train.report import _TEMPLATE, _chosen, _curves, _last_numbers, _result

HOSTILE = "eval_<script>'\"$\\frac$ \x1b[2J \u202e [/b]"


def test_hostile_names_of_metrics(tmp_path):
    lines = [{"step": step, "loss": 1.0 / step, HOSTILE: 0.5} for step in (1, 2)]
    (tmp_path / METRICS_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    loss, hostile = _curves(tmp_path)
    assert loss.alt == "Line chart of loss: 1 at step 1, 0.5 at step 2."
    assert HOSTILE in hostile.alt
    values = {
        "name": HOSTILE,
        "start": HOSTILE,
        "result": HOSTILE,
        "heads": ["metric", "last"],
        "gates": {HOSTILE: 0.25},
        "is_tiny": True,
        "curves": [loss, hostile],
        "cost": {HOSTILE: 1234},
        "metrics": [(name, value) for name, value in _last_numbers(tmp_path).items()],
        "examples": [],
        "settings": HOSTILE,
    }
    page = render(_TEMPLATE, values)
    drawings = [
        base64.b64decode(address.partition(",")[2]).decode() for address in (hostile.light, hostile.dark)
    ]
    for shown in (*drawings, page):
        assert not set("\x1b\u202e") & set(shown)
        assert "<script" not in shown
    assert page.count(r"&lt;script&gt;&#39;&#34;$\frac$ \x1b[2J \u202e [/b]") == 9
    assert "<td>1,234</td>" in page
    assert "without a matching head" in page
    assert "http" not in page
    read = Page(page)
    read.require_accessible()
    assert (
        read.text.count(HOSTILE.partition(" ")[0]) == 7
    )  # name, result, start, cost, metric, gates, settings


def rows_of(kinds):
    return [
        Example(images=(), text="?", index=index, answers=("red",) * 3, question_type=kind)
        for index, kind in enumerate(kinds)
    ]


def test_examples_are_of_all_types_and_wrong_ones_come_first():
    rows = rows_of(["color"] * 50 + ["shape"] * 3 + ["is there"] * 3)
    predictions = [{"answer": "Red." if row.question_type != "shape" else "blue"} for row in rows]
    chosen = _chosen(AnsweringTask(), rows, predictions)
    assert chosen == _chosen(AnsweringTask(), rows, predictions)
    assert [verdict for _, verdict in chosen] == ["wrong"] * 3 + ["right"] * 3
    assert {rows[index].question_type for index, _ in chosen} == {"color", "shape", "is there"}
    assert len({index for index, _ in chosen}) == 6


def test_examples_where_all_is_wrong_or_nothing_is_known():
    rows = rows_of(["color"] * 9)
    wrong = _chosen(AnsweringTask(), rows, [{"answer": "blue"}] * 9)
    assert [verdict for _, verdict in wrong] == ["wrong"] * 6
    assert [verdict for _, verdict in _chosen(AnsweringTask(), rows, [])] == [""] * 6
    assert len(_chosen(AnsweringTask(), rows[:2], [])) == 2


def test_the_sentence_about_the_best_model():
    best, last = {"step": 1200, "eval_score": 0.5}, {"eval_score": 0.25}
    assert _result(best, last, "eval_score", "36 questions") == (
        "The best model is that of step 1,200, with score 0.5000 on 36 questions of validation; the last has 0.2500."
    )
    assert "no validation" in _result({}, {}, "eval_score", "36 questions")
