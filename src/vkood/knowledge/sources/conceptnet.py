"""ConceptNet's dump of assertions, as it can be downloaded: one a line, five columns separated by tabs.

The columns are the assertion's address, the relation (/r/IsA), the start (/c/en/cat/n), the end (/c/en/animal), and
a JSON object with the dataset, the weight and more.
"""

from __future__ import annotations

import gzip
import json
import operator
import re
import shlex
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vkood.files import open_regular
from vkood.knowledge.facts import RELATIONS, require_relations, to_thousandths
from vkood.knowledge.sources.batches import (
    CODES_IN_SOURCES,
    MAX_LINE_BYTES,
    Batch,
    Tally,
    UnreadableSourceError,
    normalise_all,
)
from vkood.knowledge.store.schema import SourceInfo

_CHUNK = 1 << 21
_GZIP_MAGIC = b"\x1f\x8b"
_NUMBER = r"[0-9]{1,6}(?:\.[0-9]+)?(?:[eE]-[0-9]+)?"

_TERM = re.compile(r"/c/([^/]+)/([^/]+)")
_ADDRESS = re.compile(r"[a-z]+:")


def _line_patterns(language: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """One line: relation, text of the start and of the end, dataset, weight.

    A term is /c/LANGUAGE/TEXT, then perhaps a part of speech and a sense; its text is empty if the language is
    another. The end may be the address of a page instead. The first pattern reads lines as they are in the dump,
    at a good million a second; the second, a third slower, reads the keys of the last column in any order.
    """
    term = rf"/c/(?:{re.escape(language)}/([^/\t\n]+)|[^/\t\n]+/[^/\t\n])[^\t\n]*"
    columns = rf"^/a/[^\t\n]*\t/r/([^\t\n]+)\t{term}\t(?:{term}|[a-z]+:[^\t\n]+)\t\{{"
    usual = rf'"dataset": "([^"]*)".*"weight": ({_NUMBER})\}}$'
    any_order = rf'(?=(?:.*, ?)??"dataset": ?"([^"]*)"|)(?=.*"weight": ?({_NUMBER})[,}}]).*\}}\r?$'
    return re.compile(columns + usual, re.MULTILINE), re.compile(columns + any_order, re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ConceptNetSource:
    """The assertions of ConceptNet 5.7 in one language.

    Links to other sites, assertions between languages, of other relations than `RELATIONS`, and of a term with
    itself are left out. Relations of earlier editions are read by their names of today ("InstanceOf" as "IsA"). A
    part of speech or sense after a term is dropped.

    Args:
        path: The dump, as text or compressed by gzip.
        language: The code of the language, such as "en".
        min_weight: Assertions of less weight are left out.
        relations: Only these relations; by default all.

    Raises:
        ValueError: If the file is none or cannot be read, or an option cannot be.
    """

    path: Path
    language: str = "en"
    min_weight: float = 0.0
    relations: frozenset[str] | None = None

    def __post_init__(self) -> None:
        """Refuse options that cannot be."""
        require_relations("`relations`", self.relations)
        if not re.fullmatch(r"[a-z]{2,3}(-[a-z0-9]+)*", self.language):
            raise ValueError(
                f"`language` must be the code of a language, such as 'en'; got {self.language!r}."
            )
        if not 0 <= self.min_weight < float("inf"):
            raise ValueError(f"`min_weight` must be a number from 0; got {self.min_weight}.")

    @property
    def info(self) -> SourceInfo:
        """What the store will say about it."""
        options = [] if self.language == "en" else [f"--language {self.language}"]
        if self.min_weight:
            options.append(f"--min-weight {self.min_weight:g}")
        if self.relations is not None:
            options.append(f"--relations {','.join(sorted(self.relations))}")
        return SourceInfo(
            name="ConceptNet",
            licence="CC BY-SA 4.0",
            rebuild=" ".join(["conceptnet", shlex.quote(self.path.name), *options]),
        )

    @property
    def size(self) -> int | None:
        """Bytes of the file."""
        return self.path.stat().st_size

    def batches(self, tally: Tally, *, chunk: int = _CHUNK) -> Iterator[Batch]:
        """Give all assertions that no filter leaves out.

        Args:
            tally: Counts the lines.
            chunk: Bytes that are read at a time; by default some thousands of lines.
        """
        keep, patterns = _Filter(self), _line_patterns(self.language)
        with open_regular(self.path, what="dump") as file:
            for lines in _line_chunks(file, tally, chunk):
                num_lines = lines.count(b"\n")
                rows = self._rows(lines, num_lines, patterns, tally)
                for name in keep.unknown_relations(rows):
                    tally.unknown_relation(name)
                tally.num_lines += num_lines
                batch = keep(rows)
                tally.num_facts += len(batch.subjects)
                tally.num_left_out += len(rows) - len(batch.subjects)
                yield batch

    def _rows(
        self, lines: bytes, num_lines: int, patterns: Sequence[re.Pattern[str]], tally: Tally
    ) -> list[_Row]:
        """The assertions of whole lines; the tally counts the lines that are none."""
        try:
            text = lines.decode()
        except UnicodeDecodeError:
            text = ""
        for pattern in patterns:
            rows: list[_Row] = pattern.findall(text)
            if len(rows) == num_lines:
                return rows
        rows = []
        for number, line in enumerate(lines.split(b"\n")[:-1], tally.num_lines + 1):
            try:
                rows += patterns[-1].findall(line.decode()) or [_parsed(line.decode(), self.language)]
            except UnicodeDecodeError:
                tally.unreadable(self.path.name, number, "it is not UTF-8")
            except ValueError as error:
                tally.unreadable(self.path.name, number, str(error))
        return rows


_Row = tuple[str, str, str, str, str]
"""Relation, text of the start and of the end (empty in another language), dataset, weight."""


class _Filter:
    """Filters assertions, and turns them into columns."""

    def __init__(self, source: ConceptNetSource) -> None:
        self._min_weight = source.min_weight
        chosen = source.relations or frozenset(RELATIONS)
        self._codes = {
            name: code
            for name, code in CODES_IN_SOURCES.items()
            if RELATIONS[code] in chosen and name != "ExternalURL"
        }
        self._weights: dict[str, int | None] = {}
        self._names: dict[str, str] = {}

    def __call__(self, rows: list[_Row]) -> Batch:
        codes, weights = self._codes, self._weights
        self._learn_weights({row[4] for row in rows})
        kept = [
            row
            for row in rows
            if row[1] and row[2] and row[1] != row[2] and row[0] in codes and weights[row[4]] is not None
        ]
        if not kept:
            return Batch([], [], [], [], [])
        relations, starts, ends, datasets, weight = zip(*kept, strict=True)
        subjects, objects = normalise_all(starts), normalise_all(ends)
        if "" in subjects or "" in objects or any(map(operator.eq, subjects, objects)):
            # Only now does it show that there is no word in a term, or that the two are one.
            named = zip(kept, subjects, objects, strict=True)
            return self(
                [row for row, subject, object_ in named if subject and object_ and subject != object_]
            )
        for dataset in set(datasets).difference(self._names):
            self._names[dataset] = f"ConceptNet {dataset}".strip()
        return Batch(
            subjects,
            list(map(codes.__getitem__, relations)),
            objects,
            list(map(weights.__getitem__, weight)),  # pyright: ignore[reportArgumentType] - None was left out
            list(map(self._names.__getitem__, datasets)),
        )

    @staticmethod
    def unknown_relations(rows: list[_Row]) -> list[str]:
        """The relations, assertion by assertion, of those that are in the language and of no known relation."""
        unknown = {row[0] for row in rows}.difference(CODES_IN_SOURCES)
        return [row[0] for row in rows if row[0] in unknown and row[1] and row[2]] if unknown else []

    def _learn_weights(self, texts: set[str]) -> None:
        """Turn weights into thousandths, each once; one that is too small becomes None."""
        for text in texts.difference(self._weights):
            weight = float(text)
            self._weights[text] = to_thousandths(weight) if weight >= self._min_weight else None


def _line_chunks(file: BinaryIO, tally: Tally, chunk: int) -> Iterator[bytes]:
    """Whole lines, some thousands at a time."""
    compressed = file.read(2) == _GZIP_MAGIC
    file.seek(0)
    stream = gzip.GzipFile(fileobj=file) if compressed else file
    rest = b""
    try:
        while read := stream.read(chunk):
            tally.bytes_read = file.tell()
            end = read.rfind(b"\n") + 1
            if not end and len(rest) > MAX_LINE_BYTES:
                raise UnreadableSourceError(
                    f"line {tally.num_lines + 1:,} has more than {MAX_LINE_BYTES:,} bytes: this is not a dump of "
                    "assertions, one a line."
                )
            if end:
                yield rest + read[:end]
                rest = b""
            rest += read[end:]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableSourceError(
            f"it is damaged after line {tally.num_lines:,}: {error}; get it again."
        ) from error
    if rest:
        yield rest + b"\n"


def _parsed(line: str, language: str) -> _Row:
    """One assertion that is written in an unusual way.

    Raises:
        ValueError: If it is none, with the reason.
    """
    columns = line.rstrip("\r").split("\t")
    if len(columns) != 5:
        raise ValueError(f"it must have 5 columns separated by tabs, but has {len(columns)}")
    _, relation, start, end, about = columns
    if not relation.startswith("/r/"):
        raise ValueError(f"its second column must be a relation, such as /r/IsA; got {relation[:40]!r}")
    terms = [_TERM.match(term) for term in (start, end)]
    if terms[0] is None or (terms[1] is None and not _ADDRESS.match(end)):
        wrong = start if terms[0] is None else end
        raise ValueError(f"it must relate terms, such as /c/en/cat; got {wrong[:40]!r}")
    try:
        about = json.loads(about)
        weight, dataset = float(about["weight"]), str(about.get("dataset", ""))
        to_thousandths(weight)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError('its last column must be a JSON object with a number "weight"') from None
    texts = [term[2] if term and term[1] == language else "" for term in terms]
    return relation[3:], texts[0], texts[1], dataset, repr(weight)
