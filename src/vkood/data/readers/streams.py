"""Foreign files read piece by piece: lines, and the records of JSON lists, never a whole file in memory."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vkood.data.readers.source import BadRows, SourceError
from vkood.data.record import Mismatch, Type
from vkood.files import FileProblem, open_regular, parse_json, wide_encoding

MAX_LINE = 1 << 20
"""Characters that a line may have."""
MAX_RECORD = 1 << 25
"""Characters that a record of a JSON list may have: parsed, the worst take 32 bytes each. Longer lines are refused."""

_CHUNK = 1 << 20
"""Characters of a JSON file that are read at a time."""
_BLANK = re.compile(r"[ \t\n\r]*")
# Bytes that Python could not decode, and the zero bytes of UTF-16 without its mark.
_UNDECODED = re.compile("[\udc80-\udcff\0]")


def open_text(
    path: Path, *, encoding: str | None = None, advice: str = "Save it as UTF-8."
) -> io.TextIOWrapper:
    """Open a regular text file; bytes that cannot be decoded come as single surrogates.

    Args:
        path: The file.
        encoding: Of the text; UTF-8, with or without a byte-order mark, by default.
        advice: The last sentence of the error about another encoding.

    Raises:
        SourceError: If there is no such file, it is not a regular one, or is in UTF-16 or UTF-32.
    """
    try:
        file = open_regular(path)
    except FileProblem as error:
        raise SourceError(str(error)) from None
    try:
        wide = wide_encoding(file.read(4))
        file.seek(0)
        if encoding is None and wide:
            raise SourceError(
                f"The file {str(path)!r} must be UTF-8, but row 1 begins with the mark of {wide}. {advice}"
            )
        if encoding is None or codecs.lookup(encoding).name == "utf-8":
            encoding = "utf-8-sig"
        return io.TextIOWrapper(file, encoding=encoding, errors="surrogateescape")
    except LookupError:
        file.close()
        raise SourceError(f"the encoding must be one that Python knows for text; got {encoding!r}.") from None
    except BaseException:
        file.close()
        raise


def lines(
    path: Path, *, encoding: str | None = None, advice: str = "Save it as UTF-8."
) -> Iterator[tuple[int, str | Mismatch]]:
    """The lines of a text file, numbered from 1; a line that is not text comes as a `Mismatch` with the reason.

    Args:
        path: The file.
        encoding: Of the text; UTF-8, with or without a byte-order mark, by default.
        advice: The last sentence of the reason where bytes cannot be decoded.

    Raises:
        SourceError: As `open_text`.
    """
    name = encoding or "UTF-8"
    with open_text(path, encoding=encoding, advice=advice) as file:
        for number in range(1, 1 << 62):
            try:
                line = file.readline(MAX_LINE + 1)
                if len(line) > MAX_LINE:
                    length = len(line)
                    while line and not line.endswith("\n"):
                        line = file.readline(MAX_LINE)
                        length += len(line)
                        if length > MAX_RECORD:
                            raise SourceError(
                                f"{str(path)!r}, row {number}, has more than {MAX_RECORD:,} characters; it is not a "
                                "file of rows."
                            )
                    yield number, Mismatch(f"it has more than {MAX_LINE:,} characters")
                    continue
            except UnicodeError as error:
                raise SourceError(
                    f"{str(path)!r}, row {number} or later, is not {name} text: {error}. {advice}"
                ) from None
            if not line:
                return
            if number == 1:  # UTF-16 and UTF-32 of a certain byte order keep their mark
                line = line.removeprefix("\ufeff")
            if _UNDECODED.search(line):
                yield number, UndecodedLine(f"it is not {name} text. {advice}")
            else:
                yield number, line.removesuffix("\n")


class UndecodedLine(Mismatch):
    """A line is not text of the file's encoding."""


def cells(line: str, separator: str) -> list[str]:
    """The cells of a line of separated values; quotation marks count where the separator is a comma.

    Raises:
        Mismatch: If quotation marks are not in pairs on this line, or a cell is too long.
    """
    quoting = csv.QUOTE_MINIMAL if separator == "," else csv.QUOTE_NONE
    try:
        return next(csv.reader([line], delimiter=separator, quoting=quoting, strict=True), [])
    except csv.Error as error:
        if "field larger" in str(error):
            raise Mismatch(f"it has a cell of more than {csv.field_size_limit():,} characters") from None
        raise Mismatch(
            "it has a quotation mark that is not closed on the same line, or text behind a closed one"
        ) from None


def json_lines(path: Path, **text: Any) -> Iterator[tuple[int, Any]]:
    """The values of a file of JSON lines, numbered from 1; None for blank lines, a `Mismatch` for invalid JSON."""
    for number, line in lines(path, **text):
        if isinstance(line, Mismatch):
            yield number, line
        elif not line.strip():
            yield number, None
        else:
            try:
                yield number, parse_json(line, name=path.name)
            except FileProblem as error:
                yield number, Mismatch(f"it is not JSON ({str(error).partition('JSON: ')[2].rstrip('.')})")


def json_records(
    path: Path, record: Type, bad: BadRows, *, key: str | None = None, chunk: int = _CHUNK
) -> Iterator[tuple[int, Any]]:
    """The records of a list in a JSON file, numbered from 0; those of another form are left out.

    Args:
        path: The file.
        record: What each must be.
        bad: Counts those that are left out.
        key: The key of the list in the object that the file holds; None where the file holds a list.
        chunk: Number of characters read at a time.

    Raises:
        SourceError: If the file cannot be read as JSON with a list there, or the list is empty.
    """
    number = -1
    with open_text(path) as file:
        for number, value in enumerate(_JsonList(file, path, key, chunk).items()):
            try:
                yield number, record.read(value)
            except Mismatch as error:
                bad.bad(path.name, number, str(error))
    if number < 0:
        raise SourceError(f"{str(path)!r} has no records" + (f" in {key!r}." if key else "."))


class _JsonList:
    """A JSON list, item by item: Python's own parser on a window of the text, which grows only for long items."""

    def __init__(self, file: io.TextIOWrapper, path: Path, key: str | None, chunk: int) -> None:
        self._file, self._path, self._key, self._chunk = file, path, key, chunk
        self._text, self._place, self._whole = "", 0, False
        self._decode = json.JSONDecoder().raw_decode

    def items(self) -> Iterator[Any]:
        if self._key is None:
            if self._next() != "[":
                raise self._problem("it must hold a list")
            yield from self._items()
            self._end()
            return
        if self._next() != "{":
            raise self._problem(f"it must hold an object with a list {self._key!r}")
        has_list = False
        mark = self._next_after("{")
        while mark != "}":
            name = self._value()
            if not isinstance(name, str) or self._next() != ":":
                raise self._problem("an object's key and a colon are expected")
            self._next_after(":")
            if name == self._key and not has_list:
                if self._next() != "[":
                    raise self._problem(f"{self._key!r} must be a list")
                has_list = True
                yield from self._items()
            else:
                self._value()
            mark = self._separator("}")
        self._place += 1
        if not has_list:
            raise SourceError(
                f"{str(self._path)!r} must hold an object with a list {self._key!r}; it has no {self._key!r}."
            )
        self._end()

    def _items(self) -> Iterator[Any]:
        mark = self._next_after("[")
        while mark != "]":
            yield self._value()
            mark = self._separator("]")
        self._place += 1

    def _separator(self, end: str) -> str:
        """Go past a comma to what follows, or stay at the end of the list or object."""
        mark = self._next()
        if mark == end:
            return mark
        if mark != ",":
            raise self._problem(f"a comma or {end!r} is expected")
        if self._next_after(",") == end:
            raise self._problem("a value is expected after a comma")
        return ""

    def _end(self) -> None:
        if self._next():
            raise self._problem("nothing is expected after its end")

    def _next_after(self, mark: str) -> str:
        assert self._text[self._place] == mark
        self._place += 1
        return self._next()

    def _next(self) -> str:
        """The next character that is not blank; empty at the end of the file."""
        while True:
            blank = _BLANK.match(self._text, self._place)
            assert blank is not None
            self._place = blank.end()
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._more():
                return ""

    def _value(self) -> Any:
        while True:
            self._next()
            unread = len(self._text) - self._place
            try:
                value, end = self._decode(self._text, self._place)
            except RecursionError:
                raise self._problem("it is nested too deeply") from None
            except ValueError as error:
                reason = str(error).partition(":")[0]
            else:
                # A number may continue in the next chunk: "1.5" in "1.5e" and "7".
                if self._whole or (end < len(self._text) and self._text[end] in " \t\n\r,:]}"):
                    self._place = end
                    return value
                reason = ""
            if unread > MAX_RECORD:
                raise self._problem(f"a value is damaged, or has more than {MAX_RECORD:,} characters")
            # Twice as much each time: a long value is not parsed again and again.
            if not self._more(min(unread, MAX_RECORD + 1 - unread)) and reason:
                raise self._problem(reason)

    def _more(self, size: int = 0) -> bool:
        try:
            chunk = self._file.read(max(size, self._chunk))
        except UnicodeError:
            raise self._problem("it is not UTF-8 text") from None
        if undecoded := _UNDECODED.search(chunk):
            self._text, self._place = chunk[undecoded.start() :], 0
            raise self._problem("it is not UTF-8 text")
        self._text, self._place = self._text[self._place :] + chunk, 0
        self._whole = not chunk
        return bool(chunk)

    def _problem(self, reason: str) -> SourceError:
        near = self._text[self._place : self._place + 30]
        return SourceError(
            f"{str(self._path)!r} cannot be read: {reason}"
            + (f"; near {near!r}." if near else " at the end of the file.")
        )
