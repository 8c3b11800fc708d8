"""RandAugment for pictures (Cubuk et al., NeurIPS 2020), with PIL: a few random operations of one strength.

Written here since torchvision, which has it, brings gigabytes with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

_TOP = 10.0
_GREY = (124, 116, 104)


def _affine(picture: Image.Image, matrix: tuple[float | int, ...]) -> Image.Image:
    return picture.transform(
        picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=_GREY
    )


def _enhance(
    kind: Callable[[Image.Image], ImageEnhance._Enhance],
) -> Callable[[Image.Image, float], Image.Image]:
    return lambda picture, amount: kind(picture).enhance(max(0.0, 1.0 + 0.9 * amount))


_Operation = Callable[[Image.Image, float], Image.Image]
# Each takes a picture and an amount from -1 to 1.
_OPERATIONS: dict[str, _Operation] = {
    "identity": lambda picture, amount: picture,
    "contrast to the full": lambda picture, amount: ImageOps.autocontrast(picture),
    "equalise": lambda picture, amount: ImageOps.equalize(picture),
    "rotate": lambda picture, amount: picture.rotate(30 * amount, Image.Resampling.BILINEAR, fillcolor=_GREY),
    "solarise": lambda picture, amount: ImageOps.solarize(picture, round(255 * (1 - abs(amount)))),
    "posterise": lambda picture, amount: ImageOps.posterize(picture, 8 - round(4 * abs(amount))),
    "colour": _enhance(ImageEnhance.Color),
    "contrast": _enhance(ImageEnhance.Contrast),
    "brightness": _enhance(ImageEnhance.Brightness),
    "sharpness": _enhance(ImageEnhance.Sharpness),
    "shear across": lambda picture, amount: _affine(picture, (1, 0.3 * amount, 0, 0, 1, 0)),
    "shear down": lambda picture, amount: _affine(picture, (1, 0, 0, 0.3 * amount, 1, 0)),
    "move across": lambda picture, amount: _affine(picture, (1, 0, 0.3 * amount * picture.width, 0, 1, 0)),
    "move down": lambda picture, amount: _affine(picture, (1, 0, 0, 0, 1, 0.3 * amount * picture.height)),
}


@dataclass(frozen=True)
class RandAugment:
    """Random operations on a picture.

    Args:
        num_operations: Number of operations, one after the other.
        magnitude: How strong, from 0 to 10.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> RandAugment(2, 9.0)(Image.new("RGB", (8, 8)), np.random.default_rng(0)).size
        (8, 8)
    """

    num_operations: int = 2
    magnitude: float = 9.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.num_operations < 0 or not 0 <= self.magnitude <= _TOP:
            raise ValueError(
                f"RandAugment needs 0 or more operations and a magnitude from 0 to {_TOP:g}; got "
                f"{self.num_operations} and {self.magnitude}."
            )

    def __call__(self, picture: Image.Image, generator: np.random.Generator) -> Image.Image:
        """A changed picture of the same size."""
        for name in generator.choice(list(_OPERATIONS), self.num_operations):
            amount = self.magnitude / _TOP * generator.choice([-1.0, 1.0])
            picture = _OPERATIONS[str(name)](picture, float(amount))
        return picture
