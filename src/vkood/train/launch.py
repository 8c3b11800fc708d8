"""Start the processes of a run by torch's own elastic launcher, which ends them all when one dies."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

import vkood
from vkood.train.checkpoints import how_to_resume
from vkood.train.run import Run, RunError

_INTERRUPTED = 128 + signal.SIGINT
_ADDRESS, _PORT, _NODE = "MASTER_ADDR", "MASTER_PORT", "NODE_RANK"


def num_processes(run: Run) -> int:
    """How many processes a machine starts for a run: one for each GPU, or `processes` without GPUs.

    Raises:
        RunError: If it asks for more GPUs than there are, or to shard weights over none.
    """
    available = torch.cuda.device_count()
    num_gpus = available if run.num_gpus is None else run.num_gpus
    if num_gpus > available:
        raise RunError(
            f"`num_gpus` is {num_gpus}, but this machine has {available}; `num_gpus=0` runs on the CPU"
            f"{f', `num_gpus={available}` on what there is' if available else ''}."
        )
    if run.optimisation.fsdp and not num_gpus:
        raise RunError(
            "`optimisation.fsdp` needs GPUs: on the CPU every process has all weights. Leave it out."
        )
    return num_gpus or run.processes


def is_launched() -> bool:
    """Whether this process is one of several that a launcher started."""
    return "LOCAL_RANK" in os.environ


def launch(arguments: Sequence[str], run: Run, *, processes: int) -> None:
    """Run `vkood` with these arguments in several processes, and wait for them.

    Args:
        arguments: The command line behind `vkood`.
        run: The run.
        processes: Number of processes on this machine.

    Raises:
        RunError: If a process fails; the others are ended. Its output is on the standard error.
        KeyboardInterrupt: After Ctrl-C or a request to terminate, which the processes are passed on.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    options = [f"--nproc-per-node={processes}", "--max-restarts=0", f"--nnodes={run.num_nodes}"]
    if run.num_nodes == 1:
        options.append("--standalone")
    else:
        missing = [name for name in (_ADDRESS, _NODE) if name not in os.environ]
        if missing:
            raise RunError(
                f"`num_nodes={run.num_nodes}` needs {' and '.join(missing)} in the environment of every machine: the "
                "first machine's address, and each one's number from 0. docs/cluster.md shows it."
            )
        options += [
            f"--node-rank={os.environ[_NODE]}",
            f"--master-addr={os.environ[_ADDRESS]}",
            f"--master-port={os.environ.get(_PORT, '29500')}",
        ]
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    # By its path: `python -m vkood` would import from the current folder first, whatever lies there.
    program = [sys.executable, "-u", str(Path(vkood.__file__).with_name("__main__.py"))]
    logging.disable(logging.ERROR)  # the launcher's own say what the sentences below do, in many lines
    try:
        main([*options, "--no-python", *program, *arguments])
    except SignalException:
        raise KeyboardInterrupt(how_to_resume(run.folder / "checkpoints")) from None
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if (
            failure.exitcode == _INTERRUPTED
        ):  # Ctrl-C reaches all processes, and one has ended before the launcher
            raise KeyboardInterrupt(how_to_resume(run.folder / "checkpoints")) from None
        raise RunError(
            f"process {rank} failed (exit code {failure.exitcode}), so the others were ended; what it said is above."
        ) from None
