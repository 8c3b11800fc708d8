"""Accuracy against samples seen and seconds: what knowledge and the layer are worth in the course of a training.

    python -m benchmarks.sample_efficiency --json benchmarks/results/sample_efficiency.json \
        --png benchmarks/results/sample_efficiency.png

The demo's three arms train by the demo's own functions on the same questions in the same order, and are tested on the
way, on test questions of both jobs. A sample is a question. Seconds are the process's own on one thread; tests are not
counted, nor is the image tower's pretraining, which all arms of a seed share. What is in the file is not run again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.utils import logging
from typing_extensions import override

from vkood.data.readers.easy_vqa import Flood
from vkood.demo import jobs
from vkood.demo.plan import PLAIN_TEST, Arm, Plan, Workshop
from vkood.tasks.answering import AnsweringTask
from vkood.train.assembly import Assembly, assemble
from vkood.train.training import train

from ..demo_seeds.preparing import prepare
from ..measuring import as_read, print_tables, setting, write_json
from .tables import ARMS, TESTS, tables

TARGET = 0.95
FLOOD = 48
TABLES = {"easy_vqa": PLAIN_TEST, "knowledge": Flood().table, "flooded": Flood(irrelevant=FLOOD).table}
_COLOURS: dict[Arm, str] = {"no_facts": "#6b7280", "unfiltered": "#c2500a", "filtered": "#0064a6"}
_STYLES: dict[Arm, str] = {"no_facts": "-.", "unfiltered": "--", "filtered": "-"}
_LOOK_EVERY = 100

Record = dict[str, Any]


class _Looks(TrainerCallback):
    """Tests a model every hundred steps, and takes the seconds of training in between.

    Args:
        tests: What it is tested with.
        samples: Questions in a step.
    """

    def __init__(self, tests: Assembly, samples: int) -> None:
        self._tests, self._samples = tests, samples
        self.looks: list[dict[str, float]] = []
        self._not_training, self._began = 0.0, 0.0

    @override
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._began = time.process_time()

    @override
    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **kwargs: Any,
    ) -> None:
        if state.global_step % _LOOK_EVERY:
            return
        paused = time.process_time()
        accuracies: dict[str, float] = {}
        for name, table in TABLES.items():
            rows = self._tests.rows([table])
            accuracies[name] = self._tests.evaluate(rows, model).metrics["accuracy"]
        step = state.global_step
        seconds = paused - self._began - self._not_training
        self.looks.append({"step": step, "samples": step * self._samples, "seconds": seconds, **accuracies})
        self._not_training += time.process_time() - paused


@dataclass(frozen=True, kw_only=True)
class WatchedAnswering(AnsweringTask):
    """Answering that is tested while it is trained.

    Attributes:
        looks: Tests the model.
    """

    looks: _Looks | None = None

    @override
    def callbacks(self, model: Any) -> list[TrainerCallback]:
        return [] if self.looks is None else [self.looks]


def run_arm(plan: Plan, workshop: Workshop, arm: Arm, size: int) -> Record:
    """Train an arm, and test it on the way with at most so many questions of each test."""
    run = plan.training(workshop, arm)
    tests = assemble(replace(run, data=replace(run.data, evaluate_limit=size)))
    looks = _Looks(tests, run.optimisation.batch_size)
    train(run, task=WatchedAnswering(single_answer=True, looks=looks))
    return {"seed": plan.seed, "arm": arm, "steps": plan.steps, "looks": looks.looks}


def draw(records: Sequence[Record], path: Path) -> None:
    """Mean over the seeds, with the span from worst to best, against samples and against seconds."""
    figure = Figure(figsize=(12, 6.6), layout="constrained")
    grid = figure.subplots(2, len(TESTS), sharey=True)
    for row, (what, label) in enumerate(
        (("samples", "questions seen"), ("seconds", "CPU seconds of training"))
    ):
        for axes, (test, title) in zip(grid[row], TESTS.items(), strict=True):
            for arm, name in ARMS.items():
                of_arm = [record["looks"] for record in records if record["arm"] == arm]
                if not of_arm:
                    continue
                accuracy = np.array([[look[test] for look in looks] for looks in of_arm])
                places = np.array([[look[what] for look in looks] for looks in of_arm]).mean(0)
                axes.plot(
                    places, accuracy.mean(0), _STYLES[arm], color=_COLOURS[arm], linewidth=2, label=name
                )
                axes.fill_between(
                    places, accuracy.min(0), accuracy.max(0), color=_COLOURS[arm], alpha=0.15, linewidth=0
                )
            axes.axhline(TARGET, color="#22262b", linewidth=0.8, dashes=(1, 3))
            axes.set(xlabel=label, ylim=(0, 1.01), xlim=(0, None))
            axes.xaxis.set_major_locator(MaxNLocator(5))
            if what == "samples":
                axes.xaxis.set_major_formatter(EngFormatter(sep=""))
            axes.spines[["top", "right"]].set_visible(False)
            if row == 0:
                axes.set_title(title, fontsize=11)
        grid[row][0].set_ylabel("share answered rightly")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(ARMS), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    """Run what is not in the file yet, print the tables, draw the curves."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sample_efficiency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=get_args(Arm), default=list(ARMS))
    parser.add_argument("--steps", type=int, default=Plan.steps, help="optimiser steps of every arm")
    parser.add_argument("--questions", type=int, default=888, help="questions in every test")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--png", type=Path, help="file for the curves")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    kept = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {}
    records: list[Record] = [record for record in kept.get("runs", []) if record["steps"] == arguments.steps]
    for seed in arguments.seeds:
        done = {record["arm"] for record in records if record["seed"] == seed}
        missing = [arm for arm in arguments.arms if arm not in done]
        if not missing:
            continue
        planned = Plan(seed=seed, steps=arguments.steps, irrelevant=(0, FLOOD), contradicting=())
        with tempfile.TemporaryDirectory() as folder:
            workshop = Workshop(folder=Path(folder))
            prepare(workshop, planned)
            jobs.pretrain(planned, workshop, lambda done: None)
            for arm in missing:
                records.append(run_arm(planned, workshop, arm, arguments.questions))
                last = records[-1]["looks"][-1]
                print(
                    f"seed {seed}, {ARMS[arm]}: " + ", ".join(f"{test} {last[test]:.3f}" for test in TESTS),
                    flush=True,
                )
                write_json(arguments.json, {"setting": setting(), "target": TARGET, "runs": records})
    print_tables(tables(as_read({"target": TARGET, "runs": records})))
    if arguments.png is not None:
        draw(records, arguments.png)


if __name__ == "__main__":
    main()
