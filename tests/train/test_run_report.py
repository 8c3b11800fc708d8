"""The report of a run: what others named is shown as it is written."""

import base64
import json

from support.html_page import Page
from vkood.reporting.pages import render
from vkood.train.record import METRICS_FILE
from vkood.train.report import _TEMPLATE, _curves, _last_numbers

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
        "curves": [loss, hostile],
        "cost": {HOSTILE: 1234},
        "metrics": _last_numbers(tmp_path),
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
    assert page.count(r"&lt;script&gt;&#39;&#34;$\frac$ \x1b[2J \u202e [/b]") == 7
    assert "<td>1,234</td>" in page
    assert "without a matching head" in page
    assert "http" not in page
    read = Page(page)
    read.require_accessible()
    assert read.text.count(HOSTILE.partition(" ")[0]) == 5  # name, start, cost, metric, settings
