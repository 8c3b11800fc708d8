"""Progress on a terminal and elsewhere."""

import io

import pytest
from rich.console import Console
from rich.progress import TextColumn

from vkood import progress
from vkood.progress import Bars


def shown(*, terminal=False):
    file = io.StringIO()
    with Bars(TextColumn("{task.description}"), console=Console(file=file, force_terminal=terminal)) as bars:
        first, second = (
            bars.add_task("Reading [b]tables[/b]  ", total=2000),
            bars.add_task("Writing", total=None),
        )
        bars.update(first, completed=1000)
        bars.update(second, advance=5)
        bars.update(second, advance=5, visible=True)
    return file.getvalue()


def test_a_pipe_gets_lines(monkeypatch):
    monkeypatch.setattr(progress, "REPORT_EVERY", 0.0)
    assert shown().splitlines() == ["Reading [b]tables[/b]: 1,000 of 2,000", "Writing: 5", "Writing: 10"]


def test_but_not_too_many():
    assert shown() == ""


@pytest.mark.parametrize("every", [0.0, 30.0])
def test_a_terminal_gets_bars(monkeypatch, every):
    monkeypatch.setattr(progress, "REPORT_EVERY", every)
    assert "1,000 of 2,000" not in shown(terminal=True)
    assert "Writing" in shown(terminal=True)
