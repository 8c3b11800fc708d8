"""SQLite files that may come from anyone: nothing that is stored in them is run, and every query ends.

A view, a trigger, a generated column or an index over an expression is SQL that a file brings along and that runs when
a table is read or written. Our files have none, so one whose schema is not exactly ours is refused before it is read.
What remains are damaged pages, on which a query may walk in circles: each query of a store has a budget of steps of
SQLite's virtual machine, in proportion to the file's size.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

_STEPS_PER_BYTE = 20
"""A row takes some 50 steps in the longest of our queries, and has at least ten bytes."""
_STEPS_AT_LEAST = 10_000_000
_STEPS_BETWEEN_CALLS = 100_000
_MAX_ENTRIES = 100
"""More entries of a schema are not even compared."""


class GuardedConnection(sqlite3.Connection):
    """A connection that trusts nothing of its file's schema, and whose queries end."""

    def guard(self, size: int) -> None:
        """Restrict the connection.

        Args:
            size: The file's size in bytes, to which the budget of a query is proportional.
        """
        self._budget = (_STEPS_AT_LEAST + _STEPS_PER_BYTE * size) // _STEPS_BETWEEN_CALLS
        self._left = self._budget
        self.execute("PRAGMA trusted_schema = OFF")
        self.execute("PRAGMA cell_size_check = ON")
        self.set_progress_handler(self._spend, _STEPS_BETWEEN_CALLS)

    def query(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        """Begin a query, with a budget of its own.

        Raises:
            sqlite3.Error: As `execute`; also, then or when rows are fetched, when the budget is spent ("interrupted").
        """
        self._left = self._budget
        return self.execute(sql, parameters)

    def _spend(self) -> bool:
        self._left -= 1
        return self._left < 0


def connect(path: Path) -> GuardedConnection:
    """Open a file for reading alone; nothing is locked, so any number of processes may do so.

    Raises:
        OSError: If there is no such file.
        sqlite3.Error: If it cannot be opened.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro&immutable=1",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        factory=GuardedConnection,
    )
    try:
        connection.guard(path.stat().st_size)
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def require_schema(
    connection: sqlite3.Connection, statements: str, *, names: Iterable[str] | None = None
) -> None:
    """Refuse a database whose schema is not exactly what some statements make.

    Args:
        connection: The database.
        statements: SQL that makes the schema, separated by semicolons.
        names: Only these tables must be as the statements make them, and others may be there besides; by default all.

    Raises:
        sqlite3.DatabaseError: If anything is missing, different, or there besides; the error names it.
    """
    expected = _entries_of(statements)
    actual = _entries(connection)
    checked = expected.keys() | actual.keys() if names is None else set(names)
    for name in sorted(checked):
        if name not in actual:
            raise sqlite3.DatabaseError(f"it lacks the {expected[name][0]} {name!r}")
        if actual[name] != expected.get(name):
            raise sqlite3.DatabaseError(f"its {actual[name][0]} {name!r} is not one of ours")


@lru_cache(maxsize=8)
def _entries_of(statements: str) -> dict[str, tuple[str, str, str]]:
    """The entries of the schema that some statements make."""
    model = sqlite3.connect(":memory:")
    try:
        model.executescript(statements)
        return _entries(model)
    finally:
        model.close()


def _entries(connection: sqlite3.Connection) -> dict[str, tuple[str, str, str]]:
    """Kind, table and SQL of each entry of a schema, by its name."""
    rows = connection.execute("SELECT name, type, tbl_name, sql FROM sqlite_master").fetchmany(_MAX_ENTRIES)
    return {str(name): (str(kind), str(table), " ".join(str(sql).split())) for name, kind, table, sql in rows}
