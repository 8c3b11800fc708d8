"""A plan: which tensor of a checkpoint goes where in a model of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from vkood.models.convert.reading import CheckpointError
from vkood.models.convert.report import CheckpointReport, KeyReport, shortened
from vkood.models.positions import fit_positions

_MAX_BYTES_BESIDES = 2**30
"""What a model may need beyond four times the checkpoint's bytes: queues and momentum copies are new."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The caller's requests beside what the checkpoint states.

    Args:
        text_config: The caller's configuration of the text tower; None for the file's.
        image_config: The image tower's; likewise.
        image_size: Resolution; None for the file's own.
        task: What the model shall be for; None for the task of the file's heads.
        answers: The names of the classes of a head that picks answers, in the head's order; None if not known.
    """

    text_config: Mapping[str, Any] | None = None
    image_config: Mapping[str, Any] | None = None
    image_size: int | None = None
    task: str | None = None
    answers: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Where a tensor goes.

    Args:
        ours: Names in our model; a tensor that goes to several is split along its first axis, in equal parts.
        rows: How many first rows of the tensor are taken, which fill the first rows of ours, the others staying new;
            None for all of a tensor that is as long as ours.
        copies: Whether each of several places takes all of it.
        note: What else the report has on it.
    """

    ours: tuple[str, ...]
    rows: int | None = None
    copies: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The conversion of a checkpoint.

    Args:
        family: "meter" or "blip".
        task: What the model is for.
        model_class: The class of our model.
        config: Its configuration.
        towers: What its towers are, in words.
        image_size: Height and width of the images, in pixels.
        moves: Where each tensor goes.
        leftovers: Tensors that go nowhere, each with the reason why that is right.
        new: Patterns of the names in our model that the file need not have, each with the reason. A pattern has to
            match a whole name.
        resize: Whether another resolution was requested, so that position tables of the image tower are resized.
        notes: What was assumed because the file does not state it.
        finish: What is done to the filled model.
    """

    family: str
    task: str
    model_class: type[PreTrainedModel]
    config: PreTrainedConfig
    towers: str
    image_size: int
    moves: Mapping[str, Move]
    leftovers: Mapping[str, str]
    new: tuple[tuple[str, str], ...] = ()
    resize: bool = False
    notes: tuple[str, ...] = ()
    finish: Callable[[PreTrainedModel], None] | None = None


@torch.no_grad()
def carry_out(plan: Plan, state: Mapping[str, Tensor]) -> tuple[PreTrainedModel, CheckpointReport]:
    """Build the model, and fill it.

    Names, shapes and values are checked before memory is taken for the model. Weights that the file lacks are new, and
    the same whenever the file is loaded.

    Raises:
        CheckpointError: If a key is missing or unexpected that may not be, a tensor has a shape or a type that does not
            fit, or a weight is not finite.
    """
    with torch.device("meta"):
        empty = plan.model_class(plan.config)
    ours, shared = empty.state_dict(), _shared(empty)
    keys: list[KeyReport] = []
    sources: dict[str, str] = {}  # what fills each of our tensors
    for name, tensor in state.items():
        move = plan.moves.get(name)
        if move is None or not all(target in ours for target in move.ours):
            keys.append(KeyReport(name, "unexpected", allowed=plan.leftovers.get(name, "")))
            continue
        resized = _check(name, tensor, move, ours, resize=plan.resize)
        keys.append(KeyReport(name, "resized" if resized else "loaded", move.ours, allowed=move.note))
        for target in move.ours:
            _require_one_source(name, target, state, sources, shared)
    keys += [
        KeyReport(name, "missing", allowed=_allowed(name, plan, shared, sources))
        for name in ours
        if name not in sources
    ]
    report = CheckpointReport(
        plan.family,
        plan.task,
        plan.model_class.__name__,
        plan.towers,
        plan.image_size,
        tuple(keys),
        plan.notes,
    )
    report.require_complete()
    _require_bounded(empty, state)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = plan.model_class(plan.config)
    filled = model.state_dict()
    for key in (*report.of("loaded"), *report.of("resized")):
        _fill(key.name, state[key.name], plan.moves[key.name], filled)
    if plan.finish is not None:
        plan.finish(model)
    return model.eval(), report


def matching(names: Iterable[str], patterns: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each name that a pattern matches as a whole, with the note on that pattern."""
    pairs = [(re.compile(pattern), text) for pattern, text in patterns]
    return {name: text for name in names for pattern, text in pairs if pattern.fullmatch(name)}


def renamed(name: str, table: Iterable[tuple[str, str]]) -> str | None:
    """The name by the first pattern of a table that matches it as a whole; None if none does."""
    for pattern, ours in table:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, ours, name)
    return None


def _shared(model: PreTrainedModel) -> dict[str, str]:
    """For each parameter that has several names, the first of them."""
    first: dict[int, str] = {}
    named = list(model.named_parameters(remove_duplicate=False))
    for name, parameter in named:
        first.setdefault(id(parameter), name)
    return {name: first[id(parameter)] for name, parameter in named if first[id(parameter)] != name}


def _require_one_source(
    name: str, target: str, state: Mapping[str, Tensor], sources: dict[str, str], shared: Mapping[str, str]
) -> None:
    """Refuse two tensors for one place, unless they are equal and the place has two names."""
    place = shared.get(target, target)
    other = sources.get(target) or next(
        (sources[alias] for alias in (place, *_aliases(place, shared)) if alias in sources), None
    )
    if other is not None and not same(state[other], state[name]):
        raise CheckpointError(
            f"The checkpoint's {shortened(other)} and {shortened(name)} are one tensor in the model, but differ."
        )
    sources[target] = name


def _aliases(place: str, shared: Mapping[str, str]) -> list[str]:
    return [name for name, first in shared.items() if first == place]


def same(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors are equal; of tensors without contents the shapes are compared."""
    if first.device.type == "meta" or second.device.type == "meta":
        return first.shape == second.shape
    return first.shape == second.shape and bool(torch.equal(first, second))


def _allowed(name: str, plan: Plan, shared: Mapping[str, str], sources: Mapping[str, str]) -> str:
    """Why a key may be missing; empty if it may not."""
    place = shared.get(name, name)
    for alias in (place, *_aliases(place, shared)):
        if alias in sources:
            return f"the same tensor as {alias}"
    return next((reason for pattern, reason in plan.new if re.fullmatch(pattern, name)), "")


def _check(name: str, tensor: Tensor, move: Move, ours: Mapping[str, Tensor], *, resize: bool) -> bool:
    """Check that a tensor fits where it goes; returns whether it is resized for that."""
    bare = torch.empty(tensor.shape, device="meta", dtype=tensor.dtype)
    parts = _parts(name, bare, move, ours, resize=resize)
    for target, _ in parts:
        fits = tensor.is_floating_point() == ours[target].is_floating_point() and not tensor.is_complex()
        if not fits and tensor.device.type != "meta":
            raise CheckpointError(
                f"{shortened(name)} of the checkpoint has values of {str(tensor.dtype).removeprefix('torch.')}, but "
                f"{target!r} needs {str(ours[target].dtype).removeprefix('torch.')}."
            )
    if tensor.device.type != "meta" and tensor.is_floating_point():
        finite = torch.isfinite(tensor.to(ours[move.ours[0]].dtype))
        if not finite.all():
            raise CheckpointError(
                f"{shortened(name)} of the checkpoint has {int((~finite).sum())} of {tensor.numel()} values that are "
                "not finite (NaN or infinite), so its training has failed or the file is damaged."
            )
    return len(parts) == 1 and move.rows is None and parts[0][1].shape != tensor.shape


def _fill(name: str, tensor: Tensor, move: Move, ours: Mapping[str, Tensor]) -> None:
    """Put a tensor, which was checked, where it belongs."""
    for target, part in _parts(name, tensor, move, ours, resize=True):
        room = ours[target]
        (room if move.rows is None else room[: move.rows]).copy_(part)


def _parts(
    name: str, tensor: Tensor, move: Move, ours: Mapping[str, Tensor], *, resize: bool
) -> list[tuple[str, Tensor]]:
    """What of a tensor goes where, in the shape that it needs there."""
    number = len(move.ours)
    if move.rows is not None:
        tensor = tensor[: move.rows]
    split = number > 1 and not move.copies
    if split and (tensor.dim() == 0 or len(tensor) % number):
        raise CheckpointError(_misfit(name, tensor, move.ours[0], ours[move.ours[0]]))
    parts = tensor.chunk(number) if split else (tensor,) * number
    fitted: list[tuple[str, Tensor]] = []
    for part, target in zip(parts, move.ours, strict=True):
        room = ours[target]
        shape = room.shape if move.rows is None else torch.Size((move.rows, *room.shape[1:]))
        if part.shape != shape and resize and "image_tower." in target:
            try:
                part = fit_positions(target, part, shape)
            except ValueError as error:
                raise CheckpointError(
                    f"{shortened(name)} of the checkpoint cannot be resized: {error}"
                ) from None
        if part.shape != shape:
            raise CheckpointError(_misfit(name, part, target, room))
        fitted.append((target, part))
    return fitted


def _misfit(name: str, tensor: Tensor, target: str, room: Tensor) -> str:
    why = (
        "it is empty, as in the shards that DeepSpeed ZeRO writes, which have to be merged first"
        if tensor.numel() == 0
        else "the file is damaged, or a tower's configuration is another than the file's"
    )
    return (
        f"{shortened(name)} of the checkpoint has the shape {tuple(tensor.shape)}, but {target!r} needs "
        f"{tuple(room.shape)}: {why}."
    )


def _require_bounded(empty: PreTrainedModel, state: Mapping[str, Tensor]) -> None:
    """Refuse a model that needs far more memory than its checkpoint has: a size in it is wrong."""
    needed = sum(part.numel() * part.element_size() for part in (*empty.parameters(), *empty.buffers()))
    max_bytes = _MAX_BYTES_BESIDES + 4 * sum(tensor.numel() * 4 for tensor in state.values())
    if needed > max_bytes:
        raise CheckpointError(
            f"The model would need {needed / 2**30:,.1f} GiB, far more than its checkpoint holds: `image_size`, or a "
            "size in a configuration, is too large."
        )
