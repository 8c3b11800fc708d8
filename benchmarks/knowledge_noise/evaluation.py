"""Visual question answering: how often a model is right, and how well its gate tells facts apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vkood.metrics import auroc, false_positive_rate
from vkood.models import VkoodForVisualQuestionAnswering


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What a model made of a dataset.

    Attributes:
        predicted: (rows,) the answers given.
        labels: (rows,) the right ones.
        fact_scores: (facts,) scores of all facts of all rows; empty without a gate.
        fact_matches: (facts,) whether each belongs to its image; empty without a gate, or where unknown.
    """

    predicted: Int[Tensor, " rows"]
    labels: Int[Tensor, " rows"]
    fact_scores: Float[Tensor, " facts"]
    fact_matches: Bool[Tensor, " facts"]

    @property
    def accuracy(self) -> float:
        """Share of the rows answered rightly."""
        return float((self.predicted == self.labels).double().mean())

    @property
    def filter_auroc(self) -> float:
        """AUROC of the gate's scores: facts that do not match the image against those that do."""
        return auroc(self.fact_scores, ~self.fact_matches)

    @property
    def filter_fpr95(self) -> float:
        """Share of the facts that do not match which pass where 95 % of those that match do."""
        return false_positive_rate(self.fact_scores, ~self.fact_matches)


@torch.inference_mode()
def evaluate_vqa(
    model: VkoodForVisualQuestionAnswering,
    dataset: Dataset[Any],
    collate: Callable[[list[Any]], dict[str, Tensor]],
    *,
    batch_size: int = 64,
    on_rows: Callable[[int], None] | None = None,
) -> Evaluation:
    """Answer every row of a dataset.

    Only what the numbers need is kept of each batch, so memory does not grow with the number of answers.

    Args:
        model: The model; it is put into eval mode.
        dataset: Rows with answers.
        collate: Rows to a batch with `labels`, and with `fact_matches` if the filter is to be judged.
        batch_size: Rows at a time; changes no result.
        on_rows: Called after each batch with the number of its rows.
    """
    model.eval()
    predicted: list[Tensor] = []
    labels: list[Tensor] = []
    scores = [torch.empty(0)]
    matches = [torch.empty(0, dtype=torch.bool)]
    for batch in DataLoader(dataset, batch_size=batch_size, collate_fn=collate):
        batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
        labels.append(batch.pop("labels").cpu())
        fact_matches = batch.pop("fact_matches", None)
        output = model(**batch)
        predicted.append(output.logits.argmax(-1).cpu())
        if output.fact_score is not None and fact_matches is not None:
            scores.append(output.fact_score[batch["fact_mask"]].cpu())
            matches.append(fact_matches[batch["fact_mask"]].cpu())
        if on_rows is not None:
            on_rows(len(labels[-1]))
    return Evaluation(
        predicted=torch.cat(predicted),
        labels=torch.cat(labels),
        fact_scores=torch.cat(scores),
        fact_matches=torch.cat(matches),
    )
