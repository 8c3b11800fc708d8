"""Kernels for `Diagonal` in Triton: the fit of a set by MAP-EM, and its gradient through the last step.

They compute what `Diagonal.step` does, as tests see; a program has one set, and takes plain steps. The formulas of a
step, and of its gradient with their derivation, stand in `numba_em`, in `_maximize`, `_back_to_sums` and
`_back_to_tokens`; names are the same. As everywhere, squares are of differences to the means, never of coordinates.

Legend: B sets, M tokens, K components, D dimensions; a tile has R rows.
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
    back_from_log_shares,
    inside,
    log_shares,
    log_weights_of_components,
    of_components,
    read_tile,
    relative_change,
    softmax_of_components,
    store_numbers,
    store_rows,
    store_tile,
    store_vectors,
    vectors_of_components,
    write_ending,
)


@triton.jit
@no_type_check
def row_of(matrix, k):
    """Row k of a matrix with K rows."""
    return tl.sum(tl.where((tl.arange(0, matrix.shape[0]) == k)[:, None], matrix, 0.0), 0)


@triton.jit
@no_type_check
def as_row(values, k, BLOCK_K: tl.constexpr):
    """A matrix with K rows, of which row k has these values, and the others zeros."""
    return tl.where((tl.arange(0, BLOCK_K) == k)[:, None], values[None, :], 0.0)


@triton.jit
@no_type_check
def responsibilities(tile, log_weight, mean, log_scale, K, BLOCK_K: tl.constexpr):
    """Softmax_k(log pi_k + log N(x_r; mu_k, Sigma_k)), (K, R)."""
    narrowness = tl.exp(-0.5 * log_scale)
    logits = (log_weight - 0.5 * tl.sum(log_scale, 1))[:, None] + tl.zeros(
        (BLOCK_K, tile.shape[0]), tl.float32
    )
    for k in range(K):
        scaled = (tile - row_of(mean, k)[None, :]) * row_of(narrowness, k)[None, :]
        logits += as_row(-0.5 * tl.sum(scaled * scaled, 1), k, BLOCK_K)
    return softmax_of_components(logits)


@triton.jit
@no_type_check
def expected(tile, counted, log_weight, mean, log_scale, K, BLOCK_K: tl.constexpr):
    """The sums of a tile around the means: of squares and of differences (K, D), and of 1 (K,)."""
    shares = responsibilities(tile, log_weight, mean, log_scale, K, BLOCK_K) * counted[None, :]
    first, second = tl.zeros_like(mean), tl.zeros_like(mean)
    for k in range(K):
        difference = tile - row_of(mean, k)[None, :]
        part = row_of(shares, k)[:, None] * difference
        first += as_row(tl.sum(part, 0), k, BLOCK_K)
        second += as_row(tl.sum(part * difference, 0), k, BLOCK_K)
    return second, first, tl.sum(shares, 1)


@triton.jit
@no_type_check
def maximized(
    second,
    first,
    count,
    mean,
    prior_mean,
    strength,
    concentration,
    variance_strength,
    floor,
    K,
    D: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """The M-step: log weights, means and log scales."""
    exists = inside(tl.arange(0, BLOCK_K) < K, D, BLOCK_D)
    near = prior_mean - mean
    number, pull = count[:, None], strength[:, None]
    shift = (first + pull * near) / tl.where(exists, number + pull, 1.0)
    scatter = tl.maximum(second - shift * (2.0 * first - number * shift), 0.0)
    numerator = scatter + pull * (shift - near) * (shift - near) + floor
    log_scale = tl.log(tl.where(exists, numerator / (number + variance_strength), 1.0))
    return log_shares(count + concentration, K, BLOCK_K), mean + shift, log_scale


@triton.jit
@no_type_check
def fit(
    tokens,
    weights,
    prior_mean,
    strength,
    concentration,
    variance_strength,
    floor,
    start_weight,
    start_mean,
    start_scale,
    to_log_weight,
    to_mean,
    to_log_scale,
    to_status,
    to_steps,
    to_residual,
    to_trace,
    to_second,
    to_first,
    to_number,
    num_tokens,
    tolerance,
    smallest,
    max_steps,
    K,
    D: tl.constexpr,
    MEANS: tl.constexpr,
    STRENGTHS: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_M: tl.constexpr,
):
    """Fit a set; write its fixed point, how it went, and the sums of the E-step there."""
    row = tl.program_id(0).to(tl.int64)
    centre = vectors_of_components(prior_mean, MEANS, K, D, BLOCK_K, BLOCK_D)
    pull = of_components(strength, STRENGTHS, K, BLOCK_K)
    added, beyond = tl.load(concentration + row), tl.load(variance_strength + row)
    ground = tl.load(floor + row)
    log_weight = log_weights_of_components(start_weight, K, BLOCK_K)
    mean = vectors_of_components(start_mean, 2, K, D, BLOCK_K, BLOCK_D)
    log_scale = vectors_of_components(start_scale, 2, K, D, BLOCK_K, BLOCK_D)
    second, first, count = tl.zeros_like(mean), tl.zeros_like(mean), tl.zeros_like(log_weight)
    residual = float("inf")
    step = 0
    going = True
    while going:
        second, first, count = tl.zeros_like(mean), tl.zeros_like(mean), tl.zeros_like(log_weight)
        for begin in range(0, num_tokens, BLOCK_M):
            tile, counted, _ = read_tile(tokens, weights, begin, num_tokens, D, BLOCK_D, BLOCK_M, False)
            squares, differences, number = expected(tile, counted, log_weight, mean, log_scale, K, BLOCK_K)
            second += squares
            first += differences
            count += number
        next_weight, next_mean, next_scale = maximized(
            second, first, count, mean, centre, pull, added, beyond, ground, K, D, BLOCK_K, BLOCK_D
        )
        residual = relative_change(log_weight, mean, log_scale, next_weight, next_mean, next_scale, smallest)
        tl.store(to_trace + row * max_steps + step, residual)
        step += 1
        going = (residual > tolerance) & (residual < float("inf")) & (step < max_steps)
        log_weight = tl.where(going, next_weight, log_weight)
        mean = tl.where(going, next_mean, mean)
        log_scale = tl.where(going, next_scale, log_scale)
    store_numbers(to_log_weight, log_weight, 2, K, BLOCK_K)
    store_numbers(to_number, count, 2, K, BLOCK_K)
    store_vectors(to_mean, mean, 2, K, D, BLOCK_K, BLOCK_D)
    store_vectors(to_log_scale, log_scale, 2, K, D, BLOCK_K, BLOCK_D)
    store_vectors(to_first, first, 2, K, D, BLOCK_K, BLOCK_D)
    store_vectors(to_second, second, 2, K, D, BLOCK_K, BLOCK_D)
    write_ending(to_status, to_steps, to_residual, to_trace, residual, step, tolerance, max_steps)


@triton.jit
@no_type_check
def back_to_sums(
    to_log_weight,
    to_mean,
    to_log_scale,
    second,
    first,
    count,
    mean,
    prior_mean,
    strength,
    concentration,
    variance_strength,
    floor,
    exists,
    K,
    BLOCK_K: tl.constexpr,
):
    """The gradients of the sums, of the prior's means (K, D) and their strengths (K,)."""
    near = prior_mean - mean
    number, pull = count[:, None], strength[:, None]
    both = tl.where(exists, number + pull, 1.0)
    shift = (first + pull * near) / both
    rest, away = 2.0 * first - number * shift, shift - near
    scatter = second - shift * rest
    numerator = tl.maximum(scatter, 0.0) + pull * away * away + floor
    to_scale = tl.where(exists, to_log_scale / numerator, 0.0)
    to_scatter = tl.where(scatter > 0, to_scale, 0.0)
    to_away = 2.0 * pull * away * to_scale
    to_shift = to_mean + to_away + to_scatter * (number * shift - rest)
    to_drawn = to_shift / both
    to_strength = tl.sum(near * to_drawn + away * away * to_scale - shift * to_drawn, 1)
    to_count = tl.sum(shift * (to_scatter * shift - to_drawn), 1)
    to_count -= tl.sum(to_log_scale, 1) / (count + variance_strength)
    to_count += back_from_log_shares(to_log_weight, count + concentration, K, BLOCK_K)
    return to_scatter, to_drawn - 2.0 * shift * to_scatter, to_count, pull * to_drawn - to_away, to_strength


@triton.jit
@no_type_check
def back_to_tokens(
    tile,
    counted,
    to_second,
    to_first,
    to_count,
    log_weight,
    mean,
    log_scale,
    K,
    BLOCK_K: tl.constexpr,
):
    """The gradients of a tile's tokens (R, D) and weights (R,)."""
    shares = responsibilities(tile, log_weight, mean, log_scale, K, BLOCK_K)
    along = to_count[:, None] + tl.zeros_like(shares)
    for k in range(K):
        difference = tile - row_of(mean, k)[None, :]
        drawn = difference * (row_of(to_second, k)[None, :] * difference + row_of(to_first, k)[None, :])
        along += as_row(tl.sum(drawn, 1), k, BLOCK_K)
    to_weight = tl.sum(shares * along, 0)
    shares = shares * counted[None, :]
    to_logit = shares * (along - to_weight[None, :])
    curve = -0.5 * tl.exp(-log_scale)
    to_tile = tl.zeros_like(tile)
    for k in range(K):
        share = row_of(shares, k)[:, None]
        steep = (
            row_of(to_logit, k)[:, None] * row_of(curve, k)[None, :] + share * row_of(to_second, k)[None, :]
        )
        to_tile += 2.0 * (tile - row_of(mean, k)[None, :]) * steep + share * row_of(to_first, k)[None, :]
    return to_tile, to_weight


@triton.jit
@no_type_check
def fit_backward(
    arrived_log_weight,
    arrived_mean,
    arrived_log_scale,
    tokens,
    weights,
    prior_mean,
    strength,
    concentration,
    variance_strength,
    floor,
    log_weight,
    mean,
    log_scale,
    status,
    second,
    first,
    number,
    to_tokens,
    to_weights,
    to_prior_mean,
    to_strength,
    num_tokens,
    K,
    D: tl.constexpr,
    MEANS: tl.constexpr,
    STRENGTHS: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_M: tl.constexpr,
):
    """The gradient of a fit through its last step; 0 for a set that is not finite."""
    row = tl.program_id(0).to(tl.int64)
    passed = tl.load(status + row) != 2
    fixed_mean = vectors_of_components(mean, 2, K, D, BLOCK_K, BLOCK_D)
    to_square, to_difference, to_number, to_centre, to_pull = back_to_sums(
        tl.where(passed, of_components(arrived_log_weight, 2, K, BLOCK_K), 0.0),
        tl.where(passed, vectors_of_components(arrived_mean, 2, K, D, BLOCK_K, BLOCK_D), 0.0),
        tl.where(passed, vectors_of_components(arrived_log_scale, 2, K, D, BLOCK_K, BLOCK_D), 0.0),
        vectors_of_components(second, 2, K, D, BLOCK_K, BLOCK_D),
        vectors_of_components(first, 2, K, D, BLOCK_K, BLOCK_D),
        of_components(number, 2, K, BLOCK_K),
        fixed_mean,
        vectors_of_components(prior_mean, MEANS, K, D, BLOCK_K, BLOCK_D),
        of_components(strength, STRENGTHS, K, BLOCK_K),
        tl.load(concentration + row),
        tl.load(variance_strength + row),
        tl.load(floor + row),
        inside(tl.arange(0, BLOCK_K) < K, D, BLOCK_D),
        K,
        BLOCK_K,
    )
    if to_prior_mean is not None:
        store_vectors(to_prior_mean, to_centre, MEANS, K, D, BLOCK_K, BLOCK_D)
    if to_strength is not None:
        store_numbers(to_strength, to_pull, STRENGTHS, K, BLOCK_K)
    fixed_weight = log_weights_of_components(log_weight, K, BLOCK_K)
    fixed_scale = vectors_of_components(log_scale, 2, K, D, BLOCK_K, BLOCK_D)
    for begin in range(0, num_tokens, BLOCK_M):
        tile, counted, _ = read_tile(tokens, weights, begin, num_tokens, D, BLOCK_D, BLOCK_M, False)
        tile = tl.where(passed, tile, 0.0)
        to_tile, to_weight = back_to_tokens(
            tile,
            counted,
            to_square,
            to_difference,
            to_number,
            fixed_weight,
            fixed_mean,
            fixed_scale,
            K,
            BLOCK_K,
        )
        store_tile(to_tokens, to_tile, begin, num_tokens, D, BLOCK_D)
        store_rows(to_weights, tl.where(passed, to_weight, 0.0), begin, num_tokens)
