"""What a run works with: its tables as rows, its task, its model, and batches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vkood.data.augment import RandAugment
from vkood.data.batches import (
    AnswerBatches,
    Collator,
    ContrastBatches,
    JudgementBatches,
    PreTrainingBatches,
    RankBatches,
    WordedAnswerBatches,
)
from vkood.data.layout import kind_of
from vkood.data.masking import WholeWordMask
from vkood.data.readers.source import SourceError
from vkood.data.readers.tables import answers_of
from vkood.data.rows import Rows
from vkood.data.tables import Table, TableError, find_tables
from vkood.knowledge import FactEncoder
from vkood.models import BlipVkoodConfig, SentenceEncoder, VkoodConfig
from vkood.pipelines.processor import sentence_encoder_folder
from vkood.tasks.answering import AnsweringTask, WordedAnsweringTask
from vkood.tasks.pretraining import PreTrainingTask
from vkood.tasks.ranks import rank
from vkood.tasks.reasoning import ReasoningTask
from vkood.tasks.retrieval import RetrievalTask
from vkood.tasks.task import Looking, Scores, Task
from vkood.train.building import Built, answers_in, build
from vkood.train.features import CachedFeatures, cached_features
from vkood.train.run import Run, RunError

KINDS = {"vqa": "questions", "blip-vqa": "questions", "nlvr2": "pairs"}
"""The kind of tables of each task; captions for all others."""

Tell = Callable[[str], None]
_REPORT_EVERY = 30.0
"""Seconds between reports of an evaluation."""


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """All parts of a run.

    Attributes:
        run: The run.
        task: What is done with the tables.
        built: The model and its processor.
        answers: The answer vocabulary; None for tasks without.
        train: The rows to learn from; None if only evaluating.
        validation: The rows to choose the best model by; None if there are none.
        vectors: The vectors of facts.
    """

    run: Run
    task: Task
    built: Built
    answers: tuple[str, ...] | None
    train: Rows | None
    validation: Rows | None
    vectors: FactVectors
    _features: dict[Rows, CachedFeatures] = field(default_factory=dict)

    def collator(self, rows: Rows, *, training: bool) -> Collator:
        """What makes batches of rows."""
        run, processor = self.run, self.built.processor
        parts: dict[str, Any] = {"processor": processor, "fact_vectors": self.vectors.of(rows)}
        if run.features == "cached":
            if rows not in self._features:
                self._features[rows] = self.features(rows)
            parts["features"] = self._features[rows]
        if training and run.data.augment == "randaug":
            parts["augment"] = RandAugment(2, 9.0)
        if run.task == "pretrain":
            share = run.options.mask_share
            mask = WholeWordMask(processor.tokenizer, share) if share else None
            return PreTrainingBatches(mask=mask, **parts)
        if not training:
            return Collator(**parts)
        if run.task == "vqa":
            return AnswerBatches(
                num_answers=len(answers_in(self.built.model)),
                single_answer=run.options.single_answer,
                per_image=run.data.texts_per_image,
                **parts,
            )
        if run.task == "nlvr2":
            return JudgementBatches(**parts)
        if run.task == "retrieval":
            return RankBatches(**parts)
        if run.task == "blip-vqa":
            return WordedAnswerBatches(vocabulary=self.answers or (), **parts)
        return ContrastBatches(**parts)

    def features(self, rows: Rows) -> CachedFeatures:
        """What the frozen towers make of rows; computed now, where it was not before."""
        return cached_features(
            self.built.model,
            rows,
            Collator(processor=self.built.processor),
            Path(self.run.data.folder) / ".features",
            # Hidden words change in every epoch.
            with_texts=self.run.task != "pretrain",
            looking=self.looking(),
        )

    def looking(self, on_rows: Callable[[int], None] | None = None) -> Looking:
        """How rows are gone through."""
        return Looking(
            batch_size=self.run.optimisation.device_batch_size,
            num_workers=self.run.data.workers,
            autocast=autocast_type(self.run),
            on_rows=on_rows,
        )

    def evaluate(self, rows: Rows, model: Any = None, tell: Tell | None = None) -> Scores:
        """Evaluate a model, by default the run's own, on rows; `tell` hears of the progress every half minute."""
        model = self.built.model if model is None else model
        on_rows = None if tell is None else _Progress(tell)
        return self.task.evaluate(model, rows, self.collator(rows, training=False), self.looking(on_rows))

    def rows(self, names: list[str]) -> Rows:
        """The rows of further tables, to be evaluated on."""
        tables = _tables(self.run, names)
        return self.task.rows(tables, training=False, limit=self.run.data.evaluate_limit)


class _Progress:
    """Reports how far an evaluation is, for those that take long."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._done, self._reported = tell, 0, time.monotonic()

    def __call__(self, done: int) -> None:
        """Count what has been done since the last call."""
        self._done += done
        if time.monotonic() - self._reported >= _REPORT_EVERY:
            self._tell(f"evaluated {self._done:,} of this process's share")
            self._reported = time.monotonic()


class FactVectors:
    """The vectors of facts: each sentence encoded once, ever, in a folder beside the tables.

    Args:
        encoder: Hub name or folder of the sentence encoder, or the name of the package that carries one.
        folder: Where vectors are kept.
        wanted: Whether facts are used at all.

    Attributes:
        folder: Where vectors are kept.
    """

    def __init__(self, encoder: str, folder: Path, *, wanted: bool) -> None:
        self._name, self.folder, self._wanted = encoder, folder, wanted
        self._encoder: FactEncoder | None = None
        self._known: dict[tuple[str, ...], np.ndarray] = {}

    def of(self, rows: Rows) -> np.ndarray | None:
        """(S, D) the vectors of the rows' facts; None if there are none, or none are wanted."""
        if not self._wanted or not rows.sentences:
            return None
        if rows.sentences not in self._known:
            self._known[rows.sentences] = self._loaded().encode(rows.sentences)
        return self._known[rows.sentences]

    def _loaded(self) -> FactEncoder:
        if self._encoder is None:
            self._encoder = FactEncoder(SentenceEncoder(sentence_encoder_folder(self._name)), self.folder)
        return self._encoder


def assemble(run: Run, tell: Tell = lambda told: None) -> Assembly:
    """Open the tables of a run, and build its model.

    Args:
        run: The run, which has been found possible.
        tell: Called with what is being done.

    Raises:
        RunError: If tables are missing or of another kind, there are fewer examples than a step takes, or the model
            cannot be built.
    """
    _require_model_options(run)
    torch.manual_seed(run.optimisation.seed)
    try:
        learnt = [] if run.evaluate_only else _tables(run, run.data.train)
        watched = [] if run.evaluate_only else _tables(run, run.data.validation)
        answers = None
        if KINDS.get(run.task) == "questions":
            answers = _evaluated_answers(run) if run.evaluate_only else answers_of([*learnt, *watched])
        task = _task(run, answers)
        seed = run.optimisation.seed
        train = task.rows(learnt, training=True, seed=seed, limit=run.data.limit) if learnt else None
        validation = task.rows(watched, training=False, limit=run.data.evaluate_limit) if watched else None
    except (TableError, SourceError) as error:
        raise RunError(str(error)) from error
    if train is not None and len(train) < run.optimisation.batch_size:
        raise RunError(
            f"`optimisation.batch_size` is {run.optimisation.batch_size}, but there are only {len(train)} examples to "
            "train on."
        )
    try:
        built = build(run, answers)
    except ValueError as error:
        if type(error) is not ValueError or not run.model.config:
            raise
        raise RunError(f"no model can be built with this `model.config`: {error}") from error
    tell(f"model: {built.told}")
    vectors_folder = run.data.fact_vectors or Path(run.data.folder) / ".fact-vectors"
    vectors = FactVectors(built.processor.fact_encoder, Path(vectors_folder), wanted=run.data.facts)
    for rows in (train, validation):
        if rows is not None and rank() == 0:
            tell(f"{len(rows):,} texts, {rows.num_images:,} rows, {len(rows.sentences):,} facts")
    return Assembly(
        run=run, task=task, built=built, answers=answers, train=train, validation=validation, vectors=vectors
    )


def _require_model_options(run: Run) -> None:
    """Refuse fields of `model.config` that are unknown or cannot be, before anything is opened.

    Raises:
        RunError: If there is one.
    """
    try:
        (BlipVkoodConfig if run.is_blip else VkoodConfig).require_options(run.model.config)
    except ValueError as error:
        raise RunError(f"`model.config`: {error}") from None


def _evaluated_answers(run: Run) -> tuple[str, ...] | None:
    """The vocabulary that a model without one of its own is evaluated with; None if no table tells it.

    Tables of test questions, METER's that is, have no answers; those that it was trained on do.
    """
    for names in (run.data.test, [*run.data.train, *run.data.validation]):
        try:
            return answers_of(find_tables(run.data.folder, names))
        except (TableError, SourceError):
            continue
    return None


def autocast_type(run: Run) -> torch.dtype | None:
    """The type that matrix products are computed in; None for float32."""
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(run.optimisation.precision)


def _tables(run: Run, names: list[str]) -> list[Table]:
    tables = find_tables(run.data.folder, names)
    wanted = KINDS.get(run.task, "captions")
    for table in tables:
        if (kind := kind_of(table.columns)) != wanted:
            raise RunError(f"the task {run.task} needs tables of {wanted}; {table.name!r} has {kind}.")
    return tables


def _task(run: Run, answers: tuple[str, ...] | None) -> Task:
    options = run.options
    if run.task == "vqa":
        return AnsweringTask()
    if run.task == "blip-vqa":
        if answers is None and options.inference == "rank":
            raise RunError(
                "no table tells the answers to rank: `data.folder` must have those that were trained on, or take "
                "`options.inference=generate`."
            )
        return WordedAnsweringTask(answers or (), inference=options.inference, k=options.k)  # pyright: ignore[reportArgumentType] - checked
    if run.task == "nlvr2":
        return ReasoningTask()
    if run.task == "pretrain":
        return PreTrainingTask()
    return RetrievalTask(
        num_false=0 if run.is_blip else options.false_texts,
        shortlist=options.shortlist if run.is_blip else None,
        memory_limit=options.memory_limit,
        add_similarity=options.add_similarity,
    )
