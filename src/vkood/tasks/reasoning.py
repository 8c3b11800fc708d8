"""Visual reasoning on tables: is a sentence true of two images (NLVR2)?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from vkood.data.batches import Collator, JudgementBatches
from vkood.data.layout import Kind
from vkood.data.rows import Example, Rows
from vkood.metrics import ReasoningAccuracy
from vkood.models import BlipVkoodForVisualReasoning, VkoodForVisualReasoning
from vkood.models.explainable import TRUTH
from vkood.tasks.predictions import field_of, wrong_field
from vkood.tasks.ranks import merged
from vkood.tasks.task import EvaluationOptions, Scores, Task, in_order, iterate


@dataclass(frozen=True, kw_only=True)
class ReasoningTask(Task):
    """Sentences that are true or false of a pair of images."""

    name: ClassVar[str] = "reasoning"
    metric: ClassVar[str] = "accuracy"
    models: ClassVar[Mapping[str, Any]] = {
        "two-stream": VkoodForVisualReasoning,
        "blip": BlipVkoodForVisualReasoning,
    }
    table_kind: ClassVar[Kind] = "pairs"
    checkpoint_task: ClassVar[str | None] = "nlvr2"

    @override
    def config_changes(self) -> dict[str, Any]:
        return {"num_images": 2} if self.family == "two-stream" else {}  # BLIP's model has always two

    @override
    def collator(self, shared: Collator, *, training: bool) -> Collator:
        return JudgementBatches(**vars(shared)) if training else shared

    @override
    def evaluate(self, model: Any, rows: Rows, collate: Collator, options: EvaluationOptions) -> Scores:
        """Accuracy and consistency."""
        predictions: list[tuple[int, dict[str, Any]]] = []
        accuracy = ReasoningAccuracy()
        for examples, batch in iterate(model, rows, collate, options):
            probabilities = model(**batch).logits.float().softmax(-1)[:, 1].tolist()
            for example, probability in zip(examples, probabilities, strict=True):
                if math.isnan(probability):
                    raise ValueError(
                        f"the model's logits for {example.id} are NaN: look at its weights and images."
                    )
                accuracy.add(probability > 0.5, bool(example.labels[0]), str(example.id))
                prediction = {
                    "identifier": example.id,
                    "answer": str(probability > 0.5),
                    "probability": round(probability, 6),
                }
                predictions.append((example.index, prediction))
        return Scores(metrics=merged(accuracy).result(), predictions=in_order(predictions))

    @override
    def target(self, example: Example) -> str:
        return f"It is {TRUTH[example.labels[0]]}." if example.labels else "Whether it is true is not known."

    @override
    def is_right(self, example: Example, prediction: dict[str, Any]) -> bool | None:
        return prediction["answer"] == str(bool(example.labels[0])) if example.labels else None

    @override
    def check_prediction(self, place: str, prediction: dict[str, Any], rows: Rows) -> tuple[str, Any]:
        identifier = field_of(place, prediction, "identifier")
        if not isinstance(identifier, str):
            raise wrong_field(place, "identifier", "a text", identifier)
        answer = field_of(place, prediction, "answer")
        if not isinstance(answer, bool) and answer not in ("True", "False"):
            raise wrong_field(place, "answer", '"True" or "False"', answer)
        return "sentence", identifier

    @override
    def score(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> dict[str, float]:
        judged = {prediction["identifier"]: str(prediction["answer"]) == "True" for prediction in predictions}
        accuracy = ReasoningAccuracy()
        examples = [rows[index] for index in range(len(rows))]
        if unknown := set(judged).difference(example.id for example in examples):
            raise ValueError(
                f"every judgement must be of a sentence of the table; {min(unknown)!r} is of none."
            )
        for example in examples:
            if example.id not in judged:
                raise ValueError(f"every sentence must be judged; {example.id!r} is not.")
            accuracy.add(judged[example.id], bool(example.labels[0]), str(example.id))
        return accuracy.result()
