"""How far a vector lies outside a mixture. One sign everywhere: larger = more outlying.

Legend: B sets, N candidates, K components, D dimensions.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vkood.fields import require_kind
from vkood.mixture.families.base import Family
from vkood.mixture.params import Mixture
from vkood.solve.precision import full_precision


def log_density(
    candidates: Float[Tensor, "sets candidates dim"], mixture: Mixture, family: Family
) -> Float[Tensor, "sets candidates"]:
    """Log sum_k pi_k p_k(x): smaller = more outlying, so not itself a score."""
    with full_precision(candidates.device):
        precise, exact, dtype = in_working_precision(candidates, mixture, family)
        return torch.logsumexp(family.log_joint(precise, exact), dim=-1).to(dtype)


def negative_log_density(
    candidates: Float[Tensor, "sets candidates dim"], mixture: Mixture, family: Family
) -> Float[Tensor, "sets candidates"]:
    """-log p(x) / D: per dimension, so that thresholds compare across widths."""
    return -log_density(candidates, mixture, family) / candidates.shape[-1]


def gem(
    candidates: Float[Tensor, "sets candidates dim"], mixture: Mixture, family: Family
) -> Float[Tensor, "sets candidates"]:
    """The rescaled GEM energy of Morteza and Li (AAAI 2022): -log sum_k exp(-mahalanobis_k / 2)."""
    return -torch.logsumexp(-0.5 * _distances(candidates, mixture, family), dim=-1)


def mahalanobis(
    candidates: Float[Tensor, "sets candidates dim"], mixture: Mixture, family: Family
) -> Float[Tensor, "sets candidates"]:
    """Squared Mahalanobis distance to the nearest component."""
    return _distances(candidates, mixture, family).amin(-1)


def in_working_precision(
    tokens: Tensor, mixture: Mixture, family: Family
) -> tuple[Tensor, Mixture, torch.dtype]:
    """Both in the precision in which the family works, and the type that a result is to have."""
    require_kind("mixture", mixture, Mixture)
    require_kind("family", family, Family)
    sets, dim = len(mixture.mean), mixture.mean.shape[-1]
    if tokens.dim() != 3 or (tokens.shape[0], tokens.shape[2]) != (sets, dim):
        raise ValueError(
            f"vectors must be (sets, vectors, dim) = ({sets}, any, {dim}); got {tuple(tokens.shape)}."
        )
    dtype = torch.promote_types(mixture.mean.dtype, torch.float32)
    working = family.working_dtype(dtype)
    return tokens.to(working), mixture.to(working), dtype


def _distances(candidates: Tensor, mixture: Mixture, family: Family) -> Tensor:
    with full_precision(candidates.device):
        precise, exact, dtype = in_working_precision(candidates, mixture, family)
        return family.mahalanobis(precise, exact).to(dtype)
