"""Tables of rows on disk: Arrow files (IPC format), written row by row and read memory-mapped, never whole."""

from __future__ import annotations

import bisect
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from vkood.data.layout import FACTS_SCHEMA, Kind, kind_of, unfit_column
from vkood.data.record import ListOf, Mismatch, Optional, Record, Text
from vkood.data.validation import columns_to_validate, invalid_rows
from vkood.files import FileProblem, complete_file, finish_files, parse_json, read_json_object

FACTS_ENDING = "_facts"
"""Suffix of the names of facts tables, which belong to the tables beside them."""

MANIFEST_ENDING = ".prepared.json"
"""Suffix of the manifests that list what a preparation wrote."""

_IN_METADATA = b"vkood"
_BATCH_BYTES = 32 << 20
_BATCH_ROWS = 512
_NAME = Text(pattern=r"[^/\\\x00]+", called="a name without slashes")
_METADATA = Record(
    {"name": Optional(_NAME), "facts": Optional(_NAME), "answers": Optional(ListOf(Text(blank=True)), [])}
)


class TableError(ValueError):
    """A table cannot be read, or is invalid."""


class TableWriter:
    """Takes rows one at a time and writes them in batches of bounded size."""

    def __init__(self, writer: pa.RecordBatchFileWriter, schema: pa.Schema) -> None:
        self._writer, self._schema = writer, schema
        self._pending: list[Mapping[str, Any]] = []
        self._bytes = 0
        self.num_rows = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row, which has a value for each column."""
        self._pending.append(row)
        self._bytes += sum(len(value) for value in row.values() if isinstance(value, bytes))
        self.num_rows += 1
        if self._bytes >= _BATCH_BYTES or len(self._pending) >= _BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the pending rows."""
        if self._pending:
            columns = [
                pa.array([row[field.name] for row in self._pending], type=field.type)
                for field in self._schema
            ]
            self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
        self._pending, self._bytes = [], 0


@contextmanager
def table_writer(
    path: str | Path, schema: pa.Schema, metadata: Mapping[str, Any] | None = None
) -> Iterator[TableWriter]:
    """Write a table, which appears under its name when it is complete.

    Args:
        path: The file; its folder has to exist.
        schema: Its columns.
        metadata: The table's metadata, in values of JSON; `Table.metadata` has it again.

    Yields:
        What takes the rows.
    """
    schema = schema.with_metadata({_IN_METADATA: json.dumps(dict(metadata or {})).encode()})
    with (
        complete_file(path) as unfinished,
        pa.OSFile(str(unfinished), "wb") as file,
        pa.ipc.new_file(file, schema) as writer,
    ):
        rows = TableWriter(writer, schema)
        yield rows
        rows.flush()


class Table:
    """A table on disk, memory-mapped: only requested columns and rows are read.

    Args:
        path: An Arrow file, of ours or of METER's and ViLT's.

    Attributes:
        path: The file.
        metadata: Its name, kind, answers and facts table; empty for tables of other programs.

    Raises:
        TableError: If the file is missing, is not an Arrow file, is truncated or damaged.

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
        self._ends = list(itertools.accumulate(self._batch(number).num_rows for number in batches))

    def _open(self) -> None:
        self._sound: set[int] = set()
        try:
            self._file = pa.ipc.open_file(pa.memory_map(str(self.path)))
        except (pa.ArrowException, OSError) as error:
            raise TableError(
                f"{str(self.path)!r} is not an Arrow file, or is truncated: {_first_line(error)}. Arrow files in the "
                "IPC file format are what `vkood data prepare` writes, and METER's and ViLT's scripts."
            ) from None
        metadata = (self._file.schema.metadata or {}).get(_IN_METADATA, b"{}")
        try:
            description = parse_json(metadata.decode(), name=str(self.path))
            _METADATA.read(description)
        except (FileProblem, UnicodeDecodeError, Mismatch) as error:
            raise TableError(f"{str(self.path)!r} is damaged in its metadata: {error}.") from None
        self.metadata: dict[str, Any] = description

    def _batch(self, number: int) -> pa.RecordBatch:
        """A batch; when it is first read, its offsets and texts are checked, not its images.

        Raises:
            TableError: If it is damaged.
        """
        try:
            batch = self._file.get_batch(number)
            if number not in self._sound:
                batch.validate(full=True)
                self._sound.add(number)
        except (pa.ArrowException, OSError) as error:
            raise TableError(
                f"{str(self.path)!r} is damaged, in batch {number}: {_first_line(error)}."
            ) from None
        return batch

    @property
    def name(self) -> str:
        """The file's name without its ending, by which recipes know the table."""
        return self.path.stem

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self._file.schema.names)

    @property
    def types(self) -> list[pa.DataType]:
        """The types of the columns."""
        return list(self._file.schema.types)

    @property
    def kind(self) -> Kind:
        """What the rows are, by the columns.

        Raises:
            TableError: If the columns are none of ours, or a column of ours has another type.
        """
        schema = self._file.schema
        try:
            kind = kind_of(schema.names)
        except ValueError as error:
            raise TableError(f"{str(self.path)!r}: {error}") from None
        if wrong := unfit_column(schema):
            raise TableError(f"{str(self.path)!r}: {wrong}.")
        return kind

    def __len__(self) -> int:
        """Number of rows."""
        return self._ends[-1] if self._ends else 0

    def row(self, index: int, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """A row, or some columns of it.

        Args:
            index: Which, from 0.
            columns: Names of columns; all of them, if None.
        """
        number = bisect.bisect_right(self._ends, index)
        batch = self._batch(number)
        place = index - (self._ends[number - 1] if number else 0)
        return {name: batch.column(name)[place].as_py() for name in columns or self.columns}

    def scan(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """All rows in order, with these columns; one batch at a time is in memory."""
        for batch in self.batches(columns):
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                yield from batch.slice(start, _BATCH_ROWS).to_pylist()

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """These columns as they are on disk, a batch at a time."""
        for number in range(self._file.num_record_batches):
            yield self._batch(number).select(list(columns))

    def invalid_rows(
        self,
        *,
        num_answers: int | None = None,
        num_facts: int | None = None,
    ) -> Iterator[tuple[int, str]]:
        """The rows that are inconsistent, each with the reason; images are not read.

        Args:
            num_answers: Size of the answer vocabulary; by default that of the table's metadata, if any.
            num_facts: Number of facts; None leaves the numbers of facts unchecked.
        """
        num_answers = num_answers or len(self.metadata.get("answers") or ()) or None
        columns = columns_to_validate(self.columns)
        start = 0
        for batch in self.batches(columns):
            try:
                wrong = invalid_rows(batch, self.columns, num_answers=num_answers, num_facts=num_facts)
            except pa.ArrowException as error:
                raise TableError(f"{str(self.path)!r} cannot be read: {_first_line(error)}.") from None
            yield from ((start + row, reason) for row, reason in wrong)
            start += batch.num_rows

    def __getstate__(self) -> dict[str, Any]:
        """The file is opened again where the table is sent to, such as a worker."""
        return {name: value for name, value in vars(self).items() if name not in ("_file", "_sound")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the file again."""
        vars(self).update(state)
        self._open()


def sentences_of(table: Table) -> list[str] | None:
    """The facts of a table, by their numbers; None for a table without.

    Raises:
        TableError: If they are missing or damaged.
    """
    name = table.metadata.get("facts")
    if name is None:
        return None
    facts = Table(table.path.with_name(f"{name}.arrow"))
    if facts.columns != FACTS_SCHEMA.names or facts.types[0] != FACTS_SCHEMA.types[0]:
        raise TableError(f"{str(facts.path)!r} must have the column `sentence`, of texts.")
    sentences = [row["sentence"] for row in facts.scan(facts.columns)]
    if None in sentences:
        raise TableError(f"{str(facts.path)!r}, row {sentences.index(None)}: the sentence is null.")
    return sentences


def write_manifest(folder: Path, name: str, tables: Iterable[str], record: Mapping[str, Any]) -> None:
    """Write what belongs together beside the tables of a data set.

    Args:
        folder: The folder of the tables.
        name: The data set's name.
        tables: The tables' names, and that of their facts.
        record: What else is worth keeping.
    """
    sizes = {table: (folder / f"{table}.arrow").stat().st_size for table in tables}
    text = json.dumps({"name": name, **record, "tables": sizes}, indent=1, ensure_ascii=False)
    (folder / f"{name}{MANIFEST_ENDING}").write_text(text + "\n", encoding="utf-8")


def _require_in_manifest(table: Table) -> None:
    """Refuse a table, or its facts, that the last preparation of its data set did not write."""
    name = table.metadata.get("name")
    path = table.path.with_name(f"{name}{MANIFEST_ENDING}")
    if name is None or not path.is_file():
        return
    try:
        sizes = read_json_object(path, what="manifest").get("tables")
        if not isinstance(sizes, dict):
            raise FileProblem(f"The manifest {str(path)!r} is damaged: its `tables` must be an object.")
    except FileProblem as error:
        raise TableError(str(error)) from None
    facts = table.metadata.get("facts")
    for part in (table.path, *([] if facts is None else [table.path.with_name(f"{facts}.arrow")])):
        if not part.is_file() or sizes.get(part.stem) != part.stat().st_size:
            raise TableError(
                f"{str(part)!r} is not what `vkood data prepare` last wrote for {name!r}, as {path.name!r} says. "
                "Prepare it again, or remove what is left of an earlier preparation."
            )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def find_tables(folder: str | Path, names: Iterable[str]) -> list[Table]:
    """Open the tables of a folder by their names, in which "*" stands for anything but tables of facts.

    Args:
        folder: The folder of the tables.
        names: Names without ".arrow".

    Raises:
        TableError: If the folder is not there, has no table of a name (the error says which there are), or a table or
            its facts are not those of the last preparation.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise TableError(f"There is no folder {str(folder)!r}; `vkood data prepare` makes one.")
    try:
        finish_files(folder)
    except OSError as error:
        raise TableError(
            f"The tables in {str(folder)!r} were not all moved, and cannot be now ({error.strerror or error}): "
            "prepare them again."
        ) from None
    tables: list[Table] = []
    for name in names:
        if not name or not re.fullmatch(r"[^/\\\x00]+", name):
            raise TableError(f"The name of a table must have no slashes; got {name!r}.")
        exact = folder / f"{name}.arrow"
        paths = [exact] if exact.is_file() else sorted(folder.glob(f"{name}.arrow"))
        matching = [path for path in paths if not path.stem.endswith(FACTS_ENDING)]
        if not matching:
            others = [path.stem for path in folder.glob("*.arrow") if not path.stem.endswith(FACTS_ENDING)]
            there = ", ".join(sorted(others)) or "no tables"
            raise TableError(
                f"There is no table {name!r} in {str(folder)!r}, which has {there}. Prepare it with `vkood data "
                "prepare`, or name others."
            )
        tables += [Table(path) for path in matching]
    for table in tables:
        _require_in_manifest(table)
    return tables
