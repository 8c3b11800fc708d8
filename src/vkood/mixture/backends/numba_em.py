"""The step of MAP-EM of diagonal Gaussians and its gradient, and a whole solve, compiled by Numba.

They do what `Diagonal.step` does, and with `Squarem` what `vkood.solve.loop` does, as tests see. In torch every
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
from numpy.typing import NDArray
from torch import Tensor

from vkood.solve import Solver, Squarem, Status
from vkood.solve.loop import Outcome

# Sums may be taken in another order, as vector instructions need it: without this a fit takes half as long again, and
# none of the other liberties gains anything. NaN and infinity keep their meaning.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"reassoc"}, "nogil": True}
# Only what Python calls is kept on disk: what it calls in turn is compiled into it, so that its machine code, and the
# last bits of its sums, do not depend on what else was kept.
ENTRY: dict[str, Any] = {**OPTIONS, "cache": True}

# Columns that a trace begins with; it is widened when they are full.
_COLUMNS = 32


def solve_squarem(start: Tensor, operands: tuple[Tensor, ...], solver: Solver) -> Outcome:
    """The outcome of a solve from the states `start` (B, n), with the operands of `Diagonal.step`.

    SQUAREM is written a second time here. With the compiled step in the loop of `vkood.solve` fits and their gradients
    take 1.4 to 1.7 times as long: each step would pass over all sets again, which no longer are in the cache.
    """
    assert isinstance(solver, Squarem)
    state, *others = contiguous((start, *operands))
    real: Any = state.dtype.type
    best, residual, failed, steps, trace = _solve(
        (real(solver.tolerance), real(solver.floor)),
        (real(solver.longest), real(solver.growth), real(torch.finfo(start.dtype).tiny)),
        solver.max_steps,
        state,
        tuple(others),
    )
    status = np.where(failed, int(Status.NOT_FINITE), int(Status.OUT_OF_STEPS))
    status = np.where(residual <= real(solver.tolerance), int(Status.CONVERGED), status)
    return Outcome(
        best=torch.from_numpy(best),
        residual=torch.from_numpy(residual),
        status=torch.from_numpy(status),
        steps=torch.from_numpy(steps),
        trace=torch.from_numpy(trace[:, : steps.max(initial=0)]),
    )


def em_step(state: Tensor, operands: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The states (B, n) after a step, and the shares and sums that `em_gradient` needs."""
    state_array, *others = contiguous((state, *operands))
    return tensors(_step(state_array, tuple(others)))


def em_gradient(
    to_following: Tensor, inputs: tuple[Tensor, ...], results: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Gradients of states, tokens, weights, and the prior's means and their strengths.

    Args:
        to_following: The gradient of the states after the step.
        inputs: State and operands.
        results: What `em_step` returned.
    """
    arrived, state, *operands = contiguous((to_following, *inputs))
    return tensors(_gradient(arrived, state, tuple(operands), tuple(part.numpy() for part in results)))


def contiguous(values: tuple[Tensor, ...]) -> tuple[NDArray[Any], ...]:
    """The tensors as arrays, all of the first one's type."""
    return tuple(np.ascontiguousarray(tensor.numpy(), values[0].numpy().dtype) for tensor in values)


def tensors(arrays: tuple[NDArray[Any], ...]) -> tuple[Tensor, ...]:
    """The inverse, without a copy."""
    return tuple(torch.from_numpy(array) for array in arrays)


# Arrays are made one by one, and rows named before a loop: only so does the compiler know that they are contiguous.


@njit(**ENTRY)
@no_type_check
def _solve(stop, jump, max_steps, start, operands):
    sets, size = start.shape
    tokens, weights, prior_mean, strength, concentration, variance_strength, floor = operands
    tolerance, scale = stop
    first_longest, growth, tiny = jump
    zero, unit, four = start.dtype.type(0), start.dtype.type(1), start.dtype.type(4)
    best, residuals = start.copy(), np.full(sets, np.inf, start.dtype)
    failed, steps = np.zeros(sets, np.bool_), np.full(sets, max_steps)
    trace = np.full((sets, min(_COLUMNS, max_steps)), np.nan, start.dtype)
    (curve, peak, shares), (square, count, _) = _room(start, tokens), _room(start, tokens)
    linear = np.empty_like(square)
    point = np.empty(size, start.dtype)
    image, base, fallback = np.empty_like(point), np.empty_like(point), np.empty_like(point)
    for b in range(sets):
        point[:] = start[b]
        longest, longer, before = first_longest, first_longest, zero
        prior = (concentration[b, 0], variance_strength[b, 0], floor[b, 0])
        phase = 0
        for step in range(max_steps):
            _prepare(point, curve, peak)
            _expect(tokens[b], weights[b], point, (curve, peak), shares, (square, linear, count), False)
            _maximize((square, linear, count), prior_mean[b], strength[b], prior, point, image)
            residual = _residual(point, image, scale)
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
                length = _jump(base, point, image, longest, tiny)
                before, longer = residual, four * longest if length >= longest else longest
                fallback[:] = image
            elif residual <= growth * before:
                point[:] = image
                longest = longer
            else:
                point[:] = fallback
                longest = max(longest / four, unit)
            phase = (phase + 1) % 3
    return best, residuals, failed, steps, trace


@njit(**ENTRY)
@no_type_check
def _step(state, operands):
    """The states after a step, and for its gradient the shares (B, M, K) and, around the means, the sums.

    The sums are those of squares and differences (B, K, D), and of 1 (B, K).
    """
    tokens, weights, prior_mean, strength, concentration, variance_strength, floor = operands
    curve, peak, room = _room(state, tokens)
    sets, (size, components), dim = len(state), room.shape, tokens.shape[2]
    following, shares = np.empty_like(state), np.empty((sets, size, components), state.dtype)
    square = np.empty((sets, components, dim), state.dtype)
    linear, count = np.empty_like(square), np.empty((sets, components), state.dtype)
    for b in range(sets):
        sums = (square[b], linear[b], count[b])
        prior = (concentration[b, 0], variance_strength[b, 0], floor[b, 0])
        _prepare(state[b], curve, peak)
        _expect(tokens[b], weights[b], state[b], (curve, peak), shares[b], sums, True)
        _maximize(sums, prior_mean[b], strength[b], prior, state[b], following[b])
    return following, shares, square, linear, count


@njit(**ENTRY)
@no_type_check
def _gradient(arrived, state, operands, results):
    tokens, weights, prior_mean, strength, concentration, variance_strength, floor = operands
    following, shares, square, linear, count = results
    (curve, peak, to_shares), (to_square, to_count, _) = _room(state, tokens), _room(state, tokens)
    to_linear = np.empty_like(to_square)
    to_state, to_tokens, to_weights = np.empty_like(state), np.zeros_like(tokens), np.zeros_like(weights)
    to_prior_mean, to_strength = np.zeros_like(prior_mean), np.zeros_like(strength)
    for b in range(len(state)):
        sums, to_sums = (square[b], linear[b], count[b]), (to_square, to_linear, to_count)
        prior = (concentration[b, 0], variance_strength[b, 0], floor[b, 0])
        ends, prior_means = (arrived[b], following[b], state[b]), (prior_mean[b], strength[b])
        _back_to_sums(ends, sums, prior_means, prior, to_sums, (to_prior_mean[b], to_strength[b]))
        _prepare(state[b], curve, peak)
        inputs, to_inputs = (tokens[b], weights[b], shares[b]), (to_tokens[b], to_weights[b], to_shares)
        _back_to_tokens(inputs, state[b], curve, to_sums, to_inputs, to_state[b])
    return to_state, to_tokens, to_weights, to_prior_mean, to_strength


@njit(**OPTIONS)
@no_type_check
def _room(state, tokens):
    """Room for numbers of each component, (K, D) and (K,), and for the shares of a set's tokens, (M, K)."""
    size, dim = tokens.shape[1:]
    components = state.shape[1] // (1 + 2 * dim)
    return (
        np.empty((components, dim), state.dtype),
        np.empty(components, state.dtype),
        np.empty((size, components), state.dtype),
    )


@njit(**OPTIONS)
@no_type_check
def _parts(state, k, components, dim):
    """Views of the mean and the log_scale (D,) of a component."""
    mean, log_scale = components + k * dim, components + (components + k) * dim
    return state[mean : mean + dim], state[log_scale : log_scale + dim]


@njit(**OPTIONS)
@no_type_check
def _prepare(state, curve, peak):
    """Write -1/2 times the precisions (K, D), and the logarithm of weight times density at the mean (K,)."""
    components, dim = curve.shape
    half = state.dtype.type(0.5)
    for k in range(components):
        _, log_scale = _parts(state, k, components, dim)
        curved = curve[k]
        volume = state.dtype.type(0)
        for d in range(dim):
            curved[d] = -half * math.exp(-log_scale[d])
        for d in range(dim):
            volume += log_scale[d]
        peak[k] = state[k] - half * volume


@njit(**OPTIONS)
@no_type_check
def _expect(tokens, weights, state, density, shares, sums, every):
    """Write the shares of `every` token, or of those with weight, and the sums that an M-step needs.

    In these shares they sum y * y, y and 1, with y the difference of a token to the component's mean.
    """
    curve, peak = density
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
            mean, _ = _parts(state, k, components, dim)
            logit, curved = peak[k], curve[k]
            for d in range(dim):
                logit += curved[d] * (token[d] - mean[d]) * (token[d] - mean[d])
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
            if share == 0:  # of a component far away; NaN goes on
                continue
            mean, _ = _parts(state, k, components, dim)
            count[k] += share
            first, second = linear[k], square[k]
            for d in range(dim):
                part = share * (token[d] - mean[d])
                first[d] += part
                second[d] += part * (token[d] - mean[d])


@njit(**OPTIONS)
@no_type_check
def _maximize(sums, prior_mean, strength, prior, state, following):
    """Write the state that follows from the sums around the means of `state`.

    A prior mean and its strength are for each component or for all. With count N, sums f of y and q of y * y, and the
    prior's mean c seen from the old mean, the new mean lies `shift = (f + pull c) / (N + pull)` from there, and around
    it the scatter is `q - shift (2 f - N shift)`.
    """
    square, linear, count = sums
    components, dim = linear.shape
    concentration, variance_strength, floor = prior
    counted, two, zero = (
        concentration * count.dtype.type(components),
        count.dtype.type(2),
        count.dtype.type(0),
    )
    for k in range(components):
        counted += count[k]
    for k in range(components):
        following[k] = math.log((count[k] + concentration) / counted)
        before, _ = _parts(state, k, components, dim)
        mean, log_scale = _parts(following, k, components, dim)
        centre, pull = prior_mean[min(k, len(prior_mean) - 1)], strength[min(k, len(strength) - 1)]
        first, second = linear[k], square[k]
        for d in range(dim):
            near = centre[d] - before[d]
            shift = (first[d] + pull * near) / (count[k] + pull)
            scatter = second[d] - shift * (two * first[d] - count[k] * shift)
            scatter = zero if scatter < zero else scatter
            away = shift - near
            mean[d] = before[d] + shift
            log_scale[d] = (scatter + pull * away * away + floor) / (count[k] + variance_strength)
        for d in range(dim):
            log_scale[d] = math.log(log_scale[d])


@njit(**OPTIONS)
@no_type_check
def _back_to_sums(ends, sums, prior_means, prior, to_sums, to_prior_means):
    """Write the gradient of the sums, and add those of the prior's mean and strength.

    It runs through `_maximize` backwards; `ends` are the gradient that arrives, and the states after and before the
    step. The old means are constants: the new ones do not depend on where differences begin. For a component and a
    dimension, with the count N, the sums f of y and q of y * y, the prior's pull p and mean c (seen from the old mean),
    a variance strength n and a floor v, `_maximize` computes

        s = (f + p c) / (N + p)                      shift
        S = max(0, q - s (2 f - N s))                scatter
        V = (S + p (s - c)^2 + v) / (N + n)          variance
        the new mean, old mean + s;  the new log_scale, log V;  the new log_weight, log (N + alpha) - log A,

    where A = sum_i (N_i + alpha). Let m, t and w be the gradients that arrive at the new mean, log_scale and
    log_weight, each for this component; primes mark gradients. By the chain rule, from the last line to the first,

        V' = t / V, and e = t / (V (N + n)) is that of the numerator of V                                `to_scale`
        S' = e where S > 0, else 0                                                                       `to_scatter`
        s' = m + 2 p (s - c) e + S' (N s - (2 f - N s)),   for dS/ds = -(2 f - N s) + N s                `to_shift`
        u  = s' / (N + p), the gradient of the numerator of s                                            `to_drawn`
        f' = u - 2 s S'            q' = S'            c' = p u - 2 p (s - c) e
        p' = sum_d  c u + (s - c)^2 e - u s
        N' = sum_d  -u s + S' s^2 - t / (N + n)  +  w / (N + alpha) - (sum_i w_i) / A

    Here -u s is the denominator of s, S' s^2 is N within S, and -t / (N + n) is the denominator of V.
    """
    arrived, following, state = ends
    square, linear, count = sums
    to_square, to_linear, to_count = to_sums
    components, dim = linear.shape
    concentration, variance_strength, _ = prior
    counted, arrived_in_all = concentration * count.dtype.type(components), count.dtype.type(0)
    two, zero = count.dtype.type(2), count.dtype.type(0)
    for k in range(components):
        counted += count[k]
        arrived_in_all += arrived[k]
    for k in range(components):
        of_mean, of_strength = min(k, len(prior_means[0]) - 1), min(k, len(prior_means[1]) - 1)
        centre, pull, to_centre = (
            prior_means[0][of_mean],
            prior_means[1][of_strength],
            to_prior_means[0][of_mean],
        )
        before, _ = _parts(state, k, components, dim)
        _, log_scale = _parts(following, k, components, dim)
        to_mean, to_log_scale = _parts(arrived, k, components, dim)
        first, second, to_first, to_second = linear[k], square[k], to_linear[k], to_square[k]
        beyond = count[k] + variance_strength
        to_beyond = to_counted = to_pull = to_number = zero
        for d in range(dim):
            near = centre[d] - before[d]
            shift = (first[d] + pull * near) / (count[k] + pull)
            rest = two * first[d] - count[k] * shift
            away = shift - near
            to_scale = to_log_scale[d] / (math.exp(log_scale[d]) * beyond)
            to_scatter = to_scale if second[d] - shift * rest > zero else zero
            to_away = two * pull * away * to_scale
            to_shift = to_mean[d] + to_away + to_scatter * (count[k] * shift - rest)
            to_drawn = to_shift / (count[k] + pull)
            to_counted -= to_drawn * shift  # of count + pull
            to_number += to_scatter * shift * shift  # of the count in the scatter
            to_beyond -= to_log_scale[d]
            to_second[d] = to_scatter
            to_first[d] = to_drawn - two * shift * to_scatter
            to_centre[d] += pull * to_drawn - to_away
            to_pull += near * to_drawn + away * away * to_scale
        to_count[k] = arrived[k] / (count[k] + concentration) - arrived_in_all / counted
        to_count[k] += to_counted + to_number + to_beyond / beyond
        to_prior_means[1][of_strength] += to_pull + to_counted


@njit(**OPTIONS)
@no_type_check
def _back_to_tokens(inputs, state, curve, to_sums, to_inputs, to_state):
    """Write the gradients of tokens, weights and state.

    For a token x of weight w, with y_k = x - mu_k, shares r = softmax(logit) and curve_k = -1/2 exp(-log_scale_k),

        logit_k = l_k + sum_d curve_kd y_kd^2 - 1/2 sum_d log_scale_kd
        N_k += w r_k        f_k += w r_k y_k        q_k += w r_k y_k^2

    Primes mark gradients. The share's is w g_k with g_k = N_k' + sum_d y_k (q_k' y_k + f_k') (`to_shares`), so that

        w'       = sum_k r_k g_k                                                       `arrived`
        logit_k' = w r_k (g_k - sum_i r_i g_i)                                         `to_logit`, of the softmax
        x'       = sum_k 2 y_k (logit_k' curve_k + w r_k q_k') + w r_k f_k'
        mu_k'    = -2 curve_k sum_x logit_k' y_k                     the sums have none, as `_back_to_sums` says
        log_scale_k' = -curve_k sum_x logit_k' y_k^2 - 1/2 sum_x logit_k',    for d curve / d log_scale = -curve
        l_k'     = sum_x logit_k'
    """
    tokens, weights, shares = inputs
    to_tokens, to_weights, to_shares = to_inputs
    to_square, to_linear, to_count = to_sums
    components, dim = curve.shape
    half, two = curve.dtype.type(0.5), curve.dtype.type(2)
    to_state[:] = 0
    for m in range(len(tokens)):
        token, own, to_token, to_own = tokens[m], shares[m], to_tokens[m], to_shares[m]
        arrived = curve.dtype.type(0)
        for k in range(components):
            to_own[k] = 0
            if own[k] == 0:
                continue
            mean, _ = _parts(state, k, components, dim)
            along, first, second = to_count[k], to_linear[k], to_square[k]
            for d in range(dim):
                along += (token[d] - mean[d]) * (second[d] * (token[d] - mean[d]) + first[d])
            to_own[k] = along
            arrived += along * own[k]
        to_weights[m] = arrived
        for k in range(components):
            share = weights[m] * own[k]
            if share == 0:
                continue
            to_logit = share * (to_own[k] - arrived)
            mean, _ = _parts(state, k, components, dim)
            to_mean, to_log_scale = _parts(to_state, k, components, dim)
            curved, first, second = curve[k], to_linear[k], to_square[k]
            to_state[k] += to_logit
            for d in range(dim):
                to_token[d] += two * (token[d] - mean[d]) * (to_logit * curved[d] + share * second[d])
                to_token[d] += share * first[d]
            for d in range(dim):
                part = to_logit * (token[d] - mean[d])
                to_mean[d] += part
                to_log_scale[d] += part * (token[d] - mean[d])
    for k in range(components):
        to_mean, to_log_scale = _parts(to_state, k, components, dim)
        curved = curve[k]
        for d in range(dim):
            to_mean[d] *= -two * curved[d]
            to_log_scale[d] = -curved[d] * to_log_scale[d] - half * to_state[k]


@njit(**OPTIONS)
@no_type_check
def _residual(point, image, scale):
    moved = length = point.dtype.type(0)
    for n in range(len(point)):
        moved += (image[n] - point[n]) * (image[n] - point[n])
        length += image[n] * image[n]
    return math.sqrt(moved) / (math.sqrt(length) + scale)


@njit(**OPTIONS)
@no_type_check
def _jump(base, point, image, longest, tiny):
    """Move `point` along its last two steps, and return how far they would have it go."""
    straight = bent = point.dtype.type(0)
    for n in range(len(point)):
        first = point[n] - base[n]
        bend = image[n] - point[n] - first
        straight += first * first
        bent += bend * bend
    length = math.sqrt(straight) / max(math.sqrt(bent), tiny)
    along = min(max(length, point.dtype.type(1)), longest)
    for n in range(len(point)):
        first = point[n] - base[n]
        point[n] = base[n] + along * (first + first + along * (image[n] - point[n] - first))
    return length
