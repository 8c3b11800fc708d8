"""Pictures in pages: as addresses that hold them, reduced, and with the parts that matter highlighted."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

_MAX_SIDE, _MIN_LONG_SIDE = 320, 160


def png_address(picture: Image.Image) -> str:
    """A `data:` address that holds the picture, pixel by pixel."""
    content = io.BytesIO()
    picture.save(content, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def jpeg_address(picture: Image.Image) -> str:
    """A `data:` address that holds a photograph, in a tenth of the space."""
    content = io.BytesIO()
    picture.save(content, format="JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def highlighted(picture: Image.Image, weights: np.ndarray) -> Image.Image:
    """The picture, darkened where `weights`, (rows, columns), are small."""
    light = Image.fromarray((255 * weights / max(weights.max(), 1e-12)).astype(np.uint8))
    light = light.resize(picture.size, Image.Resampling.BICUBIC)
    return Image.composite(picture, Image.new("RGB", picture.size, "#20242c"), light)


def thumbnail(picture: Image.Image) -> Image.Image:
    """The picture at a size for a page: its longer side has 160 to 320 pixels."""
    reduced = picture.copy()
    reduced.thumbnail((_MAX_SIDE, _MAX_SIDE))
    longest = max(reduced.size)
    if longest < _MIN_LONG_SIDE:
        width, height = (max(1, _MIN_LONG_SIDE * side // longest) for side in reduced.size)
        reduced = reduced.resize((width, height))
    return reduced


def side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    """The pictures in a row, each resized to the first one's size."""
    if len(pictures) == 1:
        return pictures[0]
    width, height = pictures[0].size
    row = Image.new("RGB", (width * len(pictures), height))
    for number, picture in enumerate(pictures):
        row.paste(picture.resize((width, height)), (number * width, 0))
    return row
