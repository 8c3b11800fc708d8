"""The kernels of `triton_diagonal` as operators of torch, with gradients; to a compiler each is closed.

Legend: B sets, M tokens, K components, D dimensions.
"""

# Operators and functions of autograd have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from vkood.mixture.backends import triton_diagonal
from vkood.mixture.backends.triton_launch import (
    block_sizes,
    each,
    launch,
    needed_like,
    tile_size,
    without_none,
)


class DiagonalProblem(NamedTuple):
    """The operands of `Diagonal.step`."""

    tokens: Tensor
    weights: Tensor
    prior_mean: Tensor
    strength: Tensor
    concentration: Tensor
    variance_strength: Tensor
    floor: Tensor

    def arguments(self, components: int) -> dict[str, Any]:
        """The same, as kernels take it."""
        dim = self.tokens.shape[2]
        return {
            **self._asdict(),
            "num_tokens": self.tokens.shape[1],
            "K": components,
            "D": dim,
            "MEANS": each(self.prior_mean),
            "STRENGTHS": each(self.strength),
            **block_sizes(components, dim),
            "BLOCK_M": tile_size(dim),
        }


class DiagonalFit(NamedTuple):
    """What a diagonal fit gives."""

    log_weight: Tensor
    mean: Tensor
    log_scale: Tensor
    """The parameters of the mixtures, as in `Mixture`."""
    status: Tensor
    steps: Tensor
    residual: Tensor
    trace: Tensor
    """How it went, as in `Solution`, the trace with a column for every step that there may be."""
    second: Tensor
    first: Tensor
    number: Tensor
    """The sums of the E-step at the fixed point, (B, K, D) of squares and differences, and (B, K)."""


_TAKEN, _PARAMETERS = len(DiagonalProblem._fields), 3
_PROBLEM = ", ".join(f"Tensor {name}" for name in DiagonalProblem._fields)
_DIFFERENTIABLE = 4
"""Fields of a problem that have gradients."""
_ENDING = ("log_weight", "mean", "log_scale", "status", "second", "first", "number")


# Schemas are written out, since torch finds no annotations where a test's checks of shapes wrap a function.
@torch.library.custom_op(
    "vkood::fit_diagonal",
    mutates_args=(),
    schema=f"({_PROBLEM}, Tensor start_weight, Tensor start_mean, Tensor start_scale, float tolerance, "
    f"float smallest, int max_steps) -> ({', '.join(['Tensor'] * len(DiagonalFit._fields))})",
)
def fit_diagonal(*inputs: Any) -> tuple[Tensor, ...]:
    """Fit mixtures.

    Args:
        inputs: The fields of a `DiagonalProblem`; the parameters to start from; tolerance, floor and maximum of steps
            as in `Solver`.

    Returns:
        The fields of a `DiagonalFit`, of which the first three have gradients, but none to the start.
    """
    problem = DiagonalProblem(*inputs[:_TAKEN])
    start_weight, start_mean, start_scale, tolerance, floor, max_steps = inputs[_TAKEN:]
    fitted = _results(problem, start_mean, max_steps)
    launch(
        triton_diagonal.fit,
        problem.tokens,
        {
            **problem.arguments(start_mean.shape[1]),
            "start_weight": start_weight,
            "start_mean": start_mean,
            "start_scale": start_scale,
            **{f"to_{name}": tensor for name, tensor in fitted._asdict().items()},
            "tolerance": tolerance,
            "smallest": floor,
            "max_steps": max_steps,
        },
    )
    return tuple(fitted)


@fit_diagonal.register_fake
def _(*inputs: Any) -> tuple[Tensor, ...]:
    return tuple(_results(DiagonalProblem(*inputs[:_TAKEN]), inputs[_TAKEN + 1], inputs[-1]))


def _results(problem: DiagonalProblem, start_mean: Tensor, max_steps: int) -> DiagonalFit:
    """Room for them."""
    tokens = problem.tokens
    sets, components, dim = start_mean.shape
    return DiagonalFit(
        log_weight=tokens.new_empty(sets, components),
        mean=tokens.new_empty(sets, components, dim),
        log_scale=tokens.new_empty(sets, components, dim),
        status=tokens.new_empty(sets, dtype=torch.int64),
        steps=tokens.new_empty(sets, dtype=torch.int64),
        residual=tokens.new_empty(sets),
        trace=tokens.new_empty(sets, max_steps),
        second=tokens.new_empty(sets, components, dim),
        first=tokens.new_empty(sets, components, dim),
        number=tokens.new_empty(sets, components),
    )


@torch.library.custom_op(
    "vkood::fit_diagonal_backward",
    mutates_args=(),
    schema="(Tensor? arrived_log_weight, Tensor? arrived_mean, Tensor? arrived_log_scale, "
    f"{', '.join(f'Tensor {name}' for name in _ENDING)}, bool[] needed, {_PROBLEM}) -> "
    "(Tensor, Tensor, Tensor, Tensor)",
)
def _backward(*inputs: Any) -> tuple[Tensor, ...]:
    """The gradients of tokens, weights, prior mean and strength; of no size where they are not needed."""
    *arrived_and_ending, needed = inputs[:-_TAKEN]
    problem = DiagonalProblem(*inputs[-_TAKEN:])
    names = ("arrived_log_weight", "arrived_mean", "arrived_log_scale", *_ENDING)
    arguments = dict(zip(names, arrived_and_ending, strict=True))
    gradients = needed_like(problem._asdict(), needed)
    launch(
        triton_diagonal.fit_backward,
        problem.tokens,
        {
            **problem.arguments(arguments["mean"].shape[1]),
            **arguments,
            **{f"to_{name}": gradient for name, gradient in gradients.items()},
        },
    )
    return without_none(problem.tokens, gradients)


@_backward.register_fake
def _(*inputs: Any) -> tuple[Tensor, ...]:
    problem = DiagonalProblem(*inputs[-_TAKEN:])
    return without_none(problem.tokens, needed_like(problem._asdict(), inputs[-_TAKEN - 1]))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    fitted = DiagonalFit(*output)._asdict()
    ctx.save_for_backward(*(fitted[name] for name in _ENDING), *inputs[:_TAKEN])


def _back(ctx: Any, *arriving: Tensor | None) -> tuple[Tensor | None, ...]:
    needed = list(ctx.needs_input_grad[:_DIFFERENTIABLE])
    gradients: list[Tensor | None] = [None] * len(ctx.needs_input_grad)
    arrived = arriving[:_PARAMETERS]
    if any(needed) and any(gradient is not None for gradient in arrived):
        ending, problem = ctx.saved_tensors[:-_TAKEN], ctx.saved_tensors[-_TAKEN:]
        for i, gradient in enumerate(_backward(*arrived, *ending, needed, *problem)):
            gradients[i] = gradient if needed[i] else None
    return tuple(gradients)


fit_diagonal.register_autograd(_back, setup_context=_keep)
