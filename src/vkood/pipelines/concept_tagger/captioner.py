"""What pictures show by descriptions: a captioner's, or those that a data set has."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
from typing_extensions import override

from vkood.fields import as_count
from vkood.images import ImageSource, decode_image
from vkood.knowledge.linking.caption_concepts import Likely, caption_concepts
from vkood.knowledge.linking.linker import Linker, Store
from vkood.models.fingerprint import encoder_fingerprint
from vkood.models.loading import (
    PROCESSOR_FILES,
    LoadingError,
    load_config,
    load_encoder,
    load_image_processor,
    load_tokenizer,
    local_folder,
)
from vkood.pipelines.concept_tagger.visual_nouns import visual_nouns
from vkood.pipelines.concept_tagger.vocabulary import Cut, PictureConcepts

Describe = Callable[[Sequence[Image.Image]], Sequence[Sequence[str]]]
"""From pictures to the descriptions of each."""

_MAX_TOKENS = 30
_DESCRIBING = ("blip", "git", "vision-encoder-decoder")
"""Models that describe a picture without being asked."""


class Captioner:
    """A model of `transformers` that describes pictures, such as BLIP.

    Args:
        source: Folder, or name on the hub.
        num_captions: Descriptions of each picture: the best of so many beams.

    Raises:
        LoadingError: It is missing or damaged, or describes no pictures.
        ValueError: `num_captions` is below 1.
    """

    def __init__(self, source: str | Path, num_captions: int = 3) -> None:
        num_captions = as_count("num_captions", num_captions)
        folder = local_folder(source)
        config = load_config(folder)
        describes = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
        if not describes or config.model_type not in _DESCRIBING:
            raise LoadingError(
                f"The model in {str(folder)!r} ({config.model_type}) describes no pictures by itself: take BLIP, GIT "
                "or another encoder-decoder of vision, or pass a function from pictures to descriptions."
            )
        self._num_captions = num_captions
        self._prepare, self._tokenizer = load_image_processor(folder), load_tokenizer(folder)
        self._network: Any = load_encoder(folder, config, kind=AutoModelForImageTextToText)
        files = (*PROCESSOR_FILES, *self._tokenizer.vocab_files_names.values(), "generation_config.json")
        model = encoder_fingerprint(folder, files=files, pooling="descriptions")
        self.fingerprint = f"{model} {num_captions} {_MAX_TOKENS}"

    @torch.no_grad()
    def __call__(self, pictures: Sequence[Image.Image]) -> list[list[str]]:
        """The descriptions of each picture."""
        pixels = self._prepare(list(pictures), return_tensors="pt")["pixel_values"]
        tokens = self._network.generate(
            pixel_values=pixels,
            num_beams=self._num_captions,
            num_return_sequences=self._num_captions,
            max_new_tokens=_MAX_TOKENS,
            do_sample=False,
        )
        texts = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [
            texts[first : first + self._num_captions] for first in range(0, len(texts), self._num_captions)
        ]


class _DescribedSource:
    """Concepts that descriptions name, through the linker.

    Attributes:
        names: The names of visible things in the store; empty if there are none, or it cannot list them.
    """

    def __init__(self, fingerprint: str, store: Store, cut: Cut) -> None:
        self._linker, self._cut = Linker(store), cut
        self.names: Sequence[str] = tuple(visual_nouns(store))
        self._tells_apart = frozenset(self.names)
        self.fingerprint = hashlib.sha256(repr((fingerprint, cut)).encode()).hexdigest()

    def _descriptions(self, pictures: Sequence[tuple[str, ImageSource]]) -> list[Sequence[str]]:
        """The descriptions of each picture."""
        raise NotImplementedError

    def __call__(self, pictures: Sequence[tuple[str, ImageSource]]) -> list[PictureConcepts]:
        """What pictures show."""
        return [
            PictureConcepts(names=self._cut_names(named), concepts=every[: self._cut.max_concepts])
            for named, every in caption_concepts(self._descriptions(pictures), self._linker)
        ]

    def _cut_names(self, named: Likely) -> Likely:
        known = [pair for pair in named if not self._tells_apart or pair[0] in self._tells_apart]
        return tuple(known[: self._cut.num_names])


class CaptionerSource(_DescribedSource):
    """Concepts that a captioner's descriptions name."""

    def __init__(self, describe: Describe, fingerprint: str, store: Store, cut: Cut) -> None:
        super().__init__(fingerprint, store, cut)
        self._describe = describe

    @override
    def _descriptions(self, pictures: Sequence[tuple[str, ImageSource]]) -> list[Sequence[str]]:
        decoded = [decode_image(picture, name=name) for name, picture in pictures]
        captions = [list(own) for own in self._describe(decoded)]
        if len(captions) != len(decoded):
            raise ValueError(
                f"the captioner must return descriptions of each of {len(decoded)} pictures; got {len(captions)}."
            )
        return list(captions)


class CaptionsSource(_DescribedSource):
    """Concepts of descriptions that a data set has, found by the names of its pictures' files."""

    def __init__(self, captions: Mapping[str, Sequence[str]], store: Store, cut: Cut) -> None:
        super().__init__(repr(sorted((name, tuple(own)) for name, own in captions.items())), store, cut)
        self._captions = captions

    @override
    def _descriptions(self, pictures: Sequence[tuple[str, ImageSource]]) -> list[Sequence[str]]:
        return [self._of(name, picture) for name, picture in pictures]

    def _of(self, name: str, picture: ImageSource) -> Sequence[str]:
        if not isinstance(picture, str | Path):
            raise ValueError(
                f"{name} must be a file's name, by which its captions are found; got {type(picture).__name__}."
            )
        path = os.fspath(picture)
        for key in (path, os.path.basename(path)):
            if key in self._captions:
                return self._captions[key]
        raise ValueError(
            f"{name}, {path!r}, has no captions: neither its path nor its name is in `captions`."
        )
