"""Gaussian mixtures fitted to small sets inside the forward pass, and the layers that gate by them.

The mixtures are pure functions on batches of weighted sets; `OutlierLayer` is the paper's layer.
"""

from vkood.mixture.covariance import Covariance, Diagonal, Full, Spherical, Tied
from vkood.mixture.em import em_step, map_objective, responsibilities
from vkood.mixture.fit import fit_mixture
from vkood.mixture.gate import Gate, GateOutput
from vkood.mixture.kernel import KernelGate
from vkood.mixture.layer import OutlierLayer
from vkood.mixture.params import Mixture, Prior
from vkood.mixture.scores import gem, log_density, mahalanobis, negative_log_density
from vkood.mixture.start import farthest_tokens

__all__ = [
    "Covariance",
    "Diagonal",
    "Full",
    "Gate",
    "GateOutput",
    "KernelGate",
    "Mixture",
    "OutlierLayer",
    "Prior",
    "Spherical",
    "Tied",
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
