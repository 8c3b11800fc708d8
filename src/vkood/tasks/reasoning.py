"""Visual reasoning on tables: is a sentence true of two images (NLVR2)?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from vkood.data.batches import Collator
from vkood.data.rows import Rows
from vkood.metrics import ReasoningAccuracy
from vkood.tasks.ranks import gathered
from vkood.tasks.task import Looking, Scores, Task, in_order, look_at


class ReasoningTask(Task):
    """Sentences to be judged."""

    name = "nlvr2"
    metric = "accuracy"

    @override
    def evaluate(self, model: Any, rows: Rows, collate: Collator, looking: Looking) -> Scores:
        """Accuracy and consistency."""
        predictions: list[tuple[int, dict[str, Any]]] = []
        judged = ReasoningAccuracy()
        for examples, batch in look_at(model, rows, collate, looking):
            chances = model(**batch).logits.float().softmax(-1)[:, 1].tolist()
            for example, chance in zip(examples, chances, strict=True):
                if math.isnan(chance):
                    raise ValueError(
                        f"the model's logits for {example.id} are NaN: look at its weights and images."
                    )
                judged.add(chance > 0.5, bool(example.labels[0]), str(example.id))
                told = {
                    "identifier": example.id,
                    "answer": str(chance > 0.5),
                    "probability": round(chance, 6),
                }
                predictions.append((example.index, told))
        return Scores(metrics=_merged(judged).result(), predictions=in_order(predictions))


def score_judgements(predictions: Sequence[dict[str, Any]], rows: Rows) -> dict[str, float]:
    """Numbers for judgements that are in a file.

    Args:
        predictions: Each with `identifier` and `answer`, "True" or "False".
        rows: The sentences.

    Raises:
        ValueError: If a sentence is not judged, or a judgement is of no sentence of these rows.
    """
    judged = {one["identifier"]: str(one["answer"]) == "True" for one in predictions}
    accuracy = ReasoningAccuracy()
    if unknown := set(judged).difference(rows[index].id for index in range(len(rows))):
        raise ValueError(f"every judgement must be of a sentence of the table; {min(unknown)!r} is of none.")
    for index in range(len(rows)):
        example = rows[index]
        if example.id not in judged:
            raise ValueError(f"every sentence must be judged; {example.id!r} is not.")
        accuracy.add(judged[example.id], bool(example.labels[0]), str(example.id))
    return accuracy.result()


def _merged(own: ReasoningAccuracy) -> ReasoningAccuracy:
    everything = ReasoningAccuracy()
    for other in gathered(own):
        everything.merge(other)
    return everything
