"""The log density of diagonal mixtures and its gradient, compiled by Numba.

As in `fused.py`, vectors are read once, and nothing as large as they are is made on the way; distances are taken from
differences, so that no offset drowns them.

Legend: B sets, N candidates, K components, D dimensions.
"""

# Numba has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportUntypedFunctionDecorator=false, reportMissingImports=false

from __future__ import annotations

import math
from typing import Any, no_type_check

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

from vkood.mixture.fused import OPTIONS, contiguous
from vkood.mixture.params import Mixture


def log_density(candidates: Tensor, mixture: Mixture) -> Tensor:
    """What `scores.log_density` is for `Diagonal`, (B, N), with gradients to candidates (B, N, D) and mixture."""
    given = (candidates.to(mixture.mean.dtype), mixture.log_weight, mixture.mean, mixture.log_scale)
    density: Tensor = _LogDensity.apply(*given)  # pyright: ignore[reportAssignmentType] (untyped in torch)
    return density


class _LogDensity(torch.autograd.Function):
    """The same on tensors of one type."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        density = torch.from_numpy(_forward(*contiguous(given)))
        ctx.save_for_backward(*given, density)
        return density

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (torch passes as many as forward returns)
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, ...]:
        found = _backward(*contiguous((gradient, *ctx.saved_tensors)))
        needed: tuple[bool, ...] = ctx.needs_input_grad
        return tuple(
            torch.from_numpy(array) if need else None for need, array in zip(needed, found, strict=True)
        )


# In the loops below rows are named first, for the compiler to know that they are contiguous.


@njit(**OPTIONS)
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


@njit(**OPTIONS)
@no_type_check
def _backward(arrived, candidates, log_weight, mean, log_scale, density):
    """The gradients of candidates, log_weight, mean and log_scale."""
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
