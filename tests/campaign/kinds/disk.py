"""A disk that is full at some moment, for every command that writes."""

from __future__ import annotations

import random
from pathlib import Path

from ..case import Case
from ..kit import ORACLES
from .models import evaluate, predict, train


def draw(rng: random.Random, kit: Path) -> Case:
    commands = ["predict", "evaluate", "train", "prepare", "tiny", "check", "build", "encode"]
    commands += ["convert"] if ORACLES.is_dir() else []
    command = rng.choice(commands)
    limit = rng.choice((0, 10, 100, 1_000, 5_000, 20_000, 100_000))

    def write(folder: Path) -> list[str]:
        best = kit / "run" / "vqa" / "best"
        words = {
            "predict": lambda: predict(kit, "vqa", best, folder),
            "evaluate": lambda: evaluate(kit, "vqa", best, folder),
            "train": lambda: train(kit, "vqa", best, folder),
            "prepare": lambda: [
                "data",
                "prepare",
                "vqav2",
                "--root",
                kit / "raw" / "vqav2",
                "--output",
                folder / "tables",
            ],
            "tiny": lambda: ["data", "tiny", "vqav2", "--output", folder / "raw"],
            "check": lambda: ["data", "check", kit / "tables" / "vqav2", "--json"],
            "build": lambda: [
                "knowledge",
                "build",
                "table",
                kit / "knowledge" / "facts.csv",
                "--output",
                folder / "f.db",
            ],
            "encode": lambda: [
                "knowledge",
                "encode",
                "--encoder",
                kit / "text",
                "--store",
                kit / "knowledge" / "facts.db",
                "--output",
                folder / "vectors",
            ],
            "convert": lambda: [
                "convert",
                ORACLES / "meter" / "vqa.ckpt",
                "--text-config",
                ORACLES / "meter" / "text_config_roberta-tiny.json",
                "--output",
                folder / "model",
            ],
        }[command]()
        return [str(word) for word in words]

    return Case(f"{command}: {limit} bytes a file", write, file_limit=limit)
