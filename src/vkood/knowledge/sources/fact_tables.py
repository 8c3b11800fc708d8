"""Tables of facts, as people have them: CSV, TSV, JSON lines or Parquet with a column for each part of a fact."""

from __future__ import annotations

import csv
import gzip
import json
import shlex
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

from vkood.extras import install_command
from vkood.files import open_regular
from vkood.knowledge.facts import normalise_concept, to_thousandths, unknown_relation
from vkood.knowledge.sources.batches import (
    RELATION_CODES,
    Batch,
    Tally,
    UnreadableSourceError,
    lines_of,
    normalise_source,
)
from vkood.knowledge.store.schema import SourceInfo

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
"""Files of these kinds are read; all but the last may also be compressed, with .gz after it."""
COLUMNS = ("subject", "relation", "object")
"""A table must have these columns; "weight" and "source" are read if they are there, others are passed over."""

_ROWS = 10_000
_CODE_OF = {name.lower(): code for name, code in RELATION_CODES.items()}


class _Row(NamedTuple):
    """A row of a table, or why it is none."""

    line: int
    cells: Mapping[str, Any] | str


@dataclass(frozen=True, slots=True)
class TableSource:
    """The facts of a table.

    Concepts are normalised; a relation may also be written as "is_a", "is a" or "/r/IsA". Without a weight a fact
    weighs 1, and without a source it has the table's name.

    Args:
        path: The file; its name ends in one of `SUFFIXES`.
        name: What the facts' source is called; by default the file's name, without its ending.
        licence: Under which terms the table may be used.

    Raises:
        ValueError: If the file is none of that kind.
    """

    path: Path
    name: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        """Refuse a file that is no table."""
        open_regular(self.path, what="table").close()
        kind, compressed = _kind(self.path)
        if kind not in SUFFIXES or (compressed and kind == ".parquet"):
            raise ValueError(
                f"A table must be a file that ends in {', '.join(SUFFIXES)}; got {self.path.name!r}."
            )

    @property
    def info(self) -> SourceInfo:
        """What the store will say about it."""
        name = normalise_source(self.name) or self.path.name.split(".")[0]
        options = "".join(
            f" {option} {shlex.quote(value)}"
            for option, value in (("--name", self.name), ("--licence", self.licence))
            if value
        )
        return SourceInfo(
            name=name, licence=self.licence, rebuild=f"table {shlex.quote(self.path.name)}{options}"
        )

    @property
    def size(self) -> int | None:
        """Bytes of the file."""
        return self.path.stat().st_size

    def batches(self, tally: Tally) -> Iterator[Batch]:
        """Give all facts, some thousands at a time."""
        name = self.info.name
        rows = self._rows(tally)
        try:
            while chunk := list(islice(rows, _ROWS)):
                facts = []
                for line, cells in chunk:
                    tally.num_lines += 1
                    try:
                        facts.append(_fact(cells, name))
                    except ValueError as error:
                        tally.unreadable(self.path.name, line, str(error))
                tally.num_facts += len(facts)
                if facts:
                    yield Batch(*map(list, zip(*facts, strict=True)))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UnreadableSourceError(
                f"it is damaged after row {tally.num_lines:,}: {error}; get it again."
            ) from error

    def _rows(self, tally: Tally) -> Iterator[_Row]:
        kind, compressed = _kind(self.path)
        if kind == ".parquet":
            yield from _parquet_rows(self.path)
            return
        with open_regular(self.path, what="table") as raw:
            stream: Any = gzip.GzipFile(fileobj=raw) if compressed else raw
            lines = _counted(stream, raw, tally)
            if kind in (".csv", ".tsv"):
                yield from _csv_rows(lines, self.path.name, tabs=kind == ".tsv")
            else:
                yield from _json_rows(lines)


def _kind(path: Path) -> tuple[str, bool]:
    """The ending of a file's name, and whether it is compressed besides."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        return "".join(suffixes[-2:-1]), True
    return "".join(suffixes[-1:]), False


def _counted(stream: BufferedIOBase, raw: IO[bytes], tally: Tally) -> Iterator[str]:
    """The lines of a file; bytes that are no UTF-8 become lone surrogates, which no readable cell has."""
    for number, line in enumerate(lines_of(stream)):
        if number % _ROWS == 0:
            tally.bytes_read = raw.tell()
        text = line.decode("utf-8", "surrogateescape")
        yield text.removeprefix("\ufeff") if number == 0 else text


def _csv_rows(lines: Iterator[str], file: str, *, tabs: bool) -> Iterator[_Row]:
    # A cell in quotes may go over several lines; tables separated by tabs have no quotes.
    reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.reader(lines)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield from _swallowed(line, reader.line_num, str(error))
            continue
        if header is None:
            header = _require_columns([cell.strip().lower() for cell in cells], file)
        elif reader.line_num > line and not _has_three(dict(zip(header, cells, strict=False))):
            yield from _swallowed(
                line, reader.line_num, "a quotation mark opens in it that closes lines later"
            )
        elif len(cells) > len(header):
            yield _Row(line, f"it must have {len(header)} cells, but has {len(cells)}")
        elif cells:
            yield _Row(line, dict(zip(header, cells, strict=False)))
    if header is None:
        raise UnreadableSourceError("it is empty; its first line must name the columns.")


def _has_three(cells: Mapping[str, str]) -> bool:
    """Whether a row has what names a fact, each on one line."""
    return all(column in cells and "\n" not in cells[column] for column in COLUMNS)


def _swallowed(first: int, last: int, reason: str) -> Iterator[_Row]:
    """Count every line that went into a row that is none: a mark that is missing must not hide half a table."""
    yield _Row(first, reason)
    for line in range(first + 1, last + 1):
        yield _Row(line, f"line {first:,} took it in: {reason}")


def _json_rows(lines: Iterator[str]) -> Iterator[_Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError):
            cells = None
        yield _Row(number, cells if isinstance(cells, dict) else "it must be a JSON object")


def _parquet_rows(path: Path) -> Iterator[_Row]:
    try:
        import pyarrow.parquet  # pyright: ignore[reportMissingImports] - of the extra `knowledge`
    except ImportError as error:
        raise UnreadableSourceError(
            f"reading Parquet needs the package pyarrow; install it with {install_command('knowledge')}."
        ) from error
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            names = {name.strip().lower(): name for name in table.schema_arrow.names}
            _require_columns(list(names), path.name)
            columns = [names[name] for name in (*COLUMNS, "weight", "source") if name in names]
            for batch in table.iter_batches(_ROWS, columns=columns):
                for cells in batch.to_pylist():
                    number += 1
                    yield _Row(number, {name.strip().lower(): cell for name, cell in cells.items()})
    except (pyarrow.ArrowException, OSError) as error:
        raise UnreadableSourceError(f"it cannot be read as Parquet: {str(error).splitlines()[0]}") from error


def _require_columns(names: list[str], file: str) -> list[str]:
    missing = [name for name in COLUMNS if name not in names]
    if missing or len(set(names)) != len(names):
        columns = ", ".join(names)[:200].encode("utf-8", "replace").decode()
        raise UnreadableSourceError(
            f"{file!r} must have the columns {', '.join(COLUMNS)}, each once; its columns are: {columns}."
        )
    return names


def _fact(cells: Mapping[str, Any] | str, name: str) -> tuple[str, int, str, int, str]:
    """Read one row.

    Raises:
        ValueError: If it is no fact, with the reason.
    """
    if isinstance(cells, str):
        raise ValueError(cells)
    relation = _text(cells, "relation")
    code = _CODE_OF.get(relation.removeprefix("/r/").replace("_", "").replace(" ", "").lower())
    if code is None:
        raise ValueError(unknown_relation("its relation", relation, listed=False).rstrip("."))
    subject, object_ = (normalise_concept(_text(cells, column)) for column in ("subject", "object"))
    if not subject or not object_:
        raise ValueError("its subject and object must have at least one word")
    weight = cells.get("weight")
    try:
        thousandths = 1000 if weight is None or weight == "" else to_thousandths(float(weight))
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"its weight must be a number from 0; got {str(weight)[:40]!r}") from None
    source = _text(cells, "source") if cells.get("source") not in (None, "") else ""
    return subject, code, object_, thousandths, normalise_source(source) or name


def _text(cells: Mapping[str, Any], column: str) -> str:
    cell = cells.get(column)
    if not isinstance(cell, str) or not cell.strip():
        raise ValueError(f"it must have a text in the column {column}; got {str(cell)[:40]!r}")
    if any("\ud800" <= letter <= "\udfff" for letter in cell):
        raise ValueError("it is not UTF-8")
    return cell
