"""Several gloo processes on this machine, for tests of what happens under `torch.distributed`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

TIMEOUT = 60  # seconds


def on_two_ranks(work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """`work(rank, *arguments)` on two processes; what each returned.

    `work` must be a function of a module, since it is sent to new interpreters by its name.
    """
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.start_processes(
            _run, args=(work, folder, arguments), nprocs=2, join=False, start_method="spawn"
        )
        assert context is not None
        try:
            for _ in range(TIMEOUT):
                if context.join(timeout=1):  # raises if a rank did
                    break
            else:
                raise TimeoutError(f"two ranks did not finish {work.__name__} in {TIMEOUT} s")
        finally:
            for process in context.processes:
                process.kill()
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(2)]


def _run(rank: int, work: Callable[..., Any], folder: str, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        torch.save(work(rank, *arguments), Path(folder) / f"{rank}.pt")
    finally:
        distributed.destroy_process_group()
