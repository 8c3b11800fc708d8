"""Processes that Python starts, which must not import what lies in the current folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def outside_current_folder() -> Iterator[None]:
    """Start processes in the block from a folder without modules.

    A spawned process imports what it begins with from its folder first, whatever is there; once it has begun, from
    where this process does. `os.chdir` as a pool's initialiser takes it back to this process's folder. From Python 3.11
    on, PYTHONSAFEPATH, which the command line sets, prevents the same.
    """
    folder = os.getcwd()
    os.chdir(os.sep)
    try:
        yield
    finally:
        os.chdir(folder)
