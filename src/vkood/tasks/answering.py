"""Visual question answering on tables, from the vocabulary of answers that the model's configuration keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from vkood.data.batches import AnswerBatches, Collator
from vkood.data.layout import Kind
from vkood.data.readers.tables import answers_of
from vkood.data.rows import Example, Rows
from vkood.data.tables import Table
from vkood.fields import Whole
from vkood.metrics import GroupedMean, OutlierScores, VqaAccuracy, normalise_answer, question_groups
from vkood.models import VkoodForVisualQuestionAnswering
from vkood.tasks.predictions import field_of, wrong_field
from vkood.tasks.ranks import merged
from vkood.tasks.task import EvaluationOptions, Scores, Task, in_order, iterate

NUM_RANKED = 5
"""How many answers to each question predictions list."""
_UNSURE = "don't know"
_ANNOTATORS = 4
"""Annotators from whom the leaderboard's accuracy can be 1: it needs three others who agree."""
_INT64 = Whole(-(2**63), 2**63 - 1)


class AnswerAccuracy:
    """The soft score of training, and the leaderboard's accuracy where there are enough annotators.

    Args:
        rows: The questions. Answers are looked up among the targets as texts where the tables have their vocabulary,
            since a model may have another one; else ids are taken to be the model's.
        answers: The model's vocabulary.
    """

    def __init__(self, rows: Rows, answers: Iterable[str]) -> None:
        vocabulary = rows.tables[0].metadata.get("answers") or answers
        self._ids = {answer: index for index, answer in enumerate(vocabulary)}
        self._soft, self._accuracy = GroupedMean(), VqaAccuracy()

    def add(self, answer: str, example: Example) -> None:
        """Count an answer, if the right ones are known."""
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
        """Metrics over all processes."""
        metrics = merged(self._soft).means()
        for group, value in merged(self._accuracy.sums).means().items():
            metrics["accuracy" if group == "overall" else f"accuracy, {group}"] = value
        return metrics


@dataclass(frozen=True, kw_only=True)
class QuestionTask(Task):
    """The base of tasks of questions and answers.

    Attributes:
        answers: The answer vocabulary of the tables; None if none of them has one.
    """

    metric: ClassVar[str] = "soft_score"
    table_kind: ClassVar[Kind] = "questions"
    checkpoint_task: ClassVar[str | None] = "vqa"

    answers: tuple[str, ...] | None = None

    @override
    def rows(
        self, tables: Sequence[Table], *, training: bool, seed: int = 0, limit: int | None = None
    ) -> Rows:
        return Rows(tables, answered=training, seed=seed, limit=limit)

    @override
    def target(self, example: Example) -> str:
        counts = Counter(example.answers)
        listed = ", ".join(f"{answer} ({count})" for answer, count in counts.most_common())
        unsure = f'; "{_UNSURE}" is what an annotator says who cannot tell' if _UNSURE in counts else ""
        return f"Annotators: {listed or 'not known'}{unsure}"

    @override
    def is_right(self, example: Example, prediction: dict[str, Any]) -> bool | None:
        """Whether any annotator gave the answer."""
        answers = {normalise_answer(answer) for answer in example.answers}
        return normalise_answer(prediction["answer"]) in answers if answers else None

    @override
    def check_prediction(self, place: str, prediction: dict[str, Any], rows: Rows) -> tuple[str, Any]:
        identifier = field_of(place, prediction, "question_id")
        if not _INT64.accepts(identifier):
            raise wrong_field(place, "question_id", "a whole number", identifier)
        answer = field_of(place, prediction, "answer")
        if not isinstance(answer, str):
            raise wrong_field(place, "answer", "a text", answer)
        return "question", identifier

    @override
    def score(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> dict[str, float]:
        answer_of = {prediction["question_id"]: prediction["answer"] for prediction in predictions}
        examples = [rows[index] for index in range(len(rows))]
        require_every_question(predictions, [int(example.id) for example in examples])
        accuracy = AnswerAccuracy(rows, answers_of(rows.tables))
        for example in examples:
            accuracy.add(answer_of[example.id], example)
        return accuracy.result()

    @override
    def submission(self, rows: Rows, predictions: Sequence[dict[str, Any]]) -> list[Any] | None:
        """Predictions as the VQA server takes them."""
        ids = [
            question
            for table in rows.tables
            for row in table.scan(["question_id"])
            for question in row["question_id"]
        ]
        require_every_question(predictions, ids)
        return [{"question_id": line["question_id"], "answer": line["answer"]} for line in predictions]


@dataclass(frozen=True, kw_only=True)
class AnsweringTask(QuestionTask):
    """Questions, answered from the vocabulary that the model's configuration keeps.

    Attributes:
        single_answer: Whether every question has exactly one right answer, which is trained by cross-entropy over all
            answers; else by binary cross-entropy with soft scores of several.
    """

    name: ClassVar[str] = "answering"
    models: ClassVar[Mapping[str, Any]] = {"two-stream": VkoodForVisualQuestionAnswering}
    groups_texts: ClassVar[bool] = True

    single_answer: bool = False

    @override
    def config_changes(self) -> dict[str, Any]:
        if self.answers is None:
            return {}
        names = dict(enumerate(self.answers))
        return {"id2label": names, "label2id": {answer: index for index, answer in names.items()}}

    @override
    def complete(self, model: Any) -> None:
        """Give a model of METER or VK-OOD, whose checkpoint numbers its answers only, those of the tables."""
        if names_answers(model):
            return
        num_classes = len(model.config.id2label)
        if self.answers is None or len(self.answers) != num_classes:
            raise ValueError(
                f"the checkpoint has {num_classes:,} classes and no texts for them, and the tables have "
                f"{0 if self.answers is None else len(self.answers):,} answers: `data.folder` must have the tables "
                "that it was trained on."
            )
        for field, value in self.config_changes().items():
            setattr(model.config, field, value)

    @override
    def collator(self, shared: Collator, *, training: bool) -> Collator:
        if not training:
            return shared
        return AnswerBatches(
            **vars(shared), num_answers=len(self.answers or ()), single_answer=self.single_answer
        )

    @override
    def evaluate(self, model: Any, rows: Rows, collate: Collator, options: EvaluationOptions) -> Scores:
        """Soft score and the leaderboard's accuracy where answers are known; predictions in any case.

        Where tables say which facts agree with the image, and the model has a gate: also how well its scores tell them
        from the others, `filter_auroc` and `filter_fpr95`.
        """
        answers: dict[int, str] = model.config.id2label
        accuracy = AnswerAccuracy(rows, (answers[index] for index in range(len(answers))))
        predictions: list[tuple[int, dict[str, Any]]] = []
        facts = OutlierScores()
        for examples, batch in iterate(model, rows, collate, options):
            output = model(**batch)
            logits = output.logits.float()
            _add_facts(facts, output, examples, batch)
            best, ids = logits.softmax(-1).topk(min(NUM_RANKED, logits.shape[-1]))
            for example, probabilities, indices in zip(examples, best.tolist(), ids.tolist(), strict=True):
                ranked = [
                    [answers[index], round(probability, 6)]
                    for index, probability in zip(indices, probabilities, strict=True)
                ]
                answer = answers[indices[0]]
                accuracy.add(answer, example)
                prediction = {"question_id": example.id, "answer": answer, "ranked": ranked}
                predictions.append((example.index, prediction))
        of_filter = {f"filter_{name}": value for name, value in merged(facts).result().items()}
        metrics = accuracy.result() | of_filter
        return Scores(metrics=metrics, predictions=in_order(predictions))


def _add_facts(
    facts: OutlierScores, output: Any, examples: Sequence[Example], batch: dict[str, Tensor]
) -> None:
    """Add the gate's scores of a batch's facts, if it is known which agree with their images."""
    matches = [match for example in examples for match in example.matches]
    if output.fact_score is None or len(matches) != sum(len(example.facts) for example in examples):
        return
    facts.add(output.fact_score[batch["fact_mask"]], ~torch.tensor(matches, dtype=torch.bool))


def answers_in(model: Any) -> tuple[str, ...]:
    """The answer vocabulary that a model's configuration keeps."""
    labels = model.config.id2label or {}
    return tuple(str(labels[index]) for index in sorted(labels))


def names_answers(model: Any) -> bool:
    """Whether a model's configuration keeps the texts of its answers; METER's and VK-OOD's checkpoints do not."""
    return answers_in(model)[:1] != ("LABEL_0",)


def require_every_question(predictions: Sequence[dict[str, Any]], question_ids: Sequence[int]) -> None:
    """Refuse predictions that a VQA server would not take.

    Args:
        predictions: Each with `question_id` and `answer`.
        question_ids: The ids of all questions.

    Raises:
        ValueError: If a question is missing, answered twice, or unknown, or an answer is no text.
    """
    answered = [prediction["question_id"] for prediction in predictions]
    missing = set(question_ids).difference(answered)
    unknown = set(answered).difference(question_ids)
    if missing or unknown or len(set(answered)) != len(answered):
        raise ValueError(
            f"every question must be answered exactly once: {len(missing):,} of {len(question_ids):,} are missing, "
            f"{len(answered) - len(set(answered)):,} answers come twice, {len(unknown):,} are to unknown questions"
            f"{f' (such as {min(missing)})' if missing else ''}."
        )
    for prediction in predictions:
        if not isinstance(prediction["answer"], str):
            raise ValueError(
                f"answers must be texts; question {prediction['question_id']} has {prediction['answer']!r}."
            )
