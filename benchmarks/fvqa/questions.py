"""FVQA's questions, and when a fact is a question's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from vkood.knowledge import Fact, FactQuery, normalise_concept
from vkood.knowledge.linking.relevance import name_stems

Ends = frozenset[frozenset[str]]
"""The two ends of a fact, each by the stems of its words, in either order."""
_ARTICLES = ("a ", "an ", "the ")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the fact that answers it.

    Args:
        id: Its number.
        text: The question.
        captions: Of its picture, if there are any.
        concepts: Of its picture with probabilities, if there are any.
        gold: The two ends of the fact, without articles.
    """

    id: str
    text: str
    captions: tuple[str, ...]
    concepts: tuple[tuple[str, float], ...]
    gold: tuple[str, str]

    def query(self, *, captions: bool = False, concepts: bool = False) -> FactQuery:
        """What facts are looked up for."""
        return FactQuery(self.text, self.captions if captions else (), self.concepts if concepts else ())


def read_questions(path: Path) -> list[Question]:
    """Read questions, one JSON object a line.

    Args:
        path: The file; a line has `question_id`, `question`, `gold_ends`, and may have `captions` and `concepts`.

    Raises:
        ValueError: If there is none, or a line lacks something.
    """
    questions: list[Question] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            subject, object_ = map(without_article, row["gold_ends"])
            concepts = tuple((str(name), float(probability)) for name, probability in row.get("concepts", ()))
            captions = tuple(row.get("captions", ()))
            questions.append(
                Question(str(row["question_id"]), row["question"], captions, concepts, (subject, object_))
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}, line {number}, must be an object with question_id, question and gold_ends: {error!r}."
            ) from None
    if not questions:
        raise ValueError(f"{path} must have at least one question.")
    return questions


def without_article(name: str) -> str:
    """A concept as stores write it, without a leading article or a full stop."""
    name = normalise_concept(name).strip(" .")
    for article in _ARTICLES:
        name = name.removeprefix(article)
    return name


def ends_of(first: str, second: str) -> Ends:
    """The two ends of a fact, by which it is recognised in another wording."""
    return frozenset((_stems(first), _stems(second)))


@lru_cache(maxsize=1_000_000)
def _stems(name: str) -> frozenset[str]:
    return frozenset(name_stems(name))


def fact_ends(fact: Fact) -> Ends:
    """The two ends of a fact of a store."""
    return ends_of(fact.subject, fact.object)
