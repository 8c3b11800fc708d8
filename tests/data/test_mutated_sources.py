"""Every reader on damaged files: tables that are sound, or one sentence; never another exception."""

import json
import random
import shutil
from pathlib import Path

import pytest

from support import prepared
from vkood.data.check import check_folder
from vkood.data.prepare import prepare, read_source
from vkood.data.readers import SourceError
from vkood.data.readers.own import read_own
from vkood.data.rows import Rows
from vkood.data.tables import TableError, find_tables
from vkood.data.tiny import TINY, write_tiny

MUTATIONS = 16
# fmt: off
VALUES = (
    None, True, 0, -1, 7, 1.7, 1e400, float("nan"), 2**63, 10**30, "", " ", "7", "007", "text", "\ud800", "../../x",
    "/etc/passwd", "a\0b", "[/b]", [], [[]], [None], ["text"], [1, "a"], {}, {"answer": "red"}, {"answer": None},
    [{"answer": "red"}], "x" * 300_000,
)
CELLS = (
    "", " ", '"', '"open', 'a"b"', "\t", ",", ",,,", "../x.png", "/etc/passwd", "1.7", "007", "caf\u00e9", "[/b]",
    "x" * 200_000,
)
# fmt: on


def mutate_json(value, generator: random.Random):
    """Change one place of a JSON value, deep or not."""
    while isinstance(value, dict | list) and value:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = generator.choice(keys)
        inside = value[key]
        if isinstance(inside, dict | list) and inside and generator.random() < 0.8:
            value = inside
            continue
        kind = generator.randrange(4)
        if kind == 0:
            del value[key]
        elif kind == 1 and isinstance(value, list):
            value.append(inside)
        else:
            value[key] = generator.choice(VALUES)
        return


def mutate_text(path: Path, generator: random.Random) -> None:
    text = path.read_text()
    if path.suffix == ".json" and text[0] in "[{" and "\n" not in text.strip():
        content = json.loads(text)
        for _ in range(generator.randrange(1, 4)):
            mutate_json(content, generator)
        path.write_text(json.dumps(generator.choice([content] * 9 + list(VALUES[:20]))))
        return
    lines = text.splitlines()
    for _ in range(generator.randrange(1, 4)):
        number = generator.randrange(len(lines))
        if path.suffix in (".json", ".jsonl"):
            value = json.loads(lines[number]) if lines[number].startswith("{") else {}
            mutate_json(value, generator)
            lines[number] = json.dumps(generator.choice([value] * 4 + list(VALUES)))
        else:
            separator = "\t" if path.suffix == ".tsv" else ","
            cells = lines[number].split(separator)
            cells[generator.randrange(len(cells))] = generator.choice(CELLS)
            lines[number] = generator.choice([separator.join(cells)] * 4 + ["", separator * 3, lines[0]])
    path.write_text("\n".join(lines))


def mutate_bytes(path: Path, generator: random.Random) -> None:
    content = bytearray(path.read_bytes())
    kind = generator.randrange(8)
    place = generator.randrange(len(content))
    if kind == 0:
        del content[place:]
    elif kind == 1:
        for _ in range(5):
            content[generator.randrange(len(content))] = generator.randrange(256)
    elif kind == 2:
        content[:0] = b"\xef\xbb\xbf"
    elif kind == 3:
        content = content.decode("latin-1").encode("utf-16")
    elif kind == 4:
        content[place:place] = generator.choice([b"\xe9", b"\0", b"[" * 10_000, b'"', b"\r", b"9" * 5000])
    elif kind == 5:
        content = generator.choice([b"", b"\n", b"null", b"{}", b"[]", b"<!doctype html><title>404</title>"])
    elif kind == 6:
        content *= 2
    else:
        del content[place : place + generator.randrange(1, 50)]
    path.write_bytes(content)


def mutate(root: Path, generator: random.Random) -> None:
    """Damage one or two files: texts most of the time, else pictures."""
    for _ in range(generator.randrange(1, 3)):
        files = sorted(path for path in root.rglob("*") if path.is_file())
        texts = [path for path in files if path.suffix not in (".png", ".jpg") and path.stat().st_size]
        if texts and generator.random() < 0.8:
            path = generator.choice(texts)
            try:
                generator.choice([mutate_text, mutate_text, mutate_bytes])(path, generator)
            except (ValueError, IndexError, RecursionError):  # damaged twice
                mutate_bytes(path, generator)
        else:
            path = generator.choice(files)
            path.unlink()
            if generator.random() < 0.5:
                path.write_bytes(generator.choice([b"", b"<html>", b"\x89PNG\r\n\x1a\n"]))
            elif generator.random() < 0.5:
                path.mkdir()


def read(name: str, root: Path):
    if not name.startswith("own"):
        options = {"min_occurrences": 1} if name in ("vqav2", "okvqa") else {}
        return read_source(name, root, **options)
    file = root / ("questions.csv" if name == "own-questions" else "captions.jsonl")
    return read_own(file, root / "images", name="mine")


@pytest.mark.parametrize("name", TINY)
def test_damaged_files(tmp_path, name):
    write_tiny(name, tmp_path / "whole", num_images=3)
    generator = random.Random(f"{name} 0")
    written = refused = 0
    for number in range(MUTATIONS):
        root = tmp_path / "raw"
        shutil.copytree(tmp_path / "whole", root)
        mutate(root, generator)
        output = tmp_path / f"tables{number}"
        try:
            prepare(read(name, root), output, facts=None, max_bad=generator.choice([0.01, 0.5, 1.0]))
        except SourceError as error:
            refused += 1
            assert "\n" not in str(error)
            assert not output.exists() or not list(output.iterdir())
        else:
            written += 1
            assert all(check.rows and not check.invalid_rows for check in check_folder(output))
            assert len(Rows(find_tables(output, ["*"])))
        shutil.rmtree(root)
        shutil.rmtree(output, ignore_errors=True)
    assert written + refused == MUTATIONS
    assert refused


@pytest.mark.parametrize("name", ["okvqa", "nlvr2", "visual-genome"])
def test_damaged_tables(tmp_path, name):
    """Also to be read without being prepared again, as METER's are."""
    generator = random.Random(f"{name} 1")
    folder = tmp_path / "tables"
    for _ in range(MUTATIONS):
        shutil.copytree(prepared.tables(name), folder)
        generator.choice(list(folder.glob("*.prepared.json"))).unlink()
        mutate_bytes(generator.choice(sorted(folder.glob("*.arrow"))), generator)
        try:
            rows = Rows(find_tables(folder, ["*"]))
            assert rows[generator.randrange(len(rows))].text
            prepare(read_source("tables", folder), tmp_path / "output", facts=None, max_bad=1.0)
        except (SourceError, TableError) as error:
            assert "\n" not in str(error)
        shutil.rmtree(folder)
