"""EM of diagonal mixtures with squared extrapolation in one compiled loop, by Numba: the extra `fast`.

It does what `vkood.solve.iteration` does with `Squarem` and the step of `host_step.py`, to which a test holds it. There
every operation passes over all sets, and the slowest decides how often; here a set stays in the processor's cache from
its start to its fixed point, and its tokens are read once in a step.

Legend: B sets, M tokens, K components, D dimensions, n = K (1 + 2 D) numbers of state.
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

from vkood.mixture.params import Prior
from vkood.solve import Squarem, Status
from vkood.solve.arrays import HostArray, smallest_normal
from vkood.solve.iteration import Outcome

# Sums may be taken in another order, as vector instructions need it; NaN and infinity keep their meaning.
_OPTIONS: dict[str, Any] = {
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    "nogil": True,
}

# Columns that a trace begins with; it is widened when they are full.
_COLUMNS = 32


def squarem_em(start: HostArray, operands: tuple[HostArray, ...], prior: Prior, solver: Squarem) -> Outcome:
    """What becomes of the states `start` (B, n), with the operands of `HostStep`."""
    real: Any = start.dtype.type
    floor = prior.variance_strength * prior.variance
    best, residual, failed, steps, trace = _solve(
        (real(prior.concentration), real(floor), real(prior.variance_strength)),
        (real(solver.tolerance), real(solver.floor)),
        (real(solver.longest), real(solver.growth), real(smallest_normal(start))),
        solver.max_steps,
        np.ascontiguousarray(start),
        tuple(np.ascontiguousarray(operand, start.dtype) for operand in operands),
    )
    status = np.where(failed, int(Status.NOT_FINITE), int(Status.OUT_OF_STEPS))
    status = np.where(residual <= real(solver.tolerance), int(Status.CONVERGED), status)
    found = (best, residual, status, steps, trace[:, : steps.max(initial=0)])
    names = ("best", "residual", "status", "steps", "trace")
    return Outcome(**{name: torch.from_numpy(array) for name, array in zip(names, found, strict=True)})


# Arrays are made one by one, and rows named before a loop: only so does the compiler know that they are contiguous.


@njit(**_OPTIONS)
@no_type_check
def _solve(prior, stop, jump, max_steps, start, operands):
    sets, size = start.shape
    tokens, weights, prior_mean, strength = operands
    dim = tokens.shape[2]
    tolerance, least = stop
    first_longest, growth, tiny = jump
    zero, one, four = start.dtype.type(0), start.dtype.type(1), start.dtype.type(4)
    best, residuals = start.copy(), np.full(sets, np.inf, start.dtype)
    failed, steps = np.zeros(sets, np.bool_), np.full(sets, max_steps)
    trace = np.full((sets, min(_COLUMNS, max_steps)), np.nan, start.dtype)
    curve = np.empty((size // (1 + 2 * dim), dim), start.dtype)
    slope, linear, square = np.empty_like(curve), np.empty_like(curve), np.empty_like(curve)
    constant = np.empty(len(curve), start.dtype)
    shares, count = np.empty_like(constant), np.empty_like(constant)
    coefficients, sums = (curve, slope, constant), (linear, square, count)
    point = np.empty(size, start.dtype)
    image, base, fallback = np.empty_like(point), np.empty_like(point), np.empty_like(point)
    for b in range(sets):
        point[:] = start[b]
        longest, longer, before = first_longest, first_longest, zero
        phase = 0
        for step in range(max_steps):
            _prepare(point, coefficients)
            _expect(tokens[b], weights[b], coefficients, shares, sums)
            _maximize(sums, prior_mean[b], strength[b], prior, image)
            residual = _residual(point, image, least)
            if step == trace.shape[1]:
                wider = np.full((sets, min(2 * step, max_steps)), np.nan, start.dtype)
                wider[:, :step] = trace
                trace = wider
            trace[b, step] = residual
            if residual < residuals[b]:
                residuals[b] = residual
                best[b] = point
            broken = not residual < np.inf
            if residual <= tolerance or (broken and phase < 2):
                failed[b], steps[b] = broken, step + 1
                break
            if phase == 0:
                base[:] = point
                point[:] = image
            elif phase == 1:
                wanted = _jump(base, point, image, longest, tiny)
                before, longer = residual, four * longest if wanted >= longest else longest
                fallback[:] = image
            elif residual <= growth * before:
                point[:] = image
                longest = longer
            else:
                point[:] = fallback
                longest = max(longest / four, one)
            phase = (phase + 1) % 3
    return best, residuals, failed, steps, trace


@njit(**_OPTIONS)
@no_type_check
def _prepare(state, coefficients):
    """Write the coefficients of x * x, x (K, D) and 1 (K,) in the logarithm of weight times density."""
    curve, slope, constant = coefficients
    components, dim = curve.shape
    split = components * (1 + dim)
    half, two = state.dtype.type(0.5), state.dtype.type(2)
    for k in range(components):
        mean = state[components + k * dim : components + (k + 1) * dim]
        log_scale = state[split + k * dim : split + (k + 1) * dim]
        curved, sloped = curve[k], slope[k]
        spread = state.dtype.type(0)
        for d in range(dim):
            curved[d] = -half * math.exp(-log_scale[d])
        for d in range(dim):
            sloped[d] = -two * curved[d] * mean[d]
            spread += sloped[d] * mean[d] + log_scale[d]
        constant[k] = state[k] - half * spread


@njit(**_OPTIONS)
@no_type_check
def _expect(tokens, weights, coefficients, shares, sums):
    """Write the weighted sums of x, x * x (K, D) and 1 (K,) over the tokens, each with its shares."""
    curve, slope, constant = coefficients
    linear, square, count = sums
    linear[:] = 0
    square[:] = 0
    count[:] = 0
    components, dim = curve.shape
    for m in range(len(tokens)):
        if weights[m] == 0:
            continue
        token = tokens[m]
        for k in range(components):
            logit, curved, sloped = constant[k], curve[k], slope[k]
            for d in range(dim):
                logit += token[d] * (curved[d] * token[d] + sloped[d])
            shares[k] = logit
        largest = shares[0]
        for k in range(1, components):
            largest = max(largest, shares[k])
        total = weights.dtype.type(0)
        for k in range(components):
            shares[k] = math.exp(shares[k] - largest)
            total += shares[k]
        for k in range(components):
            share = weights[m] * shares[k] / total
            count[k] += share
            first, second = linear[k], square[k]
            for d in range(dim):
                part = share * token[d]
                first[d] += part
                second[d] += part * token[d]


@njit(**_OPTIONS)
@no_type_check
def _maximize(sums, prior_mean, strength, prior, following):
    """Write the state that follows from the sums; a prior mean and its strength are for each component or for all."""
    linear, square, count = sums
    components, dim = linear.shape
    split = components * (1 + dim)
    concentration, floor, variance_strength = prior
    counted = concentration * count.dtype.type(components)
    for k in range(components):
        counted += count[k]
    for k in range(components):
        following[k] = math.log((count[k] + concentration) / counted)
        mean = following[components + k * dim : components + (k + 1) * dim]
        log_scale = following[split + k * dim : split + (k + 1) * dim]
        centre, pull = prior_mean[min(k, len(prior_mean) - 1)], strength[min(k, len(strength) - 1)]
        first, second = linear[k], square[k]
        for d in range(dim):
            drawn = first[d] + pull * centre[d]
            mean[d] = drawn / (count[k] + pull)
            scale = second[d] - drawn * mean[d] + (pull * centre[d] * centre[d] + floor)
            log_scale[d] = (floor if scale < floor else scale) / (count[k] + variance_strength)
        for d in range(dim):
            log_scale[d] = math.log(log_scale[d])


@njit(**_OPTIONS)
@no_type_check
def _residual(point, image, least):
    moved = length = point.dtype.type(0)
    for n in range(len(point)):
        moved += (image[n] - point[n]) * (image[n] - point[n])
        length += image[n] * image[n]
    return math.sqrt(moved) / (math.sqrt(length) + least)


@njit(**_OPTIONS)
@no_type_check
def _jump(base, point, image, longest, tiny):
    """Move `point` along its last two steps, and tell how far they would have it go."""
    straight = bent = point.dtype.type(0)
    for n in range(len(point)):
        first = point[n] - base[n]
        bend = image[n] - point[n] - first
        straight += first * first
        bent += bend * bend
    wanted = math.sqrt(straight) / max(math.sqrt(bent), tiny)
    along = min(max(wanted, point.dtype.type(1)), longest)
    for n in range(len(point)):
        first = point[n] - base[n]
        point[n] = base[n] + along * (first + first + along * (image[n] - point[n] - first))
    return wanted
