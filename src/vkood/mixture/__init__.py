"""Mixtures fitted to small sets inside the forward pass: pure functions on batches of weighted sets."""

from vkood.mixture.backends import BackendName, choose_backend
from vkood.mixture.em import em_step, map_objective, responsibilities
from vkood.mixture.families.base import Family
from vkood.mixture.families.gaussian import Covariance, Diagonal, Full, Isotropic, Tied
from vkood.mixture.families.spherical import Spherical
from vkood.mixture.fit import fit_mixture
from vkood.mixture.params import Mixture, Prior
from vkood.mixture.scores import gem, log_density, mahalanobis, negative_log_density
from vkood.mixture.start import farthest_tokens

__all__ = [
    "BackendName",
    "Covariance",
    "Diagonal",
    "Family",
    "Full",
    "Isotropic",
    "Mixture",
    "Prior",
    "Spherical",
    "Tied",
    "choose_backend",
    "em_step",
    "farthest_tokens",
    "fit_mixture",
    "gem",
    "log_density",
    "mahalanobis",
    "map_objective",
    "negative_log_density",
    "responsibilities",
]
