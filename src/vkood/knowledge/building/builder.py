"""Building a store: facts from any number of sources, in one file."""

from __future__ import annotations

import datetime
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vkood.fields import shown
from vkood.files import complete_file
from vkood.knowledge.building.spool import Spool
from vkood.knowledge.building.writing import write_store
from vkood.knowledge.facts import Fact
from vkood.knowledge.sources.batches import (
    Batch,
    FactSource,
    Source,
    Tally,
    UnreadableSourceError,
)
from vkood.knowledge.store.fact_store import FactStore
from vkood.knowledge.store.schema import SourceInfo, StoreHeader, require_replaceable


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildProgress:
    """The progress of a build.

    Args:
        stage: What it is doing: "reading" the named source, "writing" the store.
        name: The source that is read.
        done: Bytes read, or facts written.
        total: Of those; None if not known.
        num_lines: Lines read of this source.
    """

    stage: str
    name: str = ""
    done: int = 0
    total: int | None = None
    num_lines: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """The summary of a build.

    Args:
        path: The store's file.
        size: Its bytes.
        header: What the store says about itself.
        tallies: What was read of each new source.
    """

    path: Path
    size: int
    header: StoreHeader
    tallies: tuple[Tally, ...]


def build_store(
    path: str | Path,
    sources: Iterable[Source | Iterable[Fact]],
    *,
    append: bool = False,
    on_progress: Callable[[BuildProgress], None] | None = None,
    date: str | None = None,
) -> BuildReport:
    """Build a store from sources of facts.

    The same facts always give the same file, in whatever order they come; only the date differs. Facts that
    differ in weight and source alone become one, with the largest weight and the names of all its sources. The
    file appears under its name, or takes the place of an earlier one, only when it is complete. Memory does not
    grow with the number of facts.

    Args:
        path: The file; its folder has to exist.
        sources: Where the facts come from: a `ConceptNetSource`, `WordNetSource` or `TableSource`, or facts.
        append: Keep the facts of the store that is there, if there is one.
        on_progress: Called with how far the build has come, many times.
        date: The date for the header, as YYYY-MM-DD; by default today's.

    Returns:
        What was read and written.

    Raises:
        UnreadableSourceError: If more than 1 % of a source cannot be read, or no facts are left.
        StoreError: If facts are to be added to a file that is no store, or would take the place of one.
        ValueError: If `sources` holds what is no source, or a source what is no fact.
        OSError: If the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = build_store(f"{folder}/facts.db", [[Fact("lemon", "IsA", "fruit")]])
        ...     report.header.num_facts, report.header.num_concepts
        (1, 2)
    """
    path = Path(path)
    report_progress = on_progress or (lambda progress: None)
    date = _date(date)
    require_replaceable(path)
    if not _is_many(sources):
        raise ValueError(
            f"`sources` must be a list of sources, such as lists of facts; got {shown(sources)}."
        )
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(path.parent)!r} to write the store to; make it first."
        )
    with (
        _kept(path, append=append) as kept,
        complete_file(path) as unfinished,
        _scratch(unfinished) as folder,
    ):
        spool = Spool(folder)
        try:
            infos = list(kept.header.sources) if kept else []
            if kept:
                _read(_StoreSource(kept), spool, report_progress)
            tallies = []
            for source in sources:
                source = source if isinstance(source, Source) else _in_memory(source)
                tally = _read(source, spool, report_progress)
                infos = [info for info in infos if (info.name, info.rebuild) != _key(source.info)]
                infos.append(replace(source.info, num_facts=tally.num_facts))
                tallies.append(tally)
            header = _write(unfinished, spool, tuple(infos), date, report_progress)
        finally:
            spool.close()
    return BuildReport(path=path, size=path.stat().st_size, header=header, tallies=tuple(tallies))


def _is_many(items: Any) -> bool:
    """Whether these are several, and not a fact or a text, which can be iterated over too."""
    return isinstance(items, Iterable) and not isinstance(items, str | Fact)


def _in_memory(facts: Any) -> FactSource:
    if not _is_many(facts):
        raise ValueError(
            f"`sources` must be sources of facts, such as lists of facts; got {shown(facts)} in it. Facts of no other "
            "source are a list in the list: `[[fact, ...]]`."
        )
    return FactSource(facts)


def _read(source: Source, spool: Spool, report_progress: Callable[[BuildProgress], None]) -> Tally:
    """Take up all facts of a source."""
    tally = Tally()
    name, total = source.info.name, source.size
    try:
        for batch in source.batches(tally):
            spool.add(batch)
            tally.require_readable(finished=False)
            report_progress(
                BuildProgress(
                    stage="reading", name=name, done=tally.bytes_read, total=total, num_lines=tally.num_lines
                )
            )
        tally.require_readable(finished=True)
        if not tally.num_facts:
            raise UnreadableSourceError(
                f"no facts are left of {tally.num_lines:,} lines, of which {tally.num_left_out:,} were left "
                "out; nothing was written."
            )
    except UnreadableSourceError as error:
        raise UnreadableSourceError(f"{name}: {error}") from error
    return tally


def _write(
    unfinished: Path,
    spool: Spool,
    infos: tuple[SourceInfo, ...],
    date: str,
    report_progress: Callable[[BuildProgress], None],
) -> StoreHeader:
    if not spool.num_added:
        raise UnreadableSourceError("A store must have at least one fact; got no sources.")
    written = 0

    def on_facts(more: int) -> None:
        nonlocal written
        written += more
        report_progress(BuildProgress(stage="writing", done=written, total=spool.num_added))

    try:
        return write_store(unfinished, spool, sources=infos, date=date, on_facts=on_facts)
    except sqlite3.Error as error:
        raise OSError(f"the store cannot be written: {error}") from error


@dataclass(frozen=True, slots=True)
class _StoreSource:
    """The facts of a store that others are added to."""

    store: FactStore

    @property
    def info(self) -> SourceInfo:
        return SourceInfo(self.store.path.name)

    @property
    def size(self) -> int | None:
        return None

    def batches(self, tally: Tally) -> Iterator[Batch]:
        facts = FactSource(self.store.facts(), self.info)
        return facts.batches(tally)


def _key(info: SourceInfo) -> tuple[str, str]:
    return info.name, info.rebuild


def _date(date: str | None) -> str:
    if date is None:
        return datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat()
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        raise ValueError(f"`date` must be like 2026-01-31; got {date!r}.")
    return date


@contextmanager
def _kept(path: Path, *, append: bool) -> Iterator[FactStore | None]:
    if append and path.exists():
        with FactStore.open(path) as store:
            yield store
    else:
        yield None


@contextmanager
def _scratch(unfinished: Path) -> Iterator[Path]:
    """A folder beside the unfinished file, which goes at the end of the block."""
    folder = unfinished.with_name(f"{unfinished.name}.sorting")
    try:
        folder.mkdir()  # in here, since a signal may come as soon as it is made
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
