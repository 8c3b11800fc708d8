"""Shapes of a checkpoint's tensors, and what they determine of a model's parts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from vkood.models.convert.reading import CheckpointError
from vkood.models.convert.settings import whole_number

Shapes = Mapping[str, tuple[int, ...]]

MAX_IMAGE_SIZE = 2048
"""Height and width of images, in pixels, beyond which position tables would fill the memory."""
_MAX_LAYERS = 200


def shape_of(shapes: Shapes, name: str, dimensions: int, what: str) -> tuple[int, ...]:
    """The shape of a tensor that has to be there.

    Args:
        shapes: Shapes of all tensors.
        name: Which.
        dimensions: Required number of axes; none may be empty.
        what: What it is a part of, such as "text tower".

    Raises:
        CheckpointError: If it is not there, or has another number of axes.
    """
    if name not in shapes:
        raise CheckpointError(f"The checkpoint's {what} is incomplete: it lacks {name!r}.")
    shape = shapes[name]
    if len(shape) != dimensions or 0 in shape:
        raise CheckpointError(
            f"{name!r} of the checkpoint must have {dimensions} axes, none of them empty; its shape is {shape}."
        )
    return shape


def count_layers(names: Iterable[str], pattern: str, what: str) -> int:
    """How many layers there are, by the numbers in the names that a pattern matches.

    Raises:
        CheckpointError: If there are none, one between is not there, or there are implausibly many.
    """
    numbers = {int(match[1]) for name in names if (match := re.match(pattern, name)) and len(match[1]) < 10}
    if not numbers:
        raise CheckpointError(f"The checkpoint's {what} is incomplete: it has no layers.")
    if len(numbers) > _MAX_LAYERS:
        raise CheckpointError(
            f"The checkpoint's {what} has {len(numbers)} layers; at most {_MAX_LAYERS} are read."
        )
    if lost := sorted(set(range(max(numbers) + 1)[: _MAX_LAYERS + 1]) - numbers):
        raise CheckpointError(
            f"The checkpoint's {what} lacks layer {lost[0]}, though it has layer {max(numbers)}."
        )
    return len(numbers)


def patch_size(shapes: Shapes, name: str) -> tuple[int, int]:
    """Width of an image tower, and height and width of its patches, by its first convolution."""
    width, channels, rows, columns = shape_of(shapes, name, 4, "image tower")
    if channels != 3 or rows != columns:
        raise CheckpointError(
            f"{name!r} of the checkpoint must be a convolution of square patches of 3 channels; its shape is "
            f"{shapes[name]}."
        )
    return width, rows


def grid_side(places: int, name: str) -> int:
    """How many patches are in a row, by the number of a tower's positions: a square and the class token's.

    Raises:
        CheckpointError: If it is no such number.
    """
    side = math.isqrt(max(0, places - 1))
    if side < 1 or side * side + 1 != places:
        raise CheckpointError(
            f"{name!r} of the checkpoint has {places} positions, which are not those of a class token and a square of "
            "patches."
        )
    return side


def own_size(settings: Mapping[str, Any], where: str, side: int, patch: int) -> int:
    """The resolution of a checkpoint, by its configuration and by how many patches its positions are for.

    At sizes that are no multiple of a patch the remainder is cut off, so that the configuration knows better.

    Raises:
        CheckpointError: If they contradict each other.
    """
    stated = whole_number(settings, "image_size", where)
    if stated is not None and stated // patch != side:
        raise CheckpointError(
            f"`image_size` is {stated} in {where}, but the checkpoint has positions for {side} x {side} patches of "
            f"{patch} pixels: the file is damaged, or has lost some."
        )
    return side * patch if stated is None else stated


def require_size(image_size: int, patch: int) -> int:
    """Check a resolution.

    Raises:
        CheckpointError: If an image would have not one patch, or so many that their positions fill the memory.
    """
    if image_size < patch:
        raise CheckpointError(
            f"`image_size` must be at least {patch}, since smaller images have not one patch; got {image_size}."
        )
    if image_size > MAX_IMAGE_SIZE:
        raise CheckpointError(f"`image_size` must be at most {MAX_IMAGE_SIZE} pixels; got {image_size}.")
    return image_size
