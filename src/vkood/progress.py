"""Progress of long work: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn, TaskID
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
        task = self._tasks[task_id]
        total = "" if task.total is None else f" of {task.total:,.0f}"
        self.console.print(
            f"{task.description.strip()}: {task.completed:,.0f}{total}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
