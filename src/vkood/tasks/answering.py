"""Visual question answering on tables: with a vocabulary of answers, and in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from typing_extensions import override

from vkood.data.batches import Collator
from vkood.data.readers.tables import answers_of
from vkood.data.rows import Example, Rows
from vkood.data.tables import Table
from vkood.metrics import GroupedMean, OutlierScores, VqaAccuracy, question_groups
from vkood.tasks.ranks import gathered
from vkood.tasks.task import Looking, Scores, Task, in_order, look_at

_TOLD = 5
"""Answers of each question that predictions tell."""
_ANNOTATORS = 4
"""Annotators from whom the leaderboard's accuracy can be 1, since it wants three more who agree with one."""


class _Counted:
    """Accuracy as training's soft scores have it, and as the leaderboard does where enough annotators were asked.

    Args:
        rows: The questions. Answers are looked up among the targets as words where the tables tell their vocabulary,
            since a model may have another one; else ids are taken to be the model's.
        answers: The model's vocabulary.
    """

    def __init__(self, rows: Rows, answers: Iterable[str]) -> None:
        told = rows.tables[0].told.get("answers") or answers
        self._ids = {answer: index for index, answer in enumerate(told)}
        self._soft, self._accuracy = GroupedMean(), VqaAccuracy()

    def add(self, answer: str, example: Example) -> None:
        """Count an answer, if the question's are known."""
        scores = dict(zip(example.labels, example.scores, strict=True))
        score = scores.get(self._ids.get(answer, -1), 0.0)
        if example.labels or example.answers:
            self._soft.add(score, ["soft_score"])
        if example.answers:
            types = {"answer_type": example.answer_type, "question_type": example.question_type}
            if len(example.answers) >= _ANNOTATORS:
                self._accuracy.add(answer, example.answers, **types)
            else:
                self._accuracy.sums.add(score, question_groups(**types))

    def result(self) -> dict[str, float]:
        """Numbers over all processes."""
        soft, accuracy = GroupedMean(), GroupedMean()
        for one, other in gathered((self._soft.state(), self._accuracy.sums.state())):
            soft.merge(GroupedMean.from_state(one))
            accuracy.merge(GroupedMean.from_state(other))
        found = soft.means()
        for group, value in accuracy.means().items():
            found["accuracy" if group == "overall" else f"accuracy, {group}"] = value
        return found


class _QuestionsTask(Task):
    """What both ways of answering share."""

    metric = "soft_score"

    @override
    def rows(
        self, tables: Sequence[Table], *, training: bool, seed: int = 0, limit: int | None = None
    ) -> Rows:
        return Rows(tables, answered=training, seed=seed, limit=limit)


class AnsweringTask(_QuestionsTask):
    """Questions, answered from the vocabulary that the model's configuration keeps."""

    name = "vqa"

    @override
    def evaluate(self, model: Any, rows: Rows, collate: Collator, looking: Looking) -> Scores:
        """Soft score and the leaderboard's accuracy where answers are known; predictions in any case.

        Where tables say which facts agree with the image, and the model has a gate: also how well its scores tell them
        from the others, `filter_auroc` and `filter_fpr95`.
        """
        answers: dict[int, str] = model.config.id2label
        counted = _Counted(rows, (answers[index] for index in range(len(answers))))
        predictions: list[tuple[int, dict[str, Any]]] = []
        facts = OutlierScores()
        for examples, batch in look_at(model, rows, collate, looking):
            output = model(**batch)
            logits = output.logits.float()
            _add_facts(facts, output, examples, batch)
            chances, best = logits.softmax(-1).topk(min(_TOLD, logits.shape[-1]))
            for example, some, of_some in zip(examples, best.tolist(), chances.tolist(), strict=True):
                answer = answers[some[0]]
                counted.add(answer, example)
                ranked = [
                    [answers[index], round(chance, 6)] for index, chance in zip(some, of_some, strict=True)
                ]
                told = {"question_id": example.id, "answer": answer, "ranked": ranked}
                predictions.append((example.index, told))
        return Scores(metrics=counted.result() | _filter_metrics(facts), predictions=in_order(predictions))


def _add_facts(
    facts: OutlierScores, output: Any, examples: Sequence[Example], batch: dict[str, Tensor]
) -> None:
    """Add the gate's scores of a batch's facts, if it is known which agree with their images."""
    matches = [match for example in examples for match in example.matches]
    if output.fact_score is None or len(matches) != sum(len(example.facts) for example in examples):
        return
    facts.add(output.fact_score[batch["fact_mask"]], ~torch.tensor(matches, dtype=torch.bool))


def _filter_metrics(facts: OutlierScores) -> dict[str, float]:
    """What the scores of all processes give."""
    of_all = OutlierScores()
    for part in gathered(facts):
        of_all.merge(part)
    return {f"filter_{name}": value for name, value in of_all.result().items()}


class WordedAnsweringTask(_QuestionsTask):
    """Questions, answered in words: ranked among the vocabulary, or written freely.

    Args:
        vocabulary: The answers to rank.
        inference: "rank" or "generate".
        k: How many answers are ranked in full.
    """

    name = "blip-vqa"

    def __init__(
        self, vocabulary: Sequence[str], *, inference: Literal["rank", "generate"] = "rank", k: int = 128
    ) -> None:
        if inference not in ("rank", "generate"):
            raise ValueError(f'`inference` must be "rank" or "generate"; got {inference!r}.')
        self.vocabulary, self.inference, self.k = tuple(vocabulary), inference, k

    @override
    def evaluate(self, model: Any, rows: Rows, collate: Collator, looking: Looking) -> Scores:
        """As for a vocabulary of the model's own; answers that are written freely count where they are in it."""
        counted = _Counted(rows, self.vocabulary)
        predictions: list[tuple[int, dict[str, Any]]] = []
        worded = collate.texts(self.vocabulary) if self.inference == "rank" else {}
        worded = {name: tensor.to(model.device) for name, tensor in worded.items()}
        tokenizer = collate.processor.tokenizer
        for examples, batch in look_at(model, rows, collate, looking):
            if self.inference == "rank":
                ranked = self._ranked(model, batch, worded)
            else:
                written = tokenizer.batch_decode(model.generate(**batch), skip_special_tokens=True)
                ranked = [[[answer, math.nan]] for answer in written]
            for example, some in zip(examples, ranked, strict=True):
                answer = some[0][0]
                counted.add(answer, example)
                told: dict[str, Any] = {"question_id": example.id, "answer": answer}
                told |= {"ranked": some} if self.inference == "rank" else {}
                predictions.append((example.index, told))
        return Scores(metrics=counted.result(), predictions=in_order(predictions))

    def _ranked(
        self, model: Any, batch: dict[str, Tensor], worded: dict[str, Tensor]
    ) -> list[list[list[Any]]]:
        found = model.rank_answers(
            answer_ids=worded["input_ids"], answer_mask=worded["attention_mask"], k=self.k, **batch
        )
        return [
            [[self.vocabulary[i], round(p, 6)] for i, p in zip(some[:_TOLD], chances[:_TOLD], strict=True)]
            for some, chances in zip(found.indices.tolist(), found.probabilities.tolist(), strict=True)
        ]


def require_every_question(predictions: Sequence[dict[str, Any]], wanted: Sequence[int]) -> None:
    """Refuse predictions that a VQA server would not take.

    Args:
        predictions: Each with `question_id` and `answer`.
        wanted: The ids of all questions.

    Raises:
        ValueError: If a question is missing, answered twice, or unknown, or an answer is no text.
    """
    given = [one["question_id"] for one in predictions]
    missing = set(wanted).difference(given)
    unknown = set(given).difference(wanted)
    if missing or unknown or len(set(given)) != len(given):
        raise ValueError(
            f"every question must be answered exactly once: {len(missing):,} of {len(wanted):,} are missing, "
            f"{len(given) - len(set(given)):,} answers come twice, {len(unknown):,} are to unknown questions"
            f"{f' (such as {min(missing)})' if missing else ''}."
        )
    for one in predictions:
        if not isinstance(one["answer"], str):
            raise ValueError(f"answers must be texts; question {one['question_id']} has {one['answer']!r}.")


def score_answers(predictions: Sequence[dict[str, Any]], rows: Rows) -> dict[str, float]:
    """Numbers for answers that are in a file.

    Args:
        predictions: Each with `question_id` and `answer`.
        rows: The questions, with what annotators said.

    Raises:
        ValueError: If not every question is answered exactly once.
    """
    answer_of = {one["question_id"]: one["answer"] for one in predictions}
    examples = [rows[index] for index in range(len(rows))]
    require_every_question(predictions, [int(example.id) for example in examples])
    counted = _Counted(rows, answers_of(rows.tables))
    for example in examples:
        counted.add(answer_of[example.id], example)
    return counted.result()
