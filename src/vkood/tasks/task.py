"""The base of every task: the tables and models that it needs, its batches, its evaluation and its predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from transformers import TrainerCallback

from vkood.data.batches import Collator
from vkood.data.layout import Kind
from vkood.data.rows import Example, Rows
from vkood.data.tables import Table
from vkood.fields import shown
from vkood.tasks.ranks import gathered, own_share


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The result of an evaluation.

    Attributes:
        metrics: Numbers by name; those of accuracy and recall from 0 to 1.
        predictions: The model's predictions in the order of the rows, in values that JSON has.
    """

    metrics: dict[str, float]
    predictions: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """How rows are iterated over.

    Attributes:
        batch_size: Rows at a time.
        num_workers: Processes that read and decode.
        autocast: The type that matrix products are computed in; None for that of the weights.
        on_rows: Called after each batch with its number of rows.
    """

    batch_size: int = 32
    num_workers: int = 0
    autocast: torch.dtype | None = None
    on_rows: Callable[[int], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task, from tables to numbers.

    A task is a frozen dataclass: its class variables say what it needs, and its fields are its options. In a run they
    are set by `options.<field>`, but for `family`, which is `model.family`. A new task overrides `evaluate`, and
    whatever else differs from captions without targets; docs/adding-a-task.md has a whole one.

    Attributes:
        name: The task's name.
        metric: The number by which the best model is chosen; larger is better.
        models: The class of its models in each family that has one.
        table_kind: The kind of tables that it needs.
        checkpoint_task: What `load_checkpoint` calls the task; None if no checkpoint of others is for it.
        fixed_texts: Whether an example's text is the same in every epoch, so that what a frozen tower gives for it can
            be kept.
        groups_texts: Whether its batches may have several texts of each image (`data.texts_per_image`).
        family: The family of the model.
    """

    name: ClassVar[str]
    metric: ClassVar[str]
    models: ClassVar[Mapping[str, Any]]
    table_kind: ClassVar[Kind] = "captions"
    checkpoint_task: ClassVar[str | None] = None
    fixed_texts: ClassVar[bool] = True
    groups_texts: ClassVar[bool] = False

    family: str = "two-stream"

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            TypeError: If the class lacks what every task must have.
            ValueError: If the task has no model in the family, or an option cannot be.
        """
        for name, kind, what in (
            ("name", str, "its name"),
            ("metric", str, "the number by which the best model is chosen"),
            ("models", Mapping, "the class of its models in each family"),
        ):
            if not isinstance(getattr(self, name, None), kind) or not getattr(self, name):
                raise TypeError(
                    f"the task class {type(self).__name__} must have a class variable `{name}`, {what}; "
                    f"got {shown(getattr(self, name, None))}."
                )
        if self.table_kind not in get_args(Kind):
            raise TypeError(
                f"the `table_kind` of the task class {type(self).__name__} must be one of "
                f"{', '.join(get_args(Kind))}; got {self.table_kind!r}."
            )
        if self.family not in self.models:
            raise ValueError(
                f"the task {self.name} has no model in the family {self.family!r}: `model.family` must be "
                f"{' or '.join(self.models)}."
            )

    @property
    def model_class(self) -> Any:
        """The class of its models."""
        return self.models[self.family]

    @property
    def momentum_encoder(self) -> bool:
        """Whether training keeps a momentum encoder, and compares the examples of one device's batch with each other.

        The result then depends on `optimisation.device_batch_size`, and weights cannot be sharded.
        """
        return False

    @property
    def explains(self) -> bool:
        """Whether its models can explain what they predict for a single example."""
        return True

    def config_changes(self) -> dict[str, Any]:
        """Fields of the model's configuration that the task decides."""
        return {}

    def complete(self, model: Any) -> None:
        """Give a model that was loaded to be evaluated what its checkpoint does not have.

        Raises:
            ValueError: If it cannot be had.
        """

    def rows(
        self, tables: Sequence[Table], *, training: bool, seed: int = 0, limit: int | None = None
    ) -> Rows:
        """The examples of tables.

        Args:
            tables: The tables.
            training: Whether they are trained on.
            seed: Random seed.
            limit: Only the first so many.
        """
        return Rows(tables, seed=seed, limit=limit)

    def collator(self, shared: Collator, *, training: bool) -> Collator:
        """The collator of the batches.

        Args:
            shared: Makes the part of a batch that all tasks share: images, texts and facts.
            training: Whether they are trained on, and need targets.
        """
        return shared

    def callbacks(self, model: Any) -> list[TrainerCallback]:
        """Callbacks of the Trainer in addition to its own, while `model` is trained."""
        return []

    def evaluate(self, model: Any, rows: Rows, collate: Collator, options: EvaluationOptions) -> Scores:
        """Evaluate a model on rows; every process takes its share, and all get the result."""
        raise NotImplementedError

    def target(self, example: Example) -> str:
        """The right answer of an example, as a sentence that stands below a model's explanation."""
        return ""

    def is_right(self, example: Example, prediction: dict[str, Any]) -> bool | None:
        """Whether `evaluate`'s prediction for an example is right; None where that is not known."""
        return None

    def num_evaluated(self, rows: Rows) -> int:
        """How many examples `evaluate` counts by `on_rows`, over all processes."""
        return len(rows)

    def check_prediction(self, place: str, prediction: dict[str, Any], rows: Rows) -> tuple[str, Any]:
        """Check the fields of a prediction from a file.

        Args:
            place: Where it stands, for errors.
            prediction: The prediction.
            rows: The rows that the file is for.

        Returns:
            The kind and the id of what it is a prediction for.

        Raises:
            ValueError: If a field is missing or of another type.
        """
        raise NotImplementedError

    def score(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> dict[str, float]:
        """Metrics of predictions from a file, each of which `check_prediction` accepts.

        Raises:
            ValueError: If not everything is predicted exactly once.
        """
        raise NotImplementedError

    def submission(self, rows: Rows, predictions: Sequence[dict[str, Any]]) -> list[Any] | None:
        """The predictions as a public server takes them; None if there is no such server.

        Raises:
            ValueError: If the server would refuse them.
        """
        return None


@dataclass
class _WithExamples:
    """Batches together with the examples that they were collated from, without their images."""

    collate: Collator

    def __call__(self, examples: Sequence[Example]) -> tuple[list[Example], dict[str, Tensor]]:
        return [replace(example, images=()) for example in examples], self.collate(examples)


def iterate(
    model: Any, rows: Rows, collate: Collator, options: EvaluationOptions
) -> Iterator[tuple[list[Example], dict[str, Tensor]]]:
    """This process's share of rows, a batch at a time, on the model's device.

    Until the last batch, the model is in eval mode and no graphs are built.
    """
    share = own_share(range(len(rows)))
    loader = DataLoader(
        Subset(rows, share),
        batch_size=options.batch_size,
        collate_fn=_WithExamples(collate),
        num_workers=options.num_workers,
    )
    with evaluating(model, options.autocast):
        for examples, batch in loader:
            yield examples, {name: tensor.to(model.device) for name, tensor in batch.items()}
            if options.on_rows is not None:
                options.on_rows(len(examples))


@contextmanager
def evaluating(model: Any, autocast: torch.dtype | None) -> Iterator[None]:
    """Eval mode, no graphs, matrix products in the type `autocast`; afterwards as before."""
    was_training = model.training
    model.eval()
    kind = model.device.type
    try:
        with torch.inference_mode(), torch.autocast(kind, autocast, enabled=autocast is not None):
            yield
    finally:
        model.train(was_training)


def in_order(predictions: Sequence[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The predictions of all processes, each with its row's number, in the order of the rows."""
    numbered = [pair for share in gathered(list(predictions)) for pair in share]
    return [prediction for _, prediction in sorted(numbered, key=lambda pair: pair[0])]
