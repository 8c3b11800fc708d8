"""A run's arguments of the Trainer: transformers' `TrainingArguments`, with further fields for the optimiser."""

from __future__ import annotations

import inspect
import types
import typing
from dataclasses import MISSING, dataclass, fields, replace
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import SchedulerType, Trainer, TrainingArguments, get_scheduler
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION
from typing_extensions import override

from vkood.fields import shown
from vkood.spelling import nearest, require_known
from vkood.tasks.ranks import world_size
from vkood.train.parameter_groups import parameter_groups
from vkood.train.run import Run, RunError, planned_steps, steps_of_epoch

SCHEDULES: dict[str, tuple[str, dict[str, Any]]] = {
    "polynomial": ("polynomial", {"power": 1.0, "lr_end": 0.0}),
    "cosine": ("cosine", {}),
    "linear": ("linear", {}),
    "constant": ("constant_with_warmup", {}),
}
KEYS = {
    "output_dir": "output",
    "num_train_epochs": "optimisation.epochs",
    "max_steps": "optimisation.steps",
    "per_device_train_batch_size": "optimisation.device_batch_size",
    "per_device_eval_batch_size": "optimisation.device_batch_size",
    "gradient_accumulation_steps": "optimisation.batch_size",
    "learning_rate": "optimisation.learning_rate",
    "fusion_factor": "optimisation.fusion_factor",
    "head_factor": "optimisation.head_factor",
    "weight_decay": "optimisation.weight_decay",
    "adam_beta1": "optimisation.betas",
    "adam_beta2": "optimisation.betas",
    "adam_epsilon": "optimisation.eps",
    "lr_scheduler_type": "optimisation.schedule",
    "warmup_steps": "optimisation.warmup",
    "max_grad_norm": "optimisation.max_grad_norm",
    "bf16": "optimisation.precision",
    "fp16": "optimisation.precision",
    "seed": "optimisation.seed",
    "data_seed": "optimisation.seed",
    "logging_steps": "optimisation.log_every",
    "eval_strategy": "data.validation",
    "eval_steps": "optimisation.evaluate_every",
    "save_strategy": "optimisation.save_every",
    "save_steps": "optimisation.save_every",
    "save_total_limit": "optimisation.keep_checkpoints",
    "fsdp": "optimisation.fsdp",
    "gradient_checkpointing": "model.gradient_checkpointing",
    "dataloader_num_workers": "data.workers",
    "use_cpu": "num_gpus",
}
"""Fields that have a key of their own; all others may be set by `optimisation.arguments.<field>`."""
_KINDS: dict[Any, Any] = {bool: bool, int: int, float: (int, float), str: str, dict: dict, list: list}
_EXPECTED = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "named values",
    list: "a list",
    types.NoneType: "null",
}
_OF_EVERY_SCHEDULE = {"optimizer", "num_warmup_steps", "num_training_steps", "last_epoch"}


@dataclass
class RunArguments(TrainingArguments):
    """Arguments of a run's Trainer.

    Attributes:
        fusion_factor: Factor on the towers' learning rate for the fusion.
        head_factor: Factor on the towers' learning rate for heads.
    """

    # transformers takes whole numbers for its fields of type float, which jaxtyping's checks under pytest do not.
    __no_type_check__ = True

    fusion_factor: float = 5.0
    head_factor: float = 5.0

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimiser that `optim` names, with a learning rate for each part of the model."""
        groups = parameter_groups(
            model,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            fusion_factor=self.fusion_factor,
            head_factor=self.head_factor,
        )
        kind, options = Trainer.get_optimizer_cls_and_kwargs(self)
        return kind(groups, **options)


def further_fields() -> dict[str, Any]:
    """The fields that `optimisation.arguments` may set, with their defaults."""
    return {
        item.name: item.default_factory() if item.default_factory is not MISSING else item.default
        for item in fields(RunArguments)
        if item.init and item.name not in KEYS
    }


class _Unplaced(RunArguments):
    """Arguments that are checked before processes join: they take no device."""

    @property
    @override
    def device(self) -> torch.device:
        return torch.device("cpu")


def require_arguments(run: Run) -> None:
    """Refuse fields of `optimisation.arguments` that are unknown, have a key of their own, or have an impossible value.

    The arguments, an optimiser and its schedule are made for it as the run will make them, but for no weights of a
    model and on no device.

    Raises:
        RunError: If there is one.
    """
    options = run.optimisation
    if not options.arguments:
        return
    known, types_of = further_fields(), typing.get_type_hints(TrainingArguments)
    for name, value in options.arguments.items():
        key = f"optimisation.arguments.{name}"
        if name in KEYS:
            raise RunError(f"`{key}` has a key of its own: set `{KEYS[name]}` in its place.")
        if name not in known:
            near = nearest(name, known)
            hint = f" Did you mean `optimisation.arguments.{near[0]}`?" if near else ""
            raise RunError(
                f"there is no `{key}`: it must be a field of transformers' TrainingArguments.{hint}"
            )
        _require_fitting(key, value, types_of[name])
    whole = replace(options, batch_size=world_size(), device_batch_size=1, fsdp=False)
    metric = "score" if run.data.validation else None
    arguments = run_arguments(
        replace(run, optimisation=whole), Path(), num_examples=world_size(), metric=metric, kind=_Unplaced
    )
    schedule: Any = TYPE_TO_SCHEDULER_FUNCTION[SchedulerType(arguments.lr_scheduler_type)]
    values: Any = arguments.lr_scheduler_kwargs or {}
    try:
        require_known(
            values,
            set(inspect.signature(schedule).parameters) - _OF_EVERY_SCHEDULE,
            f"`optimisation.arguments.lr_scheduler_kwargs` must have options of the schedule {options.schedule}",
        )
    except ValueError as error:
        raise RunError(str(error)) from None
    try:
        optimizer = arguments.optimizer(nn.Linear(2, 2))
        get_scheduler(arguments.lr_scheduler_type, optimizer, 0, 10, values)
    except Exception as error:  # of whatever optimiser
        raise _impossible(error) from error


def _require_fitting(key: str, value: Any, hint: Any) -> None:
    """Refuse a value that is not of an annotated type, as far as YAML's types show; enumerations take their names."""
    members = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    kinds = [typing.get_origin(member) or member for member in members]
    names = [
        item.value for kind in kinds if isinstance(kind, type) and issubclass(kind, Enum) for item in kind
    ]
    if names and isinstance(value, str) and value not in names:
        near = nearest(value, names)
        there_are = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(names))}."
        raise RunError(f"`{key}` cannot be {value!r}: {there_are}")
    for kind in kinds:
        if value is None and kind is types.NoneType:
            return
        if isinstance(value, _KINDS.get(kind, str)) and (kind is bool or not isinstance(value, bool)):
            return
    *first, last = dict.fromkeys(_EXPECTED.get(kind, "text") for kind in kinds)
    expected = f"{', '.join(first)} or {last}" if first else last
    raise RunError(f"`{key}` must be {expected}; got {shown(value)}.")


def _impossible(error: Exception) -> RunError:
    return RunError(
        f"`optimisation.arguments` cannot be: {(str(error) or type(error).__name__).splitlines()[0]}"
    )


def run_arguments(
    run: Run,
    folder: Path,
    *,
    num_examples: int,
    metric: str | None,
    kind: type[RunArguments] = RunArguments,
) -> RunArguments:
    """The arguments of a run.

    Args:
        run: The run.
        folder: Its folder.
        num_examples: Number of examples of an epoch.
        metric: The metric by which the best model is chosen; None without validation.
        kind: The class of the arguments.

    Raises:
        RunError: If a batch cannot be divided among the processes, or `optimisation.arguments` cannot be.
    """
    options = run.optimisation
    share = options.batch_size // world_size()
    device_batch_size = min(options.device_batch_size, max(1, share))
    if share == 0 or options.batch_size % (device_batch_size * world_size()):
        raise RunError(
            f"`optimisation.batch_size`, {options.batch_size}, must be a multiple of {world_size()} processes times "
            f"`optimisation.device_batch_size`, {device_batch_size}."
        )
    steps = planned_steps(run, num_examples)
    between = max(1, round(options.evaluate_every * steps_of_epoch(run, num_examples)))
    schedule, schedule_options = SCHEDULES[options.schedule]
    cpu, several = on_cpu(run), world_size() > 1
    values: dict[str, Any] = {
        "output_dir": str(folder / "checkpoints"),
        "max_steps": steps,
        "per_device_train_batch_size": device_batch_size,
        "gradient_accumulation_steps": options.batch_size // (device_batch_size * world_size()),
        "learning_rate": options.learning_rate,
        "fusion_factor": options.fusion_factor,
        "head_factor": options.head_factor,
        "weight_decay": options.weight_decay,
        "adam_beta1": options.betas[0],
        "adam_beta2": options.betas[1],
        "adam_epsilon": options.eps,
        "optim": "adamw_torch_fused",  # on CPUs too: one pass over each parameter in place of a dozen
        "lr_scheduler_type": schedule,
        "lr_scheduler_kwargs": schedule_options,
        "warmup_steps": round(options.warmup * steps),
        "max_grad_norm": options.max_grad_norm,
        "bf16": options.precision == "bf16",
        "fp16": options.precision == "fp16",
        "seed": options.seed,
        "data_seed": options.seed,
        "logging_steps": options.log_every,
        "logging_nan_inf_filter": False,
        "eval_strategy": "no" if metric is None else "steps",
        "eval_steps": between,
        "metric_for_best_model": None if metric is None else f"eval_{metric}",
        "greater_is_better": None if metric is None else True,
        "save_strategy": "steps",
        "save_steps": options.save_every or min(between, steps),
        "save_total_limit": options.keep_checkpoints,
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_drop_last": True,
        "dataloader_num_workers": run.data.workers,
        "dataloader_pin_memory": not cpu,
        "use_cpu": cpu,
        "ddp_backend": "gloo" if several and cpu else None,
        "ddp_find_unused_parameters": True if several and not options.fsdp else None,
        "fsdp": True if options.fsdp else None,
        "restore_callback_states_from_checkpoint": True,
        "average_tokens_across_devices": False,
    }
    try:
        return kind(**(values | options.arguments))
    except Exception as error:  # of whatever field
        if not options.arguments:
            raise
        raise _impossible(error) from error


def on_cpu(run: Run) -> bool:
    """Whether a run has no GPU."""
    return run.num_gpus == 0 or not torch.cuda.is_available()
