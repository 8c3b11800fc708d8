"""EM of diagonal mixtures, compiled by Numba: its loop with squared extrapolation, and its step with gradients.

They do what `vkood.solve.iteration` does with `Squarem`, and the step of `host_step.py`, as tests see. There every
operation passes over all sets, and the slowest decides how often; here a set stays in the processor's cache from its
start to its fixed point, and its tokens are read once in a step.

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
OPTIONS: dict[str, Any] = {
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
    best, residual, failed, steps, trace = _solve(
        _scalars(prior, real),
        (real(solver.tolerance), real(solver.floor)),
        (real(solver.longest), real(solver.growth), real(smallest_normal(start))),
        solver.max_steps,
        np.ascontiguousarray(start),
        _contiguous(operands, start.dtype),
    )
    status = np.where(failed, int(Status.NOT_FINITE), int(Status.OUT_OF_STEPS))
    status = np.where(residual <= real(solver.tolerance), int(Status.CONVERGED), status)
    found = (best, residual, status, steps, trace[:, : steps.max(initial=0)])
    names = ("best", "residual", "status", "steps", "trace")
    return Outcome(**{name: torch.from_numpy(array) for name, array in zip(names, found, strict=True)})


def em_step(state: HostArray, operands: tuple[HostArray, ...], prior: Prior) -> tuple[HostArray, ...]:
    """The states (B, n) after a step, and what `em_gradient` wants of it."""
    scalars = _scalars(prior, state.dtype.type)
    return _step(scalars, np.ascontiguousarray(state), _contiguous(operands, state.dtype))


def em_gradient(
    arrived: HostArray, given: tuple[HostArray, ...], found: tuple[HostArray, ...], prior: Prior
) -> tuple[HostArray, ...]:
    """Gradients of the states and of all operands, `given`, from that of the states after the step, which `found`."""
    arrived, state, *operands = _contiguous((arrived, *given), given[0].dtype)
    return _gradient(_scalars(prior, state.dtype.type), arrived, state, tuple(operands), found)


def _scalars(prior: Prior, real: Any) -> tuple[Any, Any, Any]:
    """Concentration, least scale and strength of the variance."""
    floor = prior.variance_strength * prior.variance
    return real(prior.concentration), real(floor), real(prior.variance_strength)


def _contiguous(arrays: tuple[HostArray, ...], dtype: Any) -> tuple[HostArray, ...]:
    return tuple(np.ascontiguousarray(array, dtype) for array in arrays)


# Arrays are made one by one, and rows named before a loop: only so does the compiler know that they are contiguous.


@njit(**OPTIONS)
@no_type_check
def _solve(prior, stop, jump, max_steps, start, operands):
    sets, size = start.shape
    tokens, weights, prior_mean, strength = operands
    tolerance, least = stop
    first_longest, growth, tiny = jump
    zero, one, four = start.dtype.type(0), start.dtype.type(1), start.dtype.type(4)
    best, residuals = start.copy(), np.full(sets, np.inf, start.dtype)
    failed, steps = np.zeros(sets, np.bool_), np.full(sets, max_steps)
    trace = np.full((sets, min(_COLUMNS, max_steps)), np.nan, start.dtype)
    (coefficients, shares), (sums, _) = _room(start, tokens), _room(start, tokens)
    point = np.empty(size, start.dtype)
    image, base, fallback = np.empty_like(point), np.empty_like(point), np.empty_like(point)
    for b in range(sets):
        point[:] = start[b]
        longest, longer, before = first_longest, first_longest, zero
        phase = 0
        for step in range(max_steps):
            _prepare(point, coefficients)
            _expect(tokens[b], weights[b], coefficients, shares, sums, False)
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


@njit(**OPTIONS)
@no_type_check
def _step(prior, state, operands):
    """The states after a step, and for its gradient the shares (B, M, K), and the sums of x (B, K, D) and 1 (B, K)."""
    tokens, weights, prior_mean, strength = operands
    (coefficients, room), ((square, _, _), _) = _room(state, tokens), _room(state, tokens)
    sets, (size, components), dim = len(state), room.shape, tokens.shape[2]
    following, shares = np.empty_like(state), np.empty((sets, size, components), state.dtype)
    linear, count = np.empty((sets, components, dim), state.dtype), np.empty((sets, components), state.dtype)
    for b in range(sets):
        sums = (square, linear[b], count[b])
        _prepare(state[b], coefficients)
        _expect(tokens[b], weights[b], coefficients, shares[b], sums, True)
        _maximize(sums, prior_mean[b], strength[b], prior, following[b])
    return following, shares, linear, count


@njit(**OPTIONS)
@no_type_check
def _gradient(prior, arrived, state, operands, found):
    tokens, weights, prior_mean, strength = operands
    following, shares, linear, count = found
    (coefficients, _), (to_coefficients, _) = _room(state, tokens), _room(state, tokens)
    to_sums, to_shares = _room(state, tokens)
    to_state, to_tokens, to_weights = np.empty_like(state), np.zeros_like(tokens), np.zeros_like(weights)
    to_prior_mean, to_strength = np.zeros_like(prior_mean), np.zeros_like(strength)
    for b in range(len(state)):
        sums, ends = (linear[b], count[b]), (arrived[b], following[b])
        given, to_given = (prior_mean[b], strength[b]), (to_prior_mean[b], to_strength[b])
        _back_to_sums(ends, sums, given, prior, to_sums, to_given)
        _prepare(state[b], coefficients)
        given, to_given = (tokens[b], weights[b], shares[b]), (to_tokens[b], to_weights[b], to_shares)
        _back_to_tokens(given, (coefficients, to_sums), to_coefficients, to_given)
        _back_to_state(to_coefficients, state[b], coefficients, to_state[b])
    return to_state, to_tokens, to_weights, to_prior_mean, to_strength


@njit(**OPTIONS)
@no_type_check
def _room(state, tokens):
    """Room for what belongs to x * x, x (K, D) and 1 (K,) in a set, and for shares (M, K)."""
    size, dim = tokens.shape[1:]
    components = state.shape[1] // (1 + 2 * dim)
    square = np.empty((components, dim), state.dtype)
    features = square, np.empty_like(square), np.empty(components, state.dtype)
    return features, np.empty((size, components), state.dtype)


@njit(**OPTIONS)
@no_type_check
def _parts(state, k, components, dim):
    """Views of the mean and the log_scale (D,) of a component."""
    mean, log_scale = components + k * dim, components + (components + k) * dim
    return state[mean : mean + dim], state[log_scale : log_scale + dim]


@njit(**OPTIONS)
@no_type_check
def _prepare(state, coefficients):
    """Write the coefficients of x * x, x and 1 in the logarithm of weight times density."""
    curve, slope, constant = coefficients
    components, dim = curve.shape
    half, two = state.dtype.type(0.5), state.dtype.type(2)
    for k in range(components):
        mean, log_scale = _parts(state, k, components, dim)
        curved, sloped = curve[k], slope[k]
        spread = state.dtype.type(0)
        for d in range(dim):
            curved[d] = -half * math.exp(-log_scale[d])
        for d in range(dim):
            sloped[d] = -two * curved[d] * mean[d]
            spread += sloped[d] * mean[d] + log_scale[d]
        constant[k] = state[k] - half * spread


@njit(**OPTIONS)
@no_type_check
def _expect(tokens, weights, coefficients, shares, sums, every):
    """Write the shares of `every` token, or of those with weight, and the sums of x * x, x and 1 in these shares."""
    curve, slope, constant = coefficients
    square, linear, count = sums
    square[:] = 0
    linear[:] = 0
    count[:] = 0
    components, dim = square.shape
    for m in range(len(tokens)):
        if weights[m] == 0 and not every:
            continue
        token, own = tokens[m], shares[m]
        for k in range(components):
            logit, curved, sloped = constant[k], curve[k], slope[k]
            for d in range(dim):
                logit += token[d] * (curved[d] * token[d] + sloped[d])
            own[k] = logit
        largest = own[0]
        for k in range(1, components):
            largest = max(largest, own[k])
        total = weights.dtype.type(0)
        for k in range(components):
            own[k] = math.exp(own[k] - largest)
            total += own[k]
        for k in range(components):
            own[k] /= total
            share = weights[m] * own[k]
            count[k] += share
            first, second = linear[k], square[k]
            for d in range(dim):
                part = share * token[d]
                first[d] += part
                second[d] += part * token[d]


@njit(**OPTIONS)
@no_type_check
def _maximize(sums, prior_mean, strength, prior, following):
    """Write the state that follows from the sums; a prior mean and its strength are for each component or for all."""
    square, linear, count = sums
    components, dim = linear.shape
    concentration, floor, variance_strength = prior
    counted = concentration * count.dtype.type(components)
    for k in range(components):
        counted += count[k]
    for k in range(components):
        following[k] = math.log((count[k] + concentration) / counted)
        mean, log_scale = _parts(following, k, components, dim)
        centre, pull = prior_mean[min(k, len(prior_mean) - 1)], strength[min(k, len(strength) - 1)]
        first, second = linear[k], square[k]
        for d in range(dim):
            drawn = first[d] + pull * centre[d]
            mean[d] = drawn / (count[k] + pull)
            scale = second[d] - drawn * mean[d] + (pull * centre[d] * centre[d] + floor)
            log_scale[d] = (floor if scale < floor else scale) / (count[k] + variance_strength)
        for d in range(dim):
            log_scale[d] = math.log(log_scale[d])


@njit(**OPTIONS)
@no_type_check
def _back_to_sums(ends, sums, given, prior, to_sums, to_given):
    """Write the gradient of the sums, and add those of the prior's mean and strength; `ends` of `_maximize`."""
    arrived, following = ends
    linear, count = sums
    to_square, to_linear, to_count = to_sums
    components, dim = linear.shape
    concentration, floor, variance_strength = prior
    counted, arrived_in_all = concentration * count.dtype.type(components), count.dtype.type(0)
    for k in range(components):
        counted += count[k]
        arrived_in_all += arrived[k]
    for k in range(components):
        own, one = min(k, len(given[0]) - 1), min(k, len(given[1]) - 1)
        centre, pull, to_centre = given[0][own], given[1][one], to_given[0][own]
        mean, log_scale = _parts(following, k, components, dim)
        to_mean, to_log_scale = _parts(arrived, k, components, dim)
        to_first, to_second = to_linear[k], to_square[k]
        beyond = count[k] + variance_strength
        to_beyond = to_counted = to_pull = count.dtype.type(0)
        for d in range(dim):
            scale = math.exp(log_scale[d]) * beyond
            to_scale = to_log_scale[d] / scale if scale > floor else count.dtype.type(0)
            drawn = linear[k, d] + pull * centre[d]
            to_drawn = (to_mean[d] - to_scale * drawn) / (count[k] + pull)
            to_counted -= to_drawn * mean[d]  # of count + pull
            to_drawn -= to_scale * mean[d]
            to_beyond -= to_log_scale[d]
            to_second[d], to_first[d] = to_scale, to_drawn
            to_centre[d] += pull * (to_drawn + count.dtype.type(2) * centre[d] * to_scale)
            to_pull += centre[d] * (to_drawn + centre[d] * to_scale)
        to_count[k] = arrived[k] / (count[k] + concentration) - arrived_in_all / counted
        to_count[k] += to_counted + to_beyond / beyond
        to_given[1][one] += to_pull + to_counted


@njit(**OPTIONS)
@no_type_check
def _back_to_tokens(given, features, to_coefficients, to_given):
    """Write the gradients of tokens and weights, and of the first of `features`: the coefficients, to_sums."""
    tokens, weights, shares = given
    to_tokens, to_weights, to_shares = to_given
    (curve, slope, _), (to_square, to_linear, to_count) = features
    to_curve, to_slope, to_constant = to_coefficients
    to_curve[:] = 0
    to_slope[:] = 0
    to_constant[:] = 0
    components, dim = curve.shape
    two = curve.dtype.type(2)
    for m in range(len(tokens)):
        token, own, to_token, to_own = tokens[m], shares[m], to_tokens[m], to_shares[m]
        arrived = curve.dtype.type(0)
        for k in range(components):
            along, first, second = to_count[k], to_linear[k], to_square[k]
            for d in range(dim):
                along += token[d] * (second[d] * token[d] + first[d])
            to_own[k] = along
            arrived += along * own[k]
        to_weights[m] = arrived
        for k in range(components):
            share = weights[m] * own[k]
            to_logit = share * (to_own[k] - arrived)
            to_constant[k] += to_logit
            curved, sloped, first, second = curve[k], slope[k], to_linear[k], to_square[k]
            to_curved, to_sloped = to_curve[k], to_slope[k]
            for d in range(dim):
                to_token[d] += two * token[d] * (to_logit * curved[d] + share * second[d])
                to_token[d] += to_logit * sloped[d] + share * first[d]
            for d in range(dim):
                part = to_logit * token[d]
                to_sloped[d] += part
                to_curved[d] += part * token[d]


@njit(**OPTIONS)
@no_type_check
def _back_to_state(to_coefficients, state, coefficients, to_state):
    """Write the gradient of the state from that of its coefficients."""
    to_curve, to_slope, to_constant = to_coefficients
    components, dim = to_curve.shape
    half, two = state.dtype.type(0.5), state.dtype.type(2)
    for k in range(components):
        to_state[k] = to_constant[k]
        mean, _ = _parts(state, k, components, dim)
        to_mean, to_log_scale = _parts(to_state, k, components, dim)
        curved, to_curved, to_sloped = coefficients[0][k], to_curve[k], to_slope[k]
        half_constant = half * to_constant[k]
        for d in range(dim):
            precision = -two * curved[d]
            to_linear = to_sloped[d] - half_constant * mean[d]
            to_mean[d] = precision * (to_linear - half_constant * mean[d])
            to_log_scale[d] = precision * (half * to_curved[d] - to_linear * mean[d]) - half_constant


@njit(**OPTIONS)
@no_type_check
def _residual(point, image, least):
    moved = length = point.dtype.type(0)
    for n in range(len(point)):
        moved += (image[n] - point[n]) * (image[n] - point[n])
        length += image[n] * image[n]
    return math.sqrt(moved) / (math.sqrt(length) + least)


@njit(**OPTIONS)
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
