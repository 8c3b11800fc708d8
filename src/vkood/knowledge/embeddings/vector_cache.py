"""Vectors of sentences in a folder: added by any number of processes, never changed, and memory-mapped."""

# N sentences, R rows of the file of vectors, D width of a vector.

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from vkood.files import FileProblem, MissingFile, open_regular
from vkood.knowledge.store.database import require_schema

_FORMAT = 1
_INDEX, _VECTORS = "index.sqlite", "vectors.f32"

# One query for so many sentences: more gain nothing, and SQLite takes 32,766 at most.
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

    @contextmanager
    def opened(self) -> Iterator[OpenVectorCache]:
        """Open the index once for all that is done in a block; the block is for one thread and must not fork."""
        cache = OpenVectorCache(self)
        try:
            yield cache
        finally:
            cache.close()

    def known(self, sentences: Sequence[str]) -> set[str]:
        """Return those of the sentences that have a vector here; see `OpenVectorCache.known`."""
        with self.opened() as cache:
            return cache.known(sentences)

    def read(self, sentences: Sequence[str]) -> tuple[Float32[np.ndarray, "sentences width"], list[int]]:
        """Return the vectors of sentences, and the places of those without; see `OpenVectorCache.read`."""
        with self.opened() as cache:
            return cache.read(sentences)

    def add(self, sentences: Sequence[str], vectors: Float32[np.ndarray, "sentences width"]) -> None:
        """Keep the vectors of sentences; see `OpenVectorCache.add`."""
        with self.opened() as cache:
            cache.add(sentences, vectors)

    def sentences(self) -> Iterator[str]:
        """All sentences that have a vector, in no particular order."""
        with self.opened() as cache:
            yield from cache.sentences()

    def verify(self) -> None:
        """Read all vectors, and make sure that each is as it was written.

        Raises:
            ValueError: If the cache is damaged, or belongs to another encoder or another version.
            OSError: If it cannot be read.
        """
        waiting = self.sentences()
        while chosen := list(islice(waiting, _AT_ONCE)):
            _, absent = self.read(chosen)
            if absent:
                raise self.damaged(f"its index does not find {chosen[absent[0]][:80]!r}, which it lists")

    def __len__(self) -> int:
        """How many sentences have a vector."""
        with self.opened() as cache:
            return len(cache)

    def damaged(self, how: str) -> ValueError:
        """The error that says how a cache is damaged, and what to do."""
        return ValueError(
            f"The vectors in {str(self.folder)!r} are damaged: {how}. Delete this folder, and its sentences "
            "are encoded again."
        )


class OpenVectorCache:
    """A cache while its index is open; see `VectorCache.opened`.

    Args:
        cache: The cache.
    """

    def __init__(self, cache: VectorCache) -> None:
        self._cache = cache
        self._index: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the index, and give up what was not committed."""
        if self._index is not None:
            self._index.close()
            self._index = None

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
        out = np.zeros((len(sentences), self._cache.width), np.float32)
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
            self._cache.folder.mkdir(parents=True, exist_ok=True)
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
            raise unwritable(self._cache.folder, error) from error

    def sentences(self) -> Iterator[str]:
        """All sentences that have a vector, in no particular order."""
        with self._using() as index:
            if index is not None and self._num_rows(index) > 0:
                for (sentence,) in index.execute("SELECT sentence FROM vectors"):
                    yield sentence

    def __len__(self) -> int:
        """How many sentences have a vector."""
        with self._using() as index:
            return 0 if index is None else self._num_rows(index)

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection | None]:
        """The index; None where there is none yet, since to look must leave nothing behind."""
        try:
            yield self._connection() if self._index or (self._cache.folder / _INDEX).exists() else None
        except sqlite3.Error as error:
            self.close()
            raise self._meant(error) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """The index in a transaction, which is undone on any error."""
        try:
            index = self._connection()
            index.execute("BEGIN IMMEDIATE")  # one writer at a time, from here to COMMIT
            yield index
            index.execute("COMMIT")
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error):
                raise self._meant(error) from error
            raise

    def _connection(self) -> sqlite3.Connection:
        if self._index is None:
            path = (self._cache.folder / _INDEX).absolute()
            if path.exists() and not path.is_file():
                raise self._cache.damaged(f"{_INDEX} is not a regular file")
            # For writing, even to read: SQLite then undoes what a killed writer began, and reads a file that cannot
            # be written to all the same.
            mode = "rw" if path.exists() else "rwc"
            self._index = sqlite3.connect(
                f"{path.as_uri()}?mode={mode}", uri=True, timeout=_PATIENCE, isolation_level=None
            )
            self._index.execute("PRAGMA trusted_schema = OFF")
        return self._index

    def _meant(self, error: sqlite3.Error) -> Exception:
        if any(words in str(error) for words in _OF_THE_DISK):
            path = (self._cache.folder / _INDEX).absolute()
            return OSError(f"The index {str(path)!r} cannot be used: {error}.")
        return self._cache.damaged(f"its index says {str(error)!r}")

    def _num_rows(self, index: sqlite3.Connection, *, make: bool = False) -> int:
        """Check that the index is one of ours, and return how many rows it counts."""
        if index.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            if make:
                for statement in filter(str.strip, _NEW_INDEX.split(";")):
                    index.execute(statement)
                index.execute(
                    "INSERT INTO cache VALUES (?, ?, ?, 0)", (_FORMAT, self._cache.encoder, self._cache.width)
                )
            return 0
        require_schema(index, _NEW_INDEX)
        headers = index.execute("SELECT format, encoder, width, rows FROM cache").fetchall()
        if len(headers) != 1 or not isinstance(headers[0][3], int):
            raise self._cache.damaged("its index has no header")
        version, encoder, width, rows = headers[0]
        if version != _FORMAT:
            raise ValueError(
                f"The vectors in {str(self._cache.folder)!r} have format {version}, and this version of vkood reads "
                f"format {_FORMAT}. Choose another folder, or delete this one to encode its sentences again."
            )
        if (encoder, width) != (self._cache.encoder, self._cache.width):
            raise ValueError(
                f"The vectors in {str(self._cache.folder)!r} come from the encoder {encoder!r} (width {width}), not "
                f"from {self._cache.encoder!r} (width {self._cache.width}). Choose another folder."
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
        path = self._cache.folder / _VECTORS
        try:
            with open_regular(path, what="file of vectors") as file:
                return np.memmap(file, dtype="<f4", mode="r", shape=(rows, self._cache.width))
        except MissingFile:
            raise self._cache.damaged(f"{_VECTORS} is missing") from None
        except FileProblem as error:
            raise self._cache.damaged(str(error).rstrip(".")) from None
        except ValueError:
            raise self._cache.damaged(f"{_VECTORS} is shorter than the {rows:,} rows in the index") from None

    def _gathered(
        self, vectors: np.ndarray, sentences: list[str], entries: list[tuple[Any, Any]]
    ) -> Float32[np.ndarray, "sentences width"]:
        """Copy the rows of the sentences, and check them."""
        rows = [row for row, _ in entries]
        if not all(isinstance(row, int) and 0 <= row < len(vectors) for row in rows):
            raise self._cache.damaged("its index names rows that do not exist")
        gathered = np.ascontiguousarray(vectors[rows], dtype="<f4")
        for sentence, (_, expected), actual in zip(
            sentences, entries, _checksums(sentences, gathered), strict=True
        ):
            if actual != expected:
                raise self._cache.damaged(f"the vector of {sentence[:80]!r} is not as it was written")
        return gathered

    def _append(self, rows: int, added: np.ndarray) -> None:
        """Write rows behind the first `rows`, and wait until they are on the disk."""
        path = self._cache.folder / _VECTORS
        begin = rows * self._cache.width * 4
        with open(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b") as file:
            if file.seek(0, os.SEEK_END) < begin:
                raise self._cache.damaged(f"{_VECTORS} is shorter than the {rows:,} rows in the index")
            file.seek(begin)
            file.write(added.data.cast("B") if added.size else b"")
            file.flush()
            os.fsync(file.fileno())


class UnwritableCacheError(OSError):
    """Vectors cannot be kept; the message is a sentence for the user."""


def unwritable(folder: Path, error: OSError) -> UnwritableCacheError:
    """The error for vectors that cannot be written: the folder, why, and what is left of the work."""
    reason = error.strerror or str(error).rstrip(".")
    return UnwritableCacheError(
        f"Vectors could not be added to {str(folder)!r}: {reason}. Those that were there before are kept; with "
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
