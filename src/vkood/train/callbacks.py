"""What happens beside a training: checkpoints are marked, the best model kept, costs and numbers written down."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override

from vkood.files import complete_folder, write_text
from vkood.train.checkpoints import mark_whole
from vkood.train.record import Ledger, MetricsLog

BEST, LAST, SCORES_FILE = "best", "last", "scores.json"

SaveModel = Callable[[Path], None]
"""Writes the model and its processor to a folder; every process has to call it."""


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


class KeepBest(TrainerCallback):
    """Keeps the best model so far in its own folder.

    Args:
        folder: The run's folder.
        metric: The number that decides; larger is better.
        save_model: How the model is saved.
    """

    def __init__(self, folder: Path, metric: str, save_model: SaveModel) -> None:
        self._folder, self._metric, self._save = folder / BEST, metric, save_model

    @override
    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        found = (metrics or {}).get(f"eval_{self._metric}")
        if found is None or not found > self.best():
            return
        self._save(self._folder)
        if state.is_world_process_zero:
            scores = {"step": state.global_step, **(metrics or {})}
            write_text(self._folder / SCORES_FILE, json.dumps(scores, indent=1) + "\n")

    def best(self) -> float:
        """The best so far."""
        try:
            return json.loads((self._folder / SCORES_FILE).read_text(encoding="utf-8"))[
                f"eval_{self._metric}"
            ]
        except (OSError, ValueError, KeyError):
            return -math.inf


class AlphaRamp(TrainerCallback):
    """Lets the momentum encoder's opinion count for more and more in the first epoch, as BLIP does.

    Args:
        model: A model with an `alpha` of its own, which its configuration says the final value of.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    @override
    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._model.alpha = self._model.config.alpha * min(1.0, state.epoch or 0.0)


class WriteDown(TrainerCallback):
    """Writes numbers and costs to the run's folder, and tells how it goes."""

    def __init__(
        self, folder: Path, log: MetricsLog, ledger: Ledger, batch_size: int, tell: Callable[[str], None]
    ) -> None:
        self._folder, self._log, self._ledger, self._tell = folder, log, ledger, tell
        self._batch_size = batch_size

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
        self._tell(
            f"step {state.global_step:,} of {state.max_steps:,} (epoch {state.epoch or 0:.2f}): {shown}"
        )


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
