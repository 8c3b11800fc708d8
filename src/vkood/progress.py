"""Progress of long work: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task, TaskID
from rich.text import Text
from typing_extensions import override

REPORT_EVERY = 30.0
"""Seconds between the lines of a task, where there is no terminal."""


class Bars(Progress):
    """A bar for each task on a terminal; in a file or a pipe, a line for each that moves, every half minute.

    Args:
        columns: The columns of each task's bar on a terminal.
        console: The console to print to.
        transient: Whether the bars disappear when the work is done.
    """

    def __init__(self, *columns: ProgressColumn, console: Console, transient: bool = True) -> None:
        super().__init__(*columns, console=console, transient=transient, disable=not console.is_terminal)
        self._reported: dict[TaskID, float] = {}

    @override
    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Change a task, as `Progress.update` does."""
        super().update(task_id, **changes)
        now = time.monotonic()
        if self.console.is_terminal or now - self._reported.setdefault(task_id, now) < REPORT_EVERY:
            return
        self._reported[task_id] = now
        self.console.print(_line(self._tasks[task_id]), markup=False, highlight=False, soft_wrap=True)


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
    parts = [f"{task.description.strip()}: {_counted(task)}", _rate(task)]
    if task.total is not None and task.completed and task.elapsed:
        parts.append(time_left(task.elapsed, task.completed, task.total))
    return ", ".join(part for part in parts if part)


def _counted(task: Task) -> str:
    total = "" if task.total is None or "count" in task.fields else f" of {task.total:,.0f}"
    return f"{_count(task):,.0f}{total} {task.fields.get('unit', '')}".strip()


def _rate(task: Task) -> str:
    if "unit" not in task.fields or not task.elapsed:
        return ""
    rate = _count(task) / task.elapsed
    return f"{rate:,.{1 if rate < 10 else 0}f} {task.fields['unit']}/s"


def _count(task: Task) -> float | int:
    return task.fields.get("count", task.completed)
