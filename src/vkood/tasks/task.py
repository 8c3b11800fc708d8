"""What every task does: rows for training, batches, and numbers and predictions from a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from vkood.data.batches import Collator
from vkood.data.rows import Example, Rows
from vkood.data.tables import Table
from vkood.tasks.ranks import gathered, own_share

OnRows = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What a model made of rows.

    Attributes:
        metrics: Numbers by name; those of accuracy and recall from 0 to 1.
        predictions: What it said of each row, in their order, in values that JSON has.
    """

    metrics: dict[str, float]
    predictions: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Looking:
    """How rows are gone through.

    Attributes:
        batch_size: Rows at a time.
        num_workers: Processes that read and decode.
        autocast: The type that matrix products are computed in; None for that of the weights.
        on_rows: Called with the number of rows done since it was last called.
    """

    batch_size: int = 32
    num_workers: int = 0
    autocast: torch.dtype | None = None
    on_rows: OnRows | None = None


class Task:
    """From tables to examples, batches, and numbers.

    Attributes:
        name: The task's name.
        metric: The number by which the best model is chosen; larger is better.
    """

    name: str
    metric: str

    def rows(
        self, tables: Sequence[Table], *, training: bool, seed: int = 0, limit: int | None = None
    ) -> Rows:
        """The examples of tables.

        Args:
            tables: The tables.
            training: Whether they are to be learnt from.
            seed: Of what is drawn.
            limit: Only the first so many.
        """
        return Rows(tables, seed=seed, limit=limit)

    def evaluate(self, model: Any, rows: Rows, collate: Collator, looking: Looking) -> Scores:
        """Put a model to the test; every process takes its share, and all get the result."""
        raise NotImplementedError


@dataclass
class _WithExamples:
    """Batches together with the examples that they were made of, without their images."""

    collate: Collator

    def __call__(self, examples: Sequence[Example]) -> tuple[list[Example], dict[str, Tensor]]:
        return [replace(example, images=()) for example in examples], self.collate(examples)


def look_at(
    model: Any, rows: Rows, collate: Collator, looking: Looking
) -> Iterator[tuple[list[Example], dict[str, Tensor]]]:
    """This process's share of rows, a batch at a time, on the model's device.

    While they are gone through, the model is in eval mode and no graphs are built.
    """
    share = own_share(range(len(rows)))
    loader = DataLoader(
        Subset(rows, share),
        batch_size=looking.batch_size,
        collate_fn=_WithExamples(collate),
        num_workers=looking.num_workers,
    )
    with evaluating(model, looking.autocast):
        for examples, batch in loader:
            yield examples, {name: tensor.to(model.device) for name, tensor in batch.items()}
            if looking.on_rows is not None:
                looking.on_rows(len(examples))


@contextmanager
def evaluating(model: Any, autocast: torch.dtype | None) -> Iterator[None]:
    """Eval mode, no graphs, matrix products in a given type; afterwards as before."""
    was_training = model.training
    model.eval()
    kind = model.device.type
    try:
        with torch.inference_mode(), torch.autocast(kind, autocast, enabled=autocast is not None):
            yield
    finally:
        model.train(was_training)


def in_order(predictions: Sequence[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The predictions of all processes, in the order of their rows."""
    everything = [one for some in gathered(list(predictions)) for one in some]
    return [prediction for _, prediction in sorted(everything, key=lambda one: one[0])]
