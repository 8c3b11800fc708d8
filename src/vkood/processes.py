"""Processes that Python starts: they import nothing from the current folder, and end with the one that started them."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.managers
import os
import queue
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import psutil


def peak_memory() -> float:
    """The peak memory of this process so far, in MiB."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 2**20
    import resource  # Unix only; psutil knows the peak on Windows alone

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


@contextlib.contextmanager
def outside_current_folder() -> Iterator[None]:
    """Start processes in the block from a folder without modules.

    A spawned process resolves its first imports from its current folder; later ones as this process does. `os.chdir` as
    a pool's initialiser takes it back to this process's folder. From Python 3.11 on, PYTHONSAFEPATH, which the command
    line sets, prevents the same.
    """
    folder = os.getcwd()
    os.chdir(os.sep)
    try:
        yield
    finally:
        os.chdir(folder)


@contextlib.contextmanager
def worker_processes(count: int) -> Iterator[tuple[ProcessPoolExecutor, queue.Queue[Any]]]:
    """A pool of processes, and a queue through which their work reports; they end with this process, however it ends.

    The pool starts a process when there is work for it: submit it within `outside_current_folder`.

    Args:
        count: Number of processes.
    """
    context, folder = multiprocessing.get_context("spawn"), os.getcwd()
    manager = multiprocessing.managers.SyncManager(ctx=context)
    with outside_current_folder():
        manager.start(_begin, (folder,))
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(folder,))
    with manager, pool:
        yield pool, manager.Queue()


def _begin(folder: str) -> None:
    """Go to a folder, and end this process as soon as its parent has ended, since a killed parent stops no children."""
    os.chdir(folder)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
