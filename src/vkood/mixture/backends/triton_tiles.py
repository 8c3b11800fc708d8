"""What the kernels of all families share: tiles of vectors, the numbers of a prior, and sums over tiles.

Blocks are padded to powers of two: padded components have the log weight -1e30, whose exponential is 0, and whatever
else is padded is 0. Of what components have, EACH says how many a set has: 2, one for each component; 1, one for all
of them; 0, a number that is the same for all sets.

Legend: K components, D dimensions; a tile has R rows.
"""

# Triton's language is not Python's: its functions take blocks, and are compiled from their source.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false
# pyright: reportMissingTypeStubs=false, reportMissingImports=false, reportPrivateImportUsage=false

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def offsets(rows, D: tl.constexpr, BLOCK_D: tl.constexpr):
    """Where the numbers of these rows (R,) of a matrix with D columns are: (R, D)."""
    return rows[:, None] * D + tl.arange(0, BLOCK_D)[None, :]


@triton.jit
@no_type_check
def inside(rows, D: tl.constexpr, BLOCK_D: tl.constexpr):
    """Which numbers of a tile there are, given the same of its rows (R,)."""
    return rows[:, None] & (tl.arange(0, BLOCK_D) < D)[None, :]


@triton.jit
@no_type_check
def of_set(numbers, size):
    """Where the numbers of this program's set begin, of which every set has so many."""
    return numbers + tl.program_id(0).to(tl.int64) * size


@triton.jit
@no_type_check
def row_weights(weights, rows, num_rows):
    """The weights (R,) of rows of a set: 0 beyond the last, and 1 where none are given."""
    if weights is None:
        return (rows < num_rows).to(tl.float32)
    else:
        return tl.load(of_set(weights, num_rows) + rows, mask=rows < num_rows, other=0).to(tl.float32)


@triton.jit
@no_type_check
def of_components(numbers, EACH: tl.constexpr, K, BLOCK_K: tl.constexpr):
    """Numbers (K,), of which each set has 1 or K, or all have the same; zeros where there are none."""
    component = tl.arange(0, BLOCK_K)
    if numbers is None:
        return tl.zeros((BLOCK_K,), tl.float32)
    elif EACH == 0:
        return tl.where(component < K, numbers, 0.0)
    else:
        at = tl.program_id(0) * K + component if EACH == 2 else tl.program_id(0) + component * 0
        return tl.load(numbers + at, mask=component < K, other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def vectors_of_components(
    vectors,
    EACH: tl.constexpr,
    K,
    D: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Vectors (K, D), of which each set has 1 or K; zeros where there are none."""
    component = tl.arange(0, BLOCK_K)
    if vectors is None:
        return tl.zeros((BLOCK_K, BLOCK_D), tl.float32)
    else:
        rows = tl.program_id(0) * K + component if EACH == 2 else tl.program_id(0) + component * 0
        at = offsets(rows, D, BLOCK_D)
        return tl.load(vectors + at, mask=inside(component < K, D, BLOCK_D), other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def log_weights_of_components(log_weights, K, BLOCK_K: tl.constexpr):
    """Log weights (K,), with those of padding."""
    return tl.where(tl.arange(0, BLOCK_K) < K, of_components(log_weights, 2, K, BLOCK_K), -1e30)


@triton.jit
@no_type_check
def store_numbers(numbers, values, EACH: tl.constexpr, K, BLOCK_K: tl.constexpr):
    """Store numbers (K,), or their sum where a set has one for all components."""
    component = tl.arange(0, BLOCK_K)
    if EACH == 1:
        tl.store(numbers + tl.program_id(0), tl.sum(values, 0))
    else:
        tl.store(numbers + tl.program_id(0) * K + component, values, mask=component < K)


@triton.jit
@no_type_check
def store_vectors(
    vectors,
    values,
    EACH: tl.constexpr,
    K,
    D: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Store vectors (K, D), or their sum where a set has one for all components."""
    if EACH == 1:
        columns = tl.arange(0, BLOCK_D)
        tl.store(vectors + tl.program_id(0) * D + columns, tl.sum(values, 0), mask=columns < D)
    else:
        component = tl.arange(0, BLOCK_K)
        at = offsets(tl.program_id(0) * K + component, D, BLOCK_D)
        tl.store(vectors + at, values, mask=inside(component < K, D, BLOCK_D))


@triton.jit
@no_type_check
def log_shares(counted, K, BLOCK_K: tl.constexpr):
    """Log weights (K,) of components from what each counts."""
    valid = tl.arange(0, BLOCK_K) < K
    share = counted / tl.sum(tl.where(valid, counted, 0.0), 0)
    return tl.where(valid, tl.log(tl.where(valid, share, 1.0)), -1e30)


@triton.jit
@no_type_check
def back_from_log_shares(arrived, counted, K, BLOCK_K: tl.constexpr):
    """The gradient of what each component counts, given that of its log weight (K,)."""
    valid = tl.arange(0, BLOCK_K) < K
    counted = tl.where(valid, counted, 1.0)
    total = tl.sum(tl.where(valid, counted, 0.0), 0)
    return tl.where(valid, arrived / counted - tl.sum(arrived, 0) / total, 0.0)


@triton.jit
@no_type_check
def relative_change(log_weight, mean, log_scale, next_weight, next_mean, next_scale, floor):
    """|F(z) - z| / (|F(z)| + floor) of log weights (K,), means and any log scales (K, D), without padding."""
    valid = log_weight > -1e29
    change, size = tl.where(valid, next_weight - log_weight, 0.0), tl.where(valid, next_weight, 0.0)
    moved = tl.sum(change * change, 0) + total_of_squares(next_mean - mean)
    length = tl.sum(size * size, 0) + total_of_squares(next_mean)
    if log_scale is not None:
        moved += total_of_squares(next_scale - log_scale)
        length += total_of_squares(next_scale)
    return tl.sqrt(moved) / (tl.sqrt(length) + floor)


@triton.jit
@no_type_check
def total_of_squares(block):
    """The sum of squares of (K, D)."""
    return tl.sum(tl.sum(block * block, 1), 0)


@triton.jit
@no_type_check
def directions(vectors, rows, kept, D: tl.constexpr, BLOCK_D: tl.constexpr, NORMALIZE: tl.constexpr):
    """A tile of rows that are kept, zeros elsewhere, brought to length 1; and 1 / length, 0 for vectors of zeros."""
    tile = tl.load(vectors + offsets(rows, D, BLOCK_D), mask=inside(kept, D, BLOCK_D), other=0.0).to(
        tl.float32
    )
    if NORMALIZE:
        # by the largest coordinate first, since squares of what single precision holds are beyond its range
        largest = tl.max(tl.abs(tile), 1)
        largest = tl.where(largest == 0, 1.0, largest)
        tile = tile / largest[:, None]
        length = tl.sqrt(tl.sum(tile * tile, 1))
        inverse = tl.where(length == 0, 0.0, 1.0 / tl.where(length == 0, 1.0, length))
        return tile * inverse[:, None], inverse / largest
    else:
        return tile, kept.to(tl.float32)


@triton.jit
@no_type_check
def from_directions(gradient, tile, inverse, NORMALIZE: tl.constexpr):
    """The gradients of the vectors, given those of the directions that `directions` made of them."""
    if NORMALIZE:
        along = tl.sum(gradient * tile, 1)
        return (gradient - along[:, None] * tile) * inverse[:, None]
    else:
        return gradient


@triton.jit
@no_type_check
def products(means, tile):
    """<mean_k, x_r> of means (K, D) and a tile (R, D): (K, R)."""
    if means.shape[0] == 1:
        return tl.sum(means * tile, 1)[None, :]
    else:
        return tl.dot(means, tl.trans(tile), input_precision="ieee")


@triton.jit
@no_type_check
def pooled(shares, tile):
    """Sum_r share_kr x_r of shares (K, R) and a tile (R, D): (K, D)."""
    if shares.shape[0] == 1:
        return tl.sum(tl.trans(shares) * tile, 0)[None, :]
    else:
        return tl.dot(shares, tile, input_precision="ieee")


@triton.jit
@no_type_check
def spread(shares, means):
    """Sum_k share_kr mean_k of shares (K, R) and means (K, D): (R, D)."""
    if shares.shape[0] == 1:
        return tl.trans(shares) * means
    else:
        return tl.dot(tl.trans(shares), means, input_precision="ieee")


@triton.jit
@no_type_check
def softmax_of_components(logits):
    """Over the components, (K, R)."""
    powers = tl.exp(logits - tl.max(logits, 0)[None, :])
    return powers / tl.sum(powers, 0)[None, :]


@triton.jit
@no_type_check
def store_tile(vectors, tile, begin, num_rows, D: tl.constexpr, BLOCK_D: tl.constexpr):
    """Write a tile (R, D) of a set's vectors in their precision, if there is room for them."""
    if vectors is not None:
        rows = begin + tl.arange(0, tile.shape[0])
        at = of_set(vectors, num_rows * D) + offsets(rows, D, BLOCK_D)
        tl.store(at, tile.to(vectors.dtype.element_ty), mask=inside(rows < num_rows, D, BLOCK_D))


@triton.jit
@no_type_check
def store_rows(numbers, values, begin, num_rows):
    """Write a number (R,) of each row of a tile, if there is room for them."""
    if numbers is not None:
        rows = begin + tl.arange(0, values.shape[0])
        tl.store(of_set(numbers, num_rows) + rows, values, mask=rows < num_rows)


@triton.jit
@no_type_check
def arriving(gradient, begin, num_rows, kept):
    """A gradient (R,) of rows that are kept; zeros where none arrives."""
    if gradient is None:
        return kept.to(tl.float32) * 0.0
    else:
        rows = begin + tl.arange(0, kept.shape[0])
        return tl.load(of_set(gradient, num_rows) + rows, mask=kept, other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def write_ending(status, steps, residuals, trace, residual, step, tolerance, max_steps):
    """How a set's fit went: its `Status`, steps and residual, and NaN in the trace from where it stopped."""
    row = tl.program_id(0).to(tl.int64)
    tl.store(residuals + row, residual)
    tl.store(steps + row, step)
    tl.store(status + row, tl.where(residual <= tolerance, 0, tl.where(residual < float("inf"), 1, 2)))
    for later in range(step, max_steps):
        tl.store(trace + row * max_steps + later, float("nan"))


@triton.jit
@no_type_check
def read_tile(
    vectors,
    weights,
    begin,
    num_rows,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_R: tl.constexpr,
    NORMALIZE: tl.constexpr,
):
    """A tile of a set's vectors (R, D), their weights, and 1 / length; what has no weight may hold anything."""
    rows = begin + tl.arange(0, BLOCK_R)
    counted = row_weights(weights, rows, num_rows)
    tile, inverse = directions(of_set(vectors, num_rows * D), rows, counted > 0, D, BLOCK_D, NORMALIZE)
    return tile, counted, inverse
