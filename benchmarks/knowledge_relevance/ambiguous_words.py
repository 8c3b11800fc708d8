"""Ambiguous words with sentences and facts of either meaning, as vectors of a text encoder.

`ambiguous_words.tsv` has the words; legend: W words, S = 2 meanings, Q sentences and F facts of each, T tokens of the
longest sentence, D features.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vkood.knowledge.facts import Fact

FILE = Path(__file__).with_name("ambiguous_words.tsv")
MEANINGS = 2
NUM_SENTENCES = 4
NUM_FACTS = 4


@dataclass(frozen=True, slots=True)
class Meaning:
    """One meaning of a word.

    Args:
        word: The word.
        label: What the word means.
        sentences: Sentences that use the word so.
        facts: What holds of the word then; its subject is the word.
    """

    word: str
    label: str
    sentences: tuple[str, ...]
    facts: tuple[Fact, ...]


def read_words(path: Path = FILE) -> list[tuple[Meaning, Meaning]]:
    """The words, each with its two meanings.

    Raises:
        ValueError: If a line has not the columns, sentences or facts that it must have.
    """
    words: dict[str, list[Meaning]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("#") or not line.strip():
            continue
        try:
            word, label, sentences, facts = line.split("\t")
        except ValueError:
            raise ValueError(f"{path.name}, line {number}: a line must have four columns.") from None
        pairs = [fact.split(" ", 1) for fact in facts.split("; ")]
        meaning = Meaning(
            word,
            label,
            tuple(sentences.split(" | ")),
            tuple(Fact(word, relation, object_) for relation, object_ in pairs),
        )
        if (len(meaning.sentences), len(meaning.facts)) != (NUM_SENTENCES, NUM_FACTS):
            raise ValueError(
                f"{path.name}, line {number}: a meaning must have {NUM_SENTENCES} sentences and {NUM_FACTS} facts; "
                f"got {len(meaning.sentences)} and {len(meaning.facts)}."
            )
        words.setdefault(word, []).append(meaning)
    for word, meanings in words.items():
        if len(meanings) != MEANINGS:
            raise ValueError(f"{path.name}: {word!r} must have {MEANINGS} meanings; got {len(meanings)}.")
    return [(first, second) for first, second in words.values()]


def shared_words(words: list[tuple[Meaning, Meaning]]) -> tuple[float, float]:
    """Shares of pairs (sentence, fact) of the same and of the other meaning with a word of four letters in common.

    The word itself does not count. It shows how much could be found by comparing letters.
    """
    counts = {True: [0, 0], False: [0, 0]}
    for meanings in words:
        for of_sentence in meanings:
            for of_fact in meanings:
                for sentence in of_sentence.sentences:
                    content_words = set(re.findall(r"[a-z]{4,}", sentence.lower())) - {of_sentence.word}
                    for fact in of_fact.facts:
                        count = counts[of_sentence is of_fact]
                        count[0] += bool(content_words & set(re.findall(r"[a-z]{4,}", fact.object)))
                        count[1] += 1
    (same, of_same), (other, of_other) = counts[True], counts[False]
    return same / of_same, other / of_other


@dataclass(frozen=True, slots=True, kw_only=True)
class Contexts:
    """Sentences, each with the facts of both meanings of its word.

    Args:
        candidates: (contexts, facts, dim) sentence vectors of the facts.
        wrong: (contexts, facts) which of them are of the other meaning.
        tokens: (contexts, tokens, dim) token vectors.
        mask: (contexts, tokens) where there is a token.
    """

    candidates: Tensor
    wrong: Tensor
    tokens: Tensor
    mask: Tensor

    def __len__(self) -> int:
        """How many sentences there are."""
        return len(self.candidates)

    def at(self, rows: Tensor) -> Contexts:
        """Some of them."""
        return Contexts(
            candidates=self.candidates[rows],
            wrong=self.wrong[rows],
            tokens=self.tokens[rows],
            mask=self.mask[rows],
        )

    def cluttered(self, others: Contexts, number: int, generator: torch.Generator) -> Contexts:
        """The same with the tokens of some other sentences in each context."""
        rows = torch.randint(len(others), (len(self), number), generator=generator)  # (C, number)
        return Contexts(
            candidates=self.candidates,
            wrong=self.wrong,
            tokens=torch.cat([self.tokens, others.tokens[rows].flatten(1, 2)], 1),
            mask=torch.cat([self.mask, others.mask[rows].flatten(1, 2)], 1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """All words as vectors.

    Args:
        tokens: (W, S, Q, T, D) token vectors of the sentences.
        mask: (W, S, Q, T) where there is a token.
        facts: (W, S, F, D) sentence vectors of the facts.
    """

    tokens: Tensor
    mask: Tensor
    facts: Tensor

    @classmethod
    def encoded(cls, folder: str | Path, words: list[tuple[Meaning, Meaning]]) -> Material:
        """Encode sentences and facts.

        Args:
            folder: A `transformers` text encoder whose sentence vectors are means of token vectors.
            words: The words.
        """
        from transformers import AutoModel, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder)
        encoder = AutoModel.from_pretrained(folder).eval().requires_grad_(False)

        def encode(texts: list[str]) -> tuple[Tensor, Tensor]:
            batch = tokenizer(texts, padding=True, return_tensors="pt")
            return encoder(**batch).last_hidden_state, batch["attention_mask"].bool()

        meanings = [meaning for pair in words for meaning in pair]
        shape = (len(words), MEANINGS)
        tokens, mask = encode([sentence for meaning in meanings for sentence in meaning.sentences])
        hidden, present = encode([fact.sentence for meaning in meanings for fact in meaning.facts])
        vectors = (hidden * present[..., None]).sum(1) / present.sum(1, keepdim=True)
        vectors = torch.nn.functional.normalize(vectors, dim=-1)
        return cls(
            tokens=tokens.view(*shape, NUM_SENTENCES, *tokens.shape[1:]),
            mask=mask.view(*shape, NUM_SENTENCES, mask.shape[1]),
            facts=vectors.view(*shape, NUM_FACTS, -1),
        )

    def __len__(self) -> int:
        """W."""
        return len(self.facts)

    def contexts(self, words: Tensor, sentences: list[int]) -> Contexts:
        """These sentences of either meaning of these words."""
        tokens = self.tokens[words][:, :, sentences]  # (w, S, q, T, D)
        shape = tokens.shape[:3]
        facts = self.facts[words].flatten(1, 2)[:, None, None]  # (w, 1, 1, S * F, D)
        meaning_of_fact = torch.arange(MEANINGS).repeat_interleave(NUM_FACTS)
        wrong = torch.arange(MEANINGS)[:, None, None] != meaning_of_fact  # (S, 1, S * F)
        return Contexts(
            candidates=facts.expand(*shape, *facts.shape[-2:]).flatten(0, 2),
            wrong=wrong.expand(*shape, wrong.shape[-1]).flatten(0, 2),
            tokens=tokens.flatten(0, 2),
            mask=self.mask[words][:, :, sentences].flatten(0, 2),
        )
