"""Processes that share work end with the one that started them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil

from vkood.processes import peak_memory

_PROGRAM = """
import multiprocessing, time
from vkood.processes import worker_processes

if __name__ == "__main__":
    with worker_processes(2) as (pool, post):
        jobs = [pool.submit(time.sleep, 600) for _ in range(2)]
        assert post.empty()
        print(*[child.pid for child in multiprocessing.active_children()], flush=True)
        time.sleep(600)
"""


def test_they_end_when_the_process_that_started_them_is_killed(tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        parent.send_signal(signal.SIGKILL)
    assert len(children) == 3  # two for jobs, one for the queue
    _, alive = psutil.wait_procs(children, timeout=120)
    assert alive == []


def test_peak_memory_is_in_megabytes():
    """Of the whole process, and never less than what it holds now."""
    held = psutil.Process().memory_info().rss / 2**20
    assert 0.99 * held <= peak_memory() <= psutil.virtual_memory().total / 2**20
