"""What a tagger sees in photographs: its likeliest classes, with their probabilities, as tensors.

Legend: B photographs, T concepts of each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from vkood import PictureConcepts


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
    """Whatever names what is in a photograph, as `ConceptTagger` does.

    Attributes:
        names: Of all that it tells apart.
        fingerprint: Changes when what it says may change.
    """

    names: Sequence[str]
    fingerprint: str

    def __call__(self, photographs: Sequence[Path], /) -> list[PictureConcepts]:
        """What photographs show, each by as many names."""
        ...


def cached_tags(tagger: Tagger, photographs: Sequence[Path], folder: Path) -> Tags:
    """What the tagger says, from the folder if it has said so before of the same files."""
    files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in photographs]
    key = hashlib.sha256(repr((tagger.fingerprint, files)).encode()).hexdigest()[:24]
    path = folder / f"tags-{key}.pt"
    if path.is_file():
        kept = torch.load(path, weights_only=True)
        return Tags(kept["concepts"], kept["probabilities"])
    number = {name: place for place, name in enumerate(tagger.names)}
    names = [shown.names for shown in tagger(photographs)]
    tags = Tags(
        concepts=torch.tensor([[number[name] for name, _ in row] for row in names]),
        probabilities=torch.tensor([[probability for _, probability in row] for row in names]),
    )
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"concepts": tags.concepts, "probabilities": tags.probabilities}, path)
    return tags
