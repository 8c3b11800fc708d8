"""Facts of the default store for texts about photographs, as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from vkood import PictureConcepts
from vkood.knowledge import FactEncoder, FactQuery
from vkood.knowledge.linking.linker import Linker, default_linker
from vkood.pipelines.concept_gate import ConceptGate
from vkood.pipelines.photo_explainer import KEEP_95

from .frozen_towers import kept_lists, states_of_files

MAX_FACTS = 20

_JUDGED_AT_ONCE = 256

Concepts = tuple[tuple[str, float], ...]


class Tagger(Protocol):
    """Whatever names what photographs show, as `ConceptTagger` does."""

    names: Sequence[str]
    fingerprint: str

    def __call__(self, photographs: Sequence[Path], /) -> list[PictureConcepts]:
        """What photographs show."""
        ...


def shown_in(named_by: Tagger, photographs: Sequence[Path], scratch: Path) -> list[PictureConcepts]:
    """What photographs show, each with its probability; kept for the next time."""

    def make() -> list[tuple[Concepts, Concepts]]:
        return [(shown.names, shown.concepts) for shown in named_by(photographs)]

    def pairs(rows: Sequence[tuple[str, float]]) -> Concepts:
        return tuple((name, probability) for name, probability in rows)

    parts = (named_by.fingerprint, states_of_files(photographs))
    return [
        PictureConcepts(names=pairs(names), concepts=pairs(concepts))
        for names, concepts in kept_lists(scratch, "shown", parts, make)
    ]


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of texts.

    Args:
        vectors: (facts, D) of all different facts.
        rows: (texts, at most 20) which of them a text has, the most relevant first; -1 where there is none.
    """

    vectors: Tensor
    rows: Tensor

    @property
    def counts(self) -> Tensor:
        """(texts,) how many facts each has."""
        return (self.rows >= 0).sum(1)

    def first(self, number: int) -> Facts:
        """The most relevant facts of each text alone."""
        return replace(self, rows=self.rows[:, :number])

    def at(self, texts: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors of some texts' facts, (texts, facts, D), and where there is one, (texts, facts)."""
        rows = self.rows[texts]
        mask = rows >= 0
        longest = int(mask.sum(1).max()) if len(rows) else 0
        return self.vectors[rows[:, :longest].clamp_min(0)], mask[:, :longest]


def looked_up(
    texts: Sequence[str],
    concepts: Sequence[Concepts],
    encoder: FactEncoder,
    linker: Linker | None = None,
    max_facts: int = MAX_FACTS,
) -> Facts:
    """The facts of texts, each about a photograph.

    Args:
        texts: Questions or captions.
        concepts: Those of the photograph of each text; empty for the facts of the text alone.
        encoder: Of facts.
        linker: What looks facts up; that of the default store if None.
        max_facts: Max number of facts of a text.
    """
    queries = [FactQuery(text, concepts=own) for text, own in zip(texts, concepts, strict=True)]
    different = {query: place for place, query in enumerate(dict.fromkeys(queries))}
    linked = (linker or default_linker()).facts_for_many(different, max_facts)
    number: dict[str, int] = {}
    rows = torch.full((len(linked), max_facts), -1)
    for place, facts in enumerate(linked):
        for rank, fact in enumerate(facts):
            rows[place, rank] = number.setdefault(fact.sentence, len(number))
    vectors = torch.from_numpy(encoder.encode(list(number)))
    return Facts(
        vectors=vectors if len(number) else torch.zeros(1, vectors.shape[1]),
        rows=rows[[different[query] for query in queries]],
    )


def belonging(
    facts: Facts, shown: Sequence[PictureConcepts], names: Sequence[str], encoder: FactEncoder
) -> Facts:
    """The facts that the gate of `vkood explain` keeps, untrained and with its threshold.

    Args:
        facts: The facts of texts.
        shown: What the photograph of each text shows.
        names: All that the tagger tells apart.
        encoder: Of the facts.
    """
    number = {name: place for place, name in enumerate(names)}
    vectors = torch.from_numpy(encoder.encode(list(names)))
    gate = ConceptGate(vectors)
    usual = gate.usual_scores(facts.vectors)
    kept = torch.zeros_like(facts.rows, dtype=torch.bool)
    for texts in torch.arange(len(facts.rows)).split(_JUDGED_AT_ONCE):
        likeliest = [shown[text].names for text in texts.tolist()]
        concepts = torch.tensor([[number[name] for name, _ in row] for row in likeliest])
        probabilities = torch.tensor([[probability for _, probability in row] for row in likeliest])
        rows = facts.rows[texts].clamp_min(0)
        scores = gate.scores(facts.vectors[rows], vectors[concepts], probabilities, usual[rows])
        kept[texts] = (scores <= KEEP_95) & (facts.rows[texts] >= 0)
    rows = facts.rows.masked_fill(~kept, -1)
    return replace(facts, rows=rows.gather(1, (~kept).byte().argsort(dim=1, stable=True)))
