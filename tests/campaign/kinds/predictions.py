"""Predictions in a file, scored by `vkood evaluate --predictions`."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from ..case import Case, Right, copied, rewrite
from ..kit import PREDICTED, RUNS
from ..mutations import WRONG, damaged_lines, label


def draw(rng: random.Random, kit: Path) -> Case:
    recipe = rng.choice(list(PREDICTED))
    source = kit / "predictions" / f"{PREDICTED[recipe]}.jsonl"
    lines = [json.loads(line) for line in source.read_text().splitlines()]
    kind = rng.choice(
        ("value", "value", "lines", "twice", "one less", "list", "foreign", "fifo", "missing", "table")
    )
    damage, content = damaged_lines(source.read_text(), rng)
    right: Right = "either"
    if kind == "value":
        value, row = rng.choice(WRONG), rng.randrange(len(lines))
        key = rng.choice(sorted(lines[row]))
        lines[row][key] = value
        damage, content = f"{key} = {label(value)} in row {row}", _lines(lines)
        ignored = key in ("ranked", "probability") or (recipe, value) == (
            "nlvr2",
            True,
        )  # a judgement may be true
        if not ignored and not isinstance(value, str):
            right = "refused"
    elif kind == "twice":
        damage, content, right = "a row twice", _lines([*lines, lines[0]]), "refused"
    elif kind == "one less":
        damage, content, right = "a row less", _lines(lines[1:]), "refused"
    elif kind == "list":
        damage, content, right = "a list in a list", json.dumps([lines]).encode(), "refused"
    elif kind == "foreign":
        damage, content, right = "of another table", _lines([{"question_id": 1, "answer": "red"}]), "refused"

    def write(folder: Path) -> list[str]:
        path = folder / "predictions.jsonl"
        if kind == "fifo":
            os.mkfifo(path)
        elif kind != "missing":
            rewrite(path, content)
        data = copied(kit / "tables" / RUNS[recipe], folder / "tables")
        table = "no_such_table" if kind == "table" else PREDICTED[recipe]
        return ["evaluate", "--data", str(data), "--table", table, "--predictions", str(path)]

    if kind in ("fifo", "missing", "table"):
        damage, right = kind, "refused"
    return Case(f"{recipe}: {damage}", write, right)


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode("utf-8", "surrogatepass")
