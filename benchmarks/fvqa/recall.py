"""How often a question's own fact is among the first ones, and what a store knows of it at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vkood.knowledge import Fact, FactStore, Linker

from .questions import Question, ends_of, fact_ends, without_article

CUTS = ("5", "10", "20", "50", "all")
TEXTS = ("question", "question+captions", "question+concepts", "question+captions+concepts")


def coverage(questions: Sequence[Question], store: FactStore) -> dict[str, float]:
    """What a store has of the gold facts.

    Args:
        questions: The questions.
        store: The store.

    Returns:
        The shares of gold concepts, and of questions whose two are the ends of one fact, by their stems and to the
        letter.
    """
    concepts: set[frozenset[str]] = set()
    pairs: set[frozenset[frozenset[str]]] = set()
    letters: set[frozenset[str]] = set()
    for fact in store.facts():
        ends = fact_ends(fact)
        pairs.add(ends)
        concepts |= ends
        letters.add(frozenset((without_article(fact.subject), without_article(fact.object))))
    gold = [ends_of(*question.gold) for question in questions]
    known = [end in concepts for ends in gold for end in ends]
    return {
        "concepts": sum(known) / len(known),
        "pairs": sum(ends in pairs for ends in gold) / len(gold),
        "pairs_to_the_letter": sum(frozenset(question.gold) in letters for question in questions) / len(gold),
    }


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Where a question's own fact came.

    Args:
        number: The question's place in the file.
        place: The fact's place in the order, from 0; None if it was not there.
        candidates: How many facts there were.
    """

    number: int
    place: int | None
    candidates: int


def measured(questions: Sequence[Question], store: FactStore) -> dict[str, Any]:
    """The recall of gold facts, for each kind of texts that the questions have.

    Args:
        questions: The questions.
        store: Where facts are looked up.

    Returns:
        `recall`, over all questions that have the texts; `recall_of_parts`, the same for these, for every other
        question from the first, on which the weights of the order were chosen, and for the others.
    """
    linker = Linker(store)
    outcomes = {texts: _outcomes(questions, texts, linker) for texts in TEXTS}
    parts: dict[str, Callable[[int], bool]] = {
        "all questions": lambda number: True,
        "even lines": lambda number: number % 2 == 0,
        "odd lines": lambda number: number % 2 == 1,
    }
    tables = {
        name: {
            texts: _row(rows)
            for texts, of_texts in outcomes.items()
            if (rows := [outcome for outcome in of_texts if chosen(outcome.number)])
        }
        for name, chosen in parts.items()
    }
    return {"recall": tables["all questions"], "recall_of_parts": tables}


def _outcomes(questions: Sequence[Question], texts: str, linker: Linker) -> list[_Outcome]:
    captions, concepts = "captions" in texts, "concepts" in texts
    rows = [
        (number, question)
        for number, question in enumerate(questions)
        if (question.captions or not captions) and (question.concepts or not concepts)
    ]
    queries = [question.query(captions=captions, concepts=concepts) for _, question in rows]
    outcomes: list[_Outcome] = []
    for (number, question), facts in zip(rows, linker.facts_for_many(queries, None), strict=True):
        gold = ends_of(*question.gold)
        places = (
            place
            for place, linked in enumerate(facts)
            if isinstance(linked.fact, Fact) and fact_ends(linked.fact) == gold
        )
        outcomes.append(_Outcome(number, next(places, None), len(facts)))
    return outcomes


def _row(outcomes: Sequence[_Outcome]) -> dict[str, float]:
    row: dict[str, float] = {
        "questions": len(outcomes),
        "candidates": sum(outcome.candidates for outcome in outcomes) / len(outcomes),
    }
    for cut in CUTS:
        limit = math.inf if cut == "all" else int(cut)
        within = [outcome.place is not None and outcome.place < limit for outcome in outcomes]
        row[cut] = sum(within) / len(within)
    return row
