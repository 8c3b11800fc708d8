"""What every reader gives, and how it counts and tells rows that cannot be read."""

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
_HOPELESS = 100_000
"""So many bad rows at the beginning, and more than half of all so far, end the work at once."""


class SourceError(ValueError):
    """A data set's files are missing or are not what they should be."""


class BadRowsError(SourceError):
    """More rows cannot be read than may be left out."""


@dataclass
class BadRows:
    """Counts the rows of files: each is kept, skipped on purpose, or bad and left out; too many bad ones end the work.

    A row is what the file has: a line, a question, an image with its captions. A table's row may hold several.

    Args:
        most: Highest share of rows that may be left out as bad.

    Attributes:
        reasons: "file, row: reason" of the first thousand bad rows.
        kept: How many rows are kept.
        num_bad: How many are bad.
        passed: How many went on to tables, which count them.
        skipped: How many are left out on purpose, by reason.
        notes: What else is worth knowing, with how many rows it concerns.
    """

    most: float = 0.01
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
        """A sentence with the first bad row, to be put behind an error; empty if there is none."""
        return f" The first bad row: {self.reasons[0]}." if self.reasons else ""

    def good(self, count: int = 1) -> None:
        """Keep rows."""
        self.kept += count

    def pass_on(self) -> None:
        """Let a row go on to a table, which counts it."""
        self.passed += 1

    def skip(self, reason: str, count: int = 1) -> None:
        """Leave rows out on purpose."""
        if count:
            self.skipped[reason] += count

    def note(self, what: str, count: int = 1) -> None:
        """Remember something about rows, which are counted otherwise."""
        if count:
            self.notes[what] += count

    def bad(self, file: str | Path, row: int | str | Sequence[int | str], reason: str) -> None:
        """Leave a row out, or several for the same reason.

        Args:
            file: The file that it is in.
            row: Its number, or a text that names it; or several of one kind.
            reason: What is wrong with it, as a sentence without its full stop.

        Raises:
            BadRowsError: If there are so many already that nothing can come of it.
        """
        rows = [row] if isinstance(row, int | str) else row
        self.num_bad += len(rows)
        if len(self.reasons) < _KEPT_REASONS:
            names = ", ".join(map(str, rows[:_SHOWN])) + (", ..." if len(rows) > _SHOWN else "")
            kind = "" if isinstance(rows[0], str) else "row " if len(rows) == 1 else "rows "
            self.reasons.append(f"{file}, {kind}{names}: {reason.rstrip('.')}")
        if self.num_bad > _HOPELESS and self.num_bad > max(self.most, 0.5) * self.rows:
            raise self._error("so far ")

    def require_few(self, most: float | None = None) -> None:
        """End the work if there are too many bad rows.

        Args:
            most: Another highest share than `self.most`.

        Raises:
            BadRowsError: If the share of bad rows is higher; it tells the first few.
        """
        self.most = self.most if most is None else most
        if self.num_bad > self.most * max(self.rows, 1):
            raise self._error()

    def _error(self, so_far: str = "") -> BadRowsError:
        first = "; ".join(self.reasons[:_SHOWN])
        return BadRowsError(
            f"{self.num_bad:,} of {self.rows:,} rows {so_far}cannot be read, more than the {self.most:.2%} that may be "
            f"left out (`--max-bad`): {first}{'; ...' if len(self.reasons) > _SHOWN else ''}. Nothing was written."
        )


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a reader read.

    Attributes:
        name: The data set's name, in front of the tables' names.
        kind: What the rows are.
        schema: The name of the columns in `layout.SCHEMAS`.
        tables: For each table's name a function that reads its rows and counts those it has to leave out.
        answers: The answer vocabulary, in the order of its ids; None where there is none.
        bad: The rows that were left out before it was known which table they belong to.
        has_facts: Whether rows have `facts`, the sentences that come with each text: then none are looked up.
    """

    name: str
    kind: Kind
    schema: str
    tables: Mapping[str, Callable[[BadRows], Iterator[Row]]]
    answers: tuple[str, ...] | None = None
    bad: BadRows = field(default_factory=BadRows)
    has_facts: bool = False


def require_file(root: Path, *places: str, what: str) -> Path:
    """The first of these places below `root` that is there.

    Raises:
        SourceError: If none is.
    """
    for place in places:
        if (root / place).exists():
            return root / place
    raise SourceError(f"{what} must be at {' or '.join(repr(str(root / place)) for place in places)}.")


def require_min_occurrences(number: int) -> None:
    """Refuse a least number of occurrences that is none.

    Raises:
        ValueError: If it is below 1.
    """
    if number < 1:
        raise ValueError(f"`min_occurrences` (`--min-answers`) must be 1 or more; got {number}.")
