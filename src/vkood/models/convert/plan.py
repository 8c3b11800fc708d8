"""A plan: which tensor of a checkpoint goes where in a model of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from vkood.models.convert.reading import CheckpointError
from vkood.models.convert.report import CheckpointReport, KeyReport
from vkood.models.positions import fit_positions


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is wanted of a checkpoint besides what it says itself.

    Args:
        text_config: Configuration of the text tower; None to go by the file.
        image_config: Configuration of the image tower; likewise.
        image_size: Resolution; None for the file's own.
        task: What the model shall be for; None for what the file's heads say.
    """

    text_config: PreTrainedConfig | None = None
    image_config: PreTrainedConfig | None = None
    image_size: int | None = None
    task: str | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Where a tensor goes.

    Args:
        ours: Names in our model; a tensor that goes to several is split along its first axis, in equal parts.
        rows: Whether it fills the first rows of ours alone, the others staying new.
        copies: Whether each of several places takes all of it.
    """

    ours: tuple[str, ...]
    rows: bool = False
    copies: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to make of a checkpoint.

    Args:
        family: "meter" or "blip".
        task: What the model is for.
        model_class: The class of our model.
        config: Its configuration.
        towers: What its towers are, in words.
        image_size: Height and width of the images, in pixels.
        moves: Where each key of the file goes.
        leftovers: Keys of the file that go nowhere, each with the reason.
        new: Which of our names the file need not have, told by their beginnings, each with the reason.
    """

    family: str
    task: str
    model_class: type[PreTrainedModel]
    config: PreTrainedConfig
    towers: str
    image_size: int
    moves: Mapping[str, Move]
    leftovers: Mapping[str, str] = field(default_factory=dict)
    new: Mapping[str, str] = field(default_factory=dict)
    finish: Callable[[PreTrainedModel], None] | None = None


@torch.no_grad()
def carry_out(plan: Plan, state: Mapping[str, Tensor]) -> tuple[PreTrainedModel, CheckpointReport]:
    """Build the model, and fill it.

    Weights that the file lacks are new, and the same whenever the file is loaded.

    Raises:
        CheckpointError: If a key is missing or unexpected that may not be, or a tensor has a shape that does not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = plan.model_class(plan.config)
    ours = model.state_dict()
    keys: list[KeyReport] = []
    filled: set[str] = set()
    for name, tensor in state.items():
        move = plan.moves.get(name)
        if move is None or not all(target in ours for target in move.ours):
            keys.append(KeyReport(name, "unexpected", allowed=plan.leftovers.get(name, "")))
            continue
        resized = _fill(name, tensor, move, ours)
        keys.append(KeyReport(name, "resized" if resized else "loaded", move.ours))
        filled.update(move.ours)
    for name in (name for name in ours if name not in filled):
        reason = next((why for start, why in plan.new.items() if name.startswith(start)), "")
        keys.append(KeyReport(name, "missing", allowed=reason))
    report = CheckpointReport(
        plan.family, plan.task, plan.model_class.__name__, plan.towers, plan.image_size, tuple(keys)
    )
    report.require_complete()
    if plan.finish is not None:
        plan.finish(model)
    return model.eval(), report


def _fill(name: str, tensor: Tensor, move: Move, ours: dict[str, Any]) -> bool:
    """Put a tensor where it belongs; returns whether it had to be resized."""
    if move.rows:
        (target,) = move.ours
        room = ours[target]
        if tensor.shape[1:] != room.shape[1:] or len(tensor) > len(room):
            raise CheckpointError(_misfit(name, tensor, target, room))
        room[: len(tensor)].copy_(tensor)
        return False
    number = len(move.ours)
    parts = (tensor,) * number if move.copies or number == 1 else tensor.chunk(number)
    resized = False
    for part, target in zip(parts, move.ours, strict=True):
        fitted = fit_positions(target, part, ours[target].shape)
        if fitted.numel() == ours[target].numel() and fitted.dim() + 1 == ours[target].dim():
            fitted = fitted.view(ours[target].shape)
        if fitted.shape != ours[target].shape:
            raise CheckpointError(_misfit(name, part, target, ours[target]))
        resized = resized or fitted.shape[-2:] != part.shape[-2:]
        ours[target].copy_(fitted)
    return resized


def _misfit(name: str, tensor: Tensor, target: str, room: Tensor) -> str:
    return (
        f"{name!r} of the checkpoint has the shape {tuple(tensor.shape)}, but {target!r} needs {tuple(room.shape)}; "
        "a tower's configuration may be another than the file's."
    )
