"""From rows (a picture, a question, some facts) to named batches of tensors."""

# B batch, Q questions about a picture, L words of a question, F facts of an example, D features of a fact.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from vkood.data.easy_vqa_knowledge import KnowledgeQuestion
from vkood.data.fact_table import FactTable, length_mask


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


class VqaCollator:
    """Turns rows into named tensors: the Hugging Face Trainer's `data_collator`, a loader's `collate_fn`.

    The batch has
        `pixel_values`: (B, 3, H, W), from -1 to 1 (mean 0.5 and deviation 0.5 taken out);
        `input_ids`, `attention_mask`: (B, L), the questions;
        `fact_features`: (B, F, D), zero where there is no fact; `fact_mask`: (B, F), true where there is one;
        `labels`: (B,), ids of the answers; left out if no row has an answer;
        `fact_matches`: (B, F), whether a fact agrees with the picture; only with `with_matches`.
    F is the largest number of facts in the batch, and 0 if there are none.

    Rows may also be tuples of examples that share a picture. Then the picture is there once, and all else has
    a second axis, (B, Q, ...), for the Q questions of the longest row; shorter rows are padded with questions
    labelled -100.

    A different question is tokenised once and remembered, so a run holds all its different questions in
    memory.

    Args:
        tokenizer: The tokenizer of the text tower.
        fact_table: The vectors of all facts that rows may hold.
        answer_to_id: The id of every answer.
        images: (N, 3, H, W) pictures for rows that carry none (`KnowledgeQuestion`), found by `image_index`;
            they must be of the rows' own split. A `VqaExample` always shows its own picture.
        with_matches: Whether to add `fact_matches`.
        use_facts: Whether to keep the facts; False leaves F = 0, for a model that may not see them.

    Raises:
        ValueError: If the tokenizer has no padding token.

    Example:
        >>> from transformers import AutoTokenizer  # doctest: +SKIP
        >>> tokenizer = AutoTokenizer.from_pretrained(folder)  # doctest: +SKIP
        >>> collate = VqaCollator(tokenizer, table, answer_to_id)  # doctest: +SKIP
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
            raise ValueError(
                "`tokenizer` must have a padding token; got one without. Set `tokenizer.pad_token`."
            )
        self.tokenizer = tokenizer
        self._pad_id = tokenizer.pad_token_id
        self.fact_table = fact_table
        self.answer_to_id = answer_to_id
        self.images = images
        self.with_matches = with_matches
        self.use_facts = use_facts
        self._tokens: dict[str, list[int]] = {}

    def __call__(
        self, rows: Sequence[VqaExample | KnowledgeQuestion] | Sequence[Sequence[VqaExample]]
    ) -> dict[str, Tensor]:
        """Collate rows.

        Raises:
            ValueError: If there are no rows, an answer has no id, only some rows have answers, a fact is not
                in the table, a row has no picture, or `with_matches` is asked for and a row does not say
                them.
        """
        if not rows:
            raise ValueError("`rows` must have at least one row; got none.")
        groups = [tuple(row) for row in rows if isinstance(row, Sequence)]
        if groups:
            return self._grouped(groups)
        single = [row for row in rows if not isinstance(row, Sequence)]
        batch = {"pixel_values": normalise_images(torch.stack([self._image(row) for row in single]))}
        return batch | self._without_images(single)

    def _grouped(self, groups: list[tuple[VqaExample, ...]]) -> dict[str, Tensor]:
        """Collate groups of examples, each about one picture."""
        if not all(groups):
            raise ValueError("every group in `rows` must have at least one example; one is empty.")
        longest = max(map(len, groups))
        flat = [example for group in groups for example in group + group[:1] * (longest - len(group))]
        batch = self._without_images(flat)
        present = length_mask(torch.tensor([len(group) for group in groups])).view(-1)  # (B * Q,)
        if "labels" in batch:
            batch["labels"] = batch["labels"].where(present, -100)
        batch = {name: tensor.unflatten(0, (len(groups), longest)) for name, tensor in batch.items()}
        pictures = torch.stack([self._image(group[0]) for group in groups])
        return {"pixel_values": normalise_images(pictures)} | batch

    def _without_images(self, rows: Sequence[VqaExample | KnowledgeQuestion]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = {}
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

    def _questions(
        self, questions: list[str]
    ) -> tuple[Int[Tensor, "batch words"], Int[Tensor, "batch words"]]:
        new = [question for question in dict.fromkeys(questions) if question not in self._tokens]
        if new:
            self._tokens.update(zip(new, self.tokenizer(new, truncation=True)["input_ids"], strict=True))
        tokens = [self._tokens[question] for question in questions]
        mask = length_mask(torch.tensor([len(row) for row in tokens]))
        input_ids = torch.full(mask.shape, self._pad_id, dtype=torch.long)
        input_ids[mask] = torch.tensor([token for row in tokens for token in row])
        return input_ids, mask.long()

    def _labels(self, rows: Sequence[VqaExample | KnowledgeQuestion]) -> Int[Tensor, " batch"]:
        labels = []
        for row in rows:
            if row.answer is None:
                raise ValueError(
                    f"Every row of a batch must have an answer, or none; {row.question!r} has none."
                )
            if row.answer not in self.answer_to_id:
                raise ValueError(
                    f"`answer_to_id` must have every answer; it lacks {row.answer!r} of {row.question!r}."
                )
            labels.append(self.answer_to_id[row.answer])
        return torch.tensor(labels)

    def _matches(self, rows: Sequence[VqaExample | KnowledgeQuestion], mask: Tensor) -> Tensor:
        matches = torch.zeros_like(mask)
        if not self.use_facts:
            return matches  # (B, 0)
        for row in rows:
            if len(row.matches) != len(row.facts):
                raise ValueError(
                    f"`with_matches` needs one match for each fact; {row.question!r} has "
                    f"{len(row.facts)} facts and {len(row.matches)} matches."
                )
        matches[mask] = torch.tensor([match for row in rows for match in row.matches], dtype=torch.bool)
        return matches


def normalise_images(
    images: UInt8[Tensor, "*batch 3 height width"],
) -> Float[Tensor, "*batch 3 height width"]:
    """Map pixels from 0..255 to -1..1.

    Example:
        >>> normalise_images(torch.tensor([0, 255], dtype=torch.uint8).expand(3, 1, 2))[0]
        tensor([[-1.,  1.]])
    """
    return images.to(torch.float32).div_(127.5).sub_(1.0)
