"""Pre-training on tables of captions: masked language modelling and image-text matching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor
from typing_extensions import override

from vkood.data.batches import Collator, PreTrainingBatches
from vkood.data.masking import IGNORED, WholeWordMask
from vkood.data.rows import Example, Rows
from vkood.data.tables import Table
from vkood.metrics import GroupedMean
from vkood.models import VkoodForPreTraining
from vkood.models.explainable import MATCHING
from vkood.tasks.ranks import merged
from vkood.tasks.task import EvaluationOptions, Scores, Task, iterate


@dataclass(frozen=True, kw_only=True)
class PreTrainingTask(Task):
    """Captions with masked tokens, and captions that may be of another image.

    Attributes:
        mask_share: Share of a caption's tokens that are masked; 0 for no masked language modelling.
        matching: Whether captions are matched to images.
    """

    name: ClassVar[str] = "pretraining"
    metric: ClassVar[str] = "score"
    models: ClassVar[Mapping[str, Any]] = {"two-stream": VkoodForPreTraining}
    checkpoint_task: ClassVar[str | None] = "pretraining"
    fixed_texts: ClassVar[bool] = False

    mask_share: float = 0.15
    matching: bool = True

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.mask_share and not self.matching:
            raise ValueError("pre-training needs `options.mask_share` above 0, or `options.matching`.")

    @property
    @override
    def explains(self) -> bool:
        return self.matching

    @override
    def config_changes(self) -> dict[str, Any]:
        return {"masked_language": self.mask_share > 0, "matching": self.matching}

    @override
    def rows(
        self, tables: Sequence[Table], *, training: bool, seed: int = 0, limit: int | None = None
    ) -> Rows:
        return Rows(tables, num_false=1, seed=seed, limit=limit)

    @override
    def collator(self, shared: Collator, *, training: bool) -> Collator:
        mask = WholeWordMask(shared.processor.tokenizer, self.mask_share) if self.mask_share else None
        return PreTrainingBatches(**vars(shared), mask=mask)

    @override
    def evaluate(self, model: Any, rows: Rows, collate: Collator, options: EvaluationOptions) -> Scores:
        """Accuracy on masked tokens and on matches; `score` is the mean of those that there are."""
        means = GroupedMean()
        for _, batch in iterate(model, rows, collate, options):
            output = model(**{name: tensor for name, tensor in batch.items() if "labels" not in name})
            _count(means, "masked_word_accuracy", output.logits, batch["labels"])
            _count(means, "match_accuracy", output.match_logits, batch["match_labels"])
        metrics = merged(means).means()
        return Scores(metrics=metrics | {"score": sum(metrics.values()) / max(1, len(metrics))})

    @override
    def target(self, example: Example) -> str:
        return f"It {MATCHING[1]}: the caption is the picture's own."


def _count(means: GroupedMean, name: str, logits: Tensor | None, labels: Tensor) -> None:
    if logits is None:
        return
    labelled = labels != IGNORED
    for right in (logits[labelled].argmax(-1) == labels[labelled]).tolist():
        means.add(float(right), [name])
