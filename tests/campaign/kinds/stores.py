"""Stores of facts that are none, or whose content is not what it should be."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

from ..case import Case, Right, copied, rewrite
from ..mutations import damaged_bytes

_LOOP = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id, i AS text FROM n"
_STATEMENTS: dict[str, tuple[str, Right]] = {
    "a view in place of a table": (
        f"ALTER TABLE concept RENAME TO c; CREATE VIEW concept AS {_LOOP}",
        "refused",
    ),
    "a view of facts": (
        "ALTER TABLE fact RENAME TO f; CREATE VIEW fact AS SELECT * FROM f, (" + _LOOP + ")",
        "refused",
    ),
    "a trigger": ("CREATE TRIGGER t AFTER INSERT ON concept BEGIN DELETE FROM fact; END", "refused"),
    "no header": ("DELETE FROM header", "refused"),
    "no concepts": ("DELETE FROM concept", "refused"),
    "a text for a number": ("UPDATE fact SET object = 'x'", "refused"),
    "an unknown object": ("UPDATE fact SET object = 10000000", "refused"),
    "another version": ("PRAGMA user_version = 999", "refused"),
    "not ours": ("PRAGMA application_id = 1", "refused"),
    "a table less": ("DROP TABLE relation", "refused"),
    "a weight that is none": ("UPDATE fact SET thousandths = 'nan'", "refused"),
    "a header that is not JSON": ("UPDATE header SET value = '{'", "refused"),
    "a null concept": ("UPDATE concept SET text = '' WHERE id = (SELECT min(id) FROM concept)", "either"),
    "a long concept": (
        "UPDATE concept SET text = hex(zeroblob(10000000)) WHERE id = (SELECT max(id) FROM concept)",
        "either",
    ),
    "a blob": ("UPDATE concept SET text = x'ff00ff' WHERE id = (SELECT max(id) FROM concept)", "refused"),
    "a relation unknown": ("UPDATE relation SET name = 'NoSuchRelation'", "refused"),
}


def draw(rng: random.Random, kit: Path) -> Case:
    store = kit / "knowledge" / "facts.db"
    name, right, damage = _fault(rng, store)
    command = rng.choice(("stats", "verify", "lookup", "encode", "predict", "prepare", "append"))
    if command != "verify" and not name.startswith(
        ("a view", "a FIFO", "not ours", "another version", "a device")
    ):
        right = "either"  # not every command reads all of a store

    def write(folder: Path) -> list[str]:
        path = folder / "facts.db"
        copied(store, path)
        damage(path)
        picture = min((kit / "raw" / "own-captions" / "images").iterdir())
        commands = {
            "stats": ["knowledge", "stats", "--store", path],
            "verify": ["knowledge", "stats", "--verify", "--store", path],
            "lookup": ["knowledge", "lookup", "a dog and a red circle on a wall", "--store", path],
            "encode": [
                "knowledge",
                "encode",
                "--store",
                path,
                "--encoder",
                kit / "text",
                "--output",
                folder / "vectors",
            ],
            "predict": [
                "predict",
                kit / "run" / "vqa" / "best",
                "--image",
                picture,
                "--text",
                "a dog",
                "--facts",
                path,
            ],
            "prepare": [
                "data",
                "prepare",
                "own",
                "--file",
                kit / "raw" / "own-captions" / "captions.jsonl",
                "--root",
                kit / "raw" / "own-captions" / "images",
                "--output",
                folder / "tables",
                "--facts",
                path,
            ],
            "append": [
                "knowledge",
                "build",
                "table",
                kit / "knowledge" / "facts.csv",
                "--append",
                "--output",
                path,
            ],
        }
        return [str(word) for word in commands[command]]

    return Case(f"{command}: {name}", write, right)


def _fault(rng: random.Random, store: Path) -> tuple[str, Right, Callable[[Path], None]]:
    kind = rng.random()
    if kind < 0.55:
        name = rng.choice(list(_STATEMENTS))
        statements, right = _STATEMENTS[name]
        return name, right, lambda path: _execute(path, statements)
    if kind < 0.65:
        return "a FIFO", "refused", lambda path: (path.unlink(), os.mkfifo(path))[0]
    if kind < 0.7:
        return "a device", "refused", lambda path: (path.unlink(), path.symlink_to("/dev/zero"))[0]
    if kind < 0.75:
        return "a folder", "refused", lambda path: (path.unlink(), path.mkdir())[0]
    name, content = damaged_bytes(store.read_bytes(), rng)
    return (
        name,
        "either" if name.split()[0] in ("flipped", "tail") else "refused",
        lambda path: rewrite(path, content),
    )


def _execute(path: Path, statements: str) -> None:
    content = path.read_bytes()
    rewrite(path, content)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA writable_schema = OFF")
        connection.executescript(statements)
    connection.close()
