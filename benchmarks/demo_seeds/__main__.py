"""The filtered arm of `vkood demo --train` over several seeds: is what the demo shows what it usually does?

    python -m benchmarks.demo_seeds --seeds 0 1 2 --json benchmarks/results/demo_seeds.json
    python -m benchmarks.demo_seeds --seeds 0 1 2 --gate-loss 0 --json benchmarks/results/demo_seeds_no_gate_loss.json

Every seed runs the demo's own functions: facts, tokenizer, tower, training, test, on one thread. A seed that is
in the file is not run again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from vkood.data.readers.easy_vqa import Flood
from vkood.demo import jobs
from vkood.demo.plan import PLAIN_TEST, Plan, Workshop, plan

from ..measuring import as_read, print_tables, setting, write_json
from .preparing import prepare
from .tables import tables


def run_seed(seed: int, steps: int, gate_loss: float) -> dict[str, Any]:
    """Train and test the filtered arm."""
    planned = replace(plan(seed=seed), steps=steps, gate_loss=gate_loss)
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(folder=Path(folder))
        num_questions = prepare(workshop, planned)
        began = time.process_time()
        jobs.pretrain(planned, workshop, lambda done: None)
        jobs.train_arm(planned, workshop, "filtered", lambda *done: None)
        trained = time.process_time() - began
        results = jobs.test_arm(planned, workshop, "filtered", lambda done: None)
    del results["gallery"]
    numbers = {"easy_vqa": num_questions[PLAIN_TEST], "knowledge": num_questions[Flood().table]}
    record = {
        "seed": seed,
        "steps": planned.steps,
        "gate_loss": gate_loss,
        "cpu_seconds_of_training": trained,
    }
    return record | results | {"num_questions": numbers}


def main() -> None:
    """Run the seeds, print the table, write the numbers."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo_seeds",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, default=Plan.steps, help="optimiser steps of the arm")
    parser.add_argument(
        "--gate-loss", type=float, default=Plan.gate_loss, help="`optimisation.gate_loss` of the arm"
    )
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    kept = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {}
    records: list[dict[str, Any]] = [
        record
        for record in kept.get("seeds", [])
        if (record["steps"], record["gate_loss"]) == (arguments.steps, arguments.gate_loss)
    ]
    for seed in arguments.seeds:
        if all(record["seed"] != seed for record in records):
            records.append(run_seed(seed, arguments.steps, arguments.gate_loss))
            write_json(arguments.json, {"setting": setting(), "seeds": records})
    chosen = [record for record in records if record["seed"] in arguments.seeds]
    print_tables(tables(as_read({"seeds": chosen})))


if __name__ == "__main__":
    main()
