"""What facts are looked up for, of texts and of what their pictures show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vkood.images import ImageSource
from vkood.knowledge import FactQuery
from vkood.knowledge.linking.query import together
from vkood.pipelines.concept_tagger.tagger import ConceptTagger

Concepts = Sequence[tuple[str, float]]
"""Concepts of a store with probabilities, the likeliest first."""


def queries_of(
    texts: Sequence[str], images: Any, concepts: ConceptTagger | Sequence[Concepts]
) -> list[FactQuery]:
    """Texts with the concepts of their pictures; of several pictures each concept's largest probability.

    Args:
        texts: The texts.
        images: The pictures, as `VkoodProcessor` takes them; they are needed for a tagger.
        concepts: A tagger, or the concepts for each text.

    Raises:
        ValueError: There are not as many pictures or lists of concepts as texts, a picture is bad, or there is none for
            the tagger.
    """
    of_texts = _tagged(texts, images, concepts) if isinstance(concepts, ConceptTagger) else list(concepts)
    if len(of_texts) != len(texts):
        raise ValueError(
            f"`concepts` must have a list of (concept, probability) pairs for each of the {len(texts)} texts; got "
            f"{len(of_texts)}."
        )
    return [FactQuery(text, concepts=tuple(own)) for text, own in zip(texts, of_texts, strict=True)]


def _tagged(texts: Sequence[str], images: Any, tagger: ConceptTagger) -> list[Concepts]:
    if images is None:
        raise ValueError("`concepts` is a tagger, which needs the pictures; got `images` None.")
    examples = nested_pictures(images)
    if len(texts) == 1 and len(examples) > 1:
        examples = [[picture for pictures in examples for picture in pictures]]
    shown = iter(tagger([picture for pictures in examples for picture in pictures]))
    return [together([next(shown).concepts for _ in pictures]) for pictures in examples]


def nested_pictures(
    pictures: ImageSource | Sequence[ImageSource] | Sequence[Sequence[ImageSource]],
) -> list[list[ImageSource]]:
    """A list of examples, each a list of its pictures.

    Raises:
        ValueError: If pictures come from an iterator, or as an array of several, neither of which is a list.
    """
    if isinstance(pictures, Iterator) or (isinstance(pictures, np.ndarray) and pictures.ndim > 3):
        raise ValueError(
            f"`images` must be a picture or a list of them; got {type(pictures).__name__}: write `list(images)`."
        )
    if not isinstance(pictures, list | tuple):
        return [[pictures]]  # pyright: ignore[reportReturnType] - else `decode_image` says what it should be
    return [list(item) if isinstance(item, list | tuple) else [item] for item in pictures]  # pyright: ignore[reportReturnType]
