"""The report of a run: what others named is shown as it is written."""

import base64
import json

import pytest

from vkood.train.record import METRICS_FILE
from vkood.train.report import _curves, _last_numbers, _table

HOSTILE = "eval_<script>'\"$\\frac$ \x1b[2J \u202e [/b]"


def test_hostile_names_of_metrics(tmp_path):
    lines = [{"step": step, "loss": 1.0, HOSTILE: 0.5} for step in (1, 2)]
    (tmp_path / METRICS_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (_, _), (name, address) = _curves(tmp_path)
    assert name == HOSTILE
    drawing = base64.b64decode(address.partition(",")[2]).decode()
    table = _table(_last_numbers(tmp_path))
    for shown in (drawing, table):
        assert not set("\x1b\u202e") & set(shown)
        assert "<script" not in shown
    assert r"&lt;script&gt;&#x27;&quot;$\frac$ \x1b[2J \u202e [/b]" in table


@pytest.mark.parametrize(("value", "shown"), [(1234, "1,234"), (0.12345, "0.1235")])
def test_numbers(value, shown):
    assert _table({"a": value}) == f"<table><tr><th>a</th><td>{shown}</td></tr></table>"
