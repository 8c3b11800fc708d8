"""Every data set's own files with a fault, read by `vkood data prepare`."""

from __future__ import annotations

import random
from pathlib import Path

from ..case import Case, copied, rewrite
from ..mutations import damaged_bytes, damaged_json, damaged_lines, damaged_table

NAMES = ("vqav2", "okvqa", "nlvr2", "coco", "flickr30k", "visual-genome", "sbu", "conceptual-captions")
_PICTURES = (".jpg", ".png")


def draw(rng: random.Random, kit: Path) -> Case:
    name = rng.choice(NAMES)
    root = kit / "raw" / name
    # SYNTHETIC.txt is read by no reader
    files = sorted(
        path.relative_to(root) for path in root.rglob("*") if path.is_file() and path.suffix != ".txt"
    )
    texts = [file for file in files if file.suffix not in _PICTURES]
    file = rng.choice(texts if rng.random() < 0.85 else files)
    missing = rng.random() < 0.05
    damage, content = ("missing", b"") if missing else damaged(root / file, rng)

    def write(folder: Path) -> list[str]:
        copy = copied(root, folder / "raw")
        if missing:
            (copy / file).unlink()
        else:
            rewrite(copy / file, content)
        facts = ["--facts", "none"] if rng.random() < 0.7 else []
        return ["data", "prepare", name, "--root", str(copy), "--output", str(folder / "tables"), *facts]

    return Case(f"{name}, {file}: {damage}", write)


def damaged(path: Path, rng: random.Random) -> tuple[str, bytes]:
    """A damaged version of a file, by its kind."""
    if path.suffix in _PICTURES:
        return damaged_bytes(path.read_bytes(), rng)
    text = path.read_text()
    if path.suffix in (".tsv", ".csv"):
        return damaged_table(text, "\t" if path.suffix == ".tsv" else ",", rng)
    if path.suffix == ".jsonl" or text.count("\n") > 1:
        return damaged_lines(text, rng)
    return damaged_json(text, rng)
