"""The parts of a run: its tables as rows, its task, its model, and batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vkood.data.augment import RandAugment
from vkood.data.batches import Collator
from vkood.data.layout import TEXT_NAMES, kind_of
from vkood.data.readers.source import SourceError
from vkood.data.readers.tables import answers_of
from vkood.data.rows import Rows
from vkood.data.tables import Table, TableError, find_tables
from vkood.knowledge import FactEncoder
from vkood.models import SentenceEncoder
from vkood.pipelines.encoding import sentence_encoder_folder
from vkood.progress import REPORT_EVERY, Lines
from vkood.tasks import EvaluationOptions, Scores, Task
from vkood.tasks.answering import QuestionTask
from vkood.tasks.ranks import rank, world_size
from vkood.train.building import Built, build
from vkood.train.features import CachedFeatures, cached_features
from vkood.train.run import Run, RunError, require_possible

Log = Callable[[str], None]
"""Takes a line about what is being done."""


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """All parts of a run.

    Attributes:
        run: The run.
        task: Its task.
        built: The model and its processor.
        train: The rows to train on; None if only evaluating.
        validation: The rows to choose the best model by; None if there are none.
        vectors: The vectors of facts.
        log: Takes lines about what takes long before the first step.
    """

    run: Run
    task: Task
    built: Built
    train: Rows | None
    validation: Rows | None
    vectors: FactVectors
    log: Log
    _features: dict[Rows, CachedFeatures] = field(default_factory=dict)

    def collator(self, rows: Rows, *, training: bool) -> Collator:
        """The collator of the run's batches."""
        run = self.run
        features = None
        if run.features == "cached":
            if rows not in self._features:
                self._features[rows] = self.features(rows)
            features = self._features[rows]
        shared = Collator(
            processor=self.built.processor,
            fact_vectors=self._fact_vectors(rows),
            augment=RandAugment(2, 9.0) if training and run.data.augment == "randaug" else None,
            features=features,
            per_image=run.data.texts_per_image if training else 1,
        )
        return self.task.collator(shared, training=training)

    def _fact_vectors(self, rows: Rows) -> np.ndarray | None:
        vectors, width = self.vectors.of(rows), self.built.model.config.fact_dim
        if vectors is not None and vectors.shape[1] != width:
            raise RunError(
                f"the model takes vectors of facts of width {width}, but those of {self.built.processor.fact_encoder} "
                f"have {vectors.shape[1]}."
            )
        return vectors

    def features(self, rows: Rows) -> CachedFeatures:
        """The cached features of rows from frozen towers, computed where missing."""
        return cached_features(
            self.built.model,
            rows,
            Collator(processor=self.built.processor),
            Path(self.run.data.folder) / ".features",
            with_texts=self.task.fixed_texts,
            options=self.evaluation_options(),
            progress=lambda what, total: Lines(self.log, f"features of {what}:", total, what).advance,
        )

    def evaluation_options(self, on_rows: Callable[[int], None] | None = None) -> EvaluationOptions:
        """How rows are iterated over."""
        return EvaluationOptions(
            batch_size=self.run.optimisation.device_batch_size,
            num_workers=self.run.data.workers,
            autocast=autocast_type(self.run),
            on_rows=on_rows,
        )

    def evaluate(
        self,
        rows: Rows,
        model: Any = None,
        log: Log | None = None,
        *,
        report_every: float = REPORT_EVERY,
    ) -> Scores:
        """Evaluate a model, by default the run's own, on rows, with a line about the progress every half minute.

        Args:
            rows: The rows.
            model: The model; by default the run's own.
            log: Where the lines about the progress go; by default there are none.
            report_every: Min seconds between these lines.
        """
        model = self.built.model if model is None else model
        total = -(-self.task.num_evaluated(rows) // world_size())
        lines = None if log is None else Lines(log, "evaluated", total, "samples", every=report_every)
        options = self.evaluation_options(None if lines is None else lines.advance)
        return self.task.evaluate(model, rows, self.collator(rows, training=False), options)

    def rows(self, names: list[str]) -> Rows:
        """The rows of further tables, to be evaluated on."""
        tables = _tables(self.run, self.task, names)
        return self.task.rows(tables, training=False, limit=self.run.data.evaluate_limit)


class FactVectors:
    """The vectors of facts: each sentence encoded once, ever, in a folder beside the tables.

    Args:
        encoder: Hub name or folder of the sentence encoder, or the name of the package that carries one.
        folder: Where vectors are kept.
        used: Whether facts are used at all.
        log: Takes lines about how far the encoding of many is.

    Attributes:
        folder: Where vectors are kept.
    """

    def __init__(self, encoder: str, folder: Path, *, used: bool, log: Log = lambda line: None) -> None:
        self._name, self.folder, self._used, self._log = encoder, folder, used, log
        self._encoder: FactEncoder | None = None
        self._known: dict[tuple[str, ...], np.ndarray] = {}

    def of(self, rows: Rows) -> np.ndarray | None:
        """(S, D) the vectors of the rows' facts; None if there are none, or none are used."""
        if not self._used or not rows.sentences:
            return None
        if rows.sentences not in self._known:
            lines = Lines(self._log, "encoded", len(rows.sentences), "facts")
            self._known[rows.sentences] = self._loaded().encode(rows.sentences, on_sentences=lines.update)
        return self._known[rows.sentences]

    def _loaded(self) -> FactEncoder:
        if self._encoder is None:
            self._encoder = FactEncoder(SentenceEncoder(sentence_encoder_folder(self._name)), self.folder)
        return self._encoder


def assemble(run: Run, log: Log = lambda line: None, task: Task | None = None) -> Assembly:
    """Open the tables of a run, and build its model.

    Args:
        run: The run.
        log: Called with lines about the progress.
        task: The run's task; None for the one that it names.

    Raises:
        RunError: If the run cannot be, tables are missing or of another kind, there are fewer examples than a step
            takes, or the model cannot be built.
    """
    task = require_possible(run, task)
    torch.manual_seed(run.optimisation.seed)
    seed = run.optimisation.seed
    try:
        train_tables = [] if run.evaluate_only else _tables(run, task, run.data.train)
        validation_tables = [] if run.evaluate_only else _tables(run, task, run.data.validation)
        if isinstance(task, QuestionTask):
            tables = [*train_tables, *validation_tables]
            task = replace(task, answers=answers_of(tables) if tables else _evaluated_answers(run))
        train = validation = None
        if train_tables:
            train = task.rows(train_tables, training=True, seed=seed, limit=run.data.limit)
        if validation_tables:
            validation = task.rows(validation_tables, training=False, limit=run.data.evaluate_limit)
    except (TableError, SourceError) as error:
        raise RunError(str(error)) from error
    if train is not None and len(train) < run.optimisation.batch_size:
        raise RunError(
            f"`optimisation.batch_size` is {run.optimisation.batch_size}, but there are only {len(train)} examples to "
            "train on."
        )
    try:
        built = build(run, task)
    except ValueError as error:
        if type(error) is not ValueError or not run.model.config:
            raise
        raise RunError(f"no model can be built with this `model.config`: {error}") from error
    log(f"model: {built.summary}")
    folder = run.data.fact_vectors or Path(run.data.folder) / ".fact-vectors"
    vectors = FactVectors(built.processor.fact_encoder, Path(folder), used=run.data.facts, log=log)
    for role, rows in (("train", train), ("validation", validation)):
        if rows is not None and rank() == 0:
            texts = f"{len(rows):,} {TEXT_NAMES[rows.kind]}"
            log(f"{role}: {texts}, {rows.num_images:,} rows, {len(rows.sentences):,} facts")
    return Assembly(
        run=run, task=task, built=built, train=train, validation=validation, vectors=vectors, log=log
    )


def _evaluated_answers(run: Run) -> tuple[str, ...] | None:
    """The vocabulary that a model without one of its own is evaluated with; None if no table has it.

    Tables of test questions, METER's that is, have no answers; those that it was trained on do.
    """
    for names in (run.data.test, [*run.data.train, *run.data.validation]):
        try:
            return answers_of(find_tables(run.data.folder, names))
        except (TableError, SourceError):
            continue
    return None


def autocast_type(run: Run) -> torch.dtype | None:
    """The dtype of matrix products; None for float32."""
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(run.optimisation.precision)


def _tables(run: Run, task: Task, names: list[str]) -> list[Table]:
    tables = find_tables(run.data.folder, names)
    for table in tables:
        if (kind := kind_of(table.columns)) != task.table_kind:
            raise RunError(
                f"the task {task.name} is for tables of {task.table_kind}; {table.name!r} is a table of {kind}."
            )
    return tables
