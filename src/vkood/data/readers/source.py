"""The result of a reader, and the count of rows that cannot be read, with their reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vkood.data.layout import Kind

Row = dict[str, Any]
_SHOWN = 5
_KEPT_REASONS = 1000
_MAX_BAD_SO_FAR = 100_000
"""Reading stops early at this many bad rows, if they are more than half of all rows so far."""


class SourceError(ValueError):
    """A data set's files are missing or invalid."""


class BadRowsError(SourceError):
    """More rows cannot be read than may be left out."""


@dataclass
class BadRows:
    """Counts the rows of files: each is kept, skipped on purpose, or bad and left out; too many bad rows are an error.

    A row is what the file has: a line, a question, an image with its captions. A table's row may hold several.

    Args:
        max_share: Max share of rows that may be left out as bad.

    Attributes:
        reasons: "file, row: reason" of the first thousand bad rows.
        kept: Number of rows kept.
        num_bad: Number of bad rows.
        passed: Number of rows passed on to tables, which count them.
        skipped: Number of rows left out on purpose, by reason.
        notes: Further remarks, with the number of rows that each concerns.
    """

    max_share: float = 0.01
    reasons: list[str] = field(default_factory=list)
    kept: int = 0
    num_bad: int = 0
    passed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        """How many rows were read: those kept or passed on, those skipped and bad ones."""
        return self.kept + self.passed + self.num_bad + sum(self.skipped.values())

    @property
    def first(self) -> str:
        """A sentence with the first bad row, for the end of an error; empty if there is none."""
        return f" The first bad row: {self.reasons[0]}." if self.reasons else ""

    def good(self, count: int = 1) -> None:
        """Keep rows."""
        self.kept += count

    def pass_on(self) -> None:
        """Pass a row on to a table, which counts it."""
        self.passed += 1

    def skip(self, reason: str, count: int = 1) -> None:
        """Leave rows out on purpose."""
        if count:
            self.skipped[reason] += count

    def note(self, what: str, count: int = 1) -> None:
        """Add a remark about rows that are counted elsewhere."""
        if count:
            self.notes[what] += count

    def bad(self, file: str | Path, row: int | str | Sequence[int | str], reason: str) -> None:
        """Leave a row out, or several for the same reason.

        Args:
            file: The file that it is in.
            row: Its number, or a text that names it; or several of one kind.
            reason: What is wrong with it, as a sentence without its full stop.

        Raises:
            BadRowsError: If there are too many already.
        """
        rows = [row] if isinstance(row, int | str) else row
        self.num_bad += len(rows)
        if len(self.reasons) < _KEPT_REASONS:
            names = ", ".join(map(str, rows[:_SHOWN])) + (", ..." if len(rows) > _SHOWN else "")
            kind = "" if isinstance(rows[0], str) else "row " if len(rows) == 1 else "rows "
            self.reasons.append(f"{file}, {kind}{names}: {reason.rstrip('.')}")
        if self.num_bad > _MAX_BAD_SO_FAR and self.num_bad > max(self.max_share, 0.5) * self.rows:
            raise self._error("so far ")

    def require_few(self, max_share: float | None = None) -> None:
        """Raise an error if there are too many bad rows.

        Args:
            max_share: Replaces `self.max_share`.

        Raises:
            BadRowsError: If the share of bad rows is higher; the message has the first few.
        """
        self.max_share = self.max_share if max_share is None else max_share
        if self.num_bad > self.max_share * max(self.rows, 1):
            raise self._error()

    def _error(self, so_far: str = "") -> BadRowsError:
        first = "; ".join(self.reasons[:_SHOWN])
        return BadRowsError(
            f"{self.num_bad:,} of {self.rows:,} rows {so_far}cannot be read, more than the {self.max_share:.2%} that "
            f"may be left out (`--max-bad`): {first}{'; ...' if len(self.reasons) > _SHOWN else ''}. "
            "Nothing was written."
        )


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set as a reader reads it.

    Attributes:
        name: The data set's name, in front of the tables' names.
        kind: What the rows are.
        schema: The name of the columns in `layout.SCHEMAS`.
        tables: For each table's name a function that reads its rows and counts those it has to leave out.
        answers: The answer vocabulary, in the order of its ids; None where there is none.
        bad: The rows that were left out before it was known which table they belong to.
        has_facts: Whether rows have `facts`, the sentences that come with each text: then none are looked up.
        sizes: How many rows each table has if no more of them are bad; empty where that is not known.
    """

    name: str
    kind: Kind
    schema: str
    tables: Mapping[str, Callable[[BadRows], Iterator[Row]]]
    answers: tuple[str, ...] | None = None
    bad: BadRows = field(default_factory=BadRows)
    has_facts: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict)


def require_file(root: Path, *places: str, what: str) -> Path:
    """The first of these places below `root` that exists.

    Raises:
        SourceError: If none is.
    """
    for place in places:
        if (root / place).exists():
            return root / place
    raise SourceError(f"{what} must be at {' or '.join(repr(str(root / place)) for place in places)}.")


def require_min_occurrences(number: int) -> None:
    """Refuse a minimum number of occurrences below 1.

    Raises:
        ValueError: If it is below 1.
    """
    if number < 1:
        raise ValueError(f"`min_occurrences` (`--min-answers`) must be 1 or more; got {number}.")
