"""Tables of rows on disk: Arrow files (IPC format), written row by row and read memory-mapped, never whole."""

from __future__ import annotations

import bisect
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from vkood.files import complete_file

FACTS_ENDING = "_facts"
"""How the names of tables of facts end, which belong to the tables beside them."""

_IN_METADATA = b"vkood"
_BATCH_BYTES = 32 << 20
_BATCH_ROWS = 512


class TableError(ValueError):
    """A table cannot be read, or is not what it should be."""


class TableWriter:
    """Takes rows one at a time and writes them in batches of bounded size."""

    def __init__(self, writer: pa.RecordBatchFileWriter, schema: pa.Schema) -> None:
        self._writer, self._schema = writer, schema
        self._waiting: list[Mapping[str, Any]] = []
        self._bytes = 0
        self.num_rows = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row, which has a value for each column."""
        self._waiting.append(row)
        self._bytes += sum(len(value) for value in row.values() if isinstance(value, bytes))
        self.num_rows += 1
        if self._bytes >= _BATCH_BYTES or len(self._waiting) >= _BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            columns = [
                pa.array([row[field.name] for row in self._waiting], type=field.type)
                for field in self._schema
            ]
            self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
        self._waiting, self._bytes = [], 0


@contextmanager
def table_writer(
    path: str | Path, schema: pa.Schema, told: Mapping[str, Any] | None = None
) -> Iterator[TableWriter]:
    """Write a table, which appears under its name when it is complete.

    Args:
        path: The file; its folder has to exist.
        schema: Its columns.
        told: What the table says about itself, in values that JSON has; `Table.told` gives it back.

    Yields:
        What takes the rows.
    """
    schema = schema.with_metadata({_IN_METADATA: json.dumps(dict(told or {})).encode()})
    with (
        complete_file(path) as unfinished,
        pa.OSFile(str(unfinished), "wb") as file,
        pa.ipc.new_file(file, schema) as writer,
    ):
        rows = TableWriter(writer, schema)
        yield rows
        rows.flush()


class Table:
    """A table on disk, memory-mapped: what is not asked for is not read.

    Args:
        path: An Arrow file, of ours or of METER's and ViLT's.

    Attributes:
        path: The file.
        told: What the table says about itself; empty for tables that others wrote.

    Raises:
        TableError: If the file is missing, is no Arrow file, or is cut off.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> with table_writer(f"{folder}/a.arrow", pa.schema([("caption", pa.list_(pa.string()))])) as rows:
        ...     rows.add({"caption": ["A dog runs.", "A brown dog."]})
        >>> Table(f"{folder}/a.arrow").row(0)
        {'caption': ['A dog runs.', 'A brown dog.']}
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise TableError(f"There is no table at {str(path)!r}.")
        self._open()
        batches = range(self._file.num_record_batches)
        self._ends = list(itertools.accumulate(self._file.get_batch(number).num_rows for number in batches))

    def _open(self) -> None:
        try:
            self._file = pa.ipc.open_file(pa.memory_map(str(self.path)))
        except (pa.ArrowInvalid, OSError) as error:
            raise TableError(
                f"{str(self.path)!r} is no Arrow file, or is cut off: {error}. Arrow files in the IPC file format are "
                "what `vkood data prepare` writes, and METER's and ViLT's scripts."
            ) from None
        metadata = self._file.schema.metadata or {}
        self.told: dict[str, Any] = json.loads(metadata.get(_IN_METADATA, b"{}"))

    @property
    def name(self) -> str:
        """The file's name without its ending, by which recipes know the table."""
        return self.path.stem

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self._file.schema.names)

    def __len__(self) -> int:
        """How many rows there are."""
        return self._ends[-1] if self._ends else 0

    def row(self, index: int, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """A row, or some columns of it.

        Args:
            index: Which, from 0.
            columns: Names of columns; all of them, if None.
        """
        number = bisect.bisect_right(self._ends, index)
        batch = self._file.get_batch(number)
        place = index - (self._ends[number - 1] if number else 0)
        return {name: batch.column(name)[place].as_py() for name in columns or self.columns}

    def scan(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """All rows in order, of some columns; a batch at a time is in memory."""
        for batch in self.batches(columns):
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                yield from batch.slice(start, _BATCH_ROWS).to_pylist()

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Some columns as they lie on disk, a part at a time."""
        for number in range(self._file.num_record_batches):
            yield self._file.get_batch(number).select(list(columns))

    def __getstate__(self) -> dict[str, Any]:
        """The file is opened anew where the table is sent to, in a worker say."""
        return {name: value for name, value in vars(self).items() if name != "_file"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the file again."""
        vars(self).update(state)
        self._open()


def find_tables(folder: str | Path, names: Iterable[str]) -> list[Table]:
    """Open the tables of a folder by their names, in which "*" stands for anything but tables of facts.

    Args:
        folder: The folder of the tables.
        names: Names without ".arrow".

    Raises:
        TableError: If the folder is not there, or has no table of a name; the error says which there are.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise TableError(f"There is no folder {str(folder)!r}; `vkood data prepare` makes one.")
    found: list[Table] = []
    for name in names:
        matching = sorted(
            path for path in folder.glob(f"{name}.arrow") if not path.stem.endswith(FACTS_ENDING)
        )
        if not matching:
            others = [path.stem for path in folder.glob("*.arrow") if not path.stem.endswith(FACTS_ENDING)]
            there = ", ".join(sorted(others)) or "no tables"
            raise TableError(
                f"There is no table {name!r} in {str(folder)!r}, which has {there}. Prepare it with `vkood data "
                "prepare`, or name others."
            )
        found += [Table(path) for path in matching]
    return found
