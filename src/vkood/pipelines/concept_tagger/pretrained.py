"""Classifiers of pictures from the Hugging Face hub or a folder: with classes of their own, or told by texts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForImageClassification, AutoModelForZeroShotImageClassification
from transformers.models.auto.modeling_auto import MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING

from vkood.files import complete_file
from vkood.knowledge.embeddings.vector_cache import unwritable
from vkood.knowledge.facts import normalise_concept
from vkood.knowledge.linking.hypernyms import FactLookup, hypernyms_of
from vkood.knowledge.linking.linker import Store
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
from vkood.pipelines.concept_tagger.labels import classes_of_labels
from vkood.pipelines.concept_tagger.tagger import PictureClassifier
from vkood.pipelines.concept_tagger.visual_nouns import visual_nouns
from vkood.pipelines.concept_tagger.vocabulary import ClassConcepts
from vkood.pipelines.encoding import advised_cache, cache_folder

PROMPTS = (
    "a photo of a {}.",
    "a photo of the {}.",
    "a close-up photo of a {}.",
    "a bright photo of a {}.",
    "a photo of many {}.",
    "a drawing of a {}.",
    "{}",
)
"""Texts whose mean vector stands for a noun."""

_BATCH = 256


def pretrained_classifier(
    source: str | Path, store: Store, nouns: Sequence[str] | None, prompts: Sequence[str]
) -> PictureClassifier:
    """The classifier in a folder or of a hub name: which kind it is, its configuration says.

    Raises:
        LoadingError: It is missing or damaged, or neither kind.
        ValueError: Its labels name nothing, or there are no nouns to tell apart.
    """
    folder = local_folder(source)
    config = load_config(folder)
    architectures = [str(name) for name in config.architectures or ()]
    if any(name.endswith("ForImageClassification") and "ZeroShot" not in name for name in architectures):
        if nouns is not None:
            raise ValueError(
                f"`nouns` are for models that compare pictures with texts; the classifier in {str(folder)!r} has "
                "labels of its own."
            )
        return LabelClassifier(folder, store)
    if type(config) in MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING:
        return ZeroShotClassifier(folder, store, nouns, prompts)
    kind = ", ".join(architectures) or config.model_type
    raise LoadingError(
        f"The model in {str(folder)!r} ({kind}) classifies no pictures: take an image classifier, or a model that "
        "compares pictures with texts such as CLIP or SigLIP; one that describes "
        "pictures, such as BLIP, is loaded by `ConceptTagger.from_captioner`."
    )


class LabelClassifier:
    """An image classifier with labels of its own."""

    temperature = 1.0

    def __init__(self, folder: Path, store: Store) -> None:
        config: Any = load_config(folder)
        labels = [str(config.id2label[number]) for number in range(config.num_labels)]
        self.classes: Sequence[ClassConcepts] = classes_of_labels(labels, store, where=repr(str(folder)))
        self._prepare = load_image_processor(folder)
        self._network: Any = load_encoder(folder, config, kind=AutoModelForImageClassification)
        self.exclusive: bool = config.problem_type != "multi_label_classification"
        self.fingerprint = encoder_fingerprint(folder, files=PROCESSOR_FILES, pooling="classes")

    def __call__(self, pictures: Sequence[Image.Image]) -> Float[Tensor, "pictures classes"]:
        """The outputs before softmax."""
        return self._network(self._prepare(list(pictures), return_tensors="pt")["pixel_values"]).logits


class ZeroShotClassifier:
    """A model that compares pictures with texts, and tells the nouns of a store apart.

    Vectors of the nouns are kept in `concept_tagger` of the cache folder, under the fingerprint of model, nouns and
    prompts.
    """

    exclusive = True
    temperature = 1.0

    def __init__(
        self, folder: Path, store: Store, nouns: Sequence[str] | None, prompts: Sequence[str]
    ) -> None:
        if not prompts or not all("{}" in prompt for prompt in prompts):
            raise ValueError(
                f'`prompts` must be texts with "{{}}" where the noun goes; got {list(prompts)!r:.80}.'
            )
        nouns = visual_nouns(store) if nouns is None else list(dict.fromkeys(map(normalise_concept, nouns)))
        if not nouns:
            raise ValueError(
                "there are no nouns to tell apart: none of the store's facts says where a thing is, what it is like, "
                "what it can do or is used for. Pass `nouns`, or take another store."
            )
        above = hypernyms_of(nouns, store) if isinstance(store, FactLookup) else {}
        self.classes: Sequence[ClassConcepts] = [
            ClassConcepts(noun, (noun,), above.get(noun, ())) for noun in nouns
        ]
        self._prepare = load_image_processor(folder)
        self._network: Any = load_encoder(
            folder, load_config(folder), kind=AutoModelForZeroShotImageClassification
        )
        if not hasattr(self._network, "get_text_features") or not hasattr(self._network, "logit_scale"):
            raise LoadingError(
                f"The model in {str(folder)!r} has no vectors of pictures and texts to compare, as CLIP and SigLIP "
                "have."
            )
        files = (*PROCESSOR_FILES, "vocab.json", "merges.txt", "vocab.txt", "spiece.model")
        model = encoder_fingerprint(folder, files=files, pooling="pictures and texts")
        self.fingerprint = hashlib.sha256(repr((model, nouns, tuple(prompts))).encode()).hexdigest()
        self._vectors = self._cached_vectors(folder, nouns, prompts)

    def _cached_vectors(
        self, folder: Path, nouns: Sequence[str], prompts: Sequence[str]
    ) -> Float[Tensor, "nouns width"]:
        path = cache_folder() / "concept_tagger" / f"{self.fingerprint[:24]}.safetensors"
        if path.is_file():
            return load_file(path)["nouns"]
        tokenizer = load_tokenizer(folder)
        of_prompts = [
            self._text_vectors([prompt.format(noun) for noun in nouns], tokenizer) for prompt in prompts
        ]
        vectors = functional.normalize(torch.stack(of_prompts).mean(0), dim=-1)
        with advised_cache():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with complete_file(path) as unfinished:
                    save_file({"nouns": vectors.contiguous()}, unfinished)
            except OSError as error:
                raise unwritable(path.parent, error) from error
        return vectors

    @torch.no_grad()
    def _text_vectors(self, texts: Sequence[str], tokenizer: Any) -> Float[Tensor, "texts width"]:
        # SigLIP was trained with padding to its whole length, and no mask.
        whole = self._network.config.model_type.startswith("siglip")
        parts = []
        for first in range(0, len(texts), _BATCH):
            tokens = tokenizer(
                list(texts[first : first + _BATCH]),
                padding="max_length" if whole else True,
                max_length=self._network.config.text_config.max_position_embeddings,
                truncation=True,
                return_tensors="pt",
            )
            kept = {"input_ids": tokens["input_ids"]} | (
                {} if whole else {"attention_mask": tokens["attention_mask"]}
            )
            parts.append(_pooled(self._network.get_text_features(**kept)))
        return functional.normalize(torch.cat(parts), dim=-1)

    def __call__(self, pictures: Sequence[Image.Image]) -> Float[Tensor, "pictures nouns"]:
        """Scaled cosines of pictures and nouns."""
        pixels = self._prepare(list(pictures), return_tensors="pt")["pixel_values"]
        vectors = functional.normalize(_pooled(self._network.get_image_features(pixel_values=pixels)), dim=-1)
        return self._network.logit_scale.exp() * vectors @ self._vectors.T


def _pooled(features: Any) -> Tensor:
    return features if isinstance(features, Tensor) else features.pooler_output
