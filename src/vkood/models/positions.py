"""Positions of image patches for another size of image."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def resize_grid(
    positions: Float[Tensor, "places width"], height: int, width: int, *, num_extra: int
) -> Float[Tensor, "resized width"]:
    """Resize the position embeddings of a square grid of patches, as METER and most others do.

    Bicubic, with `align_corners=False`; what stands before the patches, such as the class token, is kept.

    Args:
        positions: (extra + old * old, dim) the embeddings.
        height: Patches from top to bottom.
        width: Patches from left to right.
        num_extra: Number of embeddings before those of the patches.

    Raises:
        ValueError: If the patches are no square grid.

    Example:
        >>> resize_grid(torch.zeros(1 + 14 * 14, 8), 24, 24, num_extra=1).shape
        torch.Size([577, 8])
    """
    extra, grid = positions[:num_extra], positions[num_extra:]
    side = math.isqrt(len(grid))
    if side * side != len(grid):
        raise ValueError(f"`positions` must be those of a square grid of patches; got {len(grid)} of them.")
    if (side, side) == (height, width):
        return positions
    return torch.cat([extra, _resize(grid, side, (height, width))])


def resize_relative(table: Float[Tensor, "places heads"], window: int) -> Float[Tensor, "resized heads"]:
    """Resize a table of relative positions, (2 * old - 1)^2 of them, for windows of another size (Swin).

    Raises:
        ValueError: If the table is no square.
    """
    side = math.isqrt(len(table))
    if side * side != len(table):
        raise ValueError(f"`table` must be a square of relative positions; got {len(table)} of them.")
    new_side = 2 * window - 1
    return table if side == new_side else _resize(table, side, (new_side, new_side))


def _resize(grid: Tensor, side: int, size: tuple[int, int]) -> Tensor:
    picture = grid.float().T.reshape(1, -1, side, side)
    resized = functional.interpolate(picture, size=size, mode="bicubic", align_corners=False)
    return resized[0].flatten(1).T.to(grid.dtype).contiguous()


def fit_positions(name: str, tensor: Tensor, shape: torch.Size) -> Tensor:
    """Resize a tower's table of positions if it has to have another shape; leave all else as it is.

    Args:
        name: What the tower calls the tensor.
        tensor: (places, width), or with a leading axis of length 1.
        shape: The shape that it has to have.
    """
    if tensor.shape == shape or tensor.dim() != len(shape):
        return tensor
    if name.endswith("relative_position_bias_table"):
        return resize_relative(tensor, (math.isqrt(shape[0]) + 1) // 2)
    if "position_embedding" not in name:
        return tensor
    side = math.isqrt(shape[-2])
    num_extra = shape[-2] - side * side
    rows = resize_grid(tensor.flatten(0, -2), side, side, num_extra=num_extra)
    return rows.reshape(shape)
