"""Bars of long work, with what is done, its rate, and the time left."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vkood.progress import Bars

_NARROW = 100
"""Columns below which bars leave out what can be spared."""


def work_bars() -> Bars:
    """Bars on the standard error; tasks have the field `unit`, in which they count, such as "rows".

    A task that counts something else than its `total` has the field `count`.
    """
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

    from vkood.progress import Bars, Counted, Rate, TimeLeft

    console = Console(stderr=True)
    is_narrow = console.width < _NARROW
    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=8 if is_narrow else 40),
        *(() if is_narrow else (Counted(),)),
        Rate(),
        *(() if is_narrow else (TimeElapsedColumn(),)),
        TimeLeft(),
        console=console,
    )
