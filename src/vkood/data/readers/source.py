"""What every reader gives, and how it tells of rows that cannot be read."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vkood.data.layout import Kind

Row = dict[str, Any]
_SHOWN = 5


class SourceError(ValueError):
    """A data set's files are missing or are not what they should be."""


class BadRowsError(SourceError):
    """More rows cannot be read than may be left out."""


@dataclass
class BadRows:
    """Rows that are left out, each with its file and number; too many end the work.

    Args:
        most: Highest share of rows that may be left out.

    Attributes:
        told: "file, row: reason" of each.
        rows: How many rows were read, good and bad.
    """

    most: float = 0.01
    told: list[str] = field(default_factory=list)
    rows: int = 0

    def good(self) -> None:
        """Count a row."""
        self.rows += 1

    def bad(self, file: str | Path, row: int | str, reason: str) -> None:
        """Leave a row out."""
        self.rows += 1
        self.told.append(f"{file}, row {row}: {reason}")

    def require_few(self) -> None:
        """End the work if there are too many.

        Raises:
            BadRowsError: If the share of bad rows is above `most`; it tells the first few.
        """
        if len(self.told) > self.most * max(self.rows, 1):
            first = "; ".join(self.told[:_SHOWN])
            raise BadRowsError(
                f"{len(self.told):,} of {self.rows:,} rows cannot be read, more than the {self.most:.2%} that may be "
                f"left out (`--max-bad`): {first}{'; ...' if len(self.told) > _SHOWN else ''}. Nothing was written."
            )


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a reader found.

    Attributes:
        name: The data set's name, in front of the tables' names.
        kind: What the rows are.
        schema: The name of the columns in `layout.SCHEMAS`.
        tables: For each table's name a function that reads its rows and counts those it has to leave out.
        answers: The answer vocabulary, in the order of its ids; None where there is none.
    """

    name: str
    kind: Kind
    schema: str
    tables: Mapping[str, Callable[[BadRows], Iterator[Row]]]
    answers: tuple[str, ...] | None = None


def require_file(root: Path, *places: str, told: str) -> Path:
    """The first of these places below `root` that is there.

    Raises:
        SourceError: If none is.
    """
    for place in places:
        if (root / place).exists():
            return root / place
    raise SourceError(f"{told} must be at {' or '.join(repr(str(root / place)) for place in places)}.")


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        SourceError: If it cannot be read as JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{str(path)!r} cannot be read as JSON: {error}.") from None


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """The lines of a file of JSON values, numbered from 1; what cannot be read comes as None."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except ValueError:
                yield number, None


def separated(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file of separated values, numbered from 1."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        quoting = csv.QUOTE_MINIMAL if separator == "," else csv.QUOTE_NONE
        yield from enumerate(csv.reader(file, delimiter=separator, quoting=quoting), 1)


def image_bytes(path: Path, bad: BadRows, file: str | Path, row: int | str) -> bytes | None:
    """An image file's content; None, and a bad row, if it is missing or empty."""
    try:
        content = path.read_bytes()
    except OSError as error:
        bad.bad(file, row, f"the image {path} cannot be read ({error.strerror or error})")
        return None
    if not content:
        bad.bad(file, row, f"the image {path} is empty")
        return None
    return content
