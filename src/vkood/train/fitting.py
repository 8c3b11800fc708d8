"""Train a model with the Hugging Face Trainer, which brings the loop, schedules and many devices."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import MISSING, dataclass
from typing import Any

import torch
from torch import Tensor, nn
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

from vkood.fields import Real, Whole, require_rules, ruled
from vkood.models import parameter_role


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What a training needs to know.

    Attributes:
        steps: Optimiser steps.
        batch_size: Rows in a batch.
        learning_rate: Peak of the learning rate; it falls linearly to zero.
        warmup: Share of the steps in which the rate rises to its peak.
        fusion_factor: How many times faster the fusion learns than the towers; roles are `parameter_role`'s.
        head_factor: How many times faster heads learn.
        weight_decay: AdamW's, on matrices only: biases, norms and single numbers are not decayed.
        max_grad_norm: Gradients are scaled down to this norm.
        seed: Of initial order and dropout.
        report_every: Steps between two reports.
    """

    steps: int = ruled(MISSING, Whole(1, 10**9))
    batch_size: int = ruled(MISSING, Whole(1, 10**7))
    learning_rate: float = ruled(MISSING, Real(0, 100, above=True))
    fusion_factor: float = ruled(1.0, Real(0, 1e6, above=True))
    head_factor: float = ruled(1.0, Real(0, 1e6, above=True))
    warmup: float = ruled(0.1, Real(0, 1, below=True))
    weight_decay: float = ruled(0.01, Real(0, 100))
    max_grad_norm: float = ruled(1.0, Real(0, 1e9))
    seed: int = ruled(0, Whole(0, 2**32 - 1))
    report_every: int = ruled(25, Whole(1, 10**9))

    def __post_init__(self) -> None:
        """Check the numbers."""
        require_rules(self)


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
        dataset: Rows; reshuffled every epoch, and told the epoch if it has `set_epoch`.
        collate: Rows to a batch of named tensors.
        options: How to train.
        on_report: Called every `report_every` steps.

    Returns:
        All reports: the learning curve.
    """
    reports = _Reports(on_report)
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
                weight_decay=options.weight_decay,
                max_grad_norm=options.max_grad_norm,
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
            optimizers=(torch.optim.AdamW(_groups(model, options), fused=True), None),
        )
        trainer.remove_callback(PrinterCallback)  # `on_report` says where reports go
        trainer.train()
    return reports.seen


def parameter_groups(
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    fusion_factor: float = 1.0,
    head_factor: float = 1.0,
) -> list[dict[str, Any]]:
    """Parameter groups of an optimiser: a rate for each role, and no weight decay for what has a single axis.

    Args:
        model: The model; what is frozen is left out.
        learning_rate: The towers' rate.
        weight_decay: Of matrices.
        fusion_factor: How many times faster the fusion learns than the towers; roles are `parameter_role`'s.
        head_factor: How many times faster heads learn.
    """
    factors = {"tower": 1.0, "fusion": fusion_factor, "head": head_factor}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = learning_rate * factors[parameter_role(name)]
            decay = weight_decay if parameter.dim() >= 2 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in sorted(groups.items(), key=lambda group: group[0], reverse=True)
    ]


def _groups(model: nn.Module, options: TrainingOptions) -> list[dict[str, Any]]:
    return parameter_groups(
        model,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        fusion_factor=options.fusion_factor,
        head_factor=options.head_factor,
    )


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


class Epochs(TrainerCallback):
    """Tells the dataset which epoch begins."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self._set_epoch = getattr(dataset, "set_epoch", None)

    @override
    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._set_epoch is not None:
            self._set_epoch(int(state.epoch or 0))
