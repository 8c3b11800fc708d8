"""EM from a starting mixture to its fixed point.

Legend: B sets, M tokens, K components, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from vkood.mixture.covariance import Covariance
from vkood.mixture.em import expectation, maximization
from vkood.mixture.host import fits_host
from vkood.mixture.host_step import HostStep
from vkood.mixture.params import Mixture, Prior
from vkood.solve import Gradient, Solution, Solver, fixed_point
from vkood.solve.eager import eager

Parameters = tuple[Tensor, ...]
"""log_weight, mean and log_scale of a `Mixture`."""


def em_fixed_point(
    tokens: Tensor,
    weights: Tensor,
    first: Mixture,
    covariance: Covariance,
    prior: Prior,
    solver: Solver,
    gradient: Gradient,
) -> Solution[Parameters]:
    """The fixed point of EM from the mixture `first`, for tokens (B, M, D) with weights (B, M)."""
    others = (weights, *prior_of_each_set(tokens, prior))
    if fits_host(tokens, first.mean.shape[1], covariance):
        return _host_fixed_point(first, (tokens, *others), prior, solver, gradient)
    start = (first.log_weight, first.mean, first.log_scale)
    operands = (covariance.features(tokens), *others)
    step = em_map(covariance, prior)
    return fixed_point(step, start, operands=operands, solver=solver, gradient=gradient)


def prior_of_each_set(tokens: Tensor, prior: Prior) -> tuple[Tensor, Tensor]:
    """The prior's means (B, 1 or K, D) and strengths (B, 1 or K)."""
    return (
        prior.means(tokens.shape[-1], tokens).expand(len(tokens), -1, -1),
        prior.mean_strengths(tokens).expand(len(tokens), -1),
    )


def em_map(covariance: Covariance, prior: Prior) -> Callable[..., Parameters]:
    """EM's step as a map of parameters; its operands: features, weights, and the prior's means and strengths."""

    def step(value: Parameters, *operands: Tensor) -> Parameters:
        features, weights, prior_mean, strength = operands
        here = replace(prior, mean=prior_mean, mean_strength=strength)
        log_weight, means, log_scale = value
        mixture = Mixture(log_weight=log_weight, mean=means, log_scale=log_scale)
        following = maximization(expectation(features, weights, mixture, covariance), covariance, here)
        return following.log_weight, following.mean, following.log_scale

    return step


@eager
def _host_fixed_point(
    first: Mixture, operands: tuple[Tensor, ...], prior: Prior, solver: Solver, gradient: Gradient
) -> Solution[Parameters]:
    """The fixed point by way of NumPy."""
    host = HostStep(num_components=first.mean.shape[1], prior=prior)
    start = (host.packed(first),)
    solved = fixed_point(
        host.differentiable, start, operands=operands, on_host=host, solver=solver, gradient=gradient
    )
    return replace(solved, value=host.unpacked(*solved.value))
