"""The steps of MAP-EM for Gaussian mixtures on batches of weighted sets.

Legend: B sets, M tokens, K components, D dimensions; r responsibilities, w token weights.
"""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vkood.mixture.covariance import Covariance, Statistics
from vkood.mixture.params import Mixture, Prior, SetPrior
from vkood.mixture.scores import in_working_precision, log_density

# Differences (sets x components x tokens x dimensions) computed at once: what is larger than the cache of a CPU takes
# many times as long.
_IN_CACHE = 2**20


def expectation(
    tokens: Float[Tensor, "sets tokens dim"],
    weights: Float[Tensor, "sets tokens"],
    mixture: Mixture,
    covariance: Covariance,
    origin: Float[Tensor, "#sets #components dim"] | None = None,
) -> Statistics:
    """The E-step: sufficient statistics under r_mk = w_m softmax_k(log pi_k + log N(c_m; mu_k, Sigma_k)).

    They are taken around `origin`; by default around the means of the mixture.
    """
    at_once = max(1, _IN_CACHE // max(1, mixture.mean.numel()))
    if torch.compiler.is_compiling() or tokens.device.type != "cpu" or tokens.shape[1] <= at_once:
        return _expectation(tokens, weights, mixture, covariance, origin)
    parts = [
        _expectation(*block, mixture, covariance, origin)
        for block in zip(tokens.split(at_once, dim=1), weights.split(at_once, dim=1), strict=True)
    ]
    return Statistics(
        origin=parts[0].origin,
        count=_sum([part.count for part in parts]),
        first=_sum([part.first for part in parts]),
        second=_sum([part.second for part in parts]),
    )


def _sum(tensors: list[Tensor]) -> Tensor:
    return torch.stack(tensors).sum(0)


def _expectation(
    tokens: Tensor, weights: Tensor, mixture: Mixture, covariance: Covariance, origin: Tensor | None
) -> Statistics:
    # Tokens lie next to each other in memory: a softmax over the few components is then many times faster.
    shares = torch.softmax(covariance.log_affinity(tokens, mixture).mT, dim=1)  # (B, K, M)
    weighted = (shares * weights[:, None]).mT
    return covariance.statistics(tokens, weighted, mixture.mean if origin is None else origin)


def responsibilities(
    tokens: Float[Tensor, "sets tokens dim"], mixture: Mixture, covariance: Covariance
) -> Float[Tensor, "sets tokens components"]:
    """How much of each token each component accounts for: softmax_k(log pi_k + log N(c_m; mu_k, Sigma_k)).

    As in all functions of this room, half precision is raised to single precision, under autocast as well.

    Example:
        >>> import torch
        >>> from vkood.mixture import Diagonal, fit_mixture
        >>> tokens = torch.randn(1, 6, 3)
        >>> mixture, _ = fit_mixture(tokens, num_components=2)
        >>> responsibilities(tokens, mixture, Diagonal()).shape
        torch.Size([1, 6, 2])
    """
    with torch.autocast(tokens.device.type, enabled=False):
        precise, exact, dtype = in_working_precision(tokens, mixture, covariance)
        return torch.softmax(covariance.log_affinity(precise, exact), dim=-1).to(dtype)


def maximization(statistics: Statistics, covariance: Covariance, prior: SetPrior) -> Mixture:
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
    near = prior.seen_from(statistics.origin)
    shift = torch.addcmul(first, near.mean_strength[..., None], near.mean)
    shift = shift / (near.mean_strength + count)[..., None]
    counted = count + near.concentration
    return Mixture(
        log_weight=torch.log(counted / counted.sum(-1, keepdim=True)),
        mean=statistics.origin + shift,
        log_scale=covariance.log_scale(statistics, shift, near),
    )


def em_step(
    tokens: Float[Tensor, "sets tokens dim"],
    weights: Float[Tensor, "sets tokens"],
    mixture: Mixture,
    covariance: Covariance,
    prior: Prior,
) -> Mixture:
    """One step of MAP-EM."""
    with torch.autocast(tokens.device.type, enabled=False):
        precise, exact, dtype = in_working_precision(tokens, mixture, covariance)
        statistics = expectation(precise, weights.to(precise.dtype), exact, covariance)
        return maximization(statistics, covariance, prior.of_sets(len(tokens), precise)).to(dtype)


def map_objective(
    tokens: Float[Tensor, "sets tokens dim"],
    weights: Float[Tensor, "sets tokens"],
    mixture: Mixture,
    covariance: Covariance,
    prior: Prior,
) -> Float[Tensor, " sets"]:
    """What MAP-EM climbs: the weighted log likelihood plus the logarithm of the prior (up to a constant)."""
    with torch.autocast(tokens.device.type, enabled=False):
        precise, exact, dtype = in_working_precision(tokens, mixture, covariance)
        likelihood = (weights.to(precise.dtype) * log_density(precise, exact, covariance)).sum(1)
        each = prior.of_sets(len(tokens), precise)
        offset = each.mean - exact.mean  # (B, K, D)
        pull = covariance.mahalanobis(offset, exact.moved(-exact.mean)).diagonal(dim1=1, dim2=2)  # (B, K)
        shape = covariance.log_determinant(exact) + prior.variance * covariance.precision_trace(exact)
        weight = prior.concentration * torch.log_softmax(exact.log_weight, -1)
        climbed = (weight - 0.5 * each.mean_strength * pull).sum(
            1
        ) - 0.5 * prior.variance_strength * shape.sum(1)
        return (likelihood + climbed).to(dtype)
