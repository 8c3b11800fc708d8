"""The fact store: one file, opened read-only by any number of processes and threads."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from vkood.fields import as_count, require_kind, shown
from vkood.knowledge.facts import RELATIONS, Fact, normalise_concept, require_relations
from vkood.knowledge.store.database import GuardedConnection, connect, require_schema
from vkood.knowledge.store.schema import INDICES, TABLES, StoreError, StoreHeader, require_store, seal
from vkood.knowledge.store.stamp import STAMP

# `CROSS JOIN` holds SQLite to the order in which the tables are named: from the given names, as they come, to the
# facts of each, the heaviest first.
_LOOKUP = """
SELECT subject.text, fact.relation, object.text, fact.thousandths, fact.source
FROM json_each(:names) AS name
CROSS JOIN concept AS subject ON subject.text = name.value
CROSS JOIN fact ON fact.subject = subject.id AND fact.position < :limit
CROSS JOIN concept AS object ON object.id = fact.object
"""
_INCOMING = """
SELECT subject.text, fact.relation, object.text, fact.thousandths, fact.source
FROM json_each(:names) AS name
CROSS JOIN concept AS object ON object.text = name.value
CROSS JOIN fact INDEXED BY incoming ON fact.object = object.id
CROSS JOIN concept AS subject ON subject.id = fact.subject
ORDER BY fact.thousandths DESC, fact.subject, fact.position
LIMIT :limit
"""
_KNOWN = """
SELECT subject.text
FROM json_each(:names) AS name
CROSS JOIN concept AS subject ON subject.text = name.value
WHERE EXISTS (SELECT 1 FROM fact WHERE fact.subject = subject.id)
"""
_NAMED = """
SELECT concept.text
FROM json_each(:names) AS name
CROSS JOIN concept ON concept.text = name.value
"""
# From each name to the facts that it begins, and to those that it ends.
_ABOUT = """
SELECT subject.text, fact.relation, object.text, fact.thousandths, fact.source, name.value
FROM json_each(:names) AS name
CROSS JOIN concept AS subject ON subject.text = name.value
CROSS JOIN fact ON fact.subject = subject.id AND fact.position < :limit
CROSS JOIN concept AS object ON object.id = fact.object
UNION ALL
SELECT subject.text, fact.relation, object.text, fact.thousandths, fact.source, name.value
FROM json_each(:names) AS name
CROSS JOIN concept AS object ON object.text = name.value
CROSS JOIN fact INDEXED BY incoming ON fact.object = object.id
CROSS JOIN concept AS subject ON subject.id = fact.subject
WHERE fact.subject <> fact.object
"""
_NAMES = "SELECT text FROM concept ORDER BY id"
_SEARCH = """
SELECT text FROM concept
WHERE text >= :first AND text < :last AND EXISTS (SELECT 1 FROM fact WHERE fact.subject = concept.id)
ORDER BY text
LIMIT :limit
"""
_ALL = """
SELECT subject.text, fact.relation, object.text, fact.thousandths, fact.source
FROM fact
CROSS JOIN concept AS subject ON subject.id = fact.subject
CROSS JOIN concept AS object ON object.id = fact.object
ORDER BY fact.subject, fact.position
"""

_NO_LIMIT = 2**62
_LAST_LETTER = "\U0010ffff"

_Row = tuple[str, int, str, int, int]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A concept that facts lead to from another.

    Args:
        concept: The concept.
        facts: The facts on the way, the first of which has the other concept in it. A fact may be walked from
            its object to its subject too.
    """

    concept: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """What is in a store.

    Args:
        path: Its file.
        size: Bytes of the file.
        schema_version: Of the file's tables.
        header: What the store says about itself.
    """

    path: str
    size: int
    schema_version: int
    header: StoreHeader


class FactStore:
    """Facts in a file, found by their subject. Open it with `FactStore.open`.

    A store may be used from any thread, after a fork, and be pickled: each process and thread opens the file
    for itself when it first asks.

    Args:
        path: The file, as `build_store` writes it.

    Raises:
        FileNotFoundError: If there is no such file.
        StoreError: If it is no store of this version, or is damaged.

    Example:
        >>> import tempfile
        >>> from vkood.knowledge import build_store
        >>> facts = [Fact("lemon", "HasProperty", "sour", 0.5), Fact("lemon", "IsA", "fruit")]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = build_store(f"{folder}/facts.db", [facts])
        ...     with FactStore.open(f"{folder}/facts.db") as store:
        ...         [fact.object for fact in store.lookup(["lemon"])["lemon"]]
        ['fruit', 'sour']
    """

    def __init__(self, path: str | Path) -> None:
        require_kind("path", path, (str, Path))
        self._open(Path(path))

    def _open(self, path: Path) -> None:
        self._path = path.absolute()
        require_store(self._path)
        self._closed = False
        self._process = os.getpid()
        self._mine = threading.local()
        self._connections: list[GuardedConnection] = []
        try:
            self._header, self._sources = self._read_header()
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(cls, path: str | Path | None = None) -> FactStore:
        """Open a store for reading.

        Args:
            path: The file; by default the store that comes with vkood.

        Raises:
            FileNotFoundError: If there is no such file.
            StoreError: If it is no store of this version, or is damaged.
        """
        if path is None:
            from vkood.knowledge.store.default import default_store_path

            path = default_store_path()
        return cls(path)

    def __enter__(self) -> FactStore:
        """Return the store; at the end of the block it is closed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """Close the file, in all threads of this process."""
        self._closed = True
        if self._process == os.getpid():
            for connection in self._connections:
                connection.close()
        self._connections = []
        self._mine = threading.local()

    def __getstate__(self) -> dict[str, str]:
        """Pickle where the facts are and what they have to be, not the facts."""
        return {"path": str(self._path), "content_hash": self.content_hash}

    def __setstate__(self, state: dict[str, str]) -> None:
        """Open the file again, and make sure that it has the same facts."""
        self._open(Path(state["path"]))
        if self.content_hash != state["content_hash"]:
            raise StoreError(
                f"The fact store {state['path']!r} has changed since the object that was pickled opened it; "
                "open it again."
            )

    def __repr__(self) -> str:
        """Name the file."""
        return f"FactStore({str(self._path)!r}, {self._header.num_facts:,} facts)"

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def header(self) -> StoreHeader:
        """What the store says about itself."""
        return self._header

    @property
    def content_hash(self) -> str:
        """A hash of all facts: two stores with the same one have the same facts."""
        return self._header.content_hash

    @property
    def longest_entry(self) -> int:
        """Most words in a subject."""
        return self._header.longest_entry

    def __len__(self) -> int:
        """How many facts there are."""
        return self._header.num_facts

    def lookup(
        self, concepts: Sequence[str], relations: Iterable[str] | None = None, limit: int | None = 5
    ) -> dict[str, list[Fact]]:
        """Find the facts of many subjects with one query.

        Args:
            concepts: Names of subjects, in any case, with spaces or underscores.
            relations: Only facts of these relations; by default of all.
            limit: Max number of facts of a subject, the heaviest first; None for all.

        Returns:
            The facts of each name, under the name as it was given; none for a concept that is not known.

        Raises:
            ValueError: If `concepts` is a single text, a relation is unknown, or `limit` is below 1.
        """
        chosen = require_relations("`relations`", relations)
        limit = _require_limit(limit)
        names = _normalised("`concepts`", concepts)
        facts_of: dict[str, list[Fact]] = {name: [] for name in names.values()}
        rows = self._rows(_LOOKUP, facts_of, limit if chosen is None else _NO_LIMIT)
        for fact in self._made(rows):
            facts = facts_of.get(fact.subject)
            if facts is None:
                raise self._damaged(
                    ValueError(f"it gives facts of {fact.subject!r}, which was not looked up")
                )
            if (chosen is None or fact.relation in chosen) and len(facts) < limit:
                facts.append(fact)
        return {as_written: list(facts_of[name]) for as_written, name in names.items()}

    def about(self, concepts: Sequence[str], limit: int | None = 1000) -> dict[str, list[Fact]]:
        """Find the facts that have a concept at either end, of many concepts with one query.

        Args:
            concepts: Names of subjects or objects, in any case, with spaces or underscores.
            limit: Max number of facts of a concept as subject, and as many as object, the heaviest first; None for all.

        Returns:
            The facts of each name, under the name as it was given, first those of which it is the subject.

        Raises:
            ValueError: If `concepts` is a single text, or `limit` is below 1.
        """
        limit = _require_limit(limit)
        names = _normalised("`concepts`", concepts)
        rows_of: dict[str, tuple[list[_Row], list[_Row]]] = {name: ([], []) for name in names.values()}
        for *row, name in self._rows(_ABOUT, rows_of, limit):
            if name not in rows_of or name not in (row[0], row[2]):
                raise self._damaged(ValueError(f"it gives facts of {row[0]!r}, which was not looked up"))
            rows_of[name][row[0] != name].append(tuple(row))
        facts_of: dict[str, list[Fact]] = {}
        for name, (outgoing, incoming) in rows_of.items():
            incoming.sort(key=lambda row: -row[3])  # stable: equal weights stay in the order of subjects
            facts_of[name] = list(self._made(iter(outgoing + incoming[:limit])))
        return {as_written: list(facts_of[name]) for as_written, name in names.items()}

    def known(self, names: Iterable[str], *, objects: bool = False) -> frozenset[str]:
        """Return which of the names, normalised, are the subject of a fact.

        Args:
            names: Any number of names.
            objects: Also those that are only the object of a fact.

        Raises:
            ValueError: If `names` is a single text.
        """
        normalised = dict.fromkeys(_normalised("`names`", names).values())
        return frozenset(row[0] for row in self._rows(_NAMED if objects else _KNOWN, normalised))

    def names(self) -> Iterator[str]:
        """Iterate over all subjects and objects, each once, in alphabetical order."""
        for row in self._query(_NAMES, {}):
            yield row[0]

    def search(self, prefix: str, limit: int = 20) -> list[str]:
        """Return subjects that begin with these letters, in alphabetical order.

        Args:
            prefix: First letters, in any case. A space at the end ends a word.
            limit: Max number of subjects.

        Raises:
            ValueError: If `limit` is below 1.
        """
        require_kind("prefix", prefix, str)
        first = normalise_concept(prefix)
        if not first and prefix.strip():
            return []  # of letters that no concept has
        if first and normalise_concept(f"{prefix}x") == f"{first} x":
            first += " "
        values = {"first": first, "last": first + _LAST_LETTER, "limit": _require_limit(limit)}
        return [row[0] for row in self._query(_SEARCH, values)]

    def neighbours(self, concept: str, hops: int = 2, limit: int = 100) -> list[Neighbour]:
        """Return the concepts around one, with the facts that lead to each.

        From every concept that is reached, its heaviest facts lead on, as subject and as object.

        Args:
            concept: Where to begin.
            hops: Max number of facts on the way.
            limit: Max number of neighbours, the nearest first, and among those the ones by the heaviest facts.

        Raises:
            ValueError: If `hops` or `limit` is below 1.
        """
        require_kind("concept", concept, str)
        hops, limit = as_count("hops", hops), _require_limit(limit)
        start = normalise_concept(concept)
        ways: dict[str, tuple[Fact, ...]] = {start: ()}
        frontier = [start]
        for _ in range(hops):
            steps = [(name, fact) for name in frontier for fact in self._around(name, limit)]
            frontier = []
            for name, fact in sorted(steps, key=lambda step: -step[1].weight):
                other = fact.object if fact.subject == name else fact.subject
                if other not in ways and len(ways) <= limit:
                    ways[other] = (*ways[name], fact)
                    frontier.append(other)
            if len(ways) > limit:
                break
        return [Neighbour(other, facts) for other, facts in ways.items() if facts]

    def facts(self) -> Iterator[Fact]:
        """Iterate over all facts, subject by subject; they are read as they are used."""
        yield from self._made(self._query(_ALL, {}))

    def stats(self) -> StoreStats:
        """Return what is in the store, without counting anything."""
        return StoreStats(
            path=str(self._path),
            size=self._path.stat().st_size,
            schema_version=int(self._rows_of_header()["schema_version"]),
            header=self._header,
        )

    def verify(self) -> None:
        """Read the whole file, and make sure that it is as it was written.

        Raises:
            StoreError: If anything was altered or is missing.
        """
        from vkood.knowledge.store.verification import verify_store

        verify_store(self._path, self._header)

    def _around(self, name: str, limit: int) -> Iterator[Fact]:
        yield from self._made(self._rows(_LOOKUP, [name], limit))
        yield from self._made(self._rows(_INCOMING, [name], limit))

    def _rows(self, query: str, names: Iterable[str], limit: int = _NO_LIMIT) -> Iterator[Any]:
        # As JSON, since a list of any length is then one argument.
        return self._query(query, {"names": json.dumps(list(names)), "limit": limit})

    def _made(self, rows: Iterator[_Row]) -> Iterator[Fact]:
        sources = self._sources
        try:
            for subject, relation, object_, thousandths, source in rows:
                yield Fact(subject, RELATIONS[relation], object_, thousandths / 1000, sources[source])
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise self._damaged(error) from error

    def _query(self, query: str, values: dict[str, Any]) -> Iterator[Any]:
        try:
            # Row by row, since `yield from` would close the cursor, perhaps after its store.
            for row in self._connection().query(query, values):  # noqa: UP028 - for this reason
                yield row
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if self._closed:
                raise ValueError(
                    f"The fact store {str(self._path)!r} was closed while it was read; read first."
                ) from error
            reason = "a query on it does not end" if "interrupted" in str(error) else error
            raise self._damaged(reason) from error

    def _connection(self) -> GuardedConnection:
        """This thread's connection; SQLite's may not be carried over a fork."""
        if self._closed:
            raise ValueError(f"The fact store {str(self._path)!r} is closed; open it again.")
        if self._process != os.getpid():
            self._process, self._mine, self._connections = os.getpid(), threading.local(), []
        connection: GuardedConnection | None = getattr(self._mine, "connection", None)
        if connection is None:
            connection = connect(self._path)
            self._connections.append(connection)
            require_schema(connection, TABLES + INDICES)
            self._mine.connection = connection
        return connection

    def _rows_of_header(self) -> dict[str, str]:
        return dict(self._query("SELECT name, value FROM header", {}))

    def _read_header(self) -> tuple[StoreHeader, dict[int, str]]:
        rows = self._rows_of_header()
        rows.pop(STAMP, None)  # `verify` checks it
        sources = dict(self._query("SELECT id, name FROM source", {}))
        if rows.pop("seal", None) != seal(rows.items()):
            raise self._damaged("its header was altered")
        try:
            return StoreHeader.from_rows(rows), sources
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(error) from error

    def _damaged(self, reason: object) -> StoreError:
        return StoreError.damaged(self._path, reason)


def _normalised(argument: str, names: Iterable[str]) -> dict[str, str]:
    if isinstance(names, str):
        raise ValueError(f"{argument} must be a list of names; got the text {names!r}: write [{names!r}].")
    named = list(names)
    if strange := [name for name in named if not isinstance(name, str)]:
        raise ValueError(f"{argument} must be a list of names; got {shown(strange[0])} in it.")
    return {name: normalise_concept(name) for name in named}


def _require_limit(limit: int | None) -> int:
    return _NO_LIMIT if limit is None else min(as_count("limit", limit), _NO_LIMIT)
