"""Images from files, bytes, arrays and PIL, decoded in one way for preparing, training, caching and predicting.

A decoded image is the same for every caller, and no pixel depends on the others:

- It is upright: the EXIF orientation is applied.
- Transparent pixels are white, partly transparent ones are blended with white.
- 16 bits a channel are scaled by the bit depth: 65,535 is white, whatever the brightest pixel. Integers of 32 bits, in
  which Pillow holds 16-bit files too, are on the same scale; floating-point images are on 0 to 255. Values outside
  their scale are refused.
- Of an animation or a file of several pages the first frame is taken.
- Colour profiles (ICC) are not applied, as in the image pipelines that the pretrained towers were trained with.
"""

from __future__ import annotations

import functools
import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from vkood import files

ImageSource = str | Path | bytes | bytearray | Image.Image | np.ndarray
"""A file's name, a file's content, an image of PIL's, or an array of bytes, height x width (x channels)."""

DECODING = 2
"""The version of these rules, for caches of features computed from images; 1 was before them."""
MAX_PIXELS = 89_478_485
"""Images of more pixels are refused, before they are decoded; it is the number from which Pillow warns."""
MAX_BYTES = 2**28
"""Image files of more bytes are refused."""

_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""No others: EPS, for example, would be run by an interpreter."""
_ORIENTATION = 0x0112
_TIFF_PHOTOMETRIC, _TIFF_WHITE_IS_ZERO = 262, 0
_TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""For each value of the EXIF orientation what makes the image upright; 1 is upright."""
_MODES_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_SCALES = {"I;16": 65_535, "I;16B": 65_535, "I;16L": 65_535, "I;16N": 65_535, "I": 65_535, "F": 255}
"""For each mode of wide numbers the value that is white."""


PICTURE_ENDINGS = (".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""What names of pictures' files end in, in lower case."""


class ImageProblem(ValueError):
    """An image cannot be decoded, or is not an image."""


class MissingImage(ImageProblem, FileNotFoundError):
    """There is no image file of that name."""

    def __str__(self) -> str:
        """The sentence, without an error number."""
        return str(self.args[0])


def decode_image(source: ImageSource, *, name: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode an image, upright, on white, with 8 bits a channel.

    Args:
        source: The image, in any of these forms.
        name: What to call it in errors ("images[3]").
        max_pixels: Images of more pixels are refused, before they are decoded; at most `MAX_PIXELS`.

    Returns:
        An image of the mode RGB; it may be the source itself.

    Raises:
        MissingImage: If there is no such file.
        ImageProblem: If it is not an image, is truncated, too large, or on another scale; the error names it.
    """
    if isinstance(source, str | Path):
        quoted = repr(os.fspath(source))
        name = quoted if name == os.fspath(source) else f"{name}, {quoted},"
        source = _content(source, name)
    if isinstance(source, np.ndarray):
        source = _from_array(source, name)
    with warnings.catch_warnings():
        # Pillow's warnings about odd metadata and large sizes would interrupt a training run; real problems are raised.
        warnings.simplefilter("ignore")
        if isinstance(source, bytes | bytearray):
            source = _opened(bytes(source), name)
        if not isinstance(source, Image.Image):
            raise ImageProblem(
                f"{name} must be a file's name or content, a PIL image or an array; got {type(source).__name__}."
            )
        return _rgb(source, name, min(max_pixels, MAX_PIXELS))


def _content(path: str | Path, name: str) -> bytes:
    try:
        return files.read_bytes(path, what="picture", max_bytes=MAX_BYTES)
    except files.MissingFile:
        raise MissingImage(f"{name} must be a picture, but there is no such file or folder.") from None
    except files.FileProblem as error:
        raise ImageProblem(f"{name} must be a picture. {error}") from None


def _from_array(array: np.ndarray, name: str) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise ImageProblem(
            f"{name} must be an array of (height, width) or (height, width, 3); got {array.shape}."
        )
    if array.dtype != np.uint8:
        raise ImageProblem(f"{name} must be an array of bytes, 0 to 255 (uint8); got {array.dtype}.")
    return Image.fromarray(array)


def _opened(content: bytes, name: str) -> Image.Image:
    """The image with its header read, its pixels not yet."""
    if not content:
        raise ImageProblem(f"{name} must be a picture, but is empty.")
    try:
        return Image.open(io.BytesIO(content), formats=_formats())
    except UnidentifiedImageError:
        raise ImageProblem(f"{name} must be a picture, but {_described(content)}.") from None
    except Image.DecompressionBombError as error:
        raise ImageProblem(f"{name} must have at most {MAX_PIXELS:,} pixels: {error}") from None
    except Exception as error:  # Pillow's readers fail in as many ways as there are formats
        raise ImageProblem(f"{name} cannot be opened, and may be damaged: {_reason(error)}.") from None


@functools.cache
def _formats() -> tuple[str, ...]:
    """The formats that this Pillow was built with."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _described(content: bytes) -> str:
    """What bytes that are not an image are instead, as far as their beginning shows."""
    start = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS; fetch the file itself with `git lfs pull`"
    if b"<svg" in start:
        return "is an SVG drawing; export it as PNG"
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<error")):
        return "is a web page, perhaps an error of the server that it was downloaded from"
    return f"is in no format that is read ({', '.join(_formats())})"


def _rgb(image: Image.Image, name: str, max_pixels: int) -> Image.Image:
    width, height = image.size
    if width * height > max_pixels or 0 in image.size:
        raise ImageProblem(
            f"{name} must have from 1 to {max_pixels:,} pixels; it has {width:,} x {height:,}. Make it smaller."
        )
    try:
        raw_mode = _raw_mode(image)
        image.load()
        upright = _TRANSPOSED.get(_orientation(image))
        if image.mode in _SCALES:
            decoded = _eight_bits(image, raw_mode, name)
        elif image.mode in _MODES_WITH_ALPHA or "transparency" in image.info:
            decoded = _on_white(image, raw_mode)
        else:
            decoded = image if image.mode == "RGB" else image.convert("RGB")
        if upright is not None:
            decoded = decoded.transpose(upright)
    except ImageProblem:
        raise
    except Exception as error:  # Pillow's decoders fail in as many ways as there are formats
        raise ImageProblem(f"{name} cannot be decoded, and may be truncated: {_reason(error)}.") from None
    if decoded is not image:
        decoded.info = {}  # Orientation and transparency have been applied.
    return decoded


def _raw_mode(image: Image.Image) -> str:
    """How the file holds its samples, such as "L;2" or "RGB;16B"; empty for an image that is in memory already."""
    for tile in getattr(image, "tile", ()):
        arguments = tile[3]
        return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)
    return ""


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Damaged metadata, in many ways too; viewers show such an image as it is stored.
        return 1


def _eight_bits(image: Image.Image, raw_mode: str, name: str) -> Image.Image:
    values = np.asarray(image)
    white = 4_095 if raw_mode == "I;12" else _SCALES[image.mode]
    low, high = float(values.min()), float(values.max())
    if not 0 <= low <= high <= white:
        raise ImageProblem(
            f"{name} has values from {low:g} to {high:g}, but must have values from 0 (black) to {white:,} (white), as "
            f"images of the mode {image.mode} do. Convert it to 8 bits."
        )
    if image.mode == "F":
        if 0 < high <= 1:
            raise ImageProblem(
                f"{name} has floating-point values up to {high:g}, but must have values from 0 (black) to 255 (white). "
                "Multiply them by 255, or convert it to 8 bits."
            )
        grey = np.rint(values)
    else:
        # round(255 value / white), in integers.
        grey = values.astype(np.uint32)
        grey *= 255
        grey += white // 2
        grey //= white
    grey = grey.astype(np.uint8)
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    if getattr(image, "tag_v2", {}).get(_TIFF_PHOTOMETRIC) == _TIFF_WHITE_IS_ZERO:
        grey = 255 - grey  # Pillow does so for up to 8 bits only.
    return Image.fromarray(grey).convert("RGB")


def _on_white(image: Image.Image, raw_mode: str) -> Image.Image:
    transparency = image.info.get("transparency")
    scaled = _transparent_colour(transparency, raw_mode)
    if scaled != transparency:
        image = image.copy()
        image.info["transparency"] = scaled
    if image.mode == "La":
        image = image.convert("LA")
    blended = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(blended, mask=blended.getchannel("A"))
    return white


def _transparent_colour(colour: Any, raw_mode: str) -> Any:
    """The colour that is transparent, as the decoded image has it.

    A PNG file gives it on the scale of its samples; Pillow leaves it so, but decodes samples of 2, 4 and 16 bits to 8.
    """
    if isinstance(colour, int) and raw_mode in ("L;2", "L;4"):
        return colour * {"L;2": 85, "L;4": 17}[raw_mode]
    if isinstance(colour, tuple) and raw_mode == "RGB;16B":
        return tuple(sample >> 8 for sample in colour)
    return colour


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
