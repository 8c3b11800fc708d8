"""Diagonal mixtures on a CPU, where calls are what everything costs: what Numba has compiled for them.

Without Numba, the extra `fast`, torch does the same.

Legend: B sets, K components, D dimensions, n = K (1 + 2 D) numbers of state.
"""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vkood.mixture.covariance import Covariance, Diagonal
from vkood.mixture.params import Mixture
from vkood.mixture.scores import negative_log_density
from vkood.solve import Picard, Solver, Squarem
from vkood.solve.iteration import Outcome


class Compiled(NamedTuple):
    """What Numba compiles, when first called or from its cache."""

    iterate_em: Callable[[Tensor, tuple[Tensor, ...], Picard | Squarem], Outcome]
    em_step: Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]]
    em_gradient: Callable[[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]], tuple[Tensor, ...]]
    log_density: Callable[[Tensor, Mixture], Tensor]


@functools.cache
def compiled() -> Compiled | None:
    """All of it, if Numba is installed; imported when first needed, which takes a second."""
    try:
        from vkood.mixture.fused import em_gradient, em_step, iterate_em
        from vkood.mixture.fused_density import log_density
    except (ImportError, RuntimeError):  # the latter where it finds no folder to keep what it compiles
        return None
    return Compiled(iterate_em, em_step, em_gradient, log_density)


def fits_host(tokens: Tensor, covariance: Covariance) -> bool:
    """Whether these tokens are on a CPU, and the covariance is one that is compiled."""
    return tokens.device.type == "cpu" and isinstance(covariance, Diagonal)


def compiled_step(
    tokens: Tensor, num_components: int, covariance: Covariance, solver: Solver
) -> CompiledStep | None:
    """The compiled step of EM for these tokens, where there is one, and a loop for this solver."""
    if not fits_host(tokens, covariance) or type(solver) not in (Picard, Squarem):
        return None
    fused = compiled()
    return None if fused is None else CompiledStep(num_components, fused)


@dataclass(frozen=True, slots=True)
class CompiledStep:
    """The step of EM on states (B, n), the parameters of a mixture side by side, alone in a tuple.

    Its operands are those of `em_map`. It has first derivatives, to the state and to all operands but the prior's
    concentration, variance and strength of the variance.
    """

    num_components: int
    fused: Compiled

    def __call__(self, value: tuple[Tensor, ...], *operands: Tensor) -> tuple[Tensor, ...]:
        """The state after a step."""
        following: Tensor = _Differentiable.apply(self.fused, *value, *operands)  # pyright: ignore[reportAssignmentType] (untyped in torch)
        return (following,)

    def loop(self, start: Tensor, operands: tuple[Tensor, ...], solver: Solver) -> Outcome:
        """What becomes of the states `start` in a whole solve."""
        assert isinstance(solver, Picard | Squarem)
        return self.fused.iterate_em(start, operands, solver)

    def packed(self, mixture: Mixture) -> Tensor:
        """A mixture as states."""
        parts = (mixture.log_weight, mixture.mean.flatten(1), mixture.log_scale.flatten(1))
        return torch.cat(parts, dim=1)

    def unpacked(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States as (log_weight, mean, log_scale)."""
        dim = (state.shape[1] // self.num_components - 1) // 2
        sizes = [self.num_components, self.num_components * dim, self.num_components * dim]
        log_weight, mean, log_scale = state.split(sizes, dim=1)
        shape = (self.num_components, dim)
        return log_weight, mean.unflatten(1, shape), log_scale.unflatten(1, shape)


class _Differentiable(torch.autograd.Function):
    """`CompiledStep` on tensors of one type."""

    @staticmethod
    def forward(ctx: Any, fused: Compiled, *given: Tensor) -> Tensor:
        found = fused.em_step(given[0], given[1:])
        ctx.fused, ctx.num_given = fused, len(given)
        ctx.save_for_backward(*given, *found)
        return found[0]

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (torch passes as many as forward returns)
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, ...]:
        fused: Compiled = ctx.fused
        saved: tuple[Tensor, ...] = ctx.saved_tensors
        gradients = fused.em_gradient(gradient, saved[: ctx.num_given], saved[ctx.num_given :])
        needed: tuple[bool, ...] = ctx.needs_input_grad[1 : 1 + len(gradients)]
        passed = [array if need else None for need, array in zip(needed, gradients, strict=True)]
        return None, *passed, *[None] * (ctx.num_given - len(gradients))


def negative_log_density_of_fit(candidates: Tensor, mixture: Mixture, covariance: Covariance) -> Tensor:
    """`negative_log_density`, compiled where it can be; then, as of a fit on a CPU, without second derivatives."""
    fused = None
    if fits_host(candidates, covariance) and not torch.compiler.is_compiling():
        fused = compiled()
    if fused is None:
        return negative_log_density(candidates, mixture, covariance)
    return -fused.log_density(candidates, mixture) / candidates.shape[-1]
