"""What stores are built from: dumps, dictionaries and tables with a fault."""

from __future__ import annotations

import os
import random
from pathlib import Path

from ..case import Case, copied, rewrite
from ..mutations import WRONG, damaged_bytes, damaged_lines, damaged_table, label


def draw(rng: random.Random, kit: Path) -> Case:
    knowledge = kit / "knowledge"
    kind = rng.choice(("facts.csv", "facts.jsonl", "assertions.csv", "wordnet", "parquet", "gzip", "device"))
    if kind == "wordnet":
        file = rng.choice(("data.noun", "index.noun"))
        damage, content = _damaged_lines_of_words((knowledge / "dict" / file).read_text(), rng)

        def wordnet(folder: Path) -> list[str]:
            copy = copied(knowledge / "dict", folder / "dict")
            rewrite(copy / file, content)
            return _build(folder, "wordnet", copy)

        return Case(f"{file}: {damage}", wordnet)
    name = kind if "." in kind else "facts.csv"
    damage, content = damaged(knowledge / name, rng)
    if kind == "parquet":
        damage, content = (
            damaged_bytes(_parquet(), rng) if rng.random() < 0.5 else ("of other columns", _parquet())
        )
        name = "facts.parquet"
    elif kind == "gzip":
        name, content = "facts.csv.gz", b"\x1f\x8b\x08\x00" + rng.randbytes(200)
        damage = "no gzip"
    part = "conceptnet" if name == "assertions.csv" else "table"
    special = rng.choice(("fifo", "/dev/zero", "folder"))

    def write(folder: Path) -> list[str]:
        path = folder / name
        if kind != "device":
            path.write_bytes(content)
        elif special == "fifo":
            os.mkfifo(path)
        elif special == "folder":
            path.mkdir()
        else:
            path.symlink_to(special)
        return _build(folder, part, path)

    return Case(
        f"{part}: {special if kind == 'device' else damage}",
        write,
        "refused" if kind == "device" else "either",
    )


def damaged(path: Path, rng: random.Random) -> tuple[str, bytes]:
    text = path.read_text()
    if path.suffix == ".jsonl":
        return damaged_lines(text, rng)
    if path.name != "assertions.csv":
        return damaged_table(text, ",", rng)
    if rng.random() < 0.6:
        value = rng.choice(WRONG)
        return f"weight = {label(value)}", text.replace('"weight": 1.0', f'"weight": {value!r}').encode(
            "utf-8", "replace"
        )
    return damaged_table(text, "\t", rng)


def _damaged_lines_of_words(text: str, rng: random.Random) -> tuple[str, bytes]:
    lines = text.splitlines()
    index = rng.randrange(len(lines))
    words = lines[index].split(" ")
    place = rng.randrange(len(words))
    kind = rng.choice(("cut", "word", "missing", "bytes"))
    if kind == "bytes":
        return damaged_bytes(text.encode(), rng)
    if kind == "cut":
        words = words[:place]
    elif kind == "missing":
        del words[place]
    else:
        words[place] = rng.choice(("zz", "-1", "99999999999", "@", "é", "00000010", "\x00"))
    lines[index] = " ".join(words)
    return f"{kind} in line {index}", ("\n".join(lines) + "\n").encode()


def _parquet() -> bytes:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(
        pa.table({"subject": [1.5, None], "relation": [["IsA"], None], "object": [{"a": 1}, None]}), buffer
    )
    return buffer.getvalue()


def _build(folder: Path, part: str, source: Path) -> list[str]:
    return ["knowledge", "build", part, str(source), "--output", str(folder / "facts.db")]
