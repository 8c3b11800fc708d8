"""The log density of diagonal mixtures and its gradient, compiled by Numba.

As in `numba_em.py`, vectors are read once, and nothing as large as they are is allocated on the way; distances are
computed from differences, so that no offset drowns them.

Legend: B sets, N candidates, K components, D dimensions.
"""

# Numba has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportUntypedFunctionDecorator=false, reportMissingImports=false

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit
from torch import Tensor

from vkood.mixture.backends.numba_em import ENTRY, OPTIONS, contiguous, tensors


def density(inputs: tuple[Tensor, ...]) -> Tensor:
    """The log density (B, N) of candidates (B, N, D) under mixtures: log_weight, mean and log_scale."""
    (values,) = tensors((_forward(*contiguous(inputs)),))
    return values


def density_gradient(to_density: Tensor, inputs_and_density: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Gradients of candidates, log_weight, mean and log_scale."""
    return tensors(_backward(*contiguous((to_density, *inputs_and_density))))


# In the loops below rows are named first, for the compiler to know that they are contiguous.


@njit(**ENTRY)
@no_type_check
def _forward(candidates, log_weight, mean, log_scale):
    sets, size, _ = candidates.shape
    density = np.empty((sets, size), candidates.dtype)
    precision, peak = np.empty(mean.shape[1:], mean.dtype), np.empty(mean.shape[1], mean.dtype)
    joint = np.empty_like(peak)
    for b in range(sets):
        _prepare(log_weight[b], log_scale[b], precision, peak)
        means, vectors = mean[b], candidates[b]
        for n in range(size):
            vector = vectors[n]
            largest = -mean.dtype.type(np.inf)
            for k in range(len(peak)):
                joint[k] = peak[k] - _half_distance(vector, means[k], precision[k])
                largest = max(largest, joint[k])
            total = mean.dtype.type(0)
            for k in range(len(peak)):
                total += math.exp(joint[k] - largest)
            density[b, n] = largest + math.log(total)
    return density


@njit(**ENTRY)
@no_type_check
def _backward(arrived, candidates, log_weight, mean, log_scale, density):
    """The gradients of candidates, log_weight, mean and log_scale.

    With a the gradient that arrives at log p(x), y = x - mu_k, v_k the variances, l_k the log weights and

        log p(x) = log sum_k exp(j_k),  j_k = l_k - log sum_i exp(l_i) - 1/2 sum_d (log 2 pi + log v_kd + y_d^2 / v_kd)

    the gradient of j_k is the share s_k = a exp(j_k - log p(x)); they sum to a over k. So

        of x_d:         - sum_k s_k y_d / v_kd
        of mu_kd:         s_k y_d / v_kd
        of log v_kd:      1/2 s_k (y_d^2 / v_kd - 1)
        of l_k:           s_k - a exp(l_k) / sum_i exp(l_i)

    each summed over candidates, but for that of x.
    """
    sets, size, dim = candidates.shape
    precision, peak = np.empty(mean.shape[1:], mean.dtype), np.empty(mean.shape[1], mean.dtype)
    to_candidates, to_log_weight = np.zeros_like(candidates), np.zeros_like(log_weight)
    to_mean, to_log_scale = np.zeros_like(mean), np.zeros_like(log_scale)
    half = mean.dtype.type(0.5)
    for b in range(sets):
        norm = _prepare(log_weight[b], log_scale[b], precision, peak)
        means, vectors, to_vectors = mean[b], candidates[b], to_candidates[b]
        to_means, to_log_scales = to_mean[b], to_log_scale[b]
        whole = mean.dtype.type(0)
        for n in range(size):
            if arrived[b, n] == 0:  # as of masked ones
                continue
            whole += arrived[b, n]
            vector, to_vector = vectors[n], to_vectors[n]
            for k in range(len(peak)):
                centre, narrow, to_centre, to_spread = means[k], precision[k], to_means[k], to_log_scales[k]
                joint = peak[k] - _half_distance(vector, centre, narrow)
                share = arrived[b, n] * math.exp(joint - density[b, n])
                to_log_weight[b, k] += share
                for d in range(dim):
                    to_vector[d] -= share * narrow[d] * (vector[d] - centre[d])
                for d in range(dim):
                    pull = share * narrow[d] * (vector[d] - centre[d])
                    to_centre[d] += pull
                    to_spread[d] += half * (pull * (vector[d] - centre[d]) - share)
        for k in range(len(peak)):
            to_log_weight[b, k] -= whole * math.exp(log_weight[b, k] - norm)
    return to_candidates, to_log_weight, to_mean, to_log_scale


@njit(**OPTIONS)
@no_type_check
def _prepare(log_weight, log_scale, precision, peak):
    """Write the precisions and each component's log density at its mean, and return the norm of the weights."""
    components, dim = precision.shape
    largest, total = log_weight.max(), precision.dtype.type(0)
    for k in range(components):
        total += math.exp(log_weight[k] - largest)
    norm = largest + math.log(total)
    flat = dim * precision.dtype.type(math.log(2 * math.pi))
    for k in range(components):
        spread, narrow, volume = log_scale[k], precision[k], flat
        for d in range(dim):
            narrow[d] = math.exp(-spread[d])
        for d in range(dim):
            volume += spread[d]
        peak[k] = log_weight[k] - norm - precision.dtype.type(0.5) * volume
    return norm


@njit(**OPTIONS)
@no_type_check
def _half_distance(vector, centre, narrow):
    distance = vector.dtype.type(0)
    for d in range(len(vector)):
        distance += narrow[d] * (vector[d] - centre[d]) * (vector[d] - centre[d])
    return vector.dtype.type(0.5) * distance
