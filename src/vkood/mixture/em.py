"""The steps of MAP-EM for Gaussian mixtures on batches of weighted sets.

Legend: B sets, M tokens, K components, D dimensions; r responsibilities, w token weights.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vkood.mixture.covariance import Covariance, Statistics
from vkood.mixture.params import Mixture, Prior
from vkood.mixture.scores import log_density


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
