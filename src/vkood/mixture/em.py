"""MAP-EM of Gaussian mixtures on batches of weighted sets, as a fixed-point problem.

Legend: B sets, M tokens, K components, D dimensions; r responsibilities, w token weights.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vkood.mixture.covariance import Covariance, Diagonal, Statistics
from vkood.mixture.host_step import HostStep, fits_host
from vkood.mixture.params import Mixture, Prior
from vkood.mixture.scores import log_density
from vkood.mixture.start import farthest_tokens, starting_mixture, weighted_centre
from vkood.solve import Gradient, LastIterate, Solution, Solver, Squarem, fixed_point
from vkood.solve.eager import eager

# Squared extrapolation was made for EM. On sets with overlapping clusters it halves the steps of the slowest
# row, and unlike Anderson acceleration it copes with the long way from the start, where responsibilities
# still change sides.
DEFAULT_SOLVER = Squarem(tolerance=1e-4, max_steps=100)


def expectation(
    features: Float[Tensor, "sets tokens features"],
    weights: Float[Tensor, "sets tokens"],
    mixture: Mixture,
    covariance: Covariance,
) -> Statistics:
    """The E-step: sufficient statistics under r_mk = w_m softmax_k(log pi_k + log N(c_m; mu_k, Sigma_k)).

    `features` are `covariance.features(tokens)`.
    """
    # Tokens lie next to each other in memory: a softmax over the few components is then many times faster.
    shares = torch.softmax(covariance.log_affinity(features, mixture).mT, dim=1)  # (B, K, M)
    return covariance.statistics(features, (shares * weights[:, None]).mT)


def responsibilities(
    tokens: Float[Tensor, "sets tokens dim"], mixture: Mixture, covariance: Covariance
) -> Float[Tensor, "sets tokens components"]:
    """How much of each token each component accounts for: softmax_k(log pi_k + log N(c_m; mu_k, Sigma_k)).

    Example:
        >>> import torch
        >>> from vkood.mixture import Diagonal, fit_mixture
        >>> tokens = torch.randn(1, 6, 3)
        >>> mixture, _ = fit_mixture(tokens, num_components=2)
        >>> responsibilities(tokens, mixture, Diagonal()).shape
        torch.Size([1, 6, 2])
    """
    return torch.softmax(covariance.log_affinity(covariance.features(tokens), mixture), dim=-1)


def maximization(statistics: Statistics, covariance: Covariance, prior: Prior) -> Mixture:
    """The M-step under the prior.

    With N_k the expected count, s_k the sum and S_k the scatter of a component's tokens around its new mean:

        pi_k    proportional to  alpha + N_k
        mu_k    = (kappa m0 + s_k) / (kappa + N_k)
        Sigma_k = (nu v0 I + S_k + kappa (mu_k - m0)(mu_k - m0)^T) / (nu + N_k)

    alpha, kappa, v0 and nu are the prior's `concentration`, `mean_strength`, `variance` and
    `variance_strength`. The kappa term of Sigma makes the step the exact maximum, so that EM never lowers the
    objective.
    """
    count, first = statistics.count, statistics.first
    strength = prior.mean_strengths(first)
    prior_mean = prior.means(first.shape[-1], first)
    mean = torch.addcmul(first, strength[..., None], prior_mean) / (strength + count)[..., None]
    counted = count + prior.concentration
    return Mixture(
        log_weight=torch.log(counted / counted.sum(-1, keepdim=True)),
        mean=mean,
        log_scale=covariance.log_scale(statistics, mean, prior),
    )


def em_step(
    tokens: Float[Tensor, "sets tokens dim"],
    weights: Float[Tensor, "sets tokens"],
    mixture: Mixture,
    covariance: Covariance,
    prior: Prior,
) -> Mixture:
    """One step of MAP-EM."""
    statistics = expectation(covariance.features(tokens), weights, mixture, covariance)
    return maximization(statistics, covariance, prior)


def map_objective(
    tokens: Float[Tensor, "sets tokens dim"],
    weights: Float[Tensor, "sets tokens"],
    mixture: Mixture,
    covariance: Covariance,
    prior: Prior,
) -> Float[Tensor, " sets"]:
    """What MAP-EM climbs: the weighted log likelihood plus the logarithm of the prior (up to a constant)."""
    likelihood = (weights * log_density(tokens, mixture, covariance)).sum(1)
    strength = prior.mean_strengths(mixture.mean)
    offset = prior.means(mixture.mean.shape[-1], mixture.mean) - mixture.mean  # (B, K, D)
    pull = covariance.mahalanobis(offset, mixture.moved(-mixture.mean)).diagonal(dim1=1, dim2=2)  # (B, K)
    shape = covariance.log_determinant(mixture) + prior.variance * covariance.precision_trace(mixture)
    weight = prior.concentration * torch.log_softmax(mixture.log_weight, -1)
    return likelihood + (weight - 0.5 * strength * pull).sum(1) - 0.5 * prior.variance_strength * shape.sum(1)


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
    covariance, prior = covariance or Diagonal(), prior or Prior()
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
        solution = _solve(
            tokens, weights, means, covariance, near, solver or DEFAULT_SOLVER, gradient or LastIterate()
        )
    log_weight, mean, log_scale = solution.value
    mixture = Mixture(log_weight=torch.log_softmax(log_weight, -1), mean=mean + centre, log_scale=log_scale)
    return mixture, replace(solution, value=(mixture.log_weight, mixture.mean, mixture.log_scale))


def _solve(
    tokens: Tensor,
    weights: Tensor,
    means: Tensor,
    covariance: Covariance,
    prior: Prior,
    solver: Solver,
    gradient: Gradient,
) -> Solution[tuple[Tensor, ...]]:
    """The fixed point of EM from the given means."""
    first = starting_mixture(tokens, weights, means, covariance, prior)
    prior_mean = prior.means(tokens.shape[-1], tokens).expand(len(tokens), -1, -1)
    others = (weights, prior_mean, prior.mean_strengths(tokens).expand(len(tokens), -1))
    if fits_host(tokens, means.shape[1], covariance):
        return _host_fixed_point(first, (tokens, *others), prior, solver, gradient)

    def step(value: tuple[Tensor, ...], *operands: Tensor) -> tuple[Tensor, ...]:
        features, token_weights, mean, strength = operands
        here = replace(prior, mean=mean, mean_strength=strength)
        log_weight, means, log_scale = value
        mixture = Mixture(log_weight=log_weight, mean=means, log_scale=log_scale)
        following = maximization(expectation(features, token_weights, mixture, covariance), covariance, here)
        return following.log_weight, following.mean, following.log_scale

    start = (first.log_weight, first.mean, first.log_scale)
    operands = (covariance.features(tokens), *others)
    return fixed_point(step, start, operands=operands, solver=solver, gradient=gradient)


@eager
def _host_fixed_point(
    first: Mixture, operands: tuple[Tensor, ...], prior: Prior, solver: Solver, gradient: Gradient
) -> Solution[tuple[Tensor, ...]]:
    """The fixed point by way of NumPy."""
    host = HostStep(num_components=first.mean.shape[1], prior=prior)
    start = (host.packed(first),)
    solved = fixed_point(
        host.differentiable, start, operands=operands, on_host=host, solver=solver, gradient=gradient
    )
    return replace(solved, value=host.unpacked(*solved.value))


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
