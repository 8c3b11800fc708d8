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
    """Log sum_k pi_k N(x; mu_k, Sigma_k): smaller = more outlying, so not itself a score."""
    with torch.autocast(candidates.device.type, enabled=False):
        near, centred = _centred(candidates, mixture)
        return torch.logsumexp(covariance.log_joint(covariance.features(near), centred), dim=-1)


def negative_log_density(
    candidates: Float[Tensor, "sets candidates dim"], mixture: Mixture, covariance: Covariance
) -> Float[Tensor, "sets candidates"]:
    """-log p(x) / D: per dimension, so that thresholds compare across widths."""
    return -log_density(candidates, mixture, covariance) / candidates.shape[-1]


def gem(
    candidates: Float[Tensor, "sets candidates dim"], mixture: Mixture, covariance: Covariance
) -> Float[Tensor, "sets candidates"]:
    """The rescaled GEM energy of Morteza and Li (AAAI 2022): -log sum_k exp(-mahalanobis_k / 2)."""
    return -torch.logsumexp(-0.5 * _distances(candidates, mixture, covariance), dim=-1)


def mahalanobis(
    candidates: Float[Tensor, "sets candidates dim"], mixture: Mixture, covariance: Covariance
) -> Float[Tensor, "sets candidates"]:
    """Squared Mahalanobis distance to the nearest component."""
    return _distances(candidates, mixture, covariance).amin(-1)


def _distances(candidates: Tensor, mixture: Mixture, covariance: Covariance) -> Tensor:
    with torch.autocast(candidates.device.type, enabled=False):
        return covariance.mahalanobis(*_centred(candidates, mixture)).clamp_min(
            0
        )  # rounding may leave it below


def _centred(candidates: Tensor, mixture: Mixture) -> tuple[Tensor, Mixture]:
    """Both moved to around the middle of the means: squares of large offsets would drown the distances."""
    centre = mixture.mean.detach().mean(1, keepdim=True)
    return candidates.to(centre.dtype) - centre, mixture.moved(-centre)
