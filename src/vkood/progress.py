"""Progress of long work: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task, TaskID
from rich.text import Text
from typing_extensions import override

REPORT_EVERY = 30.0
"""Seconds between the lines of a task, where there is no terminal."""

_PACE_OVER = 20.0
"""Seconds of work by which its rate is judged, or longer where it takes longer steps.

They are fewer than `REPORT_EVERY`, so that the first line after a resume is not about what was there already.
"""
_MARK_EVERY = 1.0
_PACE = "pace"


class _Mark(NamedTuple):
    """How far a task was at a time: what is done of its total, and what is counted."""

    time: float
    done: float | int
    count: float | int


class _Pace:
    """How fast a task is of late, so that it is soon right when it changes: what is resumed first goes fast."""

    def __init__(self, start: _Mark) -> None:
        self._marks, self._last = deque([start]), start

    def add(self, mark: _Mark) -> None:
        """Note how far it is."""
        self._last = mark
        if mark.time - self._marks[-1].time >= _MARK_EVERY:
            self._marks.append(mark)
            while len(self._marks) > 2 and mark.time - self._marks[1].time >= _PACE_OVER:
                self._marks.popleft()

    def rate(self) -> float:
        """What is counted in a second; 0 if that is not known yet."""
        first, last = self._marks[0], self._last
        return (last.count - first.count) / (last.time - first.time) if last.time > first.time else 0.0

    def left(self, total: float | int) -> str:
        """The time left; empty if that is not known yet."""
        first, last = self._marks[0], self._last
        if last.done <= first.done:
            return ""
        return time_left(last.time - first.time, last.done - first.done, total - first.done)


class Bars(Progress):
    """A bar for each task on a terminal; in a file or a pipe, a line for each that moves, every half minute.

    Rate and time left are by the last twenty seconds of work, or by its last step where that took longer.

    Args:
        columns: The columns of each task's bar on a terminal.
        console: The console to print to; its `get_time` is the clock.
        transient: Whether the bars disappear when the work is done.
    """

    def __init__(self, *columns: ProgressColumn, console: Console, transient: bool = True) -> None:
        super().__init__(*columns, console=console, transient=transient, disable=not console.is_terminal)
        self._reported: dict[TaskID, float] = {}

    @override
    def add_task(
        self,
        description: str,
        start: bool = True,
        total: float | int | None = 100.0,
        completed: int = 0,
        visible: bool = True,
        **fields: Any,
    ) -> TaskID:
        """Add a task, as `Progress.add_task` does."""
        begun = _Mark(self.get_time(), completed, fields.get("count", completed))
        return super().add_task(
            description, start, total, completed, visible, **fields, **{_PACE: _Pace(begun)}
        )

    @override
    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Change a task, as `Progress.update` does."""
        super().update(task_id, **changes)
        now, task = self.get_time(), self._tasks[task_id]
        task.fields[_PACE].add(_Mark(now, task.completed, _count(task)))
        if self.console.is_terminal or now - self._reported.setdefault(task_id, now) < REPORT_EVERY:
            return
        self._reported[task_id] = now
        self.console.print(_line(task), markup=False, highlight=False, soft_wrap=True)


class Counted(ProgressColumn):
    """How much of a task is done, in its unit: "1,200 of 5,000 rows"."""

    def render(self, task: Task) -> Text:
        """The column of a task."""
        return Text(_counted(task))


class Rate(ProgressColumn):
    """How much of a task is done in a second: "350 rows/s"."""

    def render(self, task: Task) -> Text:
        """The column of a task."""
        return Text(_rate(task))


class TimeLeft(ProgressColumn):
    """The time left: "0:00:15 left"; empty while it is not known."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """The column of a task."""
        return Text(_left(task), style="progress.remaining")


class Lines:
    """Lines about how far one piece of work is, every half minute: "evaluated 40 of 90, 3.1 samples/s, 0:00:16 left".

    Args:
        log: Takes the lines.
        doing: What is done, as the lines begin.
        total: How much there is to do.
        unit: What is counted.
        every: Min seconds between lines.
    """

    def __init__(
        self, log: Callable[[str], None], doing: str, total: int, unit: str, *, every: float = REPORT_EVERY
    ) -> None:
        self._log, self._doing, self._total, self._unit, self._every = log, doing, total, unit, every
        self._done, self._reported = 0, time.monotonic()
        self._pace = _Pace(_Mark(self._reported, 0, 0))

    def advance(self, number: int) -> None:
        """Count what was done since the last call."""
        self.update(self._done + number)

    def update(self, done: int) -> None:
        """Note how much is done in all."""
        now = time.monotonic()
        self._done = done
        self._pace.add(_Mark(now, done, done))
        if now - self._reported < self._every:
            return
        self._reported = now
        parts = (f"{self._pace.rate():.3g} {self._unit}/s", self._pace.left(self._total))
        self._log(", ".join((f"{self._doing} {done:,} of {self._total:,}", *filter(None, parts))))


def time_left(seconds: float, done: float | int, total: float | int) -> str:
    """The time left, by the mean rate so far.

    Args:
        seconds: Time since the work began.
        done: What is done since then.
        total: What is to be done since then.

    Example:
        >>> time_left(10.0, 100, 250)
        '0:00:15 left'
    """
    return f"{timedelta(seconds=round(seconds * max(0.0, total - done) / done))} left"


def _line(task: Task) -> str:
    """What is done, the rate, and the time left."""
    parts = [f"{task.description.strip()}: {_counted(task)}", _rate(task), _left(task)]
    return ", ".join(part for part in parts if part)


def _counted(task: Task) -> str:
    total = "" if task.total is None or "count" in task.fields else f" of {task.total:,.0f}"
    return f"{_count(task):,.0f}{total} {task.fields.get('unit', '')}".strip()


def _rate(task: Task) -> str:
    rate = task.fields[_PACE].rate()
    if "unit" not in task.fields or not rate:
        return ""
    return f"{rate:,.{1 if rate < 10 else 0}f} {task.fields['unit']}/s"


def _left(task: Task) -> str:
    return "" if task.total is None else task.fields[_PACE].left(task.total)


def _count(task: Task) -> float | int:
    return task.fields.get("count", task.completed)
