"""Photographs whose noun is known, with facts that belong to it and facts that do not.

Legend: B photographs, T concepts of each, N candidates, D features.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from vkood.knowledge import Fact, FactStore

from .tags import Tags

MAX_FACTS = 10
"""Of the pictured noun, and of other nouns, for a photograph."""

Encode = Callable[[Sequence[str]], Tensor]


@dataclass(frozen=True, slots=True)
class Photograph:
    """A file, the noun that names what it shows, and the split it is in ("" if there are none)."""

    path: Path
    noun: str
    split: str


def read_photographs(labels: Path, images: Path) -> list[Photograph]:
    """The photographs of a table with the columns `image`, `noun` or `label`, and maybe `split`.

    Raises:
        ValueError: A column is missing, or the table is empty.
        FileNotFoundError: A photograph is missing.
    """
    with labels.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = set(rows[0]) if rows else set()
    name = "noun" if "noun" in columns else "label"
    if not {"image", name} <= columns:
        raise ValueError(
            f"{labels} must have the columns `image` and `noun` (or `label`); it has {sorted(columns)}."
        )
    photographs = [Photograph(images / row["image"], row[name], row.get("split", "")) for row in rows]
    for photograph in photographs:
        if not photograph.path.is_file():
            raise FileNotFoundError(f"{photograph.path}, which {labels} names, is not there.")
    return photographs


@dataclass(frozen=True, slots=True)
class Candidates:
    """Facts to judge for each photograph; those of the pictured noun come first.

    Args:
        facts: (B, N) indices of facts.
        mask: (B, N) where there is one.
        outlier: (B, N) whether it is of another noun.
    """

    facts: Tensor
    mask: Tensor
    outlier: Tensor


def facts_of(nouns: Sequence[str], store: FactStore) -> dict[str, list[Fact]]:
    """All facts of the nouns that the store knows."""
    return {noun: facts for noun, facts in store.lookup(nouns, limit=None).items() if facts}


def drawn_candidates(
    nouns: Sequence[str],
    facts: Mapping[str, Sequence[Fact]],
    seed: int,
    others: Collection[str] | None = None,
) -> Candidates:
    """Draw up to ten facts of each pictured noun, and as many as that of others, or of these others alone.

    A fact of another noun is none of what holds of the pictured one too, and its noun is neither a kind of the pictured
    one nor the other way round.
    """
    generator = random.Random(seed)
    starts, all_facts = {}, []
    for noun, own in facts.items():
        starts[noun] = len(all_facts)
        all_facts.extend((noun, fact) for fact in own)
    claims = {noun: {(fact.relation, fact.object) for fact in own} for noun, own in facts.items()}
    kinds = {noun: {fact.object for fact in own} for noun, own in facts.items()}
    strangers = {
        noun: [
            index
            for index, (other, fact) in enumerate(all_facts)
            if other != noun
            and (others is None or other in others)
            and other not in kinds[noun]
            and noun not in kinds[other]
            and (fact.relation, fact.object) not in claims[noun]
        ]
        for noun in facts
    }
    chosen = torch.zeros(len(nouns), 2 * MAX_FACTS, dtype=torch.long)
    mask = torch.zeros(chosen.shape, dtype=torch.bool)
    outlier = torch.zeros(chosen.shape, dtype=torch.bool)
    outlier[:, MAX_FACTS:] = True
    for row, noun in enumerate(nouns):
        own = range(starts[noun], starts[noun] + len(facts[noun]))
        for first, pool in ((0, own), (MAX_FACTS, strangers[noun])):
            picked = generator.sample(pool, min(MAX_FACTS, len(pool)))
            chosen[row, first : first + len(picked)] = torch.tensor(picked)
            mask[row, first : first + len(picked)] = True
    return Candidates(chosen, mask, outlier)


@dataclass(frozen=True, slots=True)
class Material:
    """Photographs ready to be judged.

    Args:
        photographs: B of them.
        tags: Their likeliest concepts.
        candidates: Their facts.
        concept_vectors: (concepts, D) of the names of all that the tagger tells apart.
        facts_of_nouns: All facts, noun by noun.
        fact_vectors: (facts, D) of their sentences.
    """

    photographs: Sequence[Photograph]
    tags: Tags
    candidates: Candidates
    concept_vectors: Tensor
    facts_of_nouns: Mapping[str, Sequence[Fact]]
    fact_vectors: Tensor

    def at(self, rows: Tensor) -> Material:
        """Some of the photographs."""
        drawn = self.candidates
        return replace(
            self,
            photographs=[self.photographs[row] for row in rows.tolist()],
            tags=self.tags.of(rows),
            candidates=Candidates(drawn.facts[rows], drawn.mask[rows], drawn.outlier[rows]),
        )

    def where(self, chosen: Callable[[Photograph], bool]) -> Material:
        """The photographs for which this holds."""
        rows = [row for row, photograph in enumerate(self.photographs) if chosen(photograph)]
        return self.at(torch.tensor(rows, dtype=torch.long))

    def only(self, nouns: Collection[str], split: str, seed: int) -> Material:
        """The photographs of these nouns and this split, with new candidates that are facts of these nouns alone."""
        chosen = self.where(lambda photograph: photograph.noun in nouns and photograph.split == split)
        pictured = [photograph.noun for photograph in chosen.photographs]
        return replace(chosen, candidates=drawn_candidates(pictured, self.facts_of_nouns, seed, nouns))

    @property
    def tokens(self) -> Tensor:
        """(B, T, D) the names of the likeliest concepts."""
        return self.concept_vectors[self.tags.concepts]

    @property
    def facts(self) -> Tensor:
        """(B, N, D) the candidates."""
        return self.fact_vectors[self.candidates.facts]

    def weights(self, power: float) -> Tensor:
        """(B, T) powers of the probabilities, with a sum of 1."""
        weights = self.tags.probabilities**power
        return weights / weights.sum(-1, keepdim=True)
