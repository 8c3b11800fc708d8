"""Diagonal Gaussians on a CPU, where the cost is that of calls: their fits and densities, compiled by Numba.

The kernels are in `numba_em` and `numba_density`; here they become functions of tensors with first derivatives. They
agree with torch up to rounding.

Legend: B sets, K components, D dimensions, n = K (1 + 2 D) numbers of state.
"""

# What functions of autograd and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vkood.mixture.backends.numba_density import density, density_gradient
from vkood.mixture.backends.numba_em import em_gradient, em_step, solve_squarem
from vkood.mixture.families.base import Family, Parameters
from vkood.mixture.params import Mixture
from vkood.mixture.scores import in_working_precision
from vkood.solve import Gradient, Solution, Solver, Squarem, fixed_point


@dataclass(frozen=True, slots=True)
class NumbaBackend:
    """A compiled step; under `Squarem` a compiled loop as well, see `numba_em.solve_squarem`."""

    name: Literal["numba"] = "numba"

    def solve(
        self,
        start: Parameters,
        operands: tuple[Tensor, ...],
        family: Family,
        solver: Solver,
        gradient: Gradient,
    ) -> Solution[Parameters]:
        """The fixed point of the step of `Diagonal`."""
        del family  # there is one
        loop = solve_squarem if type(solver) is Squarem else None
        solution = fixed_point(
            differentiable_step,
            pack(start),
            operands=operands,
            loop=loop,
            solver=solver,
            gradient=gradient,
        )
        return replace(solution, value=unpack(solution.value, start[1].shape[1]), backend=self.name)  # pyright: ignore[reportReturnType, reportArgumentType] (of another structure)

    def score(self, candidates: Tensor, mixture: Mixture, family: Family) -> Tensor:
        """The negative log density per dimension."""
        precise, exact, dtype = in_working_precision(candidates, mixture, family)
        values: Tensor = _Density.apply(precise, *exact.parameters)  # pyright: ignore[reportAssignmentType] (untyped in torch)
        return -values.to(dtype) / candidates.shape[-1]


def pack(parameters: Parameters) -> Tensor:
    """log_weight, mean and log_scale of mixtures side by side, (B, n)."""
    return torch.cat([part.flatten(1) for part in parameters], dim=1)


def unpack(state: Tensor, num_components: int) -> Parameters:
    """The inverse of `pack`."""
    dim = (state.shape[1] // num_components - 1) // 2
    sizes = [num_components, num_components * dim, num_components * dim]
    log_weight, mean, log_scale = state.split(sizes, dim=1)
    shape = (num_components, dim)
    return log_weight, mean.unflatten(1, shape), log_scale.unflatten(1, shape)


def differentiable_step(state: Tensor, *operands: Tensor) -> Tensor:
    """The states (B, n) after a step of EM.

    It has first derivatives, to the state and to all operands but the prior's concentration, variance and strength of
    the variance.
    """
    following: Tensor = _Step.apply(state, *operands)  # pyright: ignore[reportAssignmentType] (untyped in torch)
    return following


class _Step(torch.autograd.Function):
    """`em_step` and its gradient."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        following, *sums = em_step(inputs[0], inputs[1:])
        ctx.num_inputs = len(inputs)
        ctx.save_for_backward(*inputs, following, *sums)
        return following

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (torch passes as many as forward returns)
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, ...]:
        saved: tuple[Tensor, ...] = ctx.saved_tensors
        gradients = em_gradient(gradient, saved[: ctx.num_inputs], saved[ctx.num_inputs :])
        return *_needed(ctx, gradients), *[None] * (ctx.num_inputs - len(gradients))


class _Density(torch.autograd.Function):
    """`density` and its gradient."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        values = density(inputs)
        ctx.save_for_backward(*inputs, values)
        return values

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (torch passes as many as forward returns)
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, ...]:
        return _needed(ctx, density_gradient(gradient, ctx.saved_tensors))


def _needed(ctx: Any, gradients: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
    """None in place of gradients that are not needed."""
    needs: tuple[bool, ...] = ctx.needs_input_grad[: len(gradients)]
    return tuple(gradient if need else None for need, gradient in zip(needs, gradients, strict=True))
