"""Files of one's own: questions and captions as CSV, TSV and JSON lines."""

from __future__ import annotations

import json
import random
from pathlib import Path

from ..case import Case, Right, copied
from ..mutations import WRONG, label
from .readers import damaged

_IMAGE = "train0.png"
# A whole file, and what is right; rows of sound questions are put around it.
_FILES: dict[str, tuple[str, Right]] = {
    "outside.csv": ("image,question,answer\n../../elsewhere.png,What is it?,red\n", "refused"),
    "absolute.csv": ("image,question,answer\n/etc/hostname,What is it?,red\n", "refused"),
    "empty.csv": ("", "refused"),
    "header.csv": ("image,question,answer\n", "refused"),
    "columns.csv": ("a,b,c\n1,2,3\n", "refused"),
    "twice.csv": ("image,image,question,answer\na.png,b.png,What?,red\n", "refused"),
    "long.csv": (f"image,question,answer\n{_IMAGE},{'a' * 300_000},red\n", "either"),
    "quote.csv": (
        'image,question,answer\n{image},"What is a 15 inch screen,red\n'.replace("{image}", _IMAGE) * 3,
        "refused",
    ),
    "null.jsonl": ("null\n", "refused"),
    "list.jsonl": ("[1, 2]\n", "refused"),
    "nested.jsonl": ("[" * 100_000 + "\n", "refused"),
    "dictionary.jsonl": (
        json.dumps({"image": _IMAGE, "question": {"a": 1}, "answer": "red"}) + "\n",
        "refused",
    ),
    "number.jsonl": (json.dumps({"image": _IMAGE, "question": "What?", "answer": 3.7e400}) + "\n", "refused"),
    "id.jsonl": (
        json.dumps({"image": _IMAGE, "question": "What?", "answer": "red", "question_id": 1.7}) + "\n",
        "refused",
    ),
    "big.jsonl": (
        json.dumps({"image": _IMAGE, "question": "What?", "answer": "red", "question_id": 2**70}) + "\n",
        "refused",
    ),
    "utf16.csv": ("\ufeffimage,question,answer\n", "refused"),
    "no.txt": ("image,question,answer\n", "refused"),
}


def draw(rng: random.Random, kit: Path) -> Case:
    if rng.random() < 0.3:
        return _whole(rng, kit)
    raw = kit / "raw" / rng.choice(("own-questions", "own-captions"))
    file = next(path for path in sorted(raw.iterdir()) if path.suffix in (".csv", ".jsonl", ".tsv"))
    if file.suffix == ".jsonl" and rng.random() < 0.6:
        value, key = (
            rng.choice(WRONG),
            rng.choice(("image", "caption", "split", "question", "answer", "question_id")),
        )
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        lines[rng.randrange(len(lines))][key] = value
        damage, content = (
            f"{key} = {label(value)}",
            "".join(json.dumps(line) + "\n" for line in lines).encode(),
        )
    else:
        damage, content = damaged(file, rng)

    def write(folder: Path) -> list[str]:
        copied(raw / "images", folder / "images")
        (folder / file.name).write_bytes(content)
        return _prepare(folder, file.name)

    return Case(f"{file.name}: {damage}", write)


def _whole(rng: random.Random, kit: Path) -> Case:
    name = rng.choice(list(_FILES))
    content, right = _FILES[name]

    def write(folder: Path) -> list[str]:
        copied(kit / "raw" / "own-questions" / "images", folder / "images")
        (folder / name).write_text(content, encoding="utf-16-le" if name.startswith("utf16") else "utf-8")
        return _prepare(folder, name)

    return Case(name, write, right)


def _prepare(folder: Path, file: str) -> list[str]:
    return [
        "data",
        "prepare",
        "own",
        "--file",
        str(folder / file),
        "--root",
        str(folder / "images"),
        "--output",
        str(folder / "tables"),
        "--facts",
        "none",
    ]
