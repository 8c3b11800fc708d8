"""How far a vector lies outside a mixture. One sign everywhere: larger = more outlying.

Legend: B sets, N candidates, K components, D dimensions.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vkood.mixture.covariance import Covariance
from vkood.mixture.params import Mixture


def log_density(
    candidates: Float[Tensor, "sets candidates dim"], mixture: Mixture, covariance: Covariance
) -> Float[Tensor, "sets candidates"]:
    """log sum_k pi_k N(x; mu_k, Sigma_k): smaller = more outlying, so not itself a score."""
    return torch.logsumexp(covariance.log_joint(covariance.features(candidates), mixture), dim=-1)


def negative_log_density(
    candidates: Float[Tensor, "sets candidates dim"], mixture: Mixture, covariance: Covariance
) -> Float[Tensor, "sets candidates"]:
    """-log p(x) / D: per dimension, so that thresholds compare across widths."""
    return -log_density(candidates, mixture, covariance) / candidates.shape[-1]


def gem(
    candidates: Float[Tensor, "sets candidates dim"], mixture: Mixture, covariance: Covariance
) -> Float[Tensor, "sets candidates"]:
    """The rescaled GEM energy of Morteza and Li (AAAI 2022): -log sum_k exp(-mahalanobis_k / 2)."""
    return -torch.logsumexp(-0.5 * covariance.mahalanobis(candidates, mixture), dim=-1)


def mahalanobis(
    candidates: Float[Tensor, "sets candidates dim"], mixture: Mixture, covariance: Covariance
) -> Float[Tensor, "sets candidates"]:
    """Squared Mahalanobis distance to the nearest component."""
    return covariance.mahalanobis(candidates, mixture).amin(-1)
