"""From rows (a picture, a question, some facts) to named batches of tensors."""

# B batch, L words of a question, F facts of an example, D features of a fact, S sentences in the table.

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from vkood.data.easy_vqa_knowledge import KnowledgeQuestion

Encode = Callable[[list[str]], Tensor]
"""A text encoder: n sentences to (n, D) vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VqaExample:
    """A row: a question about a picture, with the facts that come along.

    (Not a dict, since the Hugging Face Trainer takes out of dicts what the model's `forward` does not name.)

    Attributes:
        image: (3, H, W) RGB picture, 0 to 255. All pictures of a batch have one size.
        question: The question.
        answer: The answer, or None where it is unknown.
        facts: The facts.
        matches: For every fact, whether it agrees with the picture; empty where that is unknown.
    """

    image: UInt8[Tensor, "3 height width"]
    question: str
    answer: str | None = None
    facts: tuple[str, ...] = ()
    matches: tuple[bool, ...] = ()


class FactTable:
    """The vectors of facts: each sentence is encoded once and found by its text.

    Args:
        sentences: The S sentences, each once.
        features: (S, D) their vectors.

    Raises:
        ValueError: If a sentence comes twice, or there is not one vector for each sentence.

    Example:
        >>> table = FactTable.build(["A kite flies.", "A mug breaks."], lambda texts: torch.ones(len(texts), 4))
        >>> table.ids(["A mug breaks."]), table.features.shape
        (tensor([1]), torch.Size([2, 4]))
    """

    def __init__(self, sentences: Sequence[str], features: Float[Tensor, "sentences dim"]) -> None:
        self._row_of: dict[str, int] = {}
        self._rows = torch.zeros(1, features.shape[-1] if features.ndim == 2 else 0)  # row 0 is padding
        self._append(list(sentences), features)

    @classmethod
    def build(cls, sentences: Iterable[str], encode: Encode) -> FactTable:
        """Encode each different sentence once, all in one call.

        Args:
            sentences: At least one sentence; repeats are encoded once.
            encode: The text encoder, a list of n sentences to a (n, D) tensor.

        Raises:
            ValueError: If there is no sentence, or the encoder returns something else than (n, D).
        """
        unique = list(dict.fromkeys(sentences))
        if not unique:
            raise ValueError("`sentences` must have at least one sentence; got none.")
        return cls(unique, _encoded(unique, encode))

    def extend(self, sentences: Iterable[str], encode: Encode) -> None:
        """Encode and add the sentences that are not in the table yet; the others keep their vectors.

        Raises:
            ValueError: If the encoder does not return one vector for each, as wide as the table's.
        """
        new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in self._row_of]
        if new:
            self._append(new, _encoded(new, encode))

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences, in the order of `features`."""
        return tuple(self._row_of)

    @property
    def features(self) -> Float[Tensor, "sentences dim"]:
        """The vectors of the sentences."""
        return self._rows[1:]

    def __len__(self) -> int:
        """How many sentences the table has."""
        return len(self._row_of)

    def __contains__(self, sentence: str) -> bool:
        """Whether the table has this sentence."""
        return sentence in self._row_of

    def ids(self, facts: Sequence[str]) -> Int[Tensor, " facts"]:
        """Return the row of `features` of every fact.

        Raises:
            ValueError: If the table lacks one.
        """
        return torch.tensor(self._rows_of(facts), dtype=torch.long) - 1

    def padded(self, facts: Sequence[Sequence[str]]) -> tuple[Float[Tensor, "batch facts dim"], Tensor]:
        """Gather the vectors of every example's facts, padded with zeros to the longest example.

        Args:
            facts: The facts of every example.

        Returns:
            The vectors (B, F, D) and a mask (B, F), true where there is a fact. F is 0 if no example has facts.

        Raises:
            ValueError: If the table lacks a fact.
        """
        lengths = torch.tensor([len(row) for row in facts], dtype=torch.long)
        mask = _length_mask(lengths)
        rows = torch.zeros(mask.shape, dtype=torch.long)
        rows[mask] = torch.tensor(self._rows_of([fact for row in facts for fact in row]), dtype=torch.long)
        return self._rows.index_select(0, rows.view(-1)).view(*mask.shape, self._rows.shape[1]), mask  # (B, F, D)

    def _rows_of(self, facts: Sequence[str]) -> list[int]:
        try:
            return [self._row_of[fact] + 1 for fact in facts]
        except KeyError as error:
            raise ValueError(
                f"The fact table has no vector for {error.args[0]!r}; add it with `table.extend(sentences, encode)`."
            ) from None

    def _append(self, sentences: list[str], features: Float[Tensor, "sentences dim"]) -> None:
        if features.ndim != 2 or features.shape != (len(sentences), self._rows.shape[1]):
            raise ValueError(
                f"`features` must be ({len(sentences)}, {self._rows.shape[1] or 'dim'}), a vector for each sentence; "
                f"got {tuple(features.shape)}."
            )
        start = len(self._row_of)
        if len(set(sentences)) != len(sentences):
            raise ValueError(f"`sentences` must all differ; got {len(sentences)} with {len(set(sentences))} different.")
        self._row_of.update({sentence: start + offset for offset, sentence in enumerate(sentences)})
        self._rows = torch.cat([self._rows, features.detach().to(self._rows)])


class VqaCollator:
    """Turns rows into named tensors: the `data_collator` of the Hugging Face Trainer, the `collate_fn` of a loader.

    The batch has
        `pixel_values`: (B, 3, H, W), from -1 to 1 (mean 0.5 and deviation 0.5 taken out);
        `input_ids`, `attention_mask`: (B, L), the questions;
        `fact_features`: (B, F, D), zero where there is no fact; `fact_mask`: (B, F), true where there is one;
        `labels`: (B,), ids of the answers; left out if no row has an answer;
        `fact_matches`: (B, F), whether a fact agrees with the picture; only with `with_matches`.
    F is the largest number of facts in the batch, and 0 if there are none.

    A different question is tokenised once and remembered, so a run holds all its different questions in memory.

    Args:
        tokenizer: The tokenizer of the text tower.
        fact_table: The vectors of all facts that rows may hold.
        answer_to_id: The id of every answer.
        images: (N, 3, H, W) pictures for rows that carry none (`KnowledgeQuestion`), found by `image_index`; they
            must be of the rows' own split. A `VqaExample` always shows its own picture.
        with_matches: Whether to add `fact_matches`.
        use_facts: Whether to keep the facts; False leaves F = 0, for a model that may not see them.

    Raises:
        ValueError: If the tokenizer has no padding token.

    Example:
        >>> from transformers import AutoTokenizer  # doctest: +SKIP
        >>> collate = VqaCollator(AutoTokenizer.from_pretrained(folder), table, answer_to_id)  # doctest: +SKIP
        >>> collate([dataset[0], dataset[1]])["fact_features"].shape  # doctest: +SKIP
        torch.Size([2, 8, 384])
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        fact_table: FactTable,
        answer_to_id: Mapping[str, int],
        images: UInt8[Tensor, "images 3 height width"] | None = None,
        *,
        with_matches: bool = False,
        use_facts: bool = True,
    ) -> None:
        if not isinstance(tokenizer.pad_token_id, int):
            raise ValueError("`tokenizer` must have a padding token; got one without. Set `tokenizer.pad_token`.")
        self.tokenizer = tokenizer
        self._pad_id = tokenizer.pad_token_id
        self.fact_table = fact_table
        self.answer_to_id = answer_to_id
        self.images = images
        self.with_matches = with_matches
        self.use_facts = use_facts
        self._tokens: dict[str, list[int]] = {}

    def __call__(self, rows: Sequence[VqaExample | KnowledgeQuestion]) -> dict[str, Tensor]:
        """Collate rows.

        Raises:
            ValueError: If there are no rows, an answer has no id, only some rows have answers, a fact is not in the
                table, a row has no picture, or `with_matches` is asked for and a row does not say them.
        """
        if not rows:
            raise ValueError("`rows` must have at least one row; got none.")
        batch = {"pixel_values": normalise_images(torch.stack([self._image(row) for row in rows]))}
        batch["input_ids"], batch["attention_mask"] = self._questions([row.question for row in rows])
        facts = [row.facts if self.use_facts else () for row in rows]
        batch["fact_features"], batch["fact_mask"] = self.fact_table.padded(facts)
        if any(row.answer is not None for row in rows):
            batch["labels"] = self._labels(rows)
        if self.with_matches:
            batch["fact_matches"] = self._matches(rows, batch["fact_mask"])
        return batch

    def _image(self, row: VqaExample | KnowledgeQuestion) -> UInt8[Tensor, "3 height width"]:
        if isinstance(row, VqaExample):
            return row.image
        if self.images is None:
            raise ValueError(
                "`images` must be given for rows without a picture of their own; got None. "
                "Give the collator the split's images, or wrap the questions in a `VqaDataset`."
            )
        return self.images[row.image_index]

    def _questions(self, questions: list[str]) -> tuple[Int[Tensor, "batch words"], Int[Tensor, "batch words"]]:
        new = [question for question in dict.fromkeys(questions) if question not in self._tokens]
        if new:
            self._tokens.update(zip(new, self.tokenizer(new, truncation=True)["input_ids"], strict=True))
        tokens = [self._tokens[question] for question in questions]
        mask = _length_mask(torch.tensor([len(row) for row in tokens]))
        input_ids = torch.full(mask.shape, self._pad_id, dtype=torch.long)
        input_ids[mask] = torch.tensor([token for row in tokens for token in row])
        return input_ids, mask.long()

    def _labels(self, rows: Sequence[VqaExample | KnowledgeQuestion]) -> Int[Tensor, " batch"]:
        labels = []
        for row in rows:
            if row.answer is None:
                raise ValueError(f"Every row of a batch must have an answer, or none; {row.question!r} has none.")
            if row.answer not in self.answer_to_id:
                raise ValueError(f"`answer_to_id` must have every answer; it lacks {row.answer!r} of {row.question!r}.")
            labels.append(self.answer_to_id[row.answer])
        return torch.tensor(labels)

    def _matches(self, rows: Sequence[VqaExample | KnowledgeQuestion], mask: Tensor) -> Tensor:
        matches = torch.zeros_like(mask)
        if not self.use_facts:
            return matches  # (B, 0)
        for row in rows:
            if len(row.matches) != len(row.facts):
                raise ValueError(
                    f"`with_matches` needs one match for each fact; {row.question!r} has {len(row.facts)} facts and "
                    f"{len(row.matches)} matches."
                )
        matches[mask] = torch.tensor([match for row in rows for match in row.matches], dtype=torch.bool)
        return matches


def normalise_images(images: UInt8[Tensor, "*batch 3 height width"]) -> Float[Tensor, "*batch 3 height width"]:
    """Map pixels from 0..255 to -1..1.

    Example:
        >>> normalise_images(torch.tensor([0, 255], dtype=torch.uint8).expand(3, 1, 2))[0]
        tensor([[-1.,  1.]])
    """
    return images.to(torch.float32).div_(127.5).sub_(1.0)


def _length_mask(lengths: Int[Tensor, " batch"]) -> Tensor:
    return torch.arange(int(lengths.max()))[None, :] < lengths[:, None]  # (B, longest)


def _encoded(sentences: list[str], encode: Encode) -> Float[Tensor, "sentences dim"]:
    features = encode(sentences)
    if features.ndim != 2 or len(features) != len(sentences):
        raise ValueError(
            f"`encode` must return ({len(sentences)}, dim), a vector for each sentence; got {tuple(features.shape)}."
        )
    return features
