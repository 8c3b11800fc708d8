"""Train a model on rows that are no tables: the loop of the Hugging Face Trainer, with reports on the way."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from typing_extensions import override

from vkood.train.callbacks import Epochs
from vkood.train.parameter_groups import parameter_groups


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How to train.

    Attributes:
        steps: Optimiser steps.
        batch_size: Rows in a batch.
        learning_rate: Peak of the learning rate; it falls linearly to zero.
        warmup: Share of the steps in which the rate rises to its peak.
        seed: Of the order.
        report_every: Steps between two reports.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup: float = 0.1
    seed: int = 0
    report_every: int = 25


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """Where a training stands.

    Attributes:
        step: Optimiser steps done.
        loss: Mean loss since the last report.
    """

    step: int
    loss: float


def fit(
    model: PreTrainedModel,
    dataset: Dataset[Any],
    collate: Callable[[list[Any]], dict[str, Tensor]],
    options: TrainingOptions,
    *,
    on_report: Callable[[StepReport], None] | None = None,
) -> list[StepReport]:
    """Train `model` in place.

    Args:
        model: Gives a loss for a batch.
        dataset: Rows; reshuffled every epoch, with another epoch if it has `set_epoch`.
        collate: Rows to a batch of named tensors.
        options: How to train.
        on_report: Called every `report_every` steps.

    Returns:
        All reports: the learning curve.
    """
    reports = _Reports(on_report)
    groups = parameter_groups(model, learning_rate=options.learning_rate, weight_decay=0.01)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=scratch,
                max_steps=options.steps,
                per_device_train_batch_size=options.batch_size,
                learning_rate=options.learning_rate,
                lr_scheduler_type="linear",
                warmup_steps=round(options.warmup * options.steps),
                weight_decay=0.01,
                max_grad_norm=1.0,
                seed=options.seed,
                data_seed=options.seed,
                logging_steps=options.report_every,
                logging_nan_inf_filter=False,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                remove_unused_columns=False,
                dataloader_drop_last=True,
                dataloader_pin_memory=torch.cuda.is_available(),
            ),
            data_collator=collate,
            train_dataset=dataset,
            callbacks=[reports, Epochs(dataset)],
            # Fused: on CPUs too, one pass over each parameter in place of a dozen small operations.
            optimizers=(torch.optim.AdamW(groups, fused=True), None),
        )
        trainer.remove_callback(PrinterCallback)  # `on_report` says where reports go
        trainer.train()
    return reports.seen


class _Reports(TrainerCallback):
    """Keeps what the Trainer logs, and passes it on."""

    def __init__(self, on_report: Callable[[StepReport], None] | None) -> None:
        self.seen: list[StepReport] = []
        self._on_report = on_report

    @override
    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs is None or "loss" not in logs:
            return
        self.seen.append(StepReport(step=state.global_step, loss=logs["loss"]))
        if self._on_report is not None:
            self._on_report(self.seen[-1])
