"""Tests' work in other processes: on two gloo ranks, or alone in a new interpreter as users have it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

TIMEOUT = 180  # seconds; a fraction of it does on a machine that is not busy


def on_two_ranks(work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """`work(rank, *arguments)` on two processes; what each returned.

    `work` must be a function of a module, since it is sent to new interpreters by its name.
    """
    return _in_processes(2, work, arguments)


def in_a_new_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """`work(*arguments)` where nothing checks shapes: those checks of pytest's show in compiled graphs."""
    return _in_processes(1, work, arguments)[0]


def _in_processes(number: int, work: Callable[..., Any], arguments: tuple[Any, ...]) -> list[Any]:
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.spawn(  # pyright: ignore[reportPrivateImportUsage] (it is documented)
            _run if number > 1 else _run_alone,
            args=(work, folder, arguments),
            nprocs=number,
            join=False,
        )
        assert context is not None
        try:
            for _ in range(TIMEOUT):
                if context.join(timeout=1):  # raises if a rank did
                    break
            else:
                raise TimeoutError(f"the processes did not finish {work.__name__} in {TIMEOUT} s")
        finally:
            for process in context.processes:
                process.kill()
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(number)]


def _run(rank: int, work: Callable[..., Any], folder: str, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        torch.save(work(rank, *arguments), Path(folder) / f"{rank}.pt")
    finally:
        distributed.destroy_process_group()


def _run_alone(_: int, work: Callable[..., Any], folder: str, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    torch.save(work(*arguments), Path(folder) / "0.pt")
