"""Pictures from whatever users have: opened, told apart by name where they are bad, and made RGB."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

Picture = str | Path | bytes | Image.Image | np.ndarray
"""A file's name, a file's content, a picture of PIL's, or an array of height x width (x channels)."""

_LONGEST = 20
"""A picture longer than so many times its width is cut to that before it is resized: its ends are cut off anyway."""
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I", "F")


def open_picture(picture: Picture, name: str) -> Image.Image:
    """Open a picture, and make it RGB.

    Args:
        picture: The picture, however it comes.
        name: What to call it in errors ("images[3]").

    Raises:
        ValueError: If it is none, is truncated, or too large; the error names it.
        FileNotFoundError: If there is no such file.
    """
    if isinstance(picture, str | Path):
        name = f"{name}, {str(picture)!r},"
        path = Path(picture)
        if not path.is_file():
            raise FileNotFoundError(f"{name} must be a picture, but there is no such file.")
        picture = path.read_bytes()
    if isinstance(picture, np.ndarray):
        picture = _from_array(picture, name)
    elif isinstance(picture, bytes | bytearray):
        if not picture:
            raise ValueError(f"{name} must be a picture, but is empty.")
        try:
            picture = Image.open(io.BytesIO(picture))
        except UnidentifiedImageError:
            raise ValueError(f"{name} must be a picture, but is in no format that PIL knows.") from None
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"{name} cannot be opened: {error}.") from None
    if not isinstance(picture, Image.Image):
        raise ValueError(
            f"{name} must be a file's name or content, a PIL picture or an array; got {type(picture).__name__}."
        )
    try:
        return _rgb(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} cannot be decoded, and may be truncated: {error}.") from None


def cut_to_middle(picture: Image.Image) -> Image.Image:
    """Cut off the ends of a very long picture: resized whole, it could take all memory."""
    short, long = sorted(picture.size)
    if long <= _LONGEST * short:
        return picture
    kept, (width, height) = _LONGEST * short, picture.size
    if width > height:
        left = (width - kept) // 2
        return picture.crop((left, 0, left + kept, height))
    top = (height - kept) // 2
    return picture.crop((0, top, width, top + kept))


def _from_array(array: np.ndarray, name: str) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise ValueError(
            f"{name} must be an array of (height, width) or (height, width, 3); got {array.shape}."
        )
    if array.dtype != np.uint8:
        raise ValueError(f"{name} must be an array of bytes, 0 to 255 (uint8); got {array.dtype}.")
    return Image.fromarray(array)


def _rgb(picture: Image.Image) -> Image.Image:
    picture.load()
    if picture.mode in _SIXTEEN_BITS:
        values = np.asarray(picture, np.float64)
        top = 65_535.0 if values.max(initial=0) > 255 else 255.0
        picture = Image.fromarray((values.clip(0, top) * (255.0 / top)).round().astype(np.uint8))
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def nested(pictures: Picture | Sequence[Picture] | Sequence[Sequence[Picture]]) -> list[list[Picture]]:
    """A list of examples, each a list of its pictures."""
    if isinstance(pictures, str | Path | bytes | bytearray | Image.Image | np.ndarray):
        return [[pictures]]
    return [list(some) if isinstance(some, list | tuple) else [some] for some in pictures]  # pyright: ignore[reportReturnType]
