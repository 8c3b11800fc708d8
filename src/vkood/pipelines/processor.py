"""From pictures, texts and facts to the tensors that models take.

The processor is registered with `AutoProcessor` of `transformers` when this module is first imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, no_type_check

import numpy as np
from PIL import Image
from torch import Tensor
from transformers import AutoProcessor, BatchFeature, ProcessorMixin
from typing_extensions import override

from vkood.fields import Whole, as_count, require_fields, require_kind, require_unicode
from vkood.images import ImageSource, decode_image
from vkood.knowledge import FactQuery, LinkedFact
from vkood.knowledge.embeddings.padding import pad_facts
from vkood.knowledge.linking.linker import Store, default_linker
from vkood.models import BlipVkoodConfig, VkoodConfig
from vkood.models.explainable import Explainable
from vkood.models.fields import MAX_IMAGE_SIZE
from vkood.models.loading import (
    PROCESSOR_FILES,
    LoadingError,
    load_image_processor,
    load_tokenizer,
    local_folder,
    problems,
    require_no_code,
    try_image_processor,
    try_tokenizer,
)
from vkood.pipelines.concept_tagger import ConceptTagger
from vkood.pipelines.concept_tagger.queries import Concepts, nested_pictures, queries_of
from vkood.pipelines.encoding import FACT_ENCODER, advised_cache, fact_encoder_of, require_sentences
from vkood.pipelines.explanation import explain_batch, require_pictures
from vkood.reporting.explanation import Explanation

if TYPE_CHECKING:
    from vkood.knowledge import FactStore

_MAX_ASPECT = 20
"""Longer pictures, for their width, are cropped to this before they are resized: their ends are cropped anyway."""


class VkoodProcessor(ProcessorMixin):
    """Pictures, texts and facts to named tensors, for both families.

    Args:
        image_processor: Resizes, crops and normalises pictures as the image tower wants them.
        tokenizer: The text tower's.
        fact_encoder: Hub name or folder of the sentence encoder that makes vectors of facts, or the name of the package
            that carries one.
        fact_cache: Folder in which vectors of facts are kept, each encoded once, ever. By default `facts` in the folder
            that the environment variable VKOOD_CACHE names, or else in `~/.cache/vkood`. It is a matter of the machine,
            so it is neither saved nor read from saved processors.
        max_facts: Max number of facts that are looked up for a text, the most relevant first; of sentences that are
            passed none is left out.
        max_length: Max number of tokens of a text; what is longer is cut.

    Example:
        >>> processor = VkoodProcessor.from_towers("openai/clip-vit-base-patch16", "roberta-base")  # doctest: +SKIP
        >>> batch = processor("kitchen.jpg", "What is on the table?", facts="default")  # doctest: +SKIP
        >>> model(**batch).logits  # doctest: +SKIP
    """

    @no_type_check  # transformers reads the arguments' names off it, so jaxtyping must not wrap it under pytest
    def __init__(
        self,
        image_processor: Any,
        tokenizer: Any,
        fact_encoder: str = FACT_ENCODER,
        fact_cache: str | None = None,
        max_facts: int = 20,
        max_length: int = 50,
    ) -> None:
        super().__init__(image_processor, tokenizer)
        self.fact_encoder = fact_encoder
        self.fact_cache = fact_cache
        self.max_facts = as_count("max_facts", max_facts)
        self.max_length = as_count("max_length", max_length)

    @override
    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride] - without code of the folder's own
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        trust_remote_code: bool | None = False,
        **options: Any,
    ) -> VkoodProcessor:
        """Load a saved processor.

        Args:
            pretrained_model_name_or_path: Folder, or name on the hub.
            trust_remote_code: Whether code that the folder brings may run; none of ours needs any.
            options: As for the processor; `fact_cache` is taken from here alone.

        Raises:
            LoadingError: If there is none, it is damaged, or it asks for code of its own.
        """
        fact_cache = options.pop("fact_cache", None)
        hub = {key: options.pop(key) for key in ("revision", "token", "cache_dir") if key in options}
        folder = local_folder(
            pretrained_model_name_or_path, weights=False, code=bool(trust_remote_code), **hub
        )
        require_no_code(folder, PROCESSOR_FILES, trust_remote_code=bool(trust_remote_code))
        if not (folder / "processor_config.json").exists():
            raise LoadingError(f"There is no processor in {str(folder)!r}, that is no processor_config.json.")
        with problems(f"The processor in {str(folder)!r} is missing or damaged"):
            processor: Any = super().from_pretrained(
                folder, trust_remote_code=bool(trust_remote_code), **options
            )
            try_tokenizer(processor.tokenizer)
            try_image_processor(processor.image_processor)
        processor.fact_cache = fact_cache
        return processor

    @override
    def to_dict(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """What is saved."""
        values = super().to_dict(*arguments, **options)
        values.pop("fact_cache", None)
        return values

    @classmethod
    def from_towers(
        cls,
        image: str | Path,
        text: str | Path,
        *,
        image_size: int | None = None,
        trust_remote_code: bool = False,
        **options: Any,
    ) -> VkoodProcessor:
        """The processor for a model of pretrained towers.

        Args:
            image: Hub name or folder of the image tower.
            text: Hub name or folder of the text tower.
            image_size: Height and width of the images, in pixels; the tower's own, if None.
            trust_remote_code: Whether code that the folders bring may run.
            options: As for the processor.
        """
        processor = cls(
            load_image_processor(image, trust_remote_code=trust_remote_code),
            load_tokenizer(text, trust_remote_code=trust_remote_code),
            **options,
        )
        if image_size is not None:
            processor.set_image_size(image_size)
        return processor

    def set_image_size(self, image_size: int) -> None:
        """Make pictures of another size from now on.

        Args:
            image_size: Height and width, in pixels.

        Raises:
            ValueError: If it is not from 1 to 4,096.
        """
        require_fields({"image_size": image_size}, {"image_size": Whole(1, MAX_IMAGE_SIZE)})
        shortest = "shortest_edge" in dict(self.image_processor.size)
        square = {"height": image_size, "width": image_size}
        self.image_processor.size = {"shortest_edge": image_size} if shortest else square
        if getattr(self.image_processor, "do_center_crop", False):
            self.image_processor.crop_size = square

    @override
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride] - facts in place of sound and film
        self,
        images: ImageSource | Sequence[ImageSource] | Sequence[Sequence[ImageSource]] | None = None,
        text: str | Sequence[str] | None = None,
        facts: FactStore | str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        *,
        concepts: ConceptTagger | Sequence[Concepts] | None = None,
        return_tensors: str = "pt",
        padding: bool | str = True,
        truncation: bool | str = True,
        max_length: int | None = None,
    ) -> BatchFeature:
        """Make a batch.

        Args:
            images: A picture for each text, or several for each: file names or contents, PIL pictures or arrays.
            text: The texts; a single one need not be a list.
            facts: Where facts come from: a store, for the concepts that texts name; "default" for the store that
                comes with vkood; sentences for each text, or for the only one; or None.
            concepts: What the pictures show, so that facts of it are looked up too: a tagger, or for each text concepts
                of the store with probabilities.
            return_tensors: "pt": tensors of PyTorch, which models take; nothing else.
            padding: True or "longest" to pad texts to the longest of the batch, "max_length" to `max_length`; False
                if all are of one length.
            truncation: Whether texts of more than `max_length` tokens are cut.
            max_length: Max number of tokens of a text; the processor's own, if None.

        Returns:
            `pixel_values`, (batch, channels, height, width) or (batch, images, channels, height, width); `input_ids`
            and `attention_mask`, (batch, tokens); with facts `fact_features`, (batch, facts, fact_dim), and
            `fact_mask`. What is not passed is not there.

        Raises:
            ValueError: If a picture is bad, which the error names; if there are not as many examples of each kind; if
                examples have different numbers of pictures; or if an option is none of the above.
            FileNotFoundError: If a picture's file is not there.
        """
        if return_tensors != "pt":
            raise ValueError(
                f'`return_tensors` must be "pt", for tensors of PyTorch; got {return_tensors!r}.'
            )
        if images is None and text is None and facts is None:
            raise ValueError("`images`, `text` or both must be given; got neither.")
        max_length = self.max_length if max_length is None else as_count("max_length", max_length)
        require_kind("text", text, (str, Iterable, NoneType))
        texts = [text] if isinstance(text, str) else None if text is None else list(text)
        if texts is not None:
            _require_texts(texts)
        batch: dict[str, Tensor] = {}
        if images is not None:
            batch["pixel_values"] = self._pictures(
                nested_pictures(images), None if texts is None else len(texts)
            )
        if texts is not None:
            bounded = truncation or padding == "max_length"
            tokens = self.tokenizer(
                texts,
                padding=padding,
                truncation=truncation,
                max_length=max_length if bounded else None,
                return_tensors="pt",
            )
            batch |= {name: tokens[name] for name in ("input_ids", "attention_mask")}
        if concepts is not None and facts is None:
            raise ValueError(
                '`concepts` need a store in which facts of them are looked up: pass `facts="default"`.'
            )
        if facts is not None:
            if texts is None:
                raise ValueError("`facts` need the texts that they belong to; got `text` None.")
            queries = texts if concepts is None else queries_of(texts, images, concepts)
            linked = self.facts_for(queries, facts)
            batch |= self.encode_facts([[fact.sentence for fact in of_text] for of_text in linked])
        return BatchFeature(batch)

    def facts_for(
        self,
        texts: Sequence[str | FactQuery],
        facts: FactStore | str | Sequence[str] | Sequence[Sequence[str]],
    ) -> list[list[LinkedFact]]:
        """The facts of each text, the most relevant first, with the concepts that led to them; arguments as for a call.

        Args:
            texts: The texts; or queries, that have descriptions and concepts of a picture too.
            facts: As for a call.

        Raises:
            ValueError: If there are not as many lists of sentences as texts, or a sentence is blank.
        """
        if isinstance(facts, str):
            if facts != "default":
                raise ValueError(
                    f'`facts` must be a store, lists of sentences, or "default"; got the text {facts!r}. '
                    "Open a store's file with `FactStore.open`, and put a single sentence into a list."
                )
            return default_linker().facts_for_many(texts, self.max_facts)
        if isinstance(facts, Store):
            return default_linker(facts).facts_for_many(texts, self.max_facts)
        if not isinstance(facts, list | tuple):
            raise ValueError(f"`facts` must be a store or lists of sentences; got {type(facts).__name__}.")
        lists: list[Any] = list(facts)
        if all(isinstance(item, str) for item in lists) and len(texts) == 1:
            lists = [lists]
        if len(lists) != len(texts) or any(isinstance(item, str) for item in lists):
            raise ValueError(
                f"`facts` must have a list of sentences for each of the {len(texts)} texts; got {len(lists)} items."
            )
        for number, sentences in enumerate(lists):
            require_sentences(f"facts[{number}]", sentences)
        return [[LinkedFact(sentence) for sentence in sentences] for sentences in lists]

    def encode_facts(self, sentences: Sequence[Sequence[str]]) -> dict[str, Tensor]:
        """Vectors of each text's facts.

        Returns:
            `fact_features`, (batch, facts, fact_dim), zero where there is no fact, and `fact_mask`, (batch, facts).

        Raises:
            OSError: If the vectors cannot be written to the cache; the error says how to choose another folder.
        """
        encoder, width = fact_encoder_of(self.fact_encoder, self.fact_cache)
        flat = [sentence for of_text in sentences for sentence in of_text]
        vectors = np.zeros((0, width), np.float32)
        if flat:
            with advised_cache("`fact_cache` of the processor", "`vkood predict --fact-cache`"):
                vectors = encoder.encode(flat)
        return pad_facts(vectors, [len(of_text) for of_text in sentences])

    def explain(
        self,
        model: Explainable,
        image: ImageSource | Sequence[ImageSource],
        text: str,
        facts: FactStore | str | Sequence[str] | None = "default",
        *,
        concepts: ConceptTagger | Concepts | None = None,
    ) -> Explanation:
        """Answer a question about a picture, and say what the answer depends on.

        Args:
            model: A model with a head, of either family.
            image: A file's name or content, a PIL picture, or an array; for visual reasoning a list of them.
            text: The question; for visual reasoning the sentence, for retrieval the caption.
            facts: "default", as for `vkood predict`: the store that comes with vkood; another store; sentences; or None
                for no facts.
            concepts: What the picture shows, so that facts of it are looked up too: a tagger, or concepts of the store
                with probabilities.

        Raises:
            ValueError: If the model has no head to answer with, its facts have another width than this processor's, or
                there are too few or too many pictures, or one of them is bad.
        """
        sources = [source for example in nested_pictures(image) for source in example]
        pictures = require_pictures(sources, model.images_per_text)
        of_text = concepts if concepts is None or isinstance(concepts, ConceptTagger) else [concepts]
        queries = [text] if of_text is None else queries_of([text], [sources], of_text)
        linked = [] if facts is None else self.facts_for(queries, facts)[0]
        batch = self([pictures], text, None if facts is None else [[fact.sentence for fact in linked]])
        self._require_width(batch.get("fact_features"), model.config.fact_dim)
        return explain_batch(
            model, batch, text=text, pictures=pictures, facts=linked, tokenizer=self.tokenizer
        )

    def _require_width(self, fact_features: Tensor | None, width: int) -> None:
        if fact_features is not None and fact_features.shape[-1] != width:
            raise ValueError(
                f"the model takes vectors of facts of width {width}, but those of the processor's encoder, "
                f"{self.fact_encoder!r}, have {fact_features.shape[-1]}: set the processor's `fact_encoder`, "
                "or use no facts."
            )

    def _pictures(self, examples: list[list[ImageSource]], num_texts: int | None) -> Tensor:
        if num_texts is not None and len(examples) != num_texts:
            # Several pictures for the only text need no list around them.
            if num_texts == 1 and all(len(pictures) == 1 for pictures in examples):
                examples = [[pictures[0] for pictures in examples]]
            else:
                raise ValueError(
                    f"`images` must have one item for each of the {num_texts} texts; got {len(examples)}."
                )
        if not examples:
            raise ValueError("`images` must have at least one picture; got an empty list.")
        counts = {len(pictures) for pictures in examples}
        if len(counts) != 1 or 0 in counts:
            raise ValueError(f"every text must have the same number of pictures; got {sorted(counts)}.")
        decoded = []
        for number, pictures in enumerate(examples):
            for place, picture in enumerate(pictures):
                name = f"images[{number}]" if len(pictures) == 1 else f"images[{number}][{place}]"
                decoded.append(decode_image(picture, name=name))
        if getattr(self.image_processor, "do_center_crop", False):
            decoded = [_crop_to_middle(picture) for picture in decoded]
        pixels = self.image_processor(decoded, return_tensors="pt")["pixel_values"]
        (count,) = counts
        return pixels if count == 1 else pixels.unflatten(0, (-1, count))


def _require_texts(texts: Sequence[str]) -> None:
    if not texts:
        raise ValueError("`text` must have at least one text; got an empty list.")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"text[{number}] must be a text; got {type(text).__name__}.")
        require_unicode(f"text[{number}]", text)


def _crop_to_middle(picture: Image.Image) -> Image.Image:
    """Cut off the ends of a very long picture: resized whole, it could take all memory."""
    short, long = sorted(picture.size)
    if long <= _MAX_ASPECT * short:
        return picture
    kept, (width, height) = _MAX_ASPECT * short, picture.size
    if width > height:
        left = (width - kept) // 2
        return picture.crop((left, 0, left + kept, height))
    top = (height - kept) // 2
    return picture.crop((0, top, width, top + kept))


AutoProcessor.register(VkoodConfig, VkoodProcessor)
AutoProcessor.register(BlipVkoodConfig, VkoodProcessor)
