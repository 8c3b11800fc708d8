"""Paths with markup, in other encodings, too long, that cannot be written, with `~`."""

from __future__ import annotations

import os
import random
from pathlib import Path

from ..case import Case, Right, copied
from .models import evaluate, predict

_NAMES = {
    "markup": "[/b] [link=x] [red]",
    "bytes": os.fsdecode(b"caf\xe9 \xff"),
    "line break": "a\nb",
    "spaces": "  a  b ",
    "quotes": "a'b\"c`d$e",
    "star": "a*b?[c]",
    "escape": "a\x1b[31mb",
    "accents": "ca\u0301fe\u0301 \u202e",
    "equals": "a=b,c",
    "percent": "a%sb%20{c}",
    "dash": "--help",
}


def draw(rng: random.Random, kit: Path) -> Case:
    kind = rng.choice((*["name"] * 4, "long", "deep", "read-only", "home", "file for a folder", "null"))
    name = rng.choice(list(_NAMES))
    command = rng.choice(("check", "prepare", "predict", "evaluate", "stats", "tiny", "build", "train"))

    def write(folder: Path) -> list[str]:
        above = folder / (_NAMES[name] if kind == "name" else "place")
        above.mkdir(parents=True)  # markup has a slash
        target = {
            "long": above / ("a" * 300),
            "deep": Path(str(above) + "/a" * 3000),
            "read-only": Path("/proc/sys/none"),
            "null": Path("/dev/null/none"),
            "file for a folder": above / "file" / "below",
        }.get(kind, above / "out")
        (above / "file").write_text("a file")
        if kind == "home":
            target = Path("~/made/here")
            (folder.parent / "home" / "made").mkdir(parents=True, exist_ok=True)
        return _command(command, kit, above, target)

    right: Right = (
        "refused" if kind in ("long", "deep", "read-only", "file for a folder", "null") else "either"
    )
    never = (
        ("bytes", "star", "escape", "line break") if command == "train" else ("bytes", "star")
    )  # not in YAML
    if kind == "name" and name not in never:
        right = "accepted"
    return Case(f"{command}: {kind} {name if kind == 'name' else ''}", write, right)


def _command(command: str, kit: Path, above: Path, target: Path) -> list[str]:
    best, tables = kit / "run" / "vqa" / "best", kit / "tables" / "vqav2"
    if command == "check":
        return ["data", "check", str(copied(tables, above / "tables"))]
    if command == "prepare":
        raw = copied(kit / "raw" / "own-captions", above / "raw")
        return [
            "data",
            "prepare",
            "own",
            "--file",
            f"{raw}/captions.jsonl",
            "--root",
            f"{raw}/images",
            f"--output={target}",
            "--facts=none",
        ]
    if command == "predict":
        words = predict(kit, "vqa", copied(best, above / "model"), above)
        return [*words[:-1], str(target)]
    if command == "evaluate":
        return [*evaluate(kit, "vqa", copied(best, above / "model"), above)[:-1], str(target)]
    if command == "stats":
        return [
            "knowledge",
            "build",
            "table",
            str(copied(kit / "knowledge" / "facts.csv", above / "facts.csv")),
            f"--output={target}",
        ]
    if command == "tiny":
        return ["data", "tiny", "coco", f"--output={target}", "--num-images=2"]
    if command == "build":
        return [
            "knowledge",
            "encode",
            "--encoder",
            str(copied(kit / "text", above / "text")),
            "--output",
            str(target),
            "--store",
            str(kit / "knowledge" / "facts.db"),
        ]
    return [
        "train",
        "vqa",
        "tiny",
        f"data.folder={copied(tables, above / 'tables')}",
        f"output={target}",
        "num_gpus=0",
        "optimisation.steps=1",
        "data.limit=16",
        "data.evaluate_limit=4",
    ]
