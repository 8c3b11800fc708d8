"""The demo's pieces of work.

Each runs in a process of its own: it reads and writes files, and reports how far it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override

from vkood.data import entity_facts, irrelevant_facts, load_easy_vqa
from vkood.data.batches import Collator
from vkood.data.prepare import prepare
from vkood.data.readers.easy_vqa import read_easy_vqa, read_easy_vqa_knowledge
from vkood.data.rows import Rows
from vkood.demo.plan import GALLERY, GALLERY_SIZE, PLAIN_TEST, Arm, Plan, Workshop
from vkood.demo.towers import pretrain_image_tower
from vkood.knowledge import FactEncoder
from vkood.models import SentenceEncoder
from vkood.models.fit_watch import ComponentMaps, FitWatch
from vkood.pipelines.encoding import FACT_ENCODER, sentence_encoder_folder
from vkood.processes import peak_memory
from vkood.tasks import EvaluationOptions, Scores
from vkood.tasks.answering import AnsweringTask
from vkood.train.assembly import assemble
from vkood.train.evaluation import evaluate
from vkood.train.record import read_metrics
from vkood.train.run import Run
from vkood.train.training import train

_REPORT_EVERY = 25

OnProgress = Callable[[int], None]
"""Called with the amount of work done so far."""
OnSteps = Callable[[int, float], None]
"""Called with the number of steps done so far, and the share of the latest training questions answered rightly."""


@runtime_checkable
class Post(Protocol):
    """Where a job's progress goes: a queue between processes."""

    def put(self, item: tuple[Any, ...], /) -> None:
        """Send (job, work done so far) or, of training, (job, steps done so far, accuracy)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a job reports.

    Attributes:
        seconds: How long it took.
        process: Its process.
        peak_rss_mb: The peak memory of its process so far.
        result: What it returned.
    """

    seconds: float
    process: int
    peak_rss_mb: float
    result: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """An arm's answers to the report's examples; the lists of facts stay empty, and `maps` None, without a gate."""

    predicted: list[str]
    gates: list[list[float]]
    scores: list[list[float]]
    maps: ComponentMaps | None


def run_job(work: Callable[..., Any], name: str, post: Post, *arguments: Any) -> Outcome:
    """Run `work(*arguments, on_progress)` on one thread of this process.

    One thread, since two jobs run side by side, and small operations gain nothing from more.
    """
    torch.set_num_threads(1)
    started = time.monotonic()
    result = work(*arguments, lambda *done: post.put((name, *done)))
    return Outcome(
        seconds=time.monotonic() - started,
        process=os.getpid(),
        peak_rss_mb=peak_memory(),
        result=result,
    )


def encode_facts(workshop: Workshop, on_progress: OnProgress) -> None:
    """Encode all facts of training and of tests, and keep their vectors."""
    encoder = FactEncoder(SentenceEncoder(sentence_encoder_folder(FACT_ENCODER)), workshop.vectors)
    encoder.encode(all_facts(), on_sentences=on_progress)


def all_facts() -> tuple[str, ...]:
    """Every fact that a question of training or of a test may have, each once."""
    return tuple(dict.fromkeys((*entity_facts(), *irrelevant_facts("train"), *irrelevant_facts("test"))))


def prepare_tables(plan: Plan, workshop: Workshop, on_progress: OnProgress) -> dict[str, int]:
    """Write the tables of questions of both kinds. Returns how many questions each table has."""
    rows: dict[str, int] = {}

    def count(table: str, done: int, total: int | None) -> None:
        rows[table] = done
        on_progress(sum(rows.values()))

    knowledge = read_easy_vqa_knowledge(
        seed=plan.seed, epochs=plan.epochs, floods=[*plan.all_floods, GALLERY]
    )
    plain = read_easy_vqa()
    plain = replace(plain, tables={PLAIN_TEST: plain.tables[PLAIN_TEST]})
    texts = prepare(knowledge, workshop.tables, on_rows=count).texts
    texts |= prepare(plain, workshop.tables, facts=None, on_rows=count).texts
    on_progress(sum(rows.values()))
    return texts


def num_table_rows(plan: Plan) -> int:
    """How many rows `prepare_tables` writes."""
    train, test = load_easy_vqa("train"), load_easy_vqa("test")
    return (
        plan.epochs * len(train.images) + (len(plan.all_floods) + 1) * len(test.described) + len(test.images)
    )


def pretrain(plan: Plan, workshop: Workshop, on_progress: OnProgress) -> None:
    """Train the image tower to name colour and shape."""
    pretrain_image_tower(workshop.image_tower, seed=plan.seed, steps=plan.tower_steps, on_step=on_progress)


def train_arm(plan: Plan, workshop: Workshop, arm: Arm, on_progress: OnSteps) -> list[tuple[int, float]]:
    """Train an arm's model on both kinds of questions. Returns the learning curve."""
    folder = train(
        plan.training(workshop, arm), task=ReportedAnswering(single_answer=True, on_step=on_progress)
    )
    return [(line["step"], line["loss"]) for line in read_metrics(folder) if "loss" in line]


def test_arm(plan: Plan, workshop: Workshop, arm: Arm, on_progress: OnProgress) -> dict[str, Any]:
    """Test an arm's model on both kinds of questions, under every flood, and on the report's gallery."""
    done = 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        on_progress(done)

    run = plan.testing(workshop, arm)
    scores = evaluate(run, task=ReportedAnswering(single_answer=True, on_rows=count))
    # No flood reaches the arm without facts, so one test stands for all.
    floods = {
        kind: {number: scores.get(flood.table, scores[run.data.test[0]]) for number, flood in of_kind.items()}
        for kind, of_kind in plan.floods.items()
    }
    return {
        "easy_vqa": scores[PLAIN_TEST]["accuracy"],
        "knowledge": _numbers(floods, lambda metrics: metrics["accuracy"]),
        "filter": _numbers(floods, _filter) if "filter_auroc" in scores[run.data.test[0]] else None,
        "gallery": _gallery(run),
    }


def _numbers(
    floods: dict[str, dict[str, dict[str, float]]], of_test: Callable[[dict[str, float]], Any]
) -> dict[str, dict[str, Any]]:
    return {
        kind: {number: of_test(metrics) for number, metrics in of_kind.items()}
        for kind, of_kind in floods.items()
    }


def _filter(metrics: dict[str, float]) -> dict[str, float]:
    """How well the gate separates facts that match from all others."""
    return {"auroc": metrics["filter_auroc"], "fpr95": metrics["filter_fpr95"]}


@torch.inference_mode()
def _gallery(run: Run) -> Gallery:
    """What a model makes of the examples that the report shows."""
    assembly = assemble(run)
    rows = assembly.rows([GALLERY.table])
    batch = assembly.collator(rows, training=False)([rows[index] for index in range(GALLERY_SIZE)])
    model: Any = assembly.built.model.eval()
    with FitWatch(model.base_model) as watch:
        output = model(**batch)

    def per_question(values: Tensor | None) -> list[list[float]]:
        if values is None:
            return []
        return [
            of_question[mask].tolist() for of_question, mask in zip(values, batch["fact_mask"], strict=True)
        ]

    return Gallery(
        predicted=[model.config.id2label[index] for index in output.logits.argmax(-1).tolist()],
        gates=per_question(output.fact_gate),
        scores=per_question(output.fact_score),
        maps=watch.maps(),
    )


@dataclass(frozen=True, kw_only=True)
class ReportedAnswering(AnsweringTask):
    """Answering that reports its progress.

    Attributes:
        on_step: Called every few optimiser steps.
        on_rows: Called with the number of questions evaluated since it was last called.
    """

    on_step: OnSteps | None = None
    on_rows: Callable[[int], None] | None = None

    @override
    def callbacks(self, model: Any) -> list[TrainerCallback]:
        return [] if self.on_step is None else [_Steps(self.on_step, model)]

    @override
    def evaluate(self, model: Any, rows: Rows, collate: Collator, options: EvaluationOptions) -> Scores:
        return super().evaluate(model, rows, collate, replace(options, on_rows=self.on_rows))


class _Steps(TrainerCallback):
    """Reports the number of steps done, and how many of the questions since the last report were answered rightly."""

    def __init__(self, on_step: OnSteps, model: Any) -> None:
        self._on_step = on_step
        self._right = self._questions = 0
        self._hook = model.register_forward_hook(self._count, with_kwargs=True)

    def _count(self, model: Any, arguments: Any, batch: dict[str, Any], output: Any) -> None:
        labels = batch.get("labels")
        if model.training and labels is not None:
            self._right += int((output.logits.argmax(-1) == labels).sum())
            self._questions += labels.numel()

    @override
    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step % _REPORT_EVERY == 0 or state.global_step == state.max_steps:
            self._on_step(state.global_step, self._right / max(1, self._questions))
            self._right = self._questions = 0

    @override
    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._hook.remove()
