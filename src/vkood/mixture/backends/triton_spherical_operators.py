"""The kernels of `triton_spherical` as operators of torch, with gradients; to a compiler each is closed.

They are no `triton_op`s, whose body a compiler traces, so that what runs on a GPU is, but for the device, what tests
run on a CPU with interpreted kernels. Operators take tensors and numbers only: records are spread out before a call,
and gathered in it again.

Legend: B sets, M tokens, N candidates, K components, D dimensions.
"""

# Operators and functions of autograd have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from vkood.mixture.backends import triton_spherical
from vkood.mixture.backends.triton_launch import (
    block_sizes,
    each,
    launch,
    needed_like,
    resident_size,
    tile_size,
    without_none,
)


class SphericalProblem(NamedTuple):
    """What a spherical fit is given."""

    tokens: Tensor
    """(B, M, D) directions, or vectors of any length if they are to be brought to length 1."""
    weights: Tensor | None
    """(B, M) of any type; all 1 if None. Tokens without weight may hold anything."""
    kappa: Tensor
    """(1,) or (B, 1)."""
    uniform: Tensor | None
    """(B, 1) the logit of a background; none if None."""
    prior_mean: Tensor | None
    """(B, 1 or K, D), of length 1 at most; zeros if None."""
    strength: Tensor | None
    """(B, 1 or K); `strength_of_all` if None."""
    concentration: Tensor | None
    """(B, 1); `concentration_of_all` if None."""
    strength_of_all: float
    concentration_of_all: float
    components: int
    normalize: bool

    @property
    def closed(self) -> bool:
        """Whether one step gives the fixed point, from wherever it begins."""
        return self.components == 1 and self.uniform is None

    @property
    def arguments(self) -> dict[str, Any]:
        """The same, as kernels take it."""
        return {
            "tokens": self.tokens,
            "weights": self.weights,
            "kappa": self.kappa,
            "uniform": self.uniform,
            "prior_mean": self.prior_mean,
            "strength": self.strength_of_all if self.strength is None else self.strength,
            "concentration": (
                self.concentration_of_all if self.concentration is None else self.concentration
            ),
            "num_tokens": self.tokens.shape[1],
            "K": self.components,
            "D": self.tokens.shape[2],
            "KAPPAS": self.kappa.dim() - 1,
            "MEANS": each(self.prior_mean),
            "STRENGTHS": each(self.strength),
            "COUNTS": each(self.concentration),
            "NORMALIZE": self.normalize,
            **block_sizes(self.components, self.tokens.shape[2]),
        }


class SphericalFit(NamedTuple):
    """What a spherical fit gives."""

    log_weight: Tensor
    mean: Tensor
    log_scale: Tensor
    """The parameters of the mixtures, as in `Mixture`."""
    status: Tensor
    steps: Tensor
    residual: Tensor
    trace: Tensor
    """How it went, as in `Solution`, the trace with a column for every step that there may be."""
    first: Tensor
    """(B, K, D) the sum of responsibilities times tokens at the fixed point."""
    number: Tensor
    """(B, K) the sum of responsibilities there."""


_PROBLEM = (
    "Tensor tokens, Tensor? weights, Tensor kappa, Tensor? uniform, Tensor? prior_mean, Tensor? strength, "
    "Tensor? concentration, float strength_of_all, float concentration_of_all, int components, bool normalize"
)
_TAKEN, _FITTED = len(SphericalProblem._fields), len(SphericalFit._fields)
_TENSORS = 7
"""Fields of a problem that are tensors, of which all but the last have gradients."""
_KAPPA = SphericalProblem._fields.index("kappa")


# Schemas are written out, since torch finds no annotations where a test's checks of shapes wrap a function.
@torch.library.custom_op(
    "vkood::fit_spherical",
    mutates_args=(),
    schema=f"({_PROBLEM}, Tensor? start_mean, float tolerance, float floor, int max_steps) -> "
    f"({', '.join(['Tensor'] * _FITTED)})",
)
def fit_spherical(*inputs: Any) -> tuple[Tensor, ...]:
    """Fit mixtures.

    Args:
        inputs: The fields of a `SphericalProblem`; means (B, K, D) to start from, with equal weights, None where one
        step
            does; tolerance, floor and maximum of steps as in `Solver`.

    Returns:
        The fields of a `SphericalFit`, of which the first three have gradients.
    """
    problem = SphericalProblem(*inputs[:_TAKEN])
    start_mean, tolerance, floor, max_steps = inputs[_TAKEN:]
    fitted = _fit_results(problem, max_steps)
    size, dim = problem.tokens.shape[1:]
    resident = 0 if problem.closed else resident_size(size, dim)
    launch(
        triton_spherical.fit_single if problem.closed else triton_spherical.fit,
        problem.tokens,
        {
            **problem.arguments,
            "start_mean": start_mean,
            **{f"to_{name}": tensor for name, tensor in fitted._asdict().items()},
            "tolerance": tolerance,
            "floor": floor,
            "max_steps": max_steps,
            "RESIDENT": bool(resident),
            "BLOCK_M": resident or tile_size(dim),
        },
    )
    return tuple(fitted)


@fit_spherical.register_fake
def _(*inputs: Any) -> tuple[Tensor, ...]:
    return tuple(_fit_results(SphericalProblem(*inputs[:_TAKEN]), inputs[-1]))


def _fit_results(problem: SphericalProblem, max_steps: int) -> SphericalFit:
    """Room for them."""
    sets, _, dim = problem.tokens.shape
    new, components = problem.tokens.new_empty, problem.components
    float32, int64 = torch.float32, torch.int64
    return SphericalFit(
        log_weight=new(sets, components, dtype=float32),
        mean=new(sets, components, dim, dtype=float32),
        log_scale=new(sets, 1, dtype=float32),
        status=new(sets, dtype=int64),
        steps=new(sets, dtype=int64),
        residual=new(sets, dtype=float32),
        trace=new(sets, max_steps, dtype=float32),
        first=new(sets, components, dim, dtype=float32),
        number=new(sets, components, dtype=float32),
    )


@torch.library.custom_op(
    "vkood::fit_spherical_backward",
    mutates_args=(),
    schema="(Tensor? arrived_log_weight, Tensor? arrived_mean, Tensor log_weight, "
    f"Tensor mean, Tensor status, Tensor first, Tensor count, bool[] needed, {_PROBLEM}) -> "
    "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _fit_spherical_backward(*inputs: Any) -> tuple[Tensor, ...]:
    """The gradients of the tensors of a problem, of each set its own; of no size where they are not needed."""
    names = (
        "arrived_log_weight",
        "arrived_mean",
        "log_weight",
        "mean",
        "status",
        "first",
        "number",
    )
    *tensors, needed = inputs[: len(names) + 1]
    problem = SphericalProblem(*inputs[len(names) + 1 :])
    gradients = _fit_gradients(problem, needed)
    launch(
        triton_spherical.fit_backward,
        problem.tokens,
        {
            **problem.arguments,
            **dict(zip(names, tensors, strict=True)),
            **{f"to_{name}": gradient for name, gradient in gradients.items()},
            "BLOCK_M": tile_size(problem.tokens.shape[2]),
        },
    )
    return without_none(problem.tokens, gradients)


@_fit_spherical_backward.register_fake
def _(*inputs: Any) -> tuple[Tensor, ...]:
    *_, needed = inputs[:-_TAKEN]
    problem = SphericalProblem(*inputs[-_TAKEN:])
    return without_none(problem.tokens, _fit_gradients(problem, needed))


def _fit_gradients(problem: SphericalProblem, needed: list[bool]) -> dict[str, Tensor | None]:
    """Room for those that are needed."""
    of_sets = problem.tokens.new_empty(len(problem.tokens), 1, dtype=torch.float32)
    return needed_like({**problem._asdict(), "kappa": of_sets}, needed)


def _keep_fit(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.numbers = inputs[_TENSORS:_TAKEN]
    fitted = SphericalFit(*output)
    sums = fitted.first, fitted.number
    ctx.save_for_backward(fitted.log_weight, fitted.mean, fitted.status, *sums, *inputs[:_TENSORS])


def _back_through_fit(ctx: Any, *arriving: Tensor | None) -> tuple[Tensor | None, ...]:
    problem = SphericalProblem(*ctx.saved_tensors[-_TENSORS:], *ctx.numbers)
    needed = list(ctx.needs_input_grad[: _TENSORS - 1])
    to_log_weight, to_mean, to_log_scale = arriving[:3]
    gradients: list[Tensor | None] = [None] * len(ctx.needs_input_grad)
    to_kappa = -to_log_scale / problem.kappa if needed[_KAPPA] and to_log_scale is not None else None
    if to_log_weight is not None or to_mean is not None:
        needed[_KAPPA] &= not problem.closed
        fitted = ctx.saved_tensors[:-_TENSORS]
        results = _fit_spherical_backward(to_log_weight, to_mean, *fitted, needed, *problem)
        gradients[: len(needed)] = [
            result if need else None for result, need in zip(results, needed, strict=True)
        ]
        if needed[_KAPPA]:
            to_kappa = results[_KAPPA] if to_kappa is None else to_kappa + results[_KAPPA]
    gradients[_KAPPA] = to_kappa if to_kappa is None or problem.kappa.dim() == 2 else to_kappa.sum(0)
    return tuple(gradients)


fit_spherical.register_autograd(_back_through_fit, setup_context=_keep_fit)


_CANDIDATES = (
    "Tensor candidates, Tensor? present, Tensor kappa, Tensor log_weight, Tensor mean, Tensor? threshold, "
    "Tensor? log_temperature"
)


@torch.library.custom_op(
    "vkood::gate_spherical", mutates_args=(), schema=f"({_CANDIDATES}) -> (Tensor, Tensor, Tensor)"
)
def gate_spherical(*inputs: Any) -> tuple[Tensor, ...]:
    """Score candidates under fitted mixtures, and gate them.

    Args:
        inputs: Candidates (B, N, D) of any length; boolean (B, N), which of them there are, all if None; kappa, (1,) or
            (B, 1); the parameters log_weight (B, K) and mean (B, K, D) of the mixtures; threshold and log_temperature
            (1,) of the gates, both or none.

    Returns:
        log_gate and gate, of no size without a threshold, and score; (B, N).
    """
    gates = _gates(*inputs)
    launch(
        triton_spherical.gates,
        inputs[0],
        {
            **_candidates(*inputs),
            **{f"to_{name}": value for name, value in zip(("log_gate", "gate", "score"), gates, strict=True)},
        },
    )
    return gates


@gate_spherical.register_fake
def _(*inputs: Any) -> tuple[Tensor, ...]:
    return _gates(*inputs)


def _gates(candidates: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Room for log_gate, gate and score."""
    gated = others[-1] is not None
    shape = candidates.shape[:2]
    new = [
        candidates.new_empty(shape if needed else 0, dtype=torch.float32) for needed in (gated, gated, True)
    ]
    return new[0], new[1], new[2]


def _candidates(candidates, present, kappa, log_weight, mean, threshold, log_temperature) -> dict[str, Any]:
    """What kernels of gates are given."""
    components, dim = mean.shape[1:]
    return {
        "candidates": candidates,
        "present": present,
        "kappa": kappa,
        "log_weight": log_weight,
        "mean": mean,
        "threshold": threshold,
        "log_temperature": log_temperature,
        "num_candidates": candidates.shape[1],
        "K": components,
        "D": dim,
        "KAPPAS": kappa.dim() - 1,
        **block_sizes(components, dim),
        "BLOCK_N": tile_size(dim),
    }


@torch.library.custom_op(
    "vkood::gate_spherical_backward",
    mutates_args=(),
    schema="(Tensor? arrived_log_gate, Tensor? arrived_gate, Tensor? arrived_score, bool to_candidates, "
    f"{_CANDIDATES}) -> (Tensor, Tensor, Tensor, Tensor)",
)
def _gate_spherical_backward(*inputs: Any) -> tuple[Tensor, ...]:
    """The gradients of candidates, of no size if not needed, log_weight and mean, and of numbers.

    These are (B, 3): what each set adds to the gradients of kappa, threshold and log_temperature.
    """
    *arriving, needed = inputs[:4]
    gradients = _gate_gradients(needed, *inputs[4:])
    to_candidates, to_log_weight, to_mean, to_numbers = gradients
    launch(
        triton_spherical.gates_backward,
        inputs[4],
        {
            **_candidates(*inputs[4:]),
            **dict(zip(("arrived_log_gate", "arrived_gate", "arrived_score"), arriving, strict=True)),
            "to_candidates": to_candidates if needed else None,
            "to_log_weight": to_log_weight,
            "to_mean": to_mean,
            "to_numbers": to_numbers,
        },
    )
    return gradients


@_gate_spherical_backward.register_fake
def _(*inputs: Any) -> tuple[Tensor, ...]:
    return _gate_gradients(*inputs[3:])


def _gate_gradients(needed: bool, candidates: Tensor, *others: Any) -> tuple[Tensor, ...]:
    """Room for them."""
    _, _, log_weight, mean, *_ = others
    to_candidates = candidates.new_empty(candidates.shape if needed else 0)
    to_numbers = candidates.new_empty(len(candidates), 3, dtype=torch.float32)
    return to_candidates, log_weight.new_empty(log_weight.shape), mean.new_empty(mean.shape), to_numbers


def _keep_gates(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    del output
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs)


def _back_through_gates(ctx: Any, *arriving: Tensor | None) -> tuple[Tensor | None, ...]:
    needed = ctx.needs_input_grad
    if all(gradient is None for gradient in arriving):
        return (None,) * len(needed)
    _, _, kappa, _, _, _, _ = ctx.saved_tensors
    to_candidates, to_log_weight, to_mean, numbers = _gate_spherical_backward(
        *arriving, needed[0], *ctx.saved_tensors
    )
    total = numbers.sum(0) if any(needed[i] for i in (2, 5, 6)) else numbers[0]
    to_kappa = total[:1] if kappa.dim() == 1 else numbers[:, :1]
    gradients = to_candidates, None, to_kappa, to_log_weight, to_mean, total[1:2], total[2:]
    return tuple(gradient if need else None for gradient, need in zip(gradients, needed, strict=True))


gate_spherical.register_autograd(_back_through_gates, setup_context=_keep_gates)
