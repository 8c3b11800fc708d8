"""The easy-VQA package (64x64 pictures of one coloured shape, with questions) as tensors and tuples.

The pictures and questions come with the `easy-vqa` package itself: nothing is downloaded, nothing is written.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from vkood.extras import install_command
from vkood.images import decode_image

Split = Literal["train", "test"]

COLOURS: tuple[str, ...] = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
"""The colours of easy-VQA's shapes, spelt as the package spells them."""

SHAPES: tuple[str, ...] = ("circle", "rectangle", "triangle")
"""The shapes of easy-VQA."""

_NEGATIONS = frozenset({"no", "not"})


@dataclass(frozen=True, kw_only=True)
class EasyVqa:
    """One split of easy-VQA: its pictures, its questions, and what the annotations say of every picture.

    Every picture shows one shape of one colour. The package has no labels for them; they are derived from its
    questions and answers, and only where these leave a single possibility. About one picture in ten has too few
    questions for that (422 of 4,000 in train, 112 of 1,000 in test): there the colour or the shape is None, and the
    knowledge questions leave the picture out. The package's own questions use every picture.

    Attributes:
        split: "train" or "test".
        images: (N, 3, 64, 64) RGB pictures, in the order of the package's image ids.
        questions: The Q questions, in the package's order.
        answers: The answer to each question.
        image_index: (Q,) which row of `images` each question is about.
        colours: For every picture, the colour of its shape, or None where the annotations leave it open.
        shapes: For every picture, its shape, or None where the annotations leave it open.
        described: (D,) rows of `images` whose colour and shape are both known.
    """

    split: Split
    images: UInt8[Tensor, "images 3 64 64"]
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    image_index: Int[Tensor, " questions"]
    colours: tuple[str | None, ...]
    shapes: tuple[str | None, ...]
    described: Int[Tensor, " described"] = field(repr=False)

    def __repr__(self) -> str:
        """Say how much there is; the contents would fill pages."""
        return (
            f"EasyVqa(split={self.split!r}, {len(self.images):,} images, {len(self.questions):,} questions, "
            f"colour and shape known for {len(self.described):,} images)"
        )


def require_split(split: str) -> Split:
    """Return `split` if it names one.

    Raises:
        ValueError: If it does not.
    """
    if split not in get_args(Split):
        raise ValueError(f'`split` must be "train" or "test"; got {split!r}.')
    return split  # type: ignore[return-value]  # narrowed by the line above


def easy_vqa_answers() -> tuple[str, ...]:
    """Return the 13 answers of easy-VQA in the package's order.

    Raises:
        ImportError: If the package is not installed.

    Example:
        >>> easy_vqa_answers()[:5]
        ('circle', 'green', 'red', 'gray', 'yes')
    """
    return tuple(_package().get_answers())


@functools.cache
def load_easy_vqa(split: Split) -> EasyVqa:
    """Load one split of easy-VQA from the installed package; a split is read once per process.

    Args:
        split: "train" (4,000 pictures, 38,575 questions) or "test" (1,000 pictures, 9,673 questions).

    Returns:
        The pictures as one uint8 tensor (49 MB for train), the questions, and the attributes of the pictures.

    Raises:
        ImportError: If the package is not installed.
        ValueError: If `split` is something else.

    Example:
        >>> data = load_easy_vqa("test")
        >>> data
        EasyVqa(split='test', 1,000 images, 9,673 questions, colour and shape known for 888 images)
        >>> data.questions[0], data.answers[0], data.colours[0], data.shapes[0]
        ('what is the red shape?', 'triangle', 'red', 'triangle')
    """
    require_split(split)
    package = _package()
    paths = package.get_train_image_paths() if split == "train" else package.get_test_image_paths()
    questions, answers, image_ids = (
        package.get_train_questions() if split == "train" else package.get_test_questions()
    )
    row_of = {image_id: row for row, image_id in enumerate(sorted(paths))}
    image_index = [row_of[image_id] for image_id in image_ids]
    colours, shapes = picture_attributes(questions, answers, image_index, num_images=len(paths))
    described = [row for row in range(len(paths)) if colours[row] is not None and shapes[row] is not None]
    return EasyVqa(
        split=split,
        images=_read_images([paths[image_id] for image_id in row_of]),
        questions=tuple(questions),
        answers=tuple(answers),
        image_index=torch.tensor(image_index),
        colours=colours,
        shapes=shapes,
        described=torch.tensor(described),
    )


def picture_attributes(
    questions: Sequence[str], answers: Sequence[str], image_index: Sequence[int], *, num_images: int
) -> tuple[tuple[str | None, ...], tuple[str | None, ...]]:
    """Derive the colour and the shape of every picture from its questions and answers.

    Every question leaves some colours and shapes possible: "what is the blue shape?" "circle" leaves blue and circle;
    "is there a red shape?" "no" takes red away, and so does "is there not a red shape?" "yes". A picture's colour
    (shape) is known when exactly one is left.

    Args:
        questions: Questions in easy-VQA's language.
        answers: The answer to each.
        image_index: The picture that each is about, from 0.
        num_images: Number of pictures.

    Returns:
        The colours and the shapes, one for each picture; None where more than one is left.

    Raises:
        ValueError: If the answers about a picture contradict each other.

    Example:
        >>> questions, answers = ["what is the blue shape?", "is no circle present?"], ["circle", "no"]
        >>> picture_attributes(questions, answers, [0, 1], num_images=2)
        (('blue', None), ('circle', 'circle'))
    """
    colours_left = [set(COLOURS) for _ in range(num_images)]
    shapes_left = [set(SHAPES) for _ in range(num_images)]
    for question, answer, row in zip(questions, answers, image_index, strict=True):
        words = set(re.findall("[a-z]+", question.lower()))
        named_colours, named_shapes = words.intersection(COLOURS), words.intersection(SHAPES)
        if answer in ("yes", "no") and (answer == "no") != bool(
            words & _NEGATIONS
        ):  # the picture has no such thing
            colours_left[row] -= named_colours
            shapes_left[row] -= named_shapes
            continue
        named_colours |= {answer}.intersection(COLOURS)
        named_shapes |= {answer}.intersection(SHAPES)
        colours_left[row] &= named_colours or colours_left[row]
        shapes_left[row] &= named_shapes or shapes_left[row]
    for row in range(num_images):
        if not colours_left[row] or not shapes_left[row]:
            raise ValueError(
                f"The answers about image {row} contradict each other: no colour or no shape is left."
            )
    return tuple(_only(left) for left in colours_left), tuple(_only(left) for left in shapes_left)


def _only(possibilities: set[str]) -> str | None:
    return next(iter(possibilities)) if len(possibilities) == 1 else None


def _read_images(paths: Sequence[str]) -> UInt8[Tensor, "images 3 64 64"]:
    pixels = np.empty((len(paths), 64, 64, 3), dtype=np.uint8)
    for row, path in enumerate(paths):
        pixels[row] = np.asarray(decode_image(path, name=f"image {row}"))
    return torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())


def _package():
    """Import `easy_vqa`, which only the demo needs."""
    try:
        import easy_vqa
    except ImportError as error:
        raise ImportError(f"easy-VQA needs the package `easy-vqa`: {install_command('demo')}.") from error
    return easy_vqa
