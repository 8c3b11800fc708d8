"""Tables of facts, as people have them: CSV, TSV, JSON lines or Parquet with a column for each part of a fact."""

from __future__ import annotations

import csv
import gzip
import json
import re
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
from vkood.knowledge.facts import DROPPED_RELATIONS, normalise_concept, to_thousandths, unknown_relation
from vkood.knowledge.sources.batches import (
    CODES_IN_SOURCES,
    MAX_LINE_BYTES,
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
_LEFT_OUT = -1
"""In place of a relation's code."""
_KNOWN = {name.lower(): code for name, code in CODES_IN_SOURCES.items()}
_CODES = _KNOWN | {name.lower(): _LEFT_OUT for name in DROPPED_RELATIONS}


class _Row(NamedTuple):
    """A row of a table, or why it is none."""

    line: int
    cells: Mapping[str, Any] | str


@dataclass(frozen=True, slots=True)
class _RelationNames:
    """What a table's names of relations stand for."""

    codes: Mapping[str, int]
    skips_unknown: bool
    tally: Tally

    def code(self, name: str) -> int:
        """Return a relation's code, or `_LEFT_OUT`; what is no relation is counted.

        Raises:
            ValueError: If it is none, and such rows are not to be left out.
        """
        code = self.codes.get(_letters(name), _LEFT_OUT if self.skips_unknown else None)
        if code is None or code == _LEFT_OUT:
            self.tally.unknown_relation(" ".join(name.removeprefix("/r/").split()))
        if code is None:
            raise ValueError(unknown_relation("its relation", name, listed=False).rstrip("."))
        return code


@dataclass(frozen=True, slots=True)
class TableSource:
    """The facts of a table.

    Concepts are normalised; a relation may also be written as "is_a", "is a" or "/r/IsA". Relations of earlier
    editions of ConceptNet are read by their names of today ("InstanceOf" as "IsA") or left out ("InheritsFrom"), as
    ConceptNet does. Without a weight a fact weighs 1, and without a source it has the table's name.

    Args:
        path: The file; its name ends in one of `SUFFIXES`.
        name: What the facts' source is called; by default the file's name, without its ending.
        licence: Under which terms the table may be used.
        unknown_relations: What becomes of rows with another relation than `RELATIONS`: "error" counts them as
            unreadable, "skip" leaves them out; or a file with a name and the relation that it stands for on each line,
            separated by a tab or a comma; without a relation, such rows are left out.

    Raises:
        ValueError: If the file is none of that kind, or that of the relations cannot be read.
    """

    path: Path
    name: str = ""
    licence: str = ""
    unknown_relations: str | Path = "error"

    def __post_init__(self) -> None:
        """Refuse a file that is no table."""
        open_regular(self.path, what="table").close()
        kind, compressed = _kind(self.path)
        if kind not in SUFFIXES or (compressed and kind == ".parquet"):
            raise ValueError(
                f"A table must be a file that ends in {', '.join(SUFFIXES)}; got {self.path.name!r}."
            )
        if isinstance(self.unknown_relations, Path):
            _read_relations(self.unknown_relations)
        elif self.unknown_relations not in ("error", "skip"):
            raise ValueError(
                f"`unknown_relations` must be 'error', 'skip' or a `Path`; got {self.unknown_relations!r}."
            )

    @property
    def info(self) -> SourceInfo:
        """What the store will say about it."""
        name = normalise_source(self.name) or self.path.name.split(".")[0]
        options = "".join(
            f" {option} {shlex.quote(value)}"
            for option, value in (
                ("--name", self.name),
                ("--licence", self.licence),
                ("--unknown-relations", self._unknown_relations_option),
            )
            if value
        )
        return SourceInfo(
            name=name, licence=self.licence, rebuild=f"table {shlex.quote(self.path.name)}{options}"
        )

    @property
    def _unknown_relations_option(self) -> str:
        if isinstance(self.unknown_relations, Path):
            return self.unknown_relations.name
        return "" if self.unknown_relations == "error" else self.unknown_relations

    @property
    def size(self) -> int | None:
        """Bytes of the file."""
        return self.path.stat().st_size

    def batches(self, tally: Tally) -> Iterator[Batch]:
        """Give all facts, some thousands at a time."""
        name = self.info.name
        mapped = _read_relations(self.unknown_relations) if isinstance(self.unknown_relations, Path) else {}
        names = _RelationNames(_CODES | mapped, self.unknown_relations == "skip", tally)
        rows = self._rows(tally)
        try:
            while chunk := list(islice(rows, _ROWS)):
                facts = []
                for line, cells in chunk:
                    tally.num_lines += 1
                    try:
                        fact = _fact(cells, name, names)
                    except ValueError as error:
                        tally.unreadable(self.path.name, line, str(error))
                        continue
                    if fact is None:
                        tally.num_left_out += 1
                    else:
                        facts.append(fact)
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


def _read_relations(path: Path) -> dict[str, int]:
    """Read which relations stand for the unknown ones of a table.

    Raises:
        ValueError: If there is no such file, or a line of it is none; with the line's number.
    """
    codes: dict[str, int] = {}
    with open_regular(path, what="file of relations") as file:
        lines = file.read(MAX_LINE_BYTES).decode("utf-8-sig", "replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{path.name}, line {number}"
        cells = [cell.strip() for cell in re.split("[\t,]", line)]
        if len(cells) != 2 or not cells[0]:
            raise ValueError(
                f"{where}: it must have a name and the relation that it stands for, separated by a tab or a "
                f"comma; got {line[:80]!r}."
            )
        name, relation = cells
        if _letters(name) in _KNOWN:
            raise ValueError(f"{where}: {name!r} is a relation already; leave the line out.")
        if relation and _letters(relation) not in _KNOWN:
            raise ValueError(f"{where}: {unknown_relation('the second column', relation)}")
        codes[_letters(name)] = _KNOWN[_letters(relation)] if relation else _LEFT_OUT
    return codes


def _letters(relation: str) -> str:
    """A relation without what may be written in more than one way: "is_a", "is a" or "/r/IsA"."""
    return relation.removeprefix("/r/").replace("_", "").replace(" ", "").lower()


def _fact(
    cells: Mapping[str, Any] | str, name: str, names: _RelationNames
) -> tuple[str, int, str, int, str] | None:
    """Read one row; None if it is to be left out.

    Raises:
        ValueError: If it is no fact, with the reason.
    """
    if isinstance(cells, str):
        raise ValueError(cells)
    code = names.code(_text(cells, "relation"))
    if code == _LEFT_OUT:
        return None
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
