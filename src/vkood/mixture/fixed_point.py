"""EM from a starting mixture to its fixed point.

Legend: B sets, M tokens, K components, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from vkood.mixture.covariance import Covariance
from vkood.mixture.em import expectation, maximization
from vkood.mixture.host import compiled_step
from vkood.mixture.params import Mixture, SetPrior
from vkood.solve import Gradient, Solution, Solver, fixed_point
from vkood.solve.eager import eager

Parameters = tuple[Tensor, ...]
"""log_weight, mean and log_scale of a `Mixture`."""


@eager
def em_fixed_point(
    tokens: Tensor,
    weights: Tensor,
    first: Mixture,
    covariance: Covariance,
    prior: SetPrior,
    solver: Solver,
    gradient: Gradient,
) -> Solution[Parameters]:
    """The fixed point of EM from the mixture `first`, for tokens (B, M, D) with weights (B, M)."""
    operands = (tokens, weights, *prior)
    step = compiled_step(tokens, first.mean.shape[1], covariance, solver)
    if step is None:
        start = (first.log_weight, first.mean, first.log_scale)
        return fixed_point(em_map(covariance), start, operands=operands, solver=solver, gradient=gradient)
    start = (step.packed(first),)
    solved = fixed_point(step, start, operands=operands, loop=step.loop, solver=solver, gradient=gradient)
    return replace(solved, value=step.unpacked(*solved.value))


def em_map(covariance: Covariance) -> Callable[..., Parameters]:
    """EM's step as a map of parameters; its operands: tokens, weights, and the prior's tensors."""

    def step(value: Parameters, tokens: Tensor, weights: Tensor, *prior: Tensor) -> Parameters:
        log_weight, means, log_scale = value
        mixture = Mixture(log_weight=log_weight, mean=means, log_scale=log_scale)
        statistics = expectation(tokens, weights, mixture, covariance)
        following = maximization(statistics, covariance, SetPrior(*prior))
        return following.log_weight, following.mean, following.log_scale

    return step
