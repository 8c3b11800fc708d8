"""Vectors of sentences in a folder: added by any number of processes, never changed, and memory-mapped."""

# N sentences, R rows of the file of vectors, D width of a vector.

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from vkood.files import FileProblem, MissingFile, open_regular
from vkood.knowledge.store.database import require_schema

_FORMAT = 1
_INDEX, _VECTORS = "index.sqlite", "vectors.f32"

# Sentences per query: more gain nothing, and SQLite takes 32,766 at most.
_AT_ONCE = 5_000
# Others hold the index for milliseconds; whoever holds it this long has stopped.
_PATIENCE = 60.0

_NEW_INDEX = """
CREATE TABLE cache (format INTEGER NOT NULL, encoder TEXT NOT NULL, width INTEGER NOT NULL, rows INTEGER NOT NULL);
CREATE TABLE vectors (sentence TEXT PRIMARY KEY, row INTEGER NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
"""
# How SQLite words what is wrong with a disk or its permissions; all else is damage. Python 3.10 has no error codes.
_OF_THE_DISK = ("readonly", "unable to open", "disk is full", "disk I/O", "locked")


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorCache:
    """The vectors that one encoder gave to sentences, kept in a folder.

    The folder has a file of float32 rows, to which rows are only ever appended, and an SQLite index that
    has each sentence's row and its checksum. Rows are written, and are on the disk, before the index names
    them: a process that is killed leaves rows that nobody reads and the next writer overwrites. Nothing stays
    open between calls, so a cache may be pickled, forked and shared by threads.

    Attributes:
        folder: The folder; created with the first vectors.
        encoder: The encoder's fingerprint.
        width: D, the width of the vectors.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cache = VectorCache(folder=Path(folder), encoder="ones", width=2)
        ...     cache.add(["a kite flies."], np.ones((1, 2), np.float32))
        ...     cache.read(["a mug breaks.", "a kite flies."])
        (array([[0., 0.],
               [1., 1.]], dtype=float32), [0])
    """

    folder: Path
    encoder: str
    width: int
    _open: list[sqlite3.Connection] | None = field(default=None, repr=False, compare=False)
    """Within `opened`: the connection, once there is one."""

    @contextmanager
    def opened(self) -> Iterator[VectorCache]:
        """Yield this cache with its index open for the whole block, which is for one thread and must not fork."""
        connections: list[sqlite3.Connection] = []
        try:
            yield replace(self, _open=connections)
        finally:
            for connection in connections:
                connection.close()

    def known(self, sentences: Sequence[str]) -> set[str]:
        """Return those of the sentences that have a vector here.

        Raises:
            ValueError: If the cache belongs to another encoder or another version, or is damaged.
            OSError: If it cannot be read.
        """
        with self._using() as index:
            if index is None or (rows := self._num_rows(index)) == 0:
                return set()
            self._mapped(rows)  # what is known has to be there
            return {sentence for sentence, _, _ in self._entries(index, sentences)}

    def read(self, sentences: Sequence[str]) -> tuple[Float32[np.ndarray, "sentences width"], list[int]]:
        """Return the vectors of sentences.

        Returns:
            The vectors in the order of the sentences, zeros where there is none; and the places of those.

        Raises:
            ValueError: If the cache belongs to another encoder or another version, or is damaged: every
                vector is checked against its checksum.
            OSError: If it cannot be read.
        """
        out = np.zeros((len(sentences), self.width), np.float32)
        absent: list[int] = []
        with self._using() as index:
            if index is None or (rows := self._num_rows(index)) == 0:
                return out, list(range(len(sentences)))
            vectors = self._mapped(rows)
            for start in range(0, len(sentences), _AT_ONCE):
                chosen = sentences[start : start + _AT_ONCE]
                entries = {
                    sentence: (row, checksum) for sentence, row, checksum in self._entries(index, chosen)
                }
                places = [start + place for place, sentence in enumerate(chosen) if sentence in entries]
                absent += [start + place for place, sentence in enumerate(chosen) if sentence not in entries]
                present = [sentences[place] for place in places]
                if any(row not in range(len(vectors)) for row, _ in entries.values()):
                    vectors = self._mapped(self._num_rows(index))  # others have added some since
                out[places] = self._gathered(vectors, present, [entries[sentence] for sentence in present])
        return out, absent

    def add(self, sentences: Sequence[str], vectors: Float32[np.ndarray, "sentences width"]) -> None:
        """Keep the vectors of sentences; one that is there already stays as it is.

        When this returns, they survive the end of the process and of the power.

        Raises:
            ValueError: If the cache belongs to another encoder or another version, or is damaged.
            OSError: If it cannot be written; nothing was added then.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._writing() as index:
                rows = self._num_rows(index, make=True)
                there = {sentence for sentence, _, _ in self._entries(index, sentences)}
                new = {sentence: place for place, sentence in enumerate(sentences) if sentence not in there}
                added = np.ascontiguousarray(vectors[list(new.values())], dtype="<f4")
                self._append(rows, added)
                index.executemany(
                    "INSERT INTO vectors VALUES (?, ?, ?)",
                    zip(new, range(rows, rows + len(new)), _checksums(new, added), strict=True),
                )
                index.execute("UPDATE cache SET rows = ?", (rows + len(new),))
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def sentences(self) -> Iterator[str]:
        """All sentences that have a vector, in no particular order."""
        with self._using() as index:
            if index is not None and self._num_rows(index) > 0:
                for (sentence,) in index.execute("SELECT sentence FROM vectors"):
                    yield sentence

    def verify(self) -> None:
        """Read all vectors, and check each against its checksum.

        Raises:
            ValueError: If the cache is damaged, or belongs to another encoder or another version.
            OSError: If it cannot be read.
        """
        waiting = self.sentences()
        while chosen := list(islice(waiting, _AT_ONCE)):
            _, absent = self.read(chosen)
            if absent:
                raise self._damaged(f"its index does not find {chosen[absent[0]][:80]!r}, which it lists")

    def __len__(self) -> int:
        """Number of sentences with a vector."""
        with self._using() as index:
            return 0 if index is None else self._num_rows(index)

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection | None]:
        """The index; None where there is none yet, since reading must not create one."""
        if self._open is None:
            with self.opened() as cache, cache._using() as index:
                yield index
        elif self._open or (self.folder / _INDEX).exists():
            with self._connected(self._open) as index:
                yield index
        else:
            yield None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """The index in a transaction, which is undone on any error; created if there is none."""
        if self._open is None:
            with self.opened() as cache, cache._writing() as index:
                yield index
        else:
            with self._connected(self._open) as index:
                index.execute("BEGIN IMMEDIATE")  # one writer at a time, from here to COMMIT
                yield index
                index.execute("COMMIT")

    @contextmanager
    def _connected(self, connections: list[sqlite3.Connection]) -> Iterator[sqlite3.Connection]:
        path = (self.folder / _INDEX).absolute()
        try:
            if not connections:
                if path.exists() and not path.is_file():
                    raise self._damaged(f"{_INDEX} is not a regular file")
                # For writing, even to read: SQLite then undoes what a killed writer began, and still reads
                # a file that cannot be written to.
                address = f"{path.as_uri()}?mode={'rw' if path.exists() else 'rwc'}"
                connections.append(
                    sqlite3.connect(address, uri=True, timeout=_PATIENCE, isolation_level=None)
                )
                connections[0].execute("PRAGMA trusted_schema = OFF")
            yield connections[0]
        except BaseException as error:
            while connections:
                connections.pop().close()  # and give up what was not committed
            if not isinstance(error, sqlite3.Error):
                raise
            if any(words in str(error) for words in _OF_THE_DISK):
                raise OSError(f"The index {str(path)!r} cannot be used: {error}.") from error
            raise self._damaged(f"its index says {str(error)!r}") from error

    def _num_rows(self, index: sqlite3.Connection, *, make: bool = False) -> int:
        """Check that the index is one of ours, and return how many rows it counts."""
        if index.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            if make:
                for statement in filter(str.strip, _NEW_INDEX.split(";")):
                    index.execute(statement)
                index.execute("INSERT INTO cache VALUES (?, ?, ?, 0)", (_FORMAT, self.encoder, self.width))
            return 0
        require_schema(index, _NEW_INDEX)
        headers = index.execute("SELECT format, encoder, width, rows FROM cache").fetchall()
        if len(headers) != 1 or not isinstance(headers[0][3], int):
            raise self._damaged("its index has no header")
        version, encoder, width, rows = headers[0]
        if version != _FORMAT:
            raise ValueError(
                f"The vectors in {str(self.folder)!r} have format {version}, and this version of vkood reads "
                f"format {_FORMAT}. Choose another folder, or delete this one to encode its sentences again."
            )
        if (encoder, width) != (self.encoder, self.width):
            raise ValueError(
                f"The vectors in {str(self.folder)!r} come from the encoder {encoder!r} (width {width}), not "
                f"from {self.encoder!r} (width {self.width}). Choose another folder."
            )
        return rows

    def _entries(self, index: sqlite3.Connection, sentences: Sequence[str]) -> Iterator[tuple[str, int, int]]:
        """Sentence, row and checksum of each sentence that is there."""
        waiting = iter(sentences)
        while chosen := list(islice(waiting, _AT_ONCE)):
            marks = ",".join("?" * len(chosen))
            yield from index.execute(
                f"SELECT sentence, row, checksum FROM vectors WHERE sentence IN ({marks})", chosen
            )

    def _mapped(self, rows: int) -> np.ndarray:
        """The rows that the index counts; there may be more in the file, of a writer that was killed."""
        path = self.folder / _VECTORS
        try:
            with open_regular(path, what="file of vectors") as file:
                return np.memmap(file, dtype="<f4", mode="r", shape=(rows, self.width))
        except MissingFile:
            raise self._damaged(f"{_VECTORS} is missing") from None
        except FileProblem as error:
            raise self._damaged(str(error).rstrip(".")) from None
        except ValueError:
            raise self._damaged(f"{_VECTORS} is shorter than the {rows:,} rows in the index") from None

    def _gathered(
        self, vectors: np.ndarray, sentences: list[str], entries: list[tuple[Any, Any]]
    ) -> Float32[np.ndarray, "sentences width"]:
        """Copy the rows of the sentences, and check them."""
        rows = [row for row, _ in entries]
        if not all(isinstance(row, int) and 0 <= row < len(vectors) for row in rows):
            raise self._damaged("its index names rows that do not exist")
        gathered = np.ascontiguousarray(vectors[rows], dtype="<f4")
        for sentence, (_, expected), actual in zip(
            sentences, entries, _checksums(sentences, gathered), strict=True
        ):
            if actual != expected:
                raise self._damaged(f"the vector of {sentence[:80]!r} is not as it was written")
        return gathered

    def _append(self, rows: int, added: np.ndarray) -> None:
        """Write rows behind the first `rows`, and wait until they are on the disk."""
        path = self.folder / _VECTORS
        begin = rows * self.width * 4
        with open(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b") as file:
            if file.seek(0, os.SEEK_END) < begin:
                raise self._damaged(f"{_VECTORS} is shorter than the {rows:,} rows in the index")
            file.seek(begin)
            file.write(added.data.cast("B") if added.size else b"")
            file.flush()
            os.fsync(file.fileno())

    def _damaged(self, how: str) -> ValueError:
        """The error that says how a cache is damaged, and what to do."""
        return ValueError(
            f"The vectors in {str(self.folder)!r} are damaged: {how}. Delete this folder, and its sentences "
            "are encoded again."
        )


class UnwritableCacheError(OSError):
    """Vectors cannot be kept; the message is a sentence for the user."""


def unwritable(folder: Path, error: OSError, what: str = "Vectors") -> UnwritableCacheError:
    """The error for vectors, or others, that cannot be written: the folder, why, and what is left of the work."""
    reason = error.strerror or str(error).rstrip(".")
    return UnwritableCacheError(
        f"{what} could not be added to {str(folder)!r}: {reason}. Those that were there before are kept; with "
        "space and permission to write, the same call resumes there."
    )


def _checksums(sentences: Iterable[str], vectors: np.ndarray) -> list[int]:
    """A checksum of each sentence and its vector together, so that neither can be taken for another's."""
    size = vectors.shape[1] * 4
    content = vectors.data.cast("B") if vectors.size else memoryview(b"")
    return [
        zlib.crc32(content[place * size : (place + 1) * size], zlib.crc32(sentence.encode()))
        for place, sentence in enumerate(sentences)
    ]
