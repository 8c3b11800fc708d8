"""Accuracy against samples seen and seconds: what knowledge and the layer are worth in the course of a training.

    python benchmarks/sample_efficiency.py --json benchmarks/results/sample_efficiency.json \
        --png benchmarks/results/sample_efficiency.png

The demo's three arms train by the demo's own functions on the same questions in the same order, and are tested on the
way, on test questions of both jobs. A sample is a question. Seconds are the process's own on one thread; tests are not
counted, nor is the image tower's pretraining, which all arms of a seed share. What is in the file is not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from measuring import print_table, setting, write_json
from torch.utils.data import Dataset, Subset
from training_step import prepare
from transformers.utils import logging

from vkood.data import EasyVqaKnowledge, EasyVqaQuestions, VqaDataset, irrelevant_facts
from vkood.demo import jobs
from vkood.recipes.easy_vqa import Arm, EasyVqaRun, easy_vqa
from vkood.tasks import evaluate_vqa
from vkood.train import StepReport, fit

TARGET = 0.95
FLOOD = 48
TESTS = {
    "easy_vqa": "easy-VQA's own questions",
    "knowledge": "knowledge questions",
    "flooded": f"knowledge questions, {FLOOD} irrelevant facts more",
}
ARMS: dict[Arm, str] = {
    "no_facts": "no knowledge",
    "unfiltered": "knowledge, no layer",
    "filtered": "knowledge and layer",
}
_COLOURS: dict[Arm, str] = {"no_facts": "#6b7280", "unfiltered": "#c2500a", "filtered": "#0064a6"}
_STYLES: dict[Arm, str] = {"no_facts": "-.", "unfiltered": "--", "filtered": "-"}
_LOOK_EVERY = 100

Record = dict[str, Any]


def test_sets(seed: int, size: int) -> dict[str, Dataset[Any]]:
    """The questions of every test, at most `size` of each, spread over the whole."""
    whole = {
        "easy_vqa": VqaDataset(EasyVqaQuestions("test", seed, facts_share=0.0)),
        "knowledge": VqaDataset(EasyVqaKnowledge("test", seed)),
        "flooded": VqaDataset(EasyVqaKnowledge("test", seed, irrelevant=FLOOD)),
    }
    return {
        name: Subset(rows, np.linspace(0, len(rows) - 1, min(size, len(rows))).astype(int).tolist())
        for name, rows in whole.items()
    }


def run_arm(run: EasyVqaRun, workshop: jobs.Workshop, arm: Arm, tests: dict[str, Dataset[Any]]) -> Record:
    """Train an arm, and test it on the way."""
    model, rows, collate = (
        jobs.new_model(run, workshop, arm),
        jobs.training_rows(run, arm),
        workshop.collator(arm),
    )
    looks: list[dict[str, float]] = []
    not_training = 0.0
    began = time.process_time()

    def look(report: StepReport) -> None:
        nonlocal not_training
        paused = time.process_time()
        results = {
            name: evaluate_vqa(model, test, collate, batch_size=128).accuracy for name, test in tests.items()
        }
        model.train()
        looks.append(
            {
                "step": report.step,
                "samples": report.step * run.joint.batch_size * (run.plain + run.knowledge),
                "seconds": paused - began - not_training,
                **results,
            }
        )
        not_training += time.process_time() - paused

    fit(model, rows, collate, run.joint, on_report=look)
    return {"seed": run.seed, "arm": arm, "steps": run.joint.steps, "looks": looks}


def planned(seed: int, steps: int) -> EasyVqaRun:
    """The demo's run, with this many steps for every arm."""
    run = easy_vqa(seed=seed)
    return replace(run, joint=replace(run.joint, steps=steps, report_every=_LOOK_EVERY))


def first_at(looks: Sequence[dict[str, float]], test: str, what: str) -> float | None:
    """How many samples or seconds it took until the first look that found the target."""
    return next((look[what] for look in looks if look[test] >= TARGET), None)


def _spread(values: Sequence[float | None], form: Callable[[float], str]) -> str:
    """The median, with the number of seeds that got there if some did not."""
    reached = [value for value in values if value is not None]
    if not reached:
        return "never"
    median = form(statistics.median(reached))
    return median if len(reached) == len(values) else f"{median} ({len(reached)} of {len(values)})"


def tell(records: Sequence[Record]) -> None:
    """A table for each test."""
    for test, title in TESTS.items():
        rows: list[list[str]] = []
        for arm, name in ARMS.items():
            of_arm = [record["looks"] for record in records if record["arm"] == arm]
            if not of_arm:
                continue
            last = [looks[-1][test] for looks in of_arm]
            rows.append(
                [
                    name,
                    str(len(of_arm)),
                    f"{statistics.mean(last):.3f} ({min(last):.3f}-{max(last):.3f})",
                    _spread([first_at(looks, test, "samples") for looks in of_arm], lambda n: f"{n:,.0f}"),
                    _spread([first_at(looks, test, "seconds") for looks in of_arm], lambda s: f"{s:.0f}"),
                    f"{statistics.median(looks[-1]['seconds'] for looks in of_arm):.0f}",
                ]
            )
        header = [
            "arm",
            "seeds",
            "accuracy at the end",
            f"samples to {TARGET:.0%}",
            "CPU s to it",
            "CPU s in all",
        ]
        print_table(title[0].upper() + title[1:], header, rows)


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
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=get_args(Arm), default=list(ARMS))
    parser.add_argument(
        "--steps", type=int, default=easy_vqa().joint.steps, help="optimiser steps of every arm"
    )
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
        run = planned(seed, arguments.steps)
        with tempfile.TemporaryDirectory() as folder:
            workshop = jobs.Workshop(folder=Path(folder))
            prepare(workshop, run, irrelevant_facts("test"))
            jobs.pretrain_tower(run, workshop, lambda _: None)
            tests = test_sets(seed, arguments.questions)
            for arm in missing:
                records.append(run_arm(run, workshop, arm, tests))
                last = records[-1]["looks"][-1]
                print(
                    f"seed {seed}, {ARMS[arm]}: " + ", ".join(f"{test} {last[test]:.3f}" for test in TESTS),
                    flush=True,
                )
                write_json(arguments.json, {"setting": setting(), "target": TARGET, "runs": records})
    tell(records)
    if arguments.png is not None:
        draw(records, arguments.png)


if __name__ == "__main__":
    main()
