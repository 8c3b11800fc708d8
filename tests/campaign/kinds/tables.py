"""Prepared tables that are damaged: checked, trained on, evaluated on."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from ..case import Case, copied, rewrite
from ..mutations import damaged_bytes
from .models import RECIPES, evaluate, train

_COLUMNS: dict[str, tuple[str, ...]] = {
    "vqav2": ("image", "questions", "answers", "answer_scores", "question_id", "fact_ids")
}


def draw(rng: random.Random, kit: Path) -> Case:
    recipe = rng.choice(list(RECIPES))
    data = kit / "tables" / RECIPES[recipe]
    file = rng.choice(sorted(path.name for path in data.iterdir() if path.is_file()))
    kind = rng.choice(("bytes", "bytes", "missing", "pictures", "column", "no rows", "device", "nulls"))
    if kind in ("pictures", "column", "no rows", "nulls"):
        file = rng.choice(sorted(path.name for path in data.glob("*.arrow")))
    name, content = damaged_bytes((data / file).read_bytes(), rng)
    command = rng.choice(("check", "train", "train", "evaluate", "tables"))
    seed = rng.randrange(10**6)

    def write(folder: Path) -> list[str]:
        copy = copied(data, folder / "tables")
        if kind == "bytes":
            rewrite(copy / file, content)
        elif kind == "missing":
            (copy / file).unlink()
        elif kind == "device":
            (copy / file).unlink()
            (copy / file).symlink_to("/dev/zero")
        else:
            _rewrite_table(copy / file, kind, random.Random(seed))
        if command == "check":
            return ["data", "check", str(copy)]
        if command == "tables":
            return ["data", "prepare", "tables", "--root", str(copy), "--output", str(folder / "more")]
        words = (train if command == "train" else evaluate)(
            kit, recipe, kit / "run" / recipe / "best", folder
        )
        return [word.replace(str(data), str(copy)) for word in words]

    return Case(f"{recipe}, {command}, {file}: {kind} {name if kind == 'bytes' else ''}", write)


def _rewrite_table(path: Path, kind: str, rng: random.Random) -> None:
    import pyarrow as pa

    with pa.ipc.open_file(path) as reader:
        table = reader.read_all()
    names: list[str] = table.column_names
    name = "image" if kind == "pictures" and "image" in names else rng.choice(names)
    column: list[Any] = table.column(name).to_pylist()
    if kind == "no rows":
        table = table.slice(0, 0)
    elif kind == "column":
        table = table.drop_columns([name])
    else:
        bad = b"no picture" if kind == "pictures" and name == "image" else None
        column[rng.randrange(len(column))] = bad
        table = table.set_column(names.index(name), name, pa.array(column, table.column(name).type))
    path.unlink()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
