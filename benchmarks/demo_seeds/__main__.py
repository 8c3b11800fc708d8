"""The filtered arm of `vkood demo` over several seeds: is what the demo shows what it usually does?

    python -m benchmarks.demo_seeds --seeds 0 1 2 3 4 --json benchmarks/results/demo_seeds.json

Every seed runs the demo's own functions: facts, tokenizer, tower, training, test, on one thread. A seed that is
in the file is not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from vkood.data.readers.easy_vqa import Flood
from vkood.demo import jobs
from vkood.demo.plan import PLAIN_TEST, Workshop, plan

from ..measuring import print_table, setting, write_json
from .preparing import prepare

_FLOODS = (("irrelevant", "0"), ("irrelevant", "150"), ("contradicting", "48"))


def run_seed(seed: int) -> dict[str, Any]:
    """Train and test the filtered arm."""
    planned = plan(seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(folder=Path(folder))
        num_questions = prepare(workshop, planned)
        began = time.process_time()
        jobs.pretrain(planned, workshop, lambda done: None)
        jobs.train_arm(planned, workshop, "filtered", lambda done: None)
        trained = time.process_time() - began
        results = jobs.test_arm(planned, workshop, "filtered", lambda done: None)
    del results["gallery"]
    numbers = {"easy_vqa": num_questions[PLAIN_TEST], "knowledge": num_questions[Flood().table]}
    record = {"seed": seed, "steps": planned.steps, "cpu_seconds_of_training": trained}
    return record | results | {"num_questions": numbers}


def _row(record: dict[str, Any]) -> list[float]:
    floods = [record["knowledge"][kind][number] for kind, number in _FLOODS]
    return [record["easy_vqa"], *floods, record["filter"]["irrelevant"]["0"]["auroc"]]


def main() -> None:
    """Run the seeds, print the table, write the numbers."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo_seeds",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    kept = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {}
    records: list[dict[str, Any]] = kept.get("seeds", [])
    for seed in arguments.seeds:
        if all(record["seed"] != seed for record in records):
            records.append(run_seed(seed))
            write_json(arguments.json, {"setting": setting(), "seeds": records})
    records = sorted(
        (record for record in records if record["seed"] in arguments.seeds), key=lambda r: r["seed"]
    )
    columns = list(zip(*map(_row, records), strict=True))
    rows = [[str(record["seed"]), *(f"{value:.4f}" for value in _row(record))] for record in records]
    rows.append(["mean", *(f"{statistics.mean(values):.4f}" for values in columns)])
    rows.append(["worst", *(f"{min(values):.4f}" for values in columns)])
    header = ["seed", "easy-VQA", "no flood", "150 irrelevant", "48 contradicting", "filter AUROC"]
    print_table(f"Filtered arm of the demo, {records[0]['steps']} steps", header, rows)


if __name__ == "__main__":
    main()
