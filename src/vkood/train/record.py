"""A run's folder: its configuration, its environment, its costs and its results."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

import vkood
from vkood.files import FileProblem, parse_json, read_json_object, write_text
from vkood.processes import peak_memory
from vkood.train.checkpoints import MARK, all_checkpoints, steps_of
from vkood.train.run import Run, RunError
from vkood.train.settings import from_yaml, keys_of, to_yaml
from vkood.train.source import source_state

RUN_FILE = "run.yaml"
METRICS_FILE = "metrics.jsonl"
LEDGER_FILE = "ledger.json"
RESULTS_FILE = "results.json"
_LOCK_FILE = ".lock"
BEST, LAST = "best", "last"
"""The folders of the best and of the last model."""

EVALUATION = "evaluation"
"""The folder of an evaluation in that of a training run, whose own results stay as they are."""

_PACKAGES = ("torch", "transformers", "accelerate", "peft", "numpy", "pyarrow", "omegaconf")
_LEFTOVERS = (METRICS_FILE, LEDGER_FILE, "environment.json", "report.html", "tensorboard", "predictions")
# Where a run is started or lies, and how much it does at once, does not change its results.
_FREE = (
    "output",
    "num_gpus",
    "num_nodes",
    "processes",
    "data.workers",
    "data.fact_vectors",
    "options.memory_limit",
    "model.gradient_checkpointing",
    "optimisation.keep_checkpoints",
    "optimisation.device_batch_size",
)


def is_finished(folder: Path, run: Run, *, same_device_batch: bool = False) -> bool:
    """Whether a run's folder has its results already. Nothing is written.

    Args:
        folder: The run's folder.
        run: The run.
        same_device_batch: Whether `optimisation.device_batch_size` changes the results.

    Raises:
        RunError: If the folder has another run, of which there is a checkpoint or a model; or it cannot be written to;
            or what it holds is damaged.
    """
    _require_writable(folder)
    if (folder / RUN_FILE).exists() and not _may_be_taken_over(folder):
        _require_same(folder, run, same_device_batch)
    elif not (folder / RUN_FILE).exists() and not _may_be_taken_over(folder):
        raise RunError(
            f"the folder {str(folder)!r} has a run, but no {RUN_FILE} that says which. Give another `output`, or "
            "delete the folder."
        )
    if not (folder / RESULTS_FILE).exists():
        return False
    try:
        read_json_object(folder / RESULTS_FILE, what="results")
    except FileProblem as error:
        raise RunError(f"{error} Delete it, and the same command writes it again.") from None
    return True


def evaluation_folder(run: Run) -> Path:
    """Where the results of an evaluation go: to its `output`, or beside what training left there.

    Args:
        run: The run; without `output`, results go to the folder `results`.
    """
    folder = run.evaluation_output
    return folder / EVALUATION if (folder / RUN_FILE).exists() else folder


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Keep other processes from a run's folder, which is made if there is none, until the block or this process ends.

    The operating system gives the lock back when the process ends, however it ends; its empty file stays.

    Raises:
        RunError: If another process trains in the folder, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK_FILE, timeout=0)
        lock.acquire()
    except Timeout:
        raise RunError(
            f"another process trains in the folder {str(folder)!r}. Wait for it, or give another `output`."
        ) from None
    except OSError as error:
        raise _not_writable(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def begin(folder: Path, run: Run, *, checkpoint: Path | None) -> None:
    """Record which run a folder has; files of a run that left no checkpoint are removed.

    Args:
        folder: The run's folder, which `is_finished` has checked.
        run: The run.
        checkpoint: The checkpoint that it resumes from, if any; half-written ones after it are removed.

    Raises:
        RunError: If the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if checkpoint is None:
            for name in _LEFTOVERS:
                _remove(folder / name)
        for path in all_checkpoints(folder / "checkpoints"):
            if checkpoint is None or steps_of(path) > steps_of(checkpoint):
                _remove(path)
        write_text(folder / RUN_FILE, to_yaml(run))
        write_text(folder / "environment.json", json.dumps(_environment(), indent=1) + "\n")
    except OSError as error:
        raise _not_writable(folder, error) from error


def _not_writable(folder: Path, error: OSError) -> RunError:
    return RunError(f"the run's folder {str(folder)!r} cannot be written to: {error.strerror or error}.")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _require_writable(folder: Path) -> None:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise RunError(f"`output` must be a folder, but {str(there)!r} is a file.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise RunError(f"the run's folder {str(folder)!r} cannot be written to: {str(there)!r} is read-only.")


def _may_be_taken_over(folder: Path) -> bool:
    """Whether a folder has nothing of a run that would be lost if another run began there."""
    return not any(
        path.exists()
        for path in (
            *(folder / name for name in (BEST, LAST, RESULTS_FILE)),
            *(checkpoint / MARK for checkpoint in all_checkpoints(folder / "checkpoints")),
        )
    )


def _require_same(folder: Path, run: Run, same_device_batch: bool) -> None:
    try:
        recorded = keys_of(from_yaml(folder / RUN_FILE))
    except RunError as error:
        raise RunError(
            f"it is not known which run the folder {str(folder)!r} has: {error} Give another `output`, or delete the "
            "folder."
        ) from None
    values = keys_of(run)
    free = {*_FREE} - ({"optimisation.device_batch_size"} if same_device_batch else set())
    other = [name for name, value in values.items() if name not in free and recorded.get(name) != value]
    if other:
        changes = "; ".join(f"{name} was {recorded.get(name)!r}, is {values[name]!r}" for name in other[:4])
        raise RunError(
            f"the folder {str(folder)!r} has another run ({changes}). Give another `output`, or delete the folder."
        )


def _environment() -> dict[str, Any]:
    """Versions, machine and the state of vkood's own code."""
    return {
        "vkood": vkood.__version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "machine": platform.machine(),
        "gpus": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())],
        "command": sys.argv[1:],
        "source": source_state(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@dataclass
class Ledger:
    """What training has cost so far, over all times that it was started.

    Attributes:
        steps: Optimiser steps.
        samples: Examples trained on.
        seconds: Wall time.
        device_seconds: Time of all GPUs, or else of this process on the CPU.
        parameters: Numbers in the model.
        trainable_parameters: Those of them that are trained.
        peak_memory: Peak memory in MB: of a GPU, or else of this process.
        processes: Number of processes.
    """

    steps: int = 0
    samples: int = 0
    seconds: float = 0.0
    device_seconds: float = 0.0
    parameters: int = 0
    trainable_parameters: int = 0
    peak_memory: float = 0.0
    processes: int = 1
    _since: tuple[float, float] = field(default_factory=lambda: (time.perf_counter(), time.process_time()))

    def update(self, steps: int, batch_size: int) -> None:
        """Count up to now."""
        wall, cpu = time.perf_counter(), time.process_time()
        seconds = wall - self._since[0]
        self.steps, self.samples = steps, steps * batch_size
        self.seconds += seconds
        if torch.cuda.is_available():
            self.device_seconds += seconds * self.processes
            self.peak_memory = max(self.peak_memory, torch.cuda.max_memory_allocated() / 2**20)
        else:
            self.device_seconds += cpu - self._since[1]
            self.peak_memory = max(self.peak_memory, peak_memory())
        self._since = (wall, cpu)

    def write(self, folder: Path) -> None:
        """Write the file."""
        write_text(folder / LEDGER_FILE, json.dumps(self.as_dict(), indent=1) + "\n")

    def as_dict(self) -> dict[str, Any]:
        """The costs by name."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def resume(self, folder: Path) -> None:
        """Add the costs of earlier starts."""
        before = read_json_object(folder / LEDGER_FILE, what="ledger")
        self.seconds, self.device_seconds = before["seconds"], before["device_seconds"]
        self.peak_memory = before["peak_memory"]


class MetricsLog:
    """Numbers by step, a JSON object a line.

    Args:
        folder: The run's folder.
        after: Lines after this number of steps are removed, since they are logged again.
    """

    def __init__(self, folder: Path, *, after: int) -> None:
        self._path = folder / METRICS_FILE
        kept = [line for line in read_metrics(folder) if line["step"] <= after]
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))

    def add(self, step: int, numbers: dict[str, float]) -> None:
        """Add a line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **numbers}) + "\n")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """All lines that were logged; truncated or damaged ones are left out."""
    path = folder / METRICS_FILE
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    read: list[dict[str, Any]] = []
    for line in lines:
        try:
            numbers = parse_json(line, name=METRICS_FILE)
        except FileProblem:
            continue
        if isinstance(numbers, dict) and isinstance(numbers.get("step"), int):
            read.append({name: value for name, value in numbers.items() if isinstance(value, int | float)})
    return read


def write_predictions(path: Path, predictions: list[dict[str, Any]]) -> None:
    """Write predictions, a JSON object a line; `vkood evaluate --predictions` reads them."""
    write_text(path, "".join(json.dumps(prediction) + "\n" for prediction in predictions))
