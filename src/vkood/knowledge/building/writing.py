"""Writing a store's file, from facts that are in order."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vkood.knowledge.building.spool import Facts, Spool
from vkood.knowledge.facts import RELATIONS
from vkood.knowledge.store.content_hash import ContentHash
from vkood.knowledge.store.schema import (
    APPLICATION_ID,
    INDICES,
    SCHEMA_VERSION,
    TABLES,
    SourceInfo,
    StoreHeader,
)
from vkood.knowledge.store.stamp import NO_STAMP, STAMP, stamp_file

_ROWS = 50
"""Inserted by one statement."""
_SORTING_KILOBYTES = 2_000


def write_store(
    path: Path,
    spool: Spool,
    *,
    sources: tuple[SourceInfo, ...],
    date: str,
    on_facts: Callable[[int], None],
) -> StoreHeader:
    """Write all that a spool took to a new file.

    Args:
        path: The file; there must be none.
        spool: The facts.
        sources: What the header says about where they come from.
        date: What the header says about when.
        on_facts: Called with how many more of the facts that the spool took were written or joined.

    Returns:
        The header.

    Raises:
        sqlite3.Error: If the file cannot be written.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        # An unfinished file is thrown away: nothing has to be undone or outlast a crash before the end.
        connection.executescript(
            "PRAGMA page_size = 4096; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; "
            "PRAGMA locking_mode = EXCLUSIVE; "
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; {TABLES}"
        )
        connection.execute("BEGIN")
        header = _Writer(connection, spool).write(on_facts)
        header = replace(header, sources=sources, date=date)
        connection.executemany("INSERT INTO header VALUES (?, ?)", [*header.rows(), (STAMP, NO_STAMP)])
        connection.execute("COMMIT")
    finally:
        connection.close()
    stamp_file(path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return header


class _Writer:
    """Fills the tables, and counts."""

    def __init__(self, connection: sqlite3.Connection, spool: Spool) -> None:
        self._connection, self._spool = connection, spool
        self._hash = ContentHash()
        self._sources: dict[int, int] = {}
        self._relations = np.zeros(len(RELATIONS), np.int64)

    def write(self, on_facts: Callable[[int], None]) -> StoreHeader:
        num_words = self._write_concepts()
        num_facts = num_subjects = longest_entry = written = 0
        for facts in self._spool.facts():
            subjects = self._write_facts(facts)
            num_facts += len(facts)
            num_subjects += len(subjects)
            longest_entry = max(longest_entry, int(num_words[subjects].max()))
            self._relations += np.bincount(facts["relation"], minlength=len(RELATIONS))
            on_facts(len(facts))
            written += len(facts)
        on_facts(self._spool.num_added - written)
        names = self._spool.sources
        sources = [names[number] for number in self._sources]
        self._connection.executemany("INSERT INTO source VALUES (?, ?)", enumerate(sources))
        self._connection.executemany("INSERT INTO relation VALUES (?, ?)", enumerate(RELATIONS))
        # SQLite sorts twice as fast within the caches of the processor as in tens of megabytes.
        self._connection.execute(f"PRAGMA cache_size = -{_SORTING_KILOBYTES}")
        for index in filter(str.strip, INDICES.split(";")):
            self._connection.execute(index)
        counts = dict(zip(RELATIONS, self._relations.tolist(), strict=True))
        return StoreHeader(
            date="",
            sources=(),
            num_facts=num_facts,
            num_concepts=len(num_words),
            num_subjects=num_subjects,
            longest_entry=longest_entry,
            relations={name: count for name, count in counts.items() if count},
            content_hash=self._hash.result(RELATIONS, sources),
        )

    def _write_concepts(self) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Write the concepts; returns how many words each has."""
        blocks: list[np.ndarray[Any, np.dtype[np.int32]]] = []
        start = 0
        for block in self._spool.concepts():
            self._hash.add_concepts(block)
            rows: list[Any] = [None] * (2 * len(block))
            rows[0::2], rows[1::2] = range(start, start + len(block)), block
            self._insert("concept", rows, 2)
            blocks.append(_num_words(block))
            start += len(block)
        return np.concatenate(blocks) if blocks else np.empty(0, np.int32)

    def _write_facts(self, facts: Facts) -> np.ndarray[Any, np.dtype[np.uint32]]:
        """Write facts; returns their subjects, each once."""
        subject = facts["subject"]
        starts = np.flatnonzero(np.concatenate([[True], subject[1:] != subject[:-1]]))
        lengths = np.diff(np.append(starts, len(facts)))
        position = np.arange(len(facts)) - np.repeat(starts, lengths)
        used, firsts, places = np.unique(facts["source"], return_index=True, return_inverse=True)
        for number in used[np.argsort(firsts)].tolist():
            self._sources.setdefault(number, len(self._sources))
        source = np.array([self._sources[number] for number in used.tolist()])[places]
        columns = (subject, position, facts["relation"], facts["object"], facts["thousandths"], source)
        rows = np.stack(columns, axis=1).astype(np.uint32)
        self._hash.add_facts(rows)
        self._insert("fact", rows.reshape(-1).tolist(), 6)
        return subject[starts]

    def _insert(self, table: str, values: list[Any], width: int) -> None:
        """Insert rows that are given one after the other; many to a statement takes two thirds of the time."""
        row = f"({', '.join('?' * width)})"
        many = _ROWS * width
        cut = len(values) - len(values) % many
        self._connection.executemany(
            f"INSERT INTO {table} VALUES {', '.join([row] * _ROWS)}",
            (values[start : start + many] for start in range(0, cut, many)),
        )
        self._connection.executemany(
            f"INSERT INTO {table} VALUES {row}",
            (values[start : start + width] for start in range(cut, len(values), width)),
        )


def _num_words(texts: list[str]) -> np.ndarray[Any, np.dtype[np.int32]]:
    """How many words each text has: spaces between the ends of lines."""
    letters = np.frombuffer("\n".join(texts).encode() + b"\n", np.uint8)
    ends = np.flatnonzero(letters == ord("\n"))
    spaces = np.searchsorted(np.flatnonzero(letters == ord(" ")), ends)
    return (np.diff(spaces, prepend=0) + 1).astype(np.int32)
