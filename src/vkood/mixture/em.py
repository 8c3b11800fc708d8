"""One step of EM, its responsibilities and what it climbs, as public functions.

Legend: B sets, M tokens, K components, D dimensions; r responsibilities, w token weights.
"""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vkood.fields import require_kind
from vkood.mixture.families.base import Family
from vkood.mixture.families.gaussian import Covariance, expectation, maximization
from vkood.mixture.params import Mixture, Prior
from vkood.mixture.scores import in_working_precision, log_density
from vkood.solve.precision import full_precision


def responsibilities(
    tokens: Float[Tensor, "sets tokens dim"], mixture: Mixture, family: Family
) -> Float[Tensor, "sets tokens components"]:
    """How much of each token each component accounts for: softmax_k(log pi_k + log p_k(c_m)).

    As in all functions of this room, half precision is raised to single precision, under autocast as well.

    Example:
        >>> import torch
        >>> from vkood.mixture import Diagonal, fit_mixture
        >>> tokens = torch.randn(1, 6, 3)
        >>> mixture, _ = fit_mixture(tokens, num_components=2)
        >>> responsibilities(tokens, mixture, Diagonal()).shape
        torch.Size([1, 6, 2])
    """
    with full_precision(tokens.device):
        precise, exact, dtype = in_working_precision(tokens, mixture, family)
        return torch.softmax(family.log_joint(precise, exact), dim=-1).to(dtype)


def em_step(
    tokens: Float[Tensor, "sets tokens dim"],
    weights: Float[Tensor, "sets tokens"],
    mixture: Mixture,
    covariance: Covariance,
    prior: Prior,
) -> Mixture:
    """One step of MAP-EM of a Gaussian mixture."""
    require_kind("covariance", covariance, Covariance)
    with full_precision(tokens.device):
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
    """The objective of MAP-EM: the weighted log likelihood plus the logarithm of the prior (up to a constant)."""
    require_kind("covariance", covariance, Covariance)
    with full_precision(tokens.device):
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
