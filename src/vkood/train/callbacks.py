"""Callbacks of the Trainer: they mark complete checkpoints, keep the best model, and record costs and metrics."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override

from vkood.files import FileProblem, complete_folder, read_json_object
from vkood.progress import time_left
from vkood.train.checkpoints import mark_whole
from vkood.train.record import BEST, Ledger, MetricsLog
from vkood.train.run import RunError

SCORES_FILE = "scores.json"

SaveModel = Callable[[Path, str], None]
"""Writes the model, its processor and a text with its scores to a folder; every process has to call it."""


class Checkpoints(TrainerCallback):
    """Marks checkpoints as whole once all processes have written their part, with the costs so far."""

    def __init__(self, ledger: Ledger, wait: Callable[[], None]) -> None:
        self._ledger, self._wait = ledger, wait

    @override
    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._wait()
        if state.is_world_process_zero:
            checkpoint = Path(args.output_dir or "") / f"checkpoint-{state.global_step}"
            self._ledger.write(checkpoint)
            mark_whole(checkpoint)
        self._wait()


class Epochs(TrainerCallback):
    """Sets the epoch of the dataset when one begins."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self._set_epoch = getattr(dataset, "set_epoch", None)

    @override
    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._set_epoch is not None:
            self._set_epoch(int(state.epoch or 0))


class KeepBest(TrainerCallback):
    """Keeps the best model so far in its own folder.

    Args:
        folder: The run's folder.
        metric: The number that decides; larger is better.
        save_model: How the model is saved.

    Raises:
        RunError: If there is a best model whose scores cannot be read: the next one would replace it, better or not.
    """

    def __init__(self, folder: Path, metric: str, save_model: SaveModel) -> None:
        self._folder, self._metric, self._save = folder / BEST, f"eval_{metric}", save_model
        self._best = self._score_of_best()

    @override
    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        score = (metrics or {}).get(self._metric)
        if score is None or not score > self._best:
            return
        scores = {"step": state.global_step, **(metrics or {})}
        self._save(self._folder, json.dumps(scores, indent=1) + "\n")
        self._best = score

    def _score_of_best(self) -> float:
        if not self._folder.exists():
            return -math.inf
        path = self._folder / SCORES_FILE
        try:
            score = read_json_object(path, what="scores")[self._metric]
            if isinstance(score, int | float) and math.isfinite(score):
                return score
            reason = f"`{self._metric}` is {score!r}, not a number"
        except FileProblem as error:
            reason = str(error).rstrip(".")
        except KeyError:
            reason = f"there is no `{self._metric}` in {str(path)!r}"
        raise RunError(
            f"it is not known how good the best model so far is: {reason}. Move the folder {str(self._folder)!r} away, "
            "and training keeps the best from there on."
        )


class RunLog(TrainerCallback):
    """Records metrics and costs in the run's folder, and logs them with the speed and the time left."""

    def __init__(
        self, folder: Path, log: MetricsLog, ledger: Ledger, batch_size: int, log_line: Callable[[str], None]
    ) -> None:
        self._folder, self._log, self._ledger, self._log_line = folder, log, ledger, log_line
        self._batch_size = batch_size
        self._started = (0.0, 0)

    @override
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._started = (time.monotonic(), state.global_step)

    @override
    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        self._ledger.update(state.global_step, self._batch_size)
        self._ledger.write(self._folder)
        numbers = {name: float(value) for name, value in logs.items()}
        self._log.add(state.global_step, numbers | {"seconds": round(self._ledger.seconds, 3)})
        # Not those by type of question, of which there are dozens.
        shown = ", ".join(
            f"{name} {value:.4g}" for name, value in numbers.items() if name != "epoch" and "," not in name
        )
        speed = self._speed(state) if "loss" in numbers else ""
        self._log_line(
            f"step {state.global_step:,} of {state.max_steps:,} (epoch {state.epoch or 0:.2f}): {shown}{speed}"
        )

    def _speed(self, state: TrainerState) -> str:
        """Examples a second and time left, by the mean since the training was started, validations counted."""
        since, first = self._started
        seconds_a_step = (time.monotonic() - since) / max(1, state.global_step - first)
        left = time_left(seconds_a_step, 1, state.max_steps - state.global_step)
        return f", {self._batch_size / seconds_a_step:.3g} samples/s, {left}"


def save_to(folder: Path, save: Callable[[Path], None], *, first: bool, wait: Callable[[], None]) -> None:
    """Save in a folder that appears when it is complete.

    Args:
        folder: The folder.
        save: Writes to a folder; every process has to call it, the first one writes.
        first: Whether this is the first process.
        wait: Waits for all processes.
    """
    if first:
        with complete_folder(folder) as unfinished:
            save(unfinished)
    else:
        save(folder)
    wait()
