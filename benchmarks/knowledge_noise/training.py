"""One run: train an arm, watch it on held-out pictures, test it under every flood, and make its record."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers.utils import logging

from vkood.models import VkoodForVisualQuestionAnswering
from vkood.solve.gradients import ConvergenceWarning

from .arms import Arm, new_model
from .evaluation import Evaluation, evaluate_vqa
from .fitting import StepReport, TrainingOptions, fit
from .materials import Materials, Pictures, standardised
from .questions import ONE_QUESTION, Collate, Corruption, Mix, Mosaics, Row, SinglePictures, single_train
from .records import Record

TARGET = 0.95
KEEP_RATE = 0.99
"""Of the facts that match, where gates are calibrated."""
_FACTS_AT_ONCE = 8_000  # bounds the memory of a test batch

Schedule = Callable[[VkoodForVisualQuestionAnswering, float], None]
"""Called every few steps with the model and the share of the training that is done."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What all runs of a part have in common.

    Attributes:
        steps: Optimiser steps.
        batch_size: Rows in a batch.
        mosaic: Whether rows are mosaics. Their tokens and facts are standardised.
        mix: Questions of a row.
        warmup: Share of the steps in which the rate rises.
        watch_every: Steps between evaluations on the held-out pictures.
        num_watched: Questions at each look.
        irrelevant: Floods to test with.
        contradicting: Floods to test with.
        num_test: Test questions under each flood.
        open: How far gates are open on average at first.
    """

    steps: int
    batch_size: int = 16
    mosaic: bool = False
    mix: Mix = field(default_factory=Mix)
    warmup: float = 0.08
    watch_every: int = 50
    num_watched: int = 256
    irrelevant: tuple[int, ...] = (0, 12, 48, 150)
    contradicting: tuple[int, ...] = (24, 48)
    num_test: int = 888
    open: float = 0.95


class Run:
    """One training of one arm, and its tests.

    Args:
        materials: Pictures and facts.
        arm: The arm.
        plan: How to train and test.
        seed: Of weights, order and draws.
        schedule: What changes in the course of the training.
    """

    def __init__(
        self, materials: Materials, arm: Arm, plan: Plan, seed: int, schedule: Schedule | None = None
    ) -> None:
        materials = standardised(materials) if plan.mosaic else materials
        self._materials, self._arm, self._plan, self._seed = materials, arm, plan, seed
        self._schedule = schedule
        self._collate = Collate(materials, use_facts=arm.use_facts)
        self._matched = Collate(materials, use_facts=arm.use_facts, with_matches=True)
        self.model = new_model(materials, arm, seed)
        self._open_gates()

    def record(self, learning_rate: float, fraction: float = 1.0) -> Record:
        """Train and test; returns all measurements."""
        record: Record = {"gate_at_start": self._gates(self._watched())}
        record |= self._train(learning_rate, fraction)
        flooded = self._watched(irrelevant=(48, 48))
        record["held_out"] = {
            "0": self._score(self._watched()).accuracy,
            "48": self._score(flooded).accuracy,
        }
        record["gate_at_end"] = self._gates(flooded)
        record["test"] = self._test()
        return record

    @torch.inference_mode()
    def _open_gates(self) -> None:
        """Let the gates of a new model begin as far open as is planned, whatever the scale of its scores."""
        batch = self._batch(self._watched())
        del batch["fact_matches"]
        score = self.model.eval()(**batch).fact_score
        layer = self.model.vkood.outlier_layer
        if score is None or layer is None:
            return
        score, gate = score[batch["fact_mask"]], layer.gate
        low, high = score.min() - 10.0, score.max() + 10.0
        for _ in range(40):
            middle = (low + high) / 2
            gate.threshold.copy_(middle)
            low, high = (
                (low, middle) if float(gate(score[None])[1].mean()) > self._plan.open else (middle, high)
            )

    def _train(self, learning_rate: float, fraction: float) -> Record:
        plan, watched = self._plan, self._watched()
        curve: list[tuple[int, float, float]] = []  # step, loss, held-out accuracy
        seconds = looking = 0.0
        reached: tuple[int, float] | None = None
        begin = time.process_time()

        def look(report: StepReport) -> None:
            nonlocal looking, reached
            since = time.process_time()
            accuracy = self._score(watched).accuracy
            self.model.train()
            curve.append((report.step, report.loss, accuracy))
            if reached is None and accuracy >= TARGET:
                reached = report.step, since - begin - looking
            if self._schedule is not None:
                self._schedule(self.model, report.step / plan.steps)
            looking += time.process_time() - since

        options = TrainingOptions(
            steps=plan.steps,
            batch_size=plan.batch_size,
            learning_rate=learning_rate,
            warmup=plan.warmup,
            seed=self._seed,
            report_every=plan.watch_every,
        )
        if self._schedule is not None:
            self._schedule(self.model, 0.0)
        mix = replace(plan.mix, irrelevant=self._arm.irrelevant)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit(self.model, self._training_rows(mix, fraction), self._collate, options, on_report=look)
        seconds = time.process_time() - begin - looking
        return {
            "cpu_seconds": seconds,
            "steps_to_95": reached and reached[0],
            "cpu_seconds_to_95": reached and reached[1],
            "curve": curve,
        }

    def _test(self) -> Record:
        plan = self._plan
        scores: Record = {"irrelevant": {}, "contradicting": {}, "a third of the tokens": {}}
        for number in plan.irrelevant:
            evaluation = self._score(self._tested(irrelevant=(number, number)))
            scores["irrelevant"][str(number)] = evaluation.accuracy
            if number == 0 and evaluation.fact_scores.numel():
                scores["filter_auroc"] = evaluation.filter_auroc
        for number in plan.contradicting:
            scores["contradicting"][str(number)] = self._score(self._tested(contradicting=number)).accuracy
        for by in ("noise", "foreign"):
            clean = self._materials.test.tokens[self._materials.test.rows]
            corrupt = Corruption(clean, 1 / 3, by, seed=0)
            for number in (0, 48):
                rows = self._tested(irrelevant=(number, number))
                scores["a third of the tokens"][f"{by}, {number}"] = self._score(rows, corrupt).accuracy
        if "filter_auroc" in scores:
            scores["hard"] = self._test_hard()
        return scores

    def _test_hard(self) -> Record:
        """Hard gates, calibrated on held-out training pictures to keep most of the facts that match."""
        layer = self.model.vkood.outlier_layer
        assert layer is not None
        gate = layer.gate
        scored = self._score(self._watched())
        gate.calibrate(scored.fact_scores[scored.fact_matches], KEEP_RATE)
        gate.inference = "hard"
        scores: Record = {"irrelevant": {}, "contradicting": {}}
        for number in (*self._plan.irrelevant, 500):
            tested = self._tested(irrelevant=(number, number))
            scores["irrelevant"][str(number)] = self._score(tested).accuracy
        for number in self._plan.contradicting:
            scores["contradicting"][str(number)] = self._score(self._tested(contradicting=number)).accuracy
        for by in ("noise", "foreign"):
            clean = self._materials.test.tokens[self._materials.test.rows]
            corrupt = Corruption(clean, 1 / 3, by, seed=0)
            scores[f"a third {by}, 48"] = self._score(self._tested(irrelevant=(48, 48)), corrupt).accuracy
        return scores

    def _score(self, rows: Dataset[Row], corrupt: Corruption | None = None) -> Evaluation:
        collate = self._matched if corrupt is None else replace(self._matched, corrupt=corrupt)
        num_facts = max(1, len(rows[0].questions[0].facts))
        return evaluate_vqa(
            self.model, rows, collate, batch_size=min(128, max(1, _FACTS_AT_ONCE // num_facts))
        )

    @torch.inference_mode()
    def _gates(self, rows: Dataset[Row]) -> dict[str, float] | None:
        """Mean gates of facts that match and of others."""
        batch = self._batch(rows)
        matches, mask = batch.pop("fact_matches"), batch["fact_mask"]
        gate = self.model.eval()(**batch).fact_gate
        if gate is None:
            return None
        return {
            "matching": float(gate[mask & matches].mean()),
            "other": float(gate[mask & ~matches].mean()),
        }

    def _batch(self, rows: Dataset[Row]) -> dict[str, Tensor]:
        return self._matched([rows[index] for index in range(128)])

    def _training_rows(self, mix: Mix, fraction: float) -> Dataset[Row]:
        if not self._plan.mosaic:
            return single_train(self._materials, mix, self._seed, fraction)
        return self._mosaics(self._materials.train, mix, self._seed, 4096)

    def _watched(self, **changes: Any) -> Dataset[Row]:
        """Held-out training pictures, with irrelevant facts of training."""
        return self._one_question(self._materials.held_out, self._plan.num_watched, 1, changes)

    def _tested(self, **changes: Any) -> Dataset[Row]:
        """Test pictures, with irrelevant facts that no training saw."""
        return self._one_question(self._materials.test, self._plan.num_test, 2, changes)

    def _one_question(
        self, pictures: Pictures, size: int, seed: int, changes: dict[str, Any]
    ) -> Dataset[Row]:
        mix = replace(ONE_QUESTION, **changes)
        pool = pictures.data.split
        if self._plan.mosaic:
            return self._mosaics(pictures, mix, seed, size, fixed=True)
        chosen = replace(pictures, rows=pictures.rows[:size])
        return SinglePictures(chosen, mix, seed, pool, fixed=True)

    def _mosaics(self, pictures: Pictures, mix: Mix, seed: int, size: int, fixed: bool = False) -> Mosaics:
        pool = pictures.data.split
        return Mosaics(pictures, self._materials.empty, mix, seed, pool, size, fixed=fixed)


def quiet() -> None:
    """One thread, and no bars."""
    torch.set_num_threads(1)
    logging.disable_progress_bar()
