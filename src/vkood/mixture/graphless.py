"""The EM step where no graph is needed: in NumPy, for small sets on the CPU.

There a step is forty operations on a few thousand numbers, and what it costs is the calls: NumPy's take a
third of the time of torch's, and its matrix products of a few rows are twice as fast. It is the map of
`em.py`, which a test holds it to; all that is differentiated goes through `em.py`.

Legend: B sets, M tokens, K components, D dimensions, P features [x*x, x, 1].
"""

# What NumPy returns of arrays of any type is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vkood.mixture.covariance import Covariance, Diagonal
from vkood.mixture.params import Prior
from vkood.solve.iteration import FlatMap

_Array = NDArray[Any]

# Products of features and components per step beyond which several threads gain more than cheap calls.
_LARGEST = 2**23


def graphless_step(
    features: Tensor, num_components: int, covariance: Covariance, prior: Prior
) -> FlatMap | None:
    """The fast step for these features, or None where the usual one is as good or the only one.

    Its states are (log_weight, mean, log_scale), flattened and side by side; its operands are the features,
    the token weights, and the prior's mean and strength.
    """
    small = features.numel() * num_components <= _LARGEST
    if not (small and features.device.type == "cpu" and isinstance(covariance, Diagonal)):
        return None

    def step(state: Tensor, *operands: Tensor) -> Tensor:
        with np.errstate(all="ignore"):  # what is not finite shows in the residual of its row
            return torch.from_numpy(
                _diagonal_step(
                    state.numpy(), [operand.numpy() for operand in operands], num_components, prior
                )
            )

    return step


def _diagonal_step(state: _Array, operands: list[_Array], num_components: int, prior: Prior) -> _Array:
    features, weights, prior_mean, strength = operands
    sums = _sums(*_parts(state, num_components), features, weights)
    dim = sums.shape[-1] // 2
    second, first, count = sums[..., :dim], sums[..., dim:-1], sums[..., -1:]

    following = np.empty_like(state, order="C")
    log_weight, new_mean, log_scale = _parts(following, num_components)
    strength = strength[..., None]
    mean = first + strength * prior_mean
    mean /= count + strength
    new_mean[...] = mean
    spread = first - count * mean
    spread += first
    spread *= mean
    scale = second - spread
    np.maximum(scale, 0, out=scale)
    shift = mean - prior_mean
    scale += strength * shift * shift
    scale += prior.variance_strength * prior.variance
    scale /= count + prior.variance_strength
    counted = count[..., 0] + prior.concentration
    np.log(counted / counted.sum(-1, keepdims=True), out=log_weight)
    np.log(scale, out=log_scale)
    return following


def _parts(state: _Array, num_components: int) -> tuple[_Array, _Array, _Array]:
    """Views of log_weight (B, K), mean and log_scale (B, K, D)."""
    dim = (state.shape[1] // num_components - 1) // 2
    split = num_components * (1 + dim)
    shape = (len(state), num_components, dim)
    mean, log_scale = state[:, num_components:split], state[:, split:]
    return state[:, :num_components], mean.reshape(shape), log_scale.reshape(shape)


def _sums(log_weight: _Array, mean: _Array, log_scale: _Array, features: _Array, weights: _Array) -> _Array:
    """The features (B, M, P) summed over the tokens, by their shares in each component: (B, K, P)."""
    dim = mean.shape[-1]
    coefficients = np.empty((*log_weight.shape, features.shape[-1]), features.dtype)
    squares, linear = coefficients[..., :dim], coefficients[..., dim:-1]
    np.exp(-log_scale, out=squares)
    np.multiply(squares, mean, out=linear)
    squares *= -0.5
    coefficients[..., -1] = log_weight - 0.5 * (log_scale + linear * mean).sum(-1)
    shares = np.matmul(coefficients, features.transpose(0, 2, 1))  # (B, K, M)
    shares -= shares.max(1, keepdims=True)
    np.exp(shares, out=shares)
    shares *= weights[:, None] / shares.sum(1, keepdims=True)
    return np.matmul(shares, features)
