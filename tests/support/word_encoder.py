"""An encoder that knows a few words, and a filter with it: quick, and its cosines can be known independently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vkood import FactFilter

DIRECTIONS = {
    "rain": [1.0, 0, 0, 0],
    "umbrella": [0.9, 0.4, 0, 0],
    "wet": [0.7, 0, 0.7, 0],
    "violin": [0, 0, 0.2, 1.0],
    "music": [0, 0, 0, 1.0],
}


class WordEncoder:
    """Looks words up."""

    width, fingerprint = 4, "words"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, sentences: Sequence[str], /) -> Tensor:
        self.texts += sentences
        return functional.normalize(torch.tensor([DIRECTIONS[text] for text in sentences]), dim=-1)


def tagger(picture: Any) -> list[Any]:
    """What pictures of two sizes show, as pairs and as `transformers` puts it."""
    assert picture.mode == "RGB"
    return (
        [("umbrella", 0.6), ("violin", 0.2)] if picture.size == (2, 2) else [{"label": "music", "score": 0.5}]
    )


def new_filter(**options: Any) -> FactFilter:
    """An untrained filter."""
    return FactFilter(WordEncoder(), **options)
