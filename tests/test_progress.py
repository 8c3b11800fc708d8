"""Progress on a terminal and elsewhere."""

import io
import re
from datetime import timedelta

import pytest
from rich.console import Console
from rich.progress import TextColumn

from vkood import progress
from vkood.progress import Bars, Counted, Lines, Rate


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


class Clock:
    """Says how late it is, which the test decides."""

    now = 0.0

    def __call__(self):
        return float(self.now)


def lines_of(steps, total):
    """The lines of a task, which is at `done` after so many seconds."""
    file, clock = io.StringIO(), Clock()
    with Bars(console=Console(file=file, get_time=clock)) as bars:
        task = bars.add_task("train", total=total, unit="rows")
        bars.update(task, completed=0)
        for clock.now, done in steps:
            bars.update(task, completed=done)
    return file.getvalue().splitlines()


def test_what_is_resumed_makes_no_promise_for_the_rest():
    """1,000 rows are taken from the last time within ten seconds; the others take half a second each."""
    kept = [(second, 100 * second) for second in range(1, 11)]
    new = [(10 + second, 1000 + 2 * second) for second in range(1, 121)]
    assert lines_of([*kept, *new], total=2000) == [
        "train: 1,040 of 2,000 rows, 2.0 rows/s, 0:08:00 left",
        "train: 1,100 of 2,000 rows, 2.0 rows/s, 0:07:30 left",
        "train: 1,160 of 2,000 rows, 2.0 rows/s, 0:07:00 left",
        "train: 1,220 of 2,000 rows, 2.0 rows/s, 0:06:30 left",
    ]


@pytest.mark.parametrize("seconds", [3, 45, 200])
def test_long_steps(seconds):
    """Rows that come 64 at a time are as fast however long their steps take."""
    lines = lines_of([(seconds * step, 64 * step) for step in range(1, 101)], total=12_800)
    rate = 64 / seconds
    assert lines[-1] == f"train: 6,400 of 12,800 rows, {rate:,.{1 if rate < 10 else 0}f} rows/s, " + (
        f"{timedelta(seconds=100 * seconds)} left"
    )


def test_what_is_not_known_is_not_said():
    assert lines_of([(40, 0)], total=10) == ["train: 0 of 10 rows"]
    assert lines_of([(40, 20)], total=None) == ["train: 20 rows, 0.5 rows/s"]


def test_lines_of_a_log(monkeypatch):
    """Every half minute, and of what is counted from one call to the next as of what is counted in all."""
    clock, lines = Clock(), []
    monkeypatch.setattr(progress.time, "monotonic", clock)
    features, facts = (Lines(lines.append, f"{what} of", 500, "images") for what in ("advanced", "updated"))
    for clock.now in range(10, 70, 10):
        features.advance(20)
        facts.update(2 * clock.now)
    assert lines == [
        "advanced of 60 of 500, 2 images/s, 0:03:40 left",
        "updated of 60 of 500, 2 images/s, 0:03:40 left",
        "advanced of 120 of 500, 2 images/s, 0:03:10 left",
        "updated of 120 of 500, 2 images/s, 0:03:10 left",
    ]


def test_but_not_too_many():
    assert shown() == ""


@pytest.mark.parametrize("every", [0.0, 30.0])
def test_a_terminal_gets_bars(monkeypatch, every):
    monkeypatch.setattr(progress, "REPORT_EVERY", every)
    assert "1,000 of 2,000 rows, " not in shown(terminal=True)  # the line of a pipe
    assert "1,000 of 2,000 rows" in shown(terminal=True)
    assert "Writing" in shown(terminal=True)
