"""Progress on a terminal and elsewhere."""

import io
import re

import pytest
from rich.console import Console
from rich.progress import TextColumn

from vkood import progress
from vkood.progress import Bars, Counted, Rate


def shown(*, terminal=False):
    file = io.StringIO()
    with Bars(
        TextColumn("{task.description}"),
        Counted(),
        Rate(),
        console=Console(file=file, force_terminal=terminal),
    ) as bars:
        first, second = (
            bars.add_task("Reading [b]tables[/b]  ", total=2000, unit="rows"),
            bars.add_task("Writing", total=None),
        )
        bars.update(first, completed=1000)
        bars.update(second, advance=5)
        bars.update(second, advance=5, visible=True)
    return file.getvalue()


def test_a_pipe_gets_lines(monkeypatch):
    monkeypatch.setattr(progress, "REPORT_EVERY", 0.0)
    reading, *writing = shown().splitlines()
    assert re.fullmatch(
        r"Reading \[b\]tables\[/b\]: 1,000 of 2,000 rows, [\d,]+ rows/s, 0:00:00 left", reading
    )
    assert writing == ["Writing: 5", "Writing: 10"]


def test_what_is_counted_may_be_other_than_what_is_done(monkeypatch):
    monkeypatch.setattr(progress, "REPORT_EVERY", 0.0)
    file = io.StringIO()
    with Bars(console=Console(file=file)) as bars:
        task = bars.add_task("Reading", total=800, unit="lines")
        bars.update(task, completed=400, count=20)
    assert file.getvalue().startswith("Reading: 20 lines, ")


def test_but_not_too_many():
    assert shown() == ""


@pytest.mark.parametrize("every", [0.0, 30.0])
def test_a_terminal_gets_bars(monkeypatch, every):
    monkeypatch.setattr(progress, "REPORT_EVERY", every)
    assert "1,000 of 2,000 rows, " not in shown(terminal=True)  # the line of a pipe
    assert "1,000 of 2,000 rows" in shown(terminal=True)
    assert "Writing" in shown(terminal=True)
