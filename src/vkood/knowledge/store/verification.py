"""Finding out whether a store is as it was written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vkood.knowledge.facts import RELATIONS
from vkood.knowledge.store.content_hash import ContentHash
from vkood.knowledge.store.database import GuardedConnection, connect, require_schema
from vkood.knowledge.store.schema import INDICES, TABLES, StoreError, StoreHeader
from vkood.knowledge.store.stamp import STAMP, stamped_hash

_ROWS = 50_000


def verify_store(path: Path, header: StoreHeader) -> None:
    """Read a whole store, and compare it with what its header says.

    Args:
        path: The file.
        header: Its header, which was found to be sealed.

    Raises:
        StoreError: If anything was altered or is missing.
    """
    connection = connect(path)
    try:
        require_schema(connection, TABLES + INDICES)
        problem = _problem(connection, header) or _altered_byte(connection, path)
    except (sqlite3.DatabaseError, UnicodeError, OverflowError, TypeError, ValueError) as error:
        problem = str(error)
    finally:
        connection.close()
    if problem:
        raise StoreError.damaged(path, problem)


def _problem(connection: GuardedConnection, header: StoreHeader) -> str | None:
    answers = [str(row[0]) for row in connection.query("PRAGMA integrity_check(1)")]
    if answers != ["ok"]:
        return " ".join(" ".join(answers).replace("*", "").split())
    relations = tuple(_column(connection, "SELECT name FROM relation ORDER BY id"))
    # A store that was built before the last relations were added has fewer.
    if not relations or relations != RELATIONS[: len(relations)]:
        return "its relations were altered"
    content = ContentHash()
    num_concepts = num_facts = 0
    for rows in _chunks(connection, "SELECT id, text FROM concept ORDER BY id"):
        if [row[0] for row in rows] != list(range(num_concepts, num_concepts + len(rows))):
            return "its concepts are not numbered from 0"
        content.add_concepts(row[1] for row in rows)
        num_concepts += len(rows)
    query = (
        "SELECT subject, position, relation, object, thousandths, source FROM fact ORDER BY subject, position"
    )
    for rows in _chunks(connection, query):
        content.add_facts(np.array(rows, np.uint32))
        num_facts += len(rows)
    if (num_concepts, num_facts) != (header.num_concepts, header.num_facts):
        return (
            f"it must have {header.num_facts:,} facts of {header.num_concepts:,} concepts, but has "
            f"{num_facts:,} of {num_concepts:,}"
        )
    sources = _column(connection, "SELECT name FROM source ORDER BY id")
    if content.result(relations, sources) != header.content_hash:
        return "its facts were altered"
    return None


def _altered_byte(connection: GuardedConnection, path: Path) -> str | None:
    stamps = [row[0] for row in connection.query("SELECT value FROM header WHERE name = ?", (STAMP,))]
    if len(stamps) != 1 or stamped_hash(path, stamps[0]) != stamps[0]:
        return "its bytes are not those that were written"
    return None


def _chunks(connection: GuardedConnection, query: str) -> Iterator[list[Any]]:
    cursor = connection.query(query)
    while rows := cursor.fetchmany(_ROWS):
        yield rows


def _column(connection: GuardedConnection, query: str) -> list[str]:
    return [row[0] for row in connection.query(query)]
