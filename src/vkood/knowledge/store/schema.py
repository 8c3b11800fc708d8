"""The file of a fact store: its tables, its header, and what marks a file as one.

A store is one SQLite file. Concepts are numbered in alphabetical order; the facts of a subject lie together, the
heaviest first, and are found by (subject, position); `incoming` finds the facts that end in a concept.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

from vkood.escaping import printable
from vkood.files import FileProblem, MissingFile, open_regular
from vkood.knowledge.store.database import connect, require_schema

SCHEMA_VERSION = 1
APPLICATION_ID = 0x766B6F64
"""Marks the file as ours, in SQLite's own header ("vkod")."""

TABLES = """
CREATE TABLE header (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE relation (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE source (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE concept (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE fact (
    subject INTEGER NOT NULL,
    position INTEGER NOT NULL,
    relation INTEGER NOT NULL,
    object INTEGER NOT NULL,
    thousandths INTEGER NOT NULL,
    source INTEGER NOT NULL,
    PRIMARY KEY (subject, position)
) WITHOUT ROWID;
"""
"""A weight is kept in thousandths: two bytes for most, where a floating-point number takes eight."""

INDICES = """
CREATE UNIQUE INDEX entry ON concept (text);
CREATE INDEX incoming ON fact (object);
"""

_SQLITE_MAGIC = b"SQLite format 3\x00"


class StoreError(ValueError):
    """A file is not a fact store, one of another version, or damaged."""

    @classmethod
    def damaged(cls, path: str | os.PathLike[str], reason: object) -> StoreError:
        """The error of a damaged store, in one line: SQLite's reasons may quote whatever lies in the file."""
        sentence = printable(" ".join(str(reason).split())).rstrip(".")
        return cls(f"The fact store {os.fspath(path)!r} is damaged: {sentence}. Copy or build it again.")


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """Where facts of a store come from.

    Args:
        name: What the source is called.
        licence: Under which terms it may be used.
        rebuild: The part of `vkood knowledge build` that reads it ("wordnet dict").
        num_facts: How many facts it gave, before those that several sources have were joined.
    """

    name: str
    licence: str = ""
    rebuild: str = ""
    num_facts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHeader:
    """What a store says about itself.

    Args:
        date: When it was built, as YYYY-MM-DD.
        sources: Where its facts come from.
        num_facts: Facts.
        num_concepts: Different subjects and objects.
        num_subjects: Concepts that are the subject of a fact.
        longest_entry: Max number of words in a subject.
        relations: Number of facts of each relation.
        content_hash: SHA-256 of all facts in their order.
    """

    date: str
    sources: tuple[SourceInfo, ...]
    num_facts: int
    num_concepts: int
    num_subjects: int
    longest_entry: int
    relations: Mapping[str, int]
    content_hash: str

    def rows(self) -> list[tuple[str, str]]:
        """Return the header as the file has it; the last row seals the others."""
        rows = [
            ("content_hash", self.content_hash),
            ("date", self.date),
            ("longest_entry", str(self.longest_entry)),
            ("num_concepts", str(self.num_concepts)),
            ("num_facts", str(self.num_facts)),
            ("num_subjects", str(self.num_subjects)),
            ("relations", json.dumps(dict(self.relations), sort_keys=True)),
            ("schema_version", str(SCHEMA_VERSION)),
            ("sources", json.dumps([asdict(source) for source in self.sources], ensure_ascii=False)),
        ]
        return [*rows, ("seal", seal(rows))]

    @classmethod
    def from_rows(cls, rows: Mapping[str, str]) -> StoreHeader:
        """Read what `rows` wrote.

        Raises:
            KeyError, TypeError, ValueError: If something is missing or is no such thing.
        """
        return cls(
            date=rows["date"],
            sources=tuple(SourceInfo(**source) for source in json.loads(rows["sources"])),
            num_facts=int(rows["num_facts"]),
            num_concepts=int(rows["num_concepts"]),
            num_subjects=int(rows["num_subjects"]),
            longest_entry=int(rows["longest_entry"]),
            relations=MappingProxyType(json.loads(rows["relations"])),
            content_hash=rows["content_hash"],
        )


def seal(rows: Iterable[tuple[str, str]]) -> str:
    """Return the hash of a header's rows, by which one finds out whether they were altered."""
    return hashlib.sha256(repr(sorted(rows)).encode()).hexdigest()


def require_store(path: Path) -> None:
    """Refuse a file that is no complete store of this version, as far as its first hundred bytes show.

    Raises:
        FileNotFoundError: If there is no such file.
        StoreError: If it is not one, is truncated, or has another schema version.
    """
    name = repr(str(path))
    try:
        with open_regular(path, what="fact store") as file:
            start = file.read(100)
            size = file.seek(0, 2)
    except MissingFile as error:
        raise FileNotFoundError(str(error)) from None
    except (FileProblem, OSError) as error:
        raise StoreError(str(error)) from None
    if len(start) < 100 or not start.startswith(_SQLITE_MAGIC) or not _marked(start):
        raise StoreError(f"{name} is not a fact store; `vkood knowledge build` makes one.")
    version = int.from_bytes(start[60:64], "big")
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"The fact store {name} must have schema version {SCHEMA_VERSION}, but has {version}; build it "
            f"again with: {_rebuild(path)}"
        )
    page_size = int.from_bytes(start[16:18], "big")
    expected = (65536 if page_size == 1 else page_size) * int.from_bytes(start[28:32], "big")
    if size != expected:
        raise StoreError(
            f"The fact store {name} is damaged: it must have {expected:,} bytes, but has {size:,}. "
            "Copy or build it again."
        )


def require_replaceable(path: Path) -> None:
    """Refuse to put a store in the place of a file that is none, such as the table that it is built from.

    Raises:
        StoreError: If there is such a file, and it is not empty, or something else than a regular file.
    """
    try:
        with open_regular(path, what="fact store") as file:
            start = file.read(72)
    except MissingFile:
        return
    except (FileProblem, OSError) as error:
        raise StoreError(str(error)) from None
    if start and not (start.startswith(_SQLITE_MAGIC) and _marked(start)):
        raise StoreError(
            f"{str(path)!r} is not a fact store, and is left as it is; choose another name for the store."
        )


def _marked(start: bytes) -> bool:
    return int.from_bytes(start[68:72], "big") == APPLICATION_ID


def _rebuild(path: Path) -> str:
    """The commands that build a store of another version again, as far as its header says."""
    output = f"--output {path}"
    try:
        connection = connect(path)
        try:
            require_schema(connection, TABLES, names=["header"])
            ((sources,),) = connection.query("SELECT value FROM header WHERE name = 'sources'")
        finally:
            connection.close()
        parts = [str(source["rebuild"]) for source in json.loads(sources) if source["rebuild"]]
    except (sqlite3.Error, OSError, ValueError, KeyError, TypeError, RecursionError):
        parts = []
    commands = [
        f"vkood knowledge build {part} {output}{' --append' if number else ''}"
        for number, part in enumerate(parts)
    ]
    return " && ".join(commands) or f"vkood knowledge build conceptnet|wordnet|table INPUT {output}"
