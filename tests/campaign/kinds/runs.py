"""Run folders that are started again: checkpoints half there, files damaged, other runs' folders."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from ..case import Case, copied, rewrite
from ..kit import SUFFICES
from ..mutations import damaged_bytes, damaged_json, damaged_lines


def draw(rng: random.Random, kit: Path) -> Case:
    run = kit / "run" / "vqa"
    files = sorted(
        path.relative_to(run) for path in run.rglob("*") if path.is_file() and "tensorboard" not in path.parts
    )
    file = rng.choice(files)
    kind = rng.choice(
        ("damaged", "damaged", "damaged", "missing", "other run", "no checkpoint", "foreign folder", "file")
    )
    name, content = "", b""
    if kind == "damaged":
        damage = {".json": damaged_json, ".jsonl": damaged_lines}.get(file.suffix)
        name, content = (
            damage((run / file).read_text(), rng) if damage else damaged_bytes((run / file).read_bytes(), rng)
        )

    def write(folder: Path) -> list[str]:
        copy = copied(run, folder / "run")
        more = "optimisation.steps=3" if rng.random() < 0 else "optimisation.log_every=10"
        if kind == "damaged":
            rewrite(copy / file, content)
        elif kind == "missing":
            (copy / file).unlink()
        elif kind == "other run":
            more = "optimisation.learning_rate=0.5"
        elif kind == "no checkpoint":
            shutil.rmtree(copy / "checkpoints")
        elif kind == "foreign folder":
            shutil.rmtree(copy)
            (copy / "photos").mkdir(parents=True)
            (copy / "photos" / "a.txt").write_text("a")
        elif kind == "file":
            shutil.rmtree(copy)
            copy.write_text("a file")
        return [
            "train",
            "vqa",
            "tiny",
            f"data.folder={kit / 'tables' / 'vqav2'}",
            f"output={copy}",
            *SUFFICES,
            more,
        ]

    right = "refused" if kind in ("other run", "file") else "either"
    return Case(f"{kind}: {file if kind in ('damaged', 'missing') else ''} {name}", write, right)
