"""Fit a mixture to each weighted set of a batch, inside a forward pass."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vkood.mixture.compiled import compiled_fixed_point
from vkood.mixture.covariance import Covariance, Diagonal
from vkood.mixture.fixed_point import em_fixed_point
from vkood.mixture.params import Mixture, Prior
from vkood.mixture.start import farthest_tokens, starting_mixture, weighted_centre
from vkood.solve import Gradient, LastIterate, Solution, Solver, Squarem

# Squared extrapolation was made for EM. On sets with overlapping clusters it halves the steps of the slowest
# row, and unlike Anderson acceleration it copes with the long way from the start, where responsibilities
# still change sides.
DEFAULT_SOLVER = Squarem(tolerance=1e-4, max_steps=100)
_DEFAULT_COVARIANCE = Diagonal()


def fit_mixture(
    tokens: Float[Tensor, "sets tokens dim"],
    weights: Float[Tensor, "sets tokens"] | Bool[Tensor, "sets tokens"] | None = None,
    *,
    num_components: int = 2,
    covariance: Covariance | None = None,
    prior: Prior | None = None,
    start: Float[Tensor, "#sets components dim"] | Float[Tensor, "components dim"] | None = None,
    solver: Solver | None = None,
    gradient: Gradient | None = None,
) -> tuple[Mixture, Solution[tuple[Tensor, ...]]]:
    """Fit a mixture to each weighted set of a batch, and let gradients pass to tokens, weights and prior.

    Args:
        tokens: (sets, tokens, dim). Any number of tokens, none included: the prior then decides.
        weights: (sets, tokens) how much each token counts, at least 0; boolean masks count as 0 and 1. All 1
            if None.
        num_components: How many components each mixture has.
        covariance: `Diagonal` (the default), `Spherical`, `Tied` or `Full`.
        prior: The conjugate prior; `Prior()` if None.
        start: Means to start from, (components, dim) or (sets, components, dim); by default tokens far apart.
        solver: How to iterate EM; squared extrapolation to a tolerance of 1e-4 if None.
        gradient: How gradients pass through the fit; `LastIterate()` if None.

    Returns:
        The mixtures, and how each solve went. A set with NaN or infinity in a token of positive weight has
        the status `NOT_FINITE`; the others are not affected.

    Example:
        >>> import torch
        >>> tokens = torch.tensor([[[0.0], [0.2], [4.8], [5.0]]])
        >>> prior = Prior(variance=0.1, mean_strength=1e-3)
        >>> mixture, solution = fit_mixture(tokens, prior=prior)
        >>> sorted(round(mean, 1) for mean in mixture.mean.flatten().tolist())
        [0.1, 4.9]
    """
    covariance, prior = covariance or _DEFAULT_COVARIANCE, prior or Prior()
    _check(tokens, weights, num_components, prior, start)
    tokens = tokens.float() if tokens.dtype in (torch.float16, torch.bfloat16) else tokens
    if weights is None:
        weights, counts = tokens.new_ones(tokens.shape[:2]), None
    else:
        weights = weights.to(tokens.dtype)
        weights = torch.where(weights == 0, 0.0, weights)  # a masked token has no gradient to its weight
        counts = (weights > 0)[..., None]
    with torch.autocast(tokens.device.type, enabled=False):
        if counts is None:
            centre = tokens.detach().sum(1, keepdim=True) / max(1, tokens.shape[1])
        else:
            centre = weighted_centre(torch.where(counts, tokens, 0.0), weights)
        # Around its own centre a set loses no digits to its offset, and converges alike wherever it lies.
        tokens = tokens - centre
        if counts is not None:
            tokens = torch.where(counts, tokens, 0.0)  # padding may hold anything, NaN included
        if start is None:
            means = farthest_tokens(tokens, weights, num_components)
        else:
            means = start.to(tokens.dtype).expand(len(tokens), num_components, tokens.shape[-1]) - centre
        near = replace(prior, mean=prior.means(tokens.shape[-1], tokens) - centre)
        first = starting_mixture(tokens, weights, means, covariance, near)
        solver, gradient = solver or DEFAULT_SOLVER, gradient or LastIterate()
        if torch.compiler.is_compiling() and isinstance(gradient, LastIterate):
            solution = compiled_fixed_point(tokens, weights, first, covariance, near, solver)
        else:
            solution = em_fixed_point(tokens, weights, first, covariance, near, solver, gradient)
    log_weight, mean, log_scale = solution.value
    mixture = Mixture(log_weight=torch.log_softmax(log_weight, -1), mean=mean + centre, log_scale=log_scale)
    return mixture, replace(solution, value=(mixture.log_weight, mixture.mean, mixture.log_scale))


def _check(
    tokens: Tensor, weights: Tensor | None, num_components: int, prior: Prior, start: Tensor | None
) -> None:
    if tokens.dim() != 3:
        raise ValueError(
            f"`tokens` must be (sets, tokens, dim); got {tuple(tokens.shape)}. "
            "Add a sets axis with `tokens[None]`."
        )
    if weights is not None and weights.shape != tokens.shape[:2]:
        raise ValueError(
            f"`weights` must be (sets, tokens) = {tuple(tokens.shape[:2])}; got {tuple(weights.shape)}."
        )
    if num_components < 1:
        raise ValueError(f"`num_components` must be at least 1; got {num_components}.")
    if prior.mean is not None and prior.mean.shape[-1] != tokens.shape[-1]:
        raise ValueError(
            f"the prior's `mean` must have the tokens' {tokens.shape[-1]} dimensions; "
            f"got {tuple(prior.mean.shape)}."
        )
    means = (num_components, tokens.shape[-1])
    if start is not None and tuple(start.shape) not in (means, (1, *means), (len(tokens), *means)):
        raise ValueError(
            f"`start` must be (components, dim) = {means}, with or without a sets axis; "
            f"got {tuple(start.shape)}."
        )
    if weights is None or weights.dtype == torch.bool or torch.compiler.is_compiling():
        return  # looking at values would break the graph
    if bool((weights < 0).any()):
        raise ValueError("`weights` must be at least 0; some are negative.")
