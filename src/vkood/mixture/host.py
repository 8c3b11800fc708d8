"""Small batches on a CPU, where calls are what everything costs: which they are, and what Numba has compiled for them.

Without Numba, the extra `fast`, the same is done in NumPy and torch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vkood.mixture.covariance import Covariance, Diagonal
from vkood.mixture.params import Mixture, Prior
from vkood.mixture.scores import negative_log_density
from vkood.solve import Squarem
from vkood.solve.arrays import HostArray
from vkood.solve.iteration import Outcome

# Products of tokens and components per step beyond which several threads gain more than cheap calls.
_LARGEST = 2**22

_Arrays = tuple[HostArray, ...]


def fits_host(tokens: Tensor, num_components: int, covariance: Covariance) -> bool:
    """Whether these tokens are few enough, and the covariance is one that `HostStep` knows."""
    small = tokens.numel() * num_components <= _LARGEST
    return small and tokens.device.type == "cpu" and isinstance(covariance, Diagonal)


class Compiled(NamedTuple):
    """What Numba compiles, when first called or from its cache."""

    squarem_em: Callable[[HostArray, _Arrays, Prior, Squarem], Outcome]
    em_step: Callable[[HostArray, _Arrays, Prior], _Arrays]
    em_gradient: Callable[[HostArray, _Arrays, _Arrays, Prior], _Arrays]
    log_density: Callable[[Tensor, Mixture], Tensor]


@functools.cache
def compiled() -> Compiled | None:
    """All of it, if Numba is installed; imported when first needed, which takes a second."""
    try:
        from vkood.mixture.fused import em_gradient, em_step, squarem_em
        from vkood.mixture.fused_density import log_density
    except (ImportError, RuntimeError):  # the latter where it finds no folder to keep what it compiles
        return None
    return Compiled(squarem_em, em_step, em_gradient, log_density)


def negative_log_density_of_fit(candidates: Tensor, mixture: Mixture, covariance: Covariance) -> Tensor:
    """`negative_log_density`, compiled where it can be; then, as of a fit on a CPU, without second derivatives."""
    fused = None
    if fits_host(candidates, mixture.mean.shape[1], covariance) and not torch.compiler.is_compiling():
        fused = compiled()
    if fused is None:
        return negative_log_density(candidates, mixture, covariance)
    return -fused.log_density(candidates, mixture) / candidates.shape[-1]
