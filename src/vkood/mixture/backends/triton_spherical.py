"""Kernels for `Spherical` in Triton: the fit of a set, the gates of its candidates, and the gradients of both.

They compute what `Spherical.step`, `Spherical.score` and `Gate` do, as tests see. A program has one set, from its
start to its fixed point: it waits for no other set, and the host waits for none. The tokens of a small set are read
once and stay in the multiprocessor; of a larger one every step reads one tile after another, and the cache has them.
Vectors are brought to length 1 as they are read.

**Fit.** EM as `families.spherical` has it, until the relative change is within the tolerance or the steps are used
up. Its gradient passes through one step at the fixed point, which is itself a constant (`LastIterate`). Primes mark
gradients. Of the M-step, where N_k = sum_m w_m r_mk, f_k = sum_m w_m r_mk x_m, t_k = f_k + s m0_k, L_k^2 = |t_k|^2 +
s^2 (1 - |m0_k|^2), mu_k = t_k / L_k and log pi_k = log(alpha + N_k) - log sum_i (alpha + N_i):

    c_k   = <mu_k, mu_k'> / L_k                     so that L_k' = -c_k; 0 where L_k is held at its minimum
    f_k'  = t_k' = mu_k' / L_k - c_k mu_k           since dL / dt = t / L = mu
    m0_k' = s f_k' + c_k s^2 / L_k m0_k             since dL / dm0 = -s^2 m0 / L
    s'    = sum_k <f_k', m0_k> - c_k s (1 - |m0_k|^2) / L_k
    N_k'  = log pi_k' / (alpha + N_k) - sum_i log pi_i' / sum_i (alpha + N_i)

Of the E-step, with h_mk = N_k' + <f_k', x_m> (0 for a background, which takes r_m0 of a token):

    w_m'   = sum_k r_mk h_mk                         l_mk' = w_m r_mk (h_mk - w_m'), of the logits
    x_m'   = sum_k w_m r_mk f_k' + kappa l_mk' mu_k  kappa' = sum_mk l_mk' <mu_k, x_m>
    uniform' = -sum_m w_m r_m0 w_m'

And of x = v / |v|: v' = (x' - <x, x'> x) / |v|.

**Gates.** With T = exp(log_temperature), a candidate y_n has

    S_n = -log sum_k pi_k exp(kappa <mu_k, y_n>),    a_n = T (threshold - S_n),    the gate g = sigmoid(a_n), and log g.

    a'   = (1 - g) (log g)' + g (1 - g) g'           threshold' = sum_n T a'        log_temperature' = sum_n a a'
    t_nk = (T a' - S') softmax_k(log pi_k + kappa <mu_k, y_n>)                       since dS / dlogit = -softmax
    y_n' = kappa sum_k t_nk mu_k                     mu_k' = kappa sum_n t_nk y_n
    log pi_k' = sum_n t_nk                           kappa' = sum_nk t_nk <mu_k, y_n>

Legend: B sets, M tokens, N candidates, K components, D dimensions; a tile has R rows.
"""

# Triton's language is not Python's: its functions take blocks, and are compiled from their source.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false
# pyright: reportMissingTypeStubs=false, reportMissingImports=false, reportPrivateImportUsage=false

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

from vkood.mixture.backends.triton_tiles import (
    arriving,
    back_from_log_shares,
    from_directions,
    log_shares,
    log_weights_of_components,
    of_components,
    pooled,
    products,
    read_tile,
    relative_change,
    softmax_of_components,
    spread,
    store_numbers,
    store_rows,
    store_tile,
    store_vectors,
    vectors_of_components,
    write_ending,
)


@triton.jit
@no_type_check
def responsibilities(cosine, log_weight, kappa, uniform):
    """The shares of the components (K, R) and of a background (R,), given <mu_k, x_m>."""
    logits = kappa * cosine + log_weight[:, None]
    largest = tl.max(logits, 0)
    if uniform is None:
        powers = tl.exp(logits - largest[None, :])
        total = tl.sum(powers, 0)
        return powers / total[None, :], total * 0
    else:
        level = tl.load(uniform + tl.program_id(0))
        largest = tl.maximum(largest, level)
        powers = tl.exp(logits - largest[None, :])
        background = tl.exp(level - largest)
        total = tl.sum(powers, 0) + background
        return powers / total[None, :], background / total


@triton.jit
@no_type_check
def expected(tile, counted, log_weight, mean, kappa, uniform):
    """The sums f (K, D) and N (K,) of a tile."""
    shares, _ = responsibilities(products(mean, tile), log_weight, kappa, uniform)
    shares = shares * counted[None, :]
    return pooled(shares, tile), tl.sum(shares, 1)


@triton.jit
@no_type_check
def lengths(first, prior_mean, strength):
    """The sum t (K, D), and L^2 (K,) before it is held at its minimum."""
    total = first + strength[:, None] * prior_mean
    lifted = strength * strength * tl.maximum(1.0 - tl.sum(prior_mean * prior_mean, 1), 0.0)
    return total, tl.sum(total * total, 1) + lifted


@triton.jit
@no_type_check
def maximized(first, number, prior_mean, strength, concentration, K, BLOCK_K: tl.constexpr):
    """The M-step: log weights (K,) and means (K, D)."""
    total, square = lengths(first, prior_mean, strength)
    mean = total / tl.sqrt(tl.maximum(square, 1e-12))[:, None]
    return log_shares(number + concentration, K, BLOCK_K), mean


@triton.jit
@no_type_check
def fit(
    tokens,
    weights,
    kappa,
    uniform,
    prior_mean,
    strength,
    concentration,
    start_mean,
    to_log_weight,
    to_mean,
    to_log_scale,
    to_first,
    to_number,
    to_status,
    to_steps,
    to_residual,
    to_trace,
    num_tokens,
    tolerance,
    floor,
    max_steps,
    K,
    D: tl.constexpr,
    KAPPAS: tl.constexpr,
    MEANS: tl.constexpr,
    STRENGTHS: tl.constexpr,
    COUNTS: tl.constexpr,
    NORMALIZE: tl.constexpr,
    RESIDENT: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_M: tl.constexpr,
):
    """Fit a set; write its fixed point, the sums of the E-step there, how it went, and the residual of every step."""
    row = tl.program_id(0).to(tl.int64)
    narrow = tl.load(kappa + row * KAPPAS).to(tl.float32)
    centre = vectors_of_components(prior_mean, MEANS, K, D, BLOCK_K, BLOCK_D)
    pull = of_components(strength, STRENGTHS, K, BLOCK_K)
    added = of_components(concentration, COUNTS, K, BLOCK_K)
    mean = vectors_of_components(start_mean, 2, K, D, BLOCK_K, BLOCK_D)
    log_weight = log_weights_of_components(None, K, BLOCK_K)
    first, number = tl.zeros_like(mean), tl.zeros_like(log_weight)
    if RESIDENT:
        tile, counted, _ = read_tile(tokens, weights, 0, num_tokens, D, BLOCK_D, BLOCK_M, NORMALIZE)
    residual = float("inf")
    step = 0
    going = True
    while going:
        if RESIDENT:
            first, number = expected(tile, counted, log_weight, mean, narrow, uniform)
        else:
            first, number = tl.zeros_like(mean), tl.zeros_like(log_weight)
            for begin in range(0, num_tokens, BLOCK_M):
                block, weight, _ = read_tile(
                    tokens, weights, begin, num_tokens, D, BLOCK_D, BLOCK_M, NORMALIZE
                )
                more_first, more_number = expected(block, weight, log_weight, mean, narrow, uniform)
                first += more_first
                number += more_number
        next_weight, next_mean = maximized(first, number, centre, pull, added, K, BLOCK_K)
        residual = relative_change(log_weight, mean, None, next_weight, next_mean, None, floor)
        tl.store(to_trace + row * max_steps + step, residual)
        step += 1
        going = (residual > tolerance) & (residual < float("inf")) & (step < max_steps)
        log_weight = tl.where(going, next_weight, log_weight)
        mean = tl.where(going, next_mean, mean)
    store_numbers(to_log_weight, log_weight, 2, K, BLOCK_K)
    store_numbers(to_number, number, 2, K, BLOCK_K)
    store_vectors(to_mean, mean, 2, K, D, BLOCK_K, BLOCK_D)
    store_vectors(to_first, first, 2, K, D, BLOCK_K, BLOCK_D)
    tl.store(to_log_scale + row, -tl.log(narrow))
    write_ending(to_status, to_steps, to_residual, to_trace, residual, step, tolerance, max_steps)


@triton.jit
@no_type_check
def fit_single(
    tokens,
    weights,
    kappa,
    prior_mean,
    strength,
    to_log_weight,
    to_mean,
    to_log_scale,
    to_first,
    to_number,
    to_status,
    to_steps,
    to_residual,
    to_trace,
    num_tokens,
    K,
    D: tl.constexpr,
    KAPPAS: tl.constexpr,
    MEANS: tl.constexpr,
    STRENGTHS: tl.constexpr,
    NORMALIZE: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_M: tl.constexpr,
):
    """Fit a set of one component without a background, which one step does, wherever it begins."""
    row = tl.program_id(0).to(tl.int64)
    first, number = tl.zeros((1, BLOCK_D), tl.float32), tl.zeros((1,), tl.float32)
    for begin in range(0, num_tokens, BLOCK_M):
        tile, counted, _ = read_tile(tokens, weights, begin, num_tokens, D, BLOCK_D, BLOCK_M, NORMALIZE)
        first += pooled(counted[None, :], tile)
        number += tl.sum(counted[None, :], 1)
    finite = tl.sum(tl.sum(tl.abs(first), 1), 0) < float("inf")
    first = tl.where(finite, first, 0.0)
    centre = vectors_of_components(prior_mean, MEANS, K, D, BLOCK_K, BLOCK_D)
    _, mean = maximized(
        first, number, centre, of_components(strength, STRENGTHS, K, BLOCK_K), 1.0, K, BLOCK_K
    )
    residual = tl.where(finite, 0.0, float("inf"))
    tl.store(to_trace + row, residual)
    store_numbers(to_log_weight, number * 0.0, 2, K, BLOCK_K)
    store_numbers(to_number, number, 2, K, BLOCK_K)
    store_vectors(to_mean, mean, 2, K, D, BLOCK_K, BLOCK_D)
    store_vectors(to_first, first, 2, K, D, BLOCK_K, BLOCK_D)
    tl.store(to_log_scale + row, -tl.log(tl.load(kappa + row * KAPPAS).to(tl.float32)))
    write_ending(to_status, to_steps, to_residual, to_trace, residual, 1, 0.0, 1)


@triton.jit
@no_type_check
def back_through_m_step(
    to_log_weight,
    to_mean,
    first,
    number,
    prior_mean,
    strength,
    concentration,
    K,
    BLOCK_K: tl.constexpr,
):
    """Gradients f' (K, D), N' (K,), m0' (K, D) and s' (K,)."""
    total, square = lengths(first, prior_mean, strength)
    inverse = 1.0 / tl.sqrt(tl.maximum(square, 1e-12))
    mean = total * inverse[:, None]
    # 0 where the length is held at its minimum
    along = tl.where(square > 1e-12, tl.sum(mean * to_mean, 1) * inverse, 0.0)
    to_first = to_mean * inverse[:, None] - along[:, None] * mean
    lifted = 1.0 - tl.sum(prior_mean * prior_mean, 1)
    pulled = tl.where(lifted > 0, along * strength * inverse, 0.0)
    to_prior_mean = strength[:, None] * (to_first + pulled[:, None] * prior_mean)
    to_strength = tl.sum(to_first * prior_mean, 1) - pulled * lifted
    return (
        to_first,
        back_from_log_shares(to_log_weight, number + concentration, K, BLOCK_K),
        to_prior_mean,
        to_strength,
    )


@triton.jit
@no_type_check
def back_through_e_step(tile, counted, to_first, to_number, log_weight, mean, kappa, uniform):
    """Gradients x' (R, D) and w' (R,), and what a tile adds to kappa' and uniform'."""
    along = products(to_first, tile) + to_number[:, None]  # h
    if mean.shape[0] == 1 and uniform is None:
        to_tile = counted[:, None] * to_first
        return to_tile, tl.sum(along, 0), 0.0, 0.0
    else:
        cosine = products(mean, tile)
        shares, background = responsibilities(cosine, log_weight, kappa, uniform)
        to_weight = tl.sum(shares * along, 0)
        shares = shares * counted[None, :]
        to_logit = shares * (along - to_weight[None, :])
        to_tile = spread(shares, to_first) + kappa * spread(to_logit, mean)
        to_kappa = tl.sum(tl.sum(to_logit * cosine, 0), 0)
        return to_tile, to_weight, to_kappa, -tl.sum(counted * background * to_weight, 0)


@triton.jit
@no_type_check
def fit_backward(
    arrived_log_weight,
    arrived_mean,
    tokens,
    weights,
    kappa,
    uniform,
    prior_mean,
    strength,
    concentration,
    log_weight,
    mean,
    first,
    number,
    status,
    to_tokens,
    to_weights,
    to_kappa,
    to_uniform,
    to_prior_mean,
    to_strength,
    num_tokens,
    K,
    D: tl.constexpr,
    KAPPAS: tl.constexpr,
    MEANS: tl.constexpr,
    STRENGTHS: tl.constexpr,
    COUNTS: tl.constexpr,
    NORMALIZE: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_M: tl.constexpr,
):
    """The gradient of a fit through its last step; 0 for a set that is not finite."""
    row = tl.program_id(0).to(tl.int64)
    passed = tl.load(status + row) != 2
    narrow = tl.load(kappa + row * KAPPAS).to(tl.float32)
    fixed_weight = log_weights_of_components(log_weight, K, BLOCK_K)
    fixed_mean = vectors_of_components(mean, 2, K, D, BLOCK_K, BLOCK_D)
    to_log_weight = tl.where(passed, of_components(arrived_log_weight, 2, K, BLOCK_K), 0.0)
    to_log_weight -= tl.exp(fixed_weight) * tl.sum(to_log_weight, 0)  # log weights count up to a constant
    to_mean = tl.where(passed, vectors_of_components(arrived_mean, 2, K, D, BLOCK_K, BLOCK_D), 0.0)
    to_first, to_number, to_centre, to_pull = back_through_m_step(
        to_log_weight,
        to_mean,
        vectors_of_components(first, 2, K, D, BLOCK_K, BLOCK_D),
        of_components(number, 2, K, BLOCK_K),
        vectors_of_components(prior_mean, MEANS, K, D, BLOCK_K, BLOCK_D),
        of_components(strength, STRENGTHS, K, BLOCK_K),
        of_components(concentration, COUNTS, K, BLOCK_K),
        K,
        BLOCK_K,
    )
    if to_prior_mean is not None:
        store_vectors(to_prior_mean, to_centre, MEANS, K, D, BLOCK_K, BLOCK_D)
    if to_strength is not None:
        store_numbers(to_strength, to_pull, STRENGTHS, K, BLOCK_K)
    narrowed, levelled = 0.0, 0.0
    for begin in range(0, num_tokens, BLOCK_M):
        tile, counted, inverse = read_tile(tokens, weights, begin, num_tokens, D, BLOCK_D, BLOCK_M, NORMALIZE)
        tile = tl.where(passed, tile, 0.0)
        to_tile, to_weight, more, level = back_through_e_step(
            tile, counted, to_first, to_number, fixed_weight, fixed_mean, narrow, uniform
        )
        narrowed += more
        levelled += level
        to_tile = tl.where(passed, from_directions(to_tile, tile, inverse, NORMALIZE), 0.0)
        store_tile(to_tokens, to_tile, begin, num_tokens, D, BLOCK_D)
        store_rows(to_weights, to_weight, begin, num_tokens)
    if to_kappa is not None:
        tl.store(to_kappa + row, narrowed)
    if to_uniform is not None:
        tl.store(to_uniform + row, levelled)


@triton.jit
@no_type_check
def log_affinities(tile, log_weight, mean, kappa):
    """Logits (K, R) of candidates, and the cosines in them."""
    cosine = products(mean, tile)
    return kappa * cosine + log_weight[:, None], cosine


@triton.jit
@no_type_check
def margins(logits, threshold, log_temperature):
    """T, and a (R,)."""
    largest = tl.max(logits, 0)
    score = -(largest + tl.log(tl.sum(tl.exp(logits - largest[None, :]), 0)))
    if threshold is None:
        return score, score
    else:
        return score, tl.exp(tl.load(log_temperature).to(tl.float32)) * (
            tl.load(threshold).to(tl.float32) - score
        )


@triton.jit
@no_type_check
def gates(
    candidates,
    present,
    kappa,
    log_weight,
    mean,
    threshold,
    log_temperature,
    to_log_gate,
    to_gate,
    to_score,
    num_candidates,
    K,
    D: tl.constexpr,
    KAPPAS: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """Score the candidates of a set, and gate them if there is a threshold; those that are absent are closed."""
    row = tl.program_id(0).to(tl.int64)
    narrow = tl.load(kappa + row * KAPPAS).to(tl.float32)
    weight = log_weights_of_components(log_weight, K, BLOCK_K)
    centre = vectors_of_components(mean, 2, K, D, BLOCK_K, BLOCK_D)
    for begin in range(0, num_candidates, BLOCK_N):
        tile, counted, _ = read_tile(candidates, present, begin, num_candidates, D, BLOCK_D, BLOCK_N, True)
        kept = counted > 0
        logits, _ = log_affinities(tile, weight, centre, narrow)
        outlying, margin = margins(logits, threshold, log_temperature)
        store_rows(to_score, tl.where(kept, outlying, float("inf")), begin, num_candidates)
        if threshold is not None:
            power = tl.exp(-tl.abs(margin))
            log_open = tl.minimum(margin, 0.0) - tl.log(1.0 + power)
            open_ = tl.where(margin >= 0, 1.0, power) / (1.0 + power)
            store_rows(to_log_gate, tl.where(kept, log_open, float("-inf")), begin, num_candidates)
            store_rows(to_gate, tl.where(kept, open_, 0.0), begin, num_candidates)


@triton.jit
@no_type_check
def gates_backward(
    arrived_log_gate,
    arrived_gate,
    arrived_score,
    candidates,
    present,
    kappa,
    log_weight,
    mean,
    threshold,
    log_temperature,
    to_candidates,
    to_log_weight,
    to_mean,
    to_numbers,
    num_candidates,
    K,
    D: tl.constexpr,
    KAPPAS: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """The gradient of `gates`; `to_numbers` is what a set adds to those of kappa, threshold and log_temperature."""
    row = tl.program_id(0).to(tl.int64)
    narrow = tl.load(kappa + row * KAPPAS).to(tl.float32)
    weight = log_weights_of_components(log_weight, K, BLOCK_K)
    centre = vectors_of_components(mean, 2, K, D, BLOCK_K, BLOCK_D)
    weighed, moved = tl.zeros_like(weight), tl.zeros_like(centre)
    narrowed, shifted, steeper = 0.0, 0.0, 0.0
    for begin in range(0, num_candidates, BLOCK_N):
        tile, counted, inverse = read_tile(
            candidates, present, begin, num_candidates, D, BLOCK_D, BLOCK_N, True
        )
        kept = counted > 0
        logits, cosine = log_affinities(tile, weight, centre, narrow)
        _, margin = margins(logits, threshold, log_temperature)
        outward = arriving(arrived_score, begin, num_candidates, kept)
        if threshold is not None:
            power = tl.exp(-tl.abs(margin))
            closed = tl.where(margin >= 0, power, 1.0) / (1.0 + power)
            to_log_gate = arriving(arrived_log_gate, begin, num_candidates, kept)
            to_gate = arriving(arrived_gate, begin, num_candidates, kept)
            to_margin = closed * (to_log_gate + (1.0 - closed) * to_gate)
            steep = tl.exp(tl.load(log_temperature).to(tl.float32))
            steeper += tl.sum(to_margin * margin, 0)
            shifted += steep * tl.sum(to_margin, 0)
            outward -= steep * to_margin
        to_logit = -outward[None, :] * softmax_of_components(logits)
        moved += narrow * pooled(to_logit, tile)
        weighed += tl.sum(to_logit, 1)
        narrowed += tl.sum(tl.sum(to_logit * cosine, 0), 0)
        to_tile = from_directions(narrow * spread(to_logit, centre), tile, inverse, True)
        store_tile(to_candidates, to_tile, begin, num_candidates, D, BLOCK_D)
    store_numbers(to_log_weight, weighed, 2, K, BLOCK_K)
    store_vectors(to_mean, moved, 2, K, D, BLOCK_K, BLOCK_D)
    tl.store(to_numbers + 3 * row, narrowed)
    tl.store(to_numbers + 3 * row + 1, shifted)
    tl.store(to_numbers + 3 * row + 2, steeper)
