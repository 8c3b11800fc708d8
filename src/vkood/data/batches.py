"""From examples to named batches, for each task: a loader's `collate_fn`, which runs in its workers.

Legend: B examples, Q texts of an example, L tokens, F facts, D width of a fact, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from vkood.data.augment import RandAugment
from vkood.data.masking import IGNORED, WholeWordMask
from vkood.data.rows import Example
from vkood.images import ImageProblem, decode_image
from vkood.knowledge.embeddings.padding import pad_facts


@runtime_checkable
class Processor(Protocol):
    """Makes tensors of pictures and texts, such as `vkood.models.VkoodProcessor`."""

    tokenizer: Any
    max_length: int

    def __call__(self, images: Any = None, text: Any = None) -> Any:
        """Pictures to `pixel_values`."""
        ...


@runtime_checkable
class Features(Protocol):
    """Features of images and texts from frozen towers, cached on disk."""

    @property
    def has_texts(self) -> bool:
        """Whether features of texts are cached."""
        ...

    def images(self, examples: Sequence[Example]) -> Tensor:
        """(B, tokens, width), or (B, images, tokens, width)."""
        ...

    def texts(self, texts: Sequence[str], length: int) -> Tensor:
        """(B, length, width), zero where a text is shorter."""
        ...


@dataclass
class Collator:
    """The part of the batches that all tasks share: images, texts and facts.

    Args:
        processor: Makes tensors of pictures and texts.
        fact_vectors: (S, D) the vectors of all facts of the rows; None leaves facts out.
        augment: Changes pictures at random, in training.
        features: Cached features of images and texts, which are not computed then.
        per_image: How many texts in a row are about one image, which is in the batch once: all else is (B, Q, ...).
    """

    processor: Processor
    fact_vectors: Float[np.ndarray, "sentences dim"] | None = None
    augment: RandAugment | None = None
    features: Features | None = None
    per_image: int = 1

    def images(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """`pixel_values`, (B, C, H, W), or (B, images, C, H, W) with several each; or `image_features`.

        Raises:
            ValueError: If an image is missing or cannot be decoded; the error names its table and row.
        """
        if self.features is not None:
            return {"image_features": self.features.images(examples)}
        pictures = [[_decoded(image, example.name) for image in example.images] for example in examples]
        if self.augment is not None:
            for images, example in zip(pictures, examples, strict=True):
                generator = example.generator()
                images[:] = [self.augment(image, generator) for image in images]
        return {"pixel_values": self.processor(images=pictures)["pixel_values"]}

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, cut to the processor's length."""
        return self.processor.tokenizer(list(texts), truncation=True, max_length=self.processor.max_length)[
            "input_ids"
        ]

    def texts(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask`, (B, L); and `text_features`, if those are kept."""
        batch = self.padded(self.tokens(texts))
        if self.features is not None and self.features.has_texts:
            batch["text_features"] = self.features.texts(texts, batch["input_ids"].shape[1])
        return batch

    def padded(self, ids: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask`, (B, L), of token ids."""
        lengths = torch.tensor([len(row) for row in ids])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        padded = torch.full(mask.shape, self.processor.tokenizer.pad_token_id, dtype=torch.long)
        padded[mask] = torch.tensor([token for row in ids for token in row])
        return {"input_ids": padded, "attention_mask": mask.long()}

    def facts(self, facts: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """`fact_features`, (B, F, D), zero where there is no fact, and `fact_mask`, (B, F); nothing without facts."""
        numbers = np.fromiter((fact for of_text in facts for fact in of_text), dtype=np.int64)
        if self.fact_vectors is None or not len(numbers):
            return {}
        return pad_facts(self.fact_vectors[numbers], [len(of_text) for of_text in facts])

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Images, texts and facts, without targets."""
        return {
            **self.images(examples),
            **self.texts([example.text for example in examples]),
            **self.facts([example.facts for example in examples]),
        }


@dataclass
class AnswerBatches(Collator):
    """Questions with soft targets: adds `labels`, (B, answers), where questions have some.

    Args:
        num_answers: Number of answers of the model.
        single_answer: Whether every question has one answer: `labels`, (B,), are ids of answers then.
    """

    num_answers: int = 0
    single_answer: bool = False

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Collate questions."""
        if self.single_answer:
            labels = torch.tensor([_only_label(example) for example in examples])
        else:
            labels = torch.zeros(len(examples), self.num_answers)
            for row, example in zip(labels, examples, strict=True):
                row[list(example.labels)] = torch.tensor(example.scores)
        questions = {
            **self.texts([example.text for example in examples]),
            **self.facts([example.facts for example in examples]),
            "labels": labels,
        }
        if self.per_image > 1:
            shape = (-1, self.per_image)
            questions = {name: tensor.unflatten(0, shape) for name, tensor in questions.items()}
        return self.images(examples[:: self.per_image]) | questions


@dataclass
class JudgementBatches(Collator):
    """Sentences about several images: adds `labels`, (B,), 1 for true."""

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Collate sentences."""
        return super().__call__(examples) | {"labels": torch.tensor([e.labels[0] for e in examples])}


@dataclass
class RankBatches(Collator):
    """A true caption and false ones for each image.

    `input_ids`, `attention_mask` and facts are (B, Q, ...), the true caption first; `labels`, (B,), says so; and
    `match_labels`, (B, Q), is 1 for it, 0 for one false caption, -100 for the others.
    """

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Collate captions."""
        groups = [((example.text, example.facts), *example.false_texts) for example in examples]
        shape = (len(examples), len(groups[0]))
        flat = [text for group in groups for text in group]
        texts = self.texts([text for text, _ in flat]) | self.facts([facts for _, facts in flat])
        matches = torch.full(shape, IGNORED)
        matches[:, :2] = torch.tensor([1, 0])
        return {
            **self.images(examples),
            **{name: tensor.unflatten(0, shape) for name, tensor in texts.items()},
            "labels": torch.zeros(len(examples), dtype=torch.long),
            "match_labels": matches,
        }


@dataclass
class PreTrainingBatches(Collator):
    """Two texts for each image: its caption with masked tokens, and, to be matched, its caption or a false one.

    `input_ids`, `attention_mask` and facts are (B, 2, ...); `labels`, (B, 2, L), has the masked tokens' ids; and
    `match_labels`, (B, 2), 1 or 0 for the second.

    Args:
        mask: Masks tokens; None for no masked language modelling.
    """

    mask: WholeWordMask | None = None

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Collate captions."""
        ids: list[list[int]] = []
        labels: list[list[int]] = []
        facts: list[tuple[int, ...]] = []
        matches = torch.full((len(examples), 2), IGNORED)
        for number, example in enumerate(examples):
            generator = example.generator()
            false = bool(generator.random() < 0.5)
            (own,) = self.tokens([example.text])
            masked, targets = (own, [IGNORED] * len(own)) if self.mask is None else self.mask(own, generator)
            text, of_text = example.false_texts[0] if false else (example.text, example.facts)
            other = self.tokens([text])[0] if false else own
            ids += [masked, other]
            labels += [targets, [IGNORED] * len(other)]
            facts += [example.facts, of_text]
            matches[number, 1] = int(not false)
        shape = (len(examples), 2)
        batch = self.padded(ids) | self.facts(facts)
        batch["labels"] = torch.full_like(batch["input_ids"], IGNORED)
        for row, ids_of_row in zip(batch["labels"], labels, strict=True):
            row[: len(ids_of_row)] = torch.tensor(ids_of_row)
        split = {name: tensor.unflatten(0, shape) for name, tensor in batch.items()}
        return {**self.images(examples), **split, "match_labels": matches}


@dataclass
class GenerativeAnswerBatches(Collator):
    """Questions with the texts of their answers, for a model that generates them.

    Adds `labels`, (answers, tokens), token ids of all questions' answers in turn; `label_mask`; `answer_counts`, (B,);
    and `answer_weights`, (answers,): each different answer by how many annotators gave it, as BLIP has it.

    Args:
        vocabulary: The answers by their ids, for questions without annotators' answers.
    """

    vocabulary: tuple[str, ...] = ()

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Collate questions."""
        answers: list[str] = []
        weights: list[float] = []
        counts: list[int] = []
        for example in examples:
            weight_of = self._weights(example)
            answers += weight_of
            weights += weight_of.values()
            counts.append(len(weight_of))
        tokens = self.texts(answers)
        return super().__call__(examples) | {
            "labels": tokens["input_ids"],
            "label_mask": tokens["attention_mask"],
            "answer_counts": torch.tensor(counts),
            "answer_weights": torch.tensor(weights),
        }

    def _weights(self, example: Example) -> dict[str, float]:
        if example.answers:
            share = 1 / len(example.answers)
            weights: dict[str, float] = {}
            for answer in example.answers:
                weights[answer] = weights.get(answer, 0.0) + share
            return weights
        total = sum(example.scores)
        pairs = zip(example.labels, example.scores, strict=True)
        return {self.vocabulary[label]: score / total for label, score in pairs}


@dataclass
class ContrastBatches(Collator):
    """Captions to be contrasted with each other: adds `image_ids`, (B,), the number of each image."""

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Collate captions."""
        numbers = torch.tensor([example.image_index for example in examples])
        return super().__call__(examples) | {"image_ids": numbers}


def _only_label(example: Example) -> int:
    if len(example.labels) != 1:
        raise ValueError(
            f"{example.name}, question {example.id}: it must have one answer, since `options.single_answer` is set; it "
            f"has {len(example.labels)}."
        )
    return example.labels[0]


def _decoded(image: bytes | None, name: str) -> Image.Image:
    if not image:
        raise ValueError(f"{name} has no image; `vkood data check` lists all that are missing.")
    try:
        return decode_image(image, name=f"the image of {name}")
    except ImageProblem as error:
        raise ImageProblem(f"{error} `vkood data check` lists all such images.") from None
