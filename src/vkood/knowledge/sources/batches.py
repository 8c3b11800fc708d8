"""What every source of facts gives to a build: columns of facts, and an account of what it could not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BufferedIOBase
from itertools import islice
from typing import NamedTuple, Protocol, runtime_checkable

from vkood.fields import shown
from vkood.knowledge.facts import RELATIONS, RENAMED_RELATIONS, Fact, normalise_concept, to_thousandths
from vkood.knowledge.store.schema import SourceInfo

RELATION_CODES = {relation: code for code, relation in enumerate(RELATIONS)}
CODES_IN_SOURCES = RELATION_CODES | {old: RELATION_CODES[new] for old, new in RENAMED_RELATIONS.items()}
"""Also of the names that relations had in earlier editions of ConceptNet."""
UNREADABLE_SHARE = 0.01
"""More of a source than this may not be unreadable."""
NUM_SHOWN = 5
"""So many unreadable lines are kept with their numbers."""

NUM_NAMES = 100
"""So many unknown relations are counted by name."""

MAX_LINE_BYTES = 1 << 24
"""Bytes."""

_BATCH = 20_000
_HOPELESS = 1_000
"""After this number of lines, a file that is mostly unreadable counts as one of another kind."""


class Batch(NamedTuple):
    """Facts, column by column: a build handles millions, and a column at a time is quickest.

    Args:
        subjects: Normalised names of concepts.
        relations: Places in `RELATIONS`.
        objects: Normalised names of concepts.
        thousandths: Weights, in thousandths.
        sources: Where each fact comes from; several names are separated by " + ".
    """

    subjects: list[str]
    relations: list[int]
    objects: list[str]
    thousandths: list[int]
    sources: list[str]


class UnreadableLine(NamedTuple):
    """A line that is no fact, and why."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        """Say where it is and why."""
        return f"{self.file}, line {self.line:,}: {self.reason}"


class UnreadableSourceError(ValueError):
    """Too much of a source cannot be read, or it has no facts."""


@dataclass(slots=True)
class Tally:
    """How far the reading of a source has come, and what it met.

    Args:
        bytes_read: Of the file, compressed as it is.
        num_lines: Lines read.
        num_facts: Facts given.
        num_left_out: Facts that a filter left out.
        num_unreadable: Lines that are no facts.
        first_unreadable: The first of them.
        unknown_relations: How often each relation occurred that is none of `RELATIONS`, whether such lines were left
            out or are unreadable; from the hundredth name on, all as "others".
    """

    bytes_read: int = 0
    num_lines: int = 0
    num_facts: int = 0
    num_left_out: int = 0
    num_unreadable: int = 0
    first_unreadable: list[UnreadableLine] = field(default_factory=list)
    unknown_relations: Counter[str] = field(default_factory=Counter)

    def unreadable(self, file: str, line: int, reason: str) -> None:
        """Count a line that cannot be read."""
        self.num_unreadable += 1
        if len(self.first_unreadable) < NUM_SHOWN:
            self.first_unreadable.append(UnreadableLine(file, line, reason))

    def unknown_relation(self, name: str) -> None:
        """Count a line whose relation is none of `RELATIONS`, by the relation's name."""
        name = name[:40]
        is_counted = name in self.unknown_relations or len(self.unknown_relations) < NUM_NAMES
        self.unknown_relations[name if is_counted else "others"] += 1

    def unknown_by_name(self) -> str:
        """Return the unknown relations with their numbers, the most frequent first; empty if there are none."""
        return ", ".join(f"{name} {count:,}" for name, count in self.unknown_relations.most_common())

    def require_readable(self, *, finished: bool) -> None:
        """Refuse a source of which too much cannot be read.

        Args:
            finished: Whether all was read. Before that, only a file that is plainly of another kind is refused.

        Raises:
            UnreadableSourceError: If so, with the first lines of that kind.
        """
        if not finished and self.num_lines < _HOPELESS:
            return
        highest = self.num_lines * (UNREADABLE_SHARE if finished else 0.5)
        if self.num_unreadable > highest:
            shown = "; ".join(map(str, self.first_unreadable))
            more = "the first are " if self.num_unreadable > len(self.first_unreadable) else ""
            unknown = self.unknown_by_name()
            relations = (
                f" Unknown relations: {unknown}; `unknown_relations` (--unknown-relations) leaves such lines out, or "
                "says what they stand for."
                if unknown
                else ""
            )
            raise UnreadableSourceError(
                f"{self.num_unreadable:,} of {self.num_lines:,} lines cannot be read, more than "
                f"{UNREADABLE_SHARE:.0%}; nothing was written: {more}{shown}.{relations}"
            )


@runtime_checkable
class Source(Protocol):
    """Where facts come from: what it is, how large it is, and its facts, read as they are used."""

    @property
    def info(self) -> SourceInfo:
        """What the store will say about it."""
        ...

    @property
    def size(self) -> int | None:
        """Bytes to be read, if that is known."""
        ...

    def batches(self, tally: Tally) -> Iterator[Batch]:
        """Give all facts, and keep the account."""
        ...


@dataclass(frozen=True, slots=True)
class FactSource:
    """Facts in memory.

    Args:
        facts: The facts.
        info: What the store will say about where they come from.
    """

    facts: Iterable[Fact]
    info: SourceInfo = field(default_factory=lambda: SourceInfo("facts"))

    @property
    def size(self) -> int | None:
        """Not known."""
        return None

    def batches(self, tally: Tally) -> Iterator[Batch]:
        """Give all facts; one without a source gets this one's name."""
        facts = iter(self.facts)
        while chunk := list(islice(facts, _BATCH)):
            if strange := [fact for fact in chunk if not isinstance(fact, Fact)]:
                raise ValueError(f"`facts` must hold facts, of the class `Fact`; got {shown(strange[0])}.")
            tally.num_lines += len(chunk)
            tally.num_facts += len(chunk)
            yield Batch(
                [fact.subject for fact in chunk],
                [RELATION_CODES[fact.relation] for fact in chunk],
                [fact.object for fact in chunk],
                [to_thousandths(fact.weight) for fact in chunk],
                [normalise_source(fact.source) or self.info.name for fact in chunk],
            )


def lines_of(file: BufferedIOBase) -> Iterator[bytes]:
    """The lines of a file, each of a bounded length: what is no text at all may have no line break for gigabytes.

    Raises:
        UnreadableSourceError: If a line has more than `MAX_LINE_BYTES` bytes.
    """
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise UnreadableSourceError(f"line {number:,} has more than {MAX_LINE_BYTES:,} bytes.")
        yield line


def normalise_all(names: Sequence[str]) -> list[str]:
    """Return what `normalise_concept` makes of each name, most often without looking at each.

    Args:
        names: The names.

    Example:
        >>> normalise_all(["Fire_hydrant", " Café"])
        ['fire hydrant', 'café']
    """
    text = "\n".join(names).replace("_", " ").lower()
    if text.isascii() and text.replace("\n", " ").isprintable() and not _has_loose_spaces(text):
        normalised = text.split("\n")
        if len(normalised) == len(names):
            return normalised
    return [normalise_concept(name) for name in names]


def normalise_source(name: str) -> str:
    """Return a source's name on one line, without spaces around it."""
    return " ".join(name.split())


def _has_loose_spaces(text: str) -> bool:
    """Whether a line is empty, begins or ends with a space, or has two in a row."""
    bounded = f"\n{text}\n"
    return "  " in text or "\n " in bounded or " \n" in bounded or "\n\n" in bounded
