"""How fast training is: cached features against towers in the loop, two processes against one, and reading alone.

Ratios in one run, on the CPU; contestants take turns.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset

from vkood.data.batches import Collator
from vkood.data.layout import SCHEMAS
from vkood.data.prepare import prepare, read_source
from vkood.data.rows import Rows
from vkood.data.tables import Table, table_writer
from vkood.data.tiny import write_tiny
from vkood.recipes.resolve import resolve
from vkood.train.assembly import assemble
from vkood.train.parameter_groups import parameter_groups
from vkood.train.record import read_metrics
from vkood.train.run import Run

from ..measuring import as_read, interleaved, print_tables, ratio, run_parts, setting, write_json
from .tables import tables as results_tables

_WIDTH, _LAYERS, _BATCH = 384, 8, 16
_TOTAL = 128


def tables(folder: Path, num_images: int) -> Path:
    """Tables of a made VQAv2."""
    write_tiny("vqav2", folder / "raw", num_images=num_images)
    prepare(read_source("vqav2", folder / "raw"), folder / "tables")
    return folder / "tables"


def mid_size(folder: Path, fusion: tuple[int, int], *words: str) -> Run:
    """A run with frozen towers of 384 x 8 layers, 197 image tokens, and a fusion of `fusion` layers and width."""
    layers, width = fusion
    tower = {
        "hidden_size": _WIDTH,
        "num_attention_heads": 6,
        "intermediate_size": 4 * _WIDTH,
        "num_hidden_layers": _LAYERS,
    }
    run = resolve(
        "vqa",
        [
            "tiny",
            f"data.folder={folder}",
            "model.image_size=224",
            f"optimisation.batch_size={_BATCH}",
            f"optimisation.device_batch_size={_BATCH}",
            "model.freeze_towers=true",
            *words,
        ],
    )
    run.model.config |= {
        "image_config": tower | {"model_type": "vit", "image_size": 224, "patch_size": 16},
        "text_config": tower | {"model_type": "bert", "vocab_size": 30_522},
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_attention_heads": 4,
        "num_fusion_layers": layers,
    }
    return run


def steps(run: Run) -> Any:
    """A function that makes an optimiser step of a run."""
    assembly = assemble(run)
    rows, model = assembly.train, assembly.built.model
    assert rows is not None
    collate = assembly.collator(rows, training=True)
    groups = parameter_groups(model, learning_rate=1e-4, weight_decay=0.01)
    optimiser = torch.optim.AdamW(groups, fused=True)
    generator = np.random.default_rng(0)
    model.train()

    def step() -> None:
        chosen = generator.choice(len(rows), _BATCH, replace=False).tolist()
        loss = model(**collate([rows[index] for index in chosen])).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def cached_features(folder: Path, fusion: tuple[int, int], rounds: int) -> dict[str, Any]:
    """Steps from cached features against steps with frozen towers in the loop; filling against towers alone."""
    looped = steps(mid_size(folder, fusion, "features=computed"))
    assembly = assemble(mid_size(folder, fusion, "features=cached"))
    assert assembly.train is not None
    shutil.rmtree(folder / ".features", ignore_errors=True)
    begin = time.process_time()
    features = assembly.features(assembly.train)
    filling = time.process_time() - begin
    rows, core = assembly.train, assembly.built.model.base_model
    collate = Collator(processor=assembly.built.processor)
    plain = time.process_time()
    with torch.inference_mode():
        for start in range(0, rows.num_images, _BATCH):
            numbers = range(start, min(start + _BATCH, rows.num_images))
            pictures = [list(rows.image_bytes(number)) for number in numbers]
            core.image_tower(collate.processor(images=pictures)["pixel_values"])  # pyright: ignore[reportCallIssue]
        texts = list(dict.fromkeys(rows.text(index)[0] for index in range(len(rows))))
        for start in range(0, len(texts), _BATCH):
            batch = collate.texts(texts[start : start + _BATCH])
            core.text_tower(batch["input_ids"], batch["attention_mask"])  # pyright: ignore[reportCallIssue]
    plain = time.process_time() - plain
    size = sum(path.stat().st_size for path in features.folder.iterdir())
    tokens = rows.num_images * 197 + sum(len(ids) for ids in collate.tokens(texts))
    seconds = interleaved(
        {"looped": looped, "cached": steps(mid_size(folder, fusion, "features=cached"))}, rounds
    )
    return {
        "steps from cached features, times those with towers in the loop": ratio(
            seconds["looped"], seconds["cached"]
        ),
        "filling, share of the towers' own throughput": plain / filling,
        "bytes an element": size / (tokens * _WIDTH),
    }


def two_processes(folder: Path, num_steps: int, rounds: int) -> dict[str, Any]:
    """Samples a second of two processes of one thread each against one, and how far their losses differ."""
    ratios, apart = [], []
    for turn in range(rounds):
        (alone, its_losses), (both, their_losses) = (
            _trained(folder, num_steps, processes, folder.parent / f"run {turn} {processes}")
            for processes in (1, 2)
        )
        ratios.append(both / alone)
        apart.append(max(abs(a - b) for a, b in zip(its_losses, their_losses, strict=True)))
    return {
        "samples a second, two processes to one": statistics.median(ratios),
        "least of the rounds": min(ratios),
        "largest difference of losses": max(apart),
    }


def _trained(folder: Path, num_steps: int, processes: int, output: Path) -> tuple[float, list[float]]:
    """Samples a second of a run by the command line, and its losses."""
    words = [
        "tiny",
        f"data.folder={folder}",
        f"output={output}",
        "num_gpus=0",
        f"processes={processes}",
        f"optimisation.batch_size={_TOTAL}",
        f"optimisation.device_batch_size={_TOTAL // 2}",
        f"optimisation.steps={num_steps}",
        "optimisation.log_every=1",
        "optimisation.evaluate_every=100000",
        "data.test=[]",
        "model.config.num_fusion_layers=6",
    ]
    command = [sys.executable, "-m", "vkood", "train", "vqa", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment, capture_output=True)
    lines = [line for line in read_metrics(output) if "loss" in line]
    rate = _TOTAL * (len(lines) - 5) / (lines[-1]["seconds"] - lines[4]["seconds"])
    return rate, [line["loss"] for line in lines]


def reading(folder: Path, rounds: int) -> dict[str, Any]:
    """Samples a second of one worker: pictures decoded and prepared, texts, facts, targets."""
    assembly = assemble(resolve("vqa", ["tiny", f"data.folder={folder}"]))
    rows = assembly.train
    assert rows is not None
    collate = assembly.collator(rows, training=True)
    chosen = Subset(rows, list(range(min(1024, len(rows)))))
    rates = []
    for _ in range(rounds):
        loader = iter(DataLoader(chosen, batch_size=32, collate_fn=collate, num_workers=1))
        next(loader)  # until then the worker starts
        begin, count = time.perf_counter(), 0
        for batch in loader:
            count += len(batch["input_ids"])
        rates.append(count / (time.perf_counter() - begin))
    return {"samples a second of a worker": float(np.median(rates)), "samples": len(chosen)}


def many_rows(folder: Path, count: int) -> dict[str, Any]:
    """Memory that a million rows take beyond an index of 8 bytes a text."""
    path = folder / "many.arrow"
    with table_writer(path, SCHEMAS["captions"]) as rows:
        image = bytes(2000)
        for number in range(count):
            rows.add(
                {
                    "image": image,
                    "caption": [f"caption {number}"],
                    "image_id": f"{number}",
                    "split": "train",
                    "fact_ids": [[]],
                }
            )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    opened = Rows([Table(path)], images=False)
    generator = np.random.default_rng(0)
    for index in generator.integers(0, len(opened), 2000):
        opened.text(int(index))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    size = path.stat().st_size / 2**20
    path.unlink()
    return {"megabytes more for a million rows": grown / 1024, "megabytes on disk": size}


def main() -> None:
    """Measure, print, and write down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--quick", action="store_true", help="few rounds, steps and rows: no result")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=48, help="synthetic pictures in each split")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    steps_of_two, turns, pictures, count = 25, 3, 400, 1_000_000
    if arguments.quick:
        arguments.rounds = 1
        steps_of_two, turns, pictures, count = 8, 1, 60, 10_000
    with tempfile.TemporaryDirectory() as scratch:
        folder = tables(Path(scratch), arguments.images)
        results = run_parts(
            {
                "cached features, fusion of 1 x 128": lambda: cached_features(
                    folder, (1, 128), arguments.rounds
                ),
                "cached features, fusion of 2 x 192": lambda: cached_features(
                    folder, (2, 192), arguments.rounds
                ),
                "two processes": lambda: two_processes(folder, steps_of_two, turns),
                "reading": lambda: reading(tables(Path(scratch) / "more", pictures), arguments.rounds),
                "a million rows": lambda: many_rows(Path(scratch), count),
            }
        )
    content = {"setting": setting(), **results}
    print_tables(results_tables(as_read(content)))
    write_json(arguments.json, content)


if __name__ == "__main__":
    main()
