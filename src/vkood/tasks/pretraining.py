"""Pre-training on tables of captions: masked words and matching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from typing_extensions import override

from vkood.data.batches import Collator
from vkood.data.masking import IGNORED
from vkood.data.rows import Rows
from vkood.data.tables import Table
from vkood.metrics import GroupedMean
from vkood.tasks.ranks import gathered
from vkood.tasks.task import Looking, Scores, Task, look_at


class PreTrainingTask(Task):
    """Captions with hidden words, and captions that may be false."""

    name = "pretrain"
    metric = "score"

    @override
    def rows(
        self, tables: Sequence[Table], *, training: bool, seed: int = 0, limit: int | None = None
    ) -> Rows:
        return Rows(tables, num_false=1, seed=seed, limit=limit)

    @override
    def evaluate(self, model: Any, rows: Rows, collate: Collator, looking: Looking) -> Scores:
        """Accuracy on hidden words and on matches; `score` is the mean of those that there are."""
        means = GroupedMean()
        for _, batch in look_at(model, rows, collate, looking):
            output = model(**{name: tensor for name, tensor in batch.items() if "labels" not in name})
            _count(means, "masked_word_accuracy", output.logits, batch["labels"])
            _count(means, "match_accuracy", output.match_logits, batch["match_labels"])
        everything = GroupedMean()
        for state in gathered(means.state()):
            everything.merge(GroupedMean.from_state(state))
        metrics = everything.means()
        return Scores(metrics=metrics | {"score": sum(metrics.values()) / max(1, len(metrics))})


def _count(means: GroupedMean, name: str, logits: Tensor | None, labels: Tensor) -> None:
    if logits is None:
        return
    asked = labels != IGNORED
    for right in (logits[asked].argmax(-1) == labels[asked]).tolist():
        means.add(float(right), [name])
