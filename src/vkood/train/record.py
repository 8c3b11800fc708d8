"""A run's folder: what was asked, on what it ran, what it cost, and what came out."""

from __future__ import annotations

import json
import platform
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import vkood
from vkood.files import write_text
from vkood.train.run import Run, RunError
from vkood.train.settings import from_yaml, keys_of, to_yaml

RUN_FILE = "run.yaml"
METRICS_FILE = "metrics.jsonl"
LEDGER_FILE = "ledger.json"
RESULTS_FILE = "results.json"

_PACKAGES = ("torch", "transformers", "accelerate", "peft", "numpy", "pyarrow", "omegaconf")
# Where a run is started or lies does not decide what comes out.
_FREE = ("output", "num_gpus", "num_nodes", "processes", "data.workers", "optimisation.keep_checkpoints")


def begin(folder: Path, run: Run) -> bool:
    """Make a run's folder, or go on with the same run.

    Args:
        folder: The folder.
        run: The run.

    Returns:
        Whether the run is already finished.

    Raises:
        RunError: If another run is in the folder, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / RUN_FILE).is_file():
            _require_same(folder, run)
        else:
            write_text(folder / RUN_FILE, to_yaml(run))
        write_text(folder / "environment.json", json.dumps(_environment(), indent=1) + "\n")
    except OSError as error:
        raise RunError(
            f"the run's folder {str(folder)!r} cannot be written to: {error.strerror or error}."
        ) from error
    return (folder / RESULTS_FILE).is_file()


def _require_same(folder: Path, run: Run) -> None:
    there, wanted = keys_of(from_yaml(folder / RUN_FILE)), keys_of(run)
    other = [name for name, value in wanted.items() if name not in _FREE and there.get(name) != value]
    if other:
        told = "; ".join(f"{name} was {there.get(name)!r}, is {wanted[name]!r}" for name in other[:4])
        raise RunError(
            f"the folder {str(folder)!r} has another run ({told}). Give another `output`, or delete the folder."
        )


def _environment() -> dict[str, Any]:
    """Versions, machine and state of the repository."""
    return {
        "vkood": vkood.__version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "machine": platform.machine(),
        "gpus": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())],
        "command": sys.argv[1:],
        "git": _git_state(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_state() -> dict[str, Any] | None:
    """The commit of the working folder, and whether files differ from it; None if it is no repository."""
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
        changed = subprocess.run(
            ["git", "status", "--porcelain"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {
        "commit": commit.stdout.strip(),
        "changed": sorted(line[3:] for line in changed.stdout.splitlines()),
    }


@dataclass
class Ledger:
    """What a training has cost so far, over all times that it was started.

    Attributes:
        steps: Optimiser steps.
        samples: Examples seen.
        seconds: Wall time.
        device_seconds: Time of all GPUs, or else of this process on the CPU.
        parameters: Numbers in the model.
        trainable_parameters: Those of them that are trained.
        peak_memory: Most megabytes at a time: of a GPU, or else of this process.
        processes: How many processes train.
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
            self.peak_memory = max(
                self.peak_memory, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            )
        self._since = (wall, cpu)

    def write(self, folder: Path) -> None:
        """Write it down."""
        told = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        write_text(folder / LEDGER_FILE, json.dumps(told, indent=1) + "\n")

    def go_on_from(self, folder: Path) -> None:
        """Take over what was spent before."""
        told = json.loads((folder / LEDGER_FILE).read_text(encoding="utf-8"))
        self.seconds, self.device_seconds = told["seconds"], told["device_seconds"]
        self.peak_memory = told["peak_memory"]


class MetricsLog:
    """Numbers by step, a JSON object a line.

    Args:
        folder: The run's folder.
        after: What was logged after so many steps is forgotten, since it comes again.
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
    """All lines that were logged; one that was cut off is left out."""
    path = folder / METRICS_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found: list[dict[str, Any]] = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def write_predictions(path: Path, predictions: list[dict[str, Any]]) -> None:
    """Write predictions, a JSON object a line; `vkood evaluate --predictions` reads them."""
    write_text(path, "".join(json.dumps(one) + "\n" for one in predictions))
