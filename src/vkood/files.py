"""Files: read only where they are regular and of a bounded size, and written so that they are complete or absent."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

MAX_TEXT_BYTES = 512 * 2**20
"""The default limit on the size of text and JSON files."""

_WIDE_ENCODINGS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_ABANDONED_AFTER = 86_400.0
"""Seconds without a change after which an unfinished file of another host counts as abandoned."""
_TEMPORARY = re.compile(r"\.(?P<host>[0-9a-f]{6})-(?P<pid>\d+)-(?P<start>\d+)-\d+\.(unfinished|replaced)")
_COMPLETE = ".complete"
_counter = itertools.count()


class FileProblem(ValueError):
    """A file is not what was expected, or cannot be read."""


class MissingFile(FileProblem, FileNotFoundError):
    """There is no file of that name."""

    def __str__(self) -> str:
        """The sentence, without an error number."""
        return str(self.args[0])


def open_regular(path: str | Path, *, what: str = "file") -> io.BufferedReader:
    """Open a regular file to read bytes; a pipe, a device or a folder is refused at once.

    Args:
        path: The file's name.
        what: What to call it in errors, such as "table".

    Raises:
        MissingFile: If there is no such file.
        FileProblem: If it is not a regular file, or may not be read.
    """
    name = repr(os.fspath(path))
    try:
        # Opening a pipe would otherwise wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFile(f"There is no {what} at {name}.") from None
    except OSError as error:
        raise FileProblem(f"The {what} {name} cannot be read: {error.strerror or error}.") from None
    except ValueError:
        raise FileProblem(f"The name of the {what} must have no zero byte; got {name}.") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
            raise FileProblem(f"The {what} {name} must be a regular file, but is {kind}.")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: str | Path, *, what: str = "file", max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """Read a regular file whole.

    Args:
        path: The file's name.
        what: What to call it in errors, such as "table".
        max_bytes: A larger file is refused.

    Raises:
        MissingFile: If there is no such file.
        FileProblem: If it is not a regular file, is too large, or cannot be read.
    """
    with open_regular(path, what=what) as file:
        try:
            content = file.read(max_bytes + 1)
        except OSError as error:
            raise FileProblem(
                f"The {what} {os.fspath(path)!r} cannot be read: {error.strerror or error}."
            ) from None
    if len(content) > max_bytes:
        raise FileProblem(
            f"The {what} {os.fspath(path)!r} must have at most {max_bytes:,} bytes; it has more."
        )
    return content


def read_text(
    path: str | Path,
    *,
    what: str = "file",
    max_bytes: int = MAX_TEXT_BYTES,
    encoding: str | None = None,
    advice: str = "Save it as UTF-8.",
) -> str:
    """Read a text file whole; a byte-order mark is left out.

    Args:
        path: The file's name.
        what: What to call it in errors, such as "table".
        max_bytes: A larger file is refused.
        encoding: Of the text; UTF-8 by default.
        advice: What the error about another encoding says last.

    Raises:
        MissingFile: If there is no such file.
        FileProblem: If it is not a regular file, is too large, or has another encoding; the error names the line.
    """
    content = read_bytes(path, what=what, max_bytes=max_bytes)
    return decode_text(content, name=os.fspath(path), what=what, encoding=encoding, advice=advice)


def decode_text(
    content: bytes,
    *,
    name: str,
    what: str = "file",
    encoding: str | None = None,
    advice: str = "Save it as UTF-8.",
) -> str:
    """Decode the bytes of a text file as `read_text` does.

    Args:
        content: The file's bytes.
        name: The file's name, for errors.
        what: What to call it in errors.
        encoding: Of the text; UTF-8 by default.
        advice: What the error about another encoding says last.

    Raises:
        FileProblem: If the bytes are not text of that encoding; the error names the line.
    """
    if encoding is None and (wide := wide_encoding(content)):
        raise FileProblem(f"The {what} {name!r} must be UTF-8, but is {wide}. {advice}")
    try:
        return content.decode(encoding or "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileProblem(
            f"The {what} {name!r} must be {encoding or 'UTF-8'}, but line {line} has the byte "
            f"0x{content[error.start]:02x} there. {advice}"
        ) from None
    except LookupError:
        raise FileProblem(
            f"The encoding of the {what} {name!r} must be one that Python knows; got {encoding!r}."
        ) from None


def wide_encoding(content: bytes) -> str | None:
    """The encoding other than UTF-8 that a file's byte-order mark indicates; None without one."""
    return next((wide for mark, wide in _WIDE_ENCODINGS if content.startswith(mark)), None)


def read_json(path: str | Path, *, what: str = "file", max_bytes: int = MAX_TEXT_BYTES) -> Any:
    """Read a JSON file.

    Args:
        path: The file's name.
        what: What to call it in errors, such as "configuration".
        max_bytes: A larger file is refused.

    Raises:
        MissingFile: If there is no such file.
        FileProblem: If it is not a regular file, is too large, or is not JSON.
    """
    return parse_json(read_text(path, what=what, max_bytes=max_bytes), name=os.fspath(path), what=what)


def parse_json(text: str, *, name: str, what: str = "file") -> Any:
    """Parse JSON; damaged and very deeply nested text is refused.

    Args:
        text: The JSON.
        name: The file's name, for errors.
        what: What to call it in errors.

    Raises:
        FileProblem: If it is not JSON, or nested beyond what Python can parse.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        reason = f"{error.msg}, line {error.lineno}, column {error.colno}"
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError:
        reason = "it has a number of too many digits"
    raise FileProblem(f"The {what} {name!r} cannot be read as JSON: {reason}.")


def read_json_object(
    path: str | Path, *, what: str = "file", max_bytes: int = MAX_TEXT_BYTES
) -> dict[str, Any]:
    """Read a JSON file that holds an object, as `read_json` does.

    Raises:
        MissingFile: If there is no such file.
        FileProblem: As for `read_json`, and if it does not hold an object.
    """
    content = read_json(path, what=what, max_bytes=max_bytes)
    if not isinstance(content, dict):
        raise FileProblem(
            f"The {what} {os.fspath(path)!r} must hold a JSON object, but holds a {type(content).__name__}."
        )
    return content


@contextmanager
def complete_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder to write to.

    At the end of the block the temporary file replaces `path`. If the block fails, the temporary file is removed and
    an earlier file stays as it was. Leftovers of processes that were killed while they wrote this file are removed
    first.

    Args:
        path: The file's own name; its folder has to exist.

    Yields:
        The name to write to.

    Raises:
        FileProblem: If there is a folder, a pipe or a device of that name. A link to a file stays a link.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with complete_file(f"{folder}/numbers.txt") as unfinished:
        ...         _ = unfinished.write_text("1 2 3")
        ...     [file.name for file in Path(folder).iterdir()]
        ['numbers.txt']
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise FileProblem(
            f"{str(path)!r} must be a regular file to be replaced, but is a folder, a pipe or a device."
        )
    recover(path)
    unfinished = _temporary(path, "unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def complete_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside a folder to write to, as `complete_file` does for a file.

    At the end of the block the temporary folder replaces `path`. A process that is killed in between, when the old
    folder was moved aside and the new one is not yet in its place, leaves both; `recover`, which this calls first,
    puts the old one back.

    Args:
        path: The folder's own name; what it lies in has to exist.

    Yields:
        The name to write to; nothing is there yet.

    Raises:
        FileProblem: If there is a file of that name. A link to a folder stays a link.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_dir():
        raise FileProblem(f"{str(path)!r} must be a folder to be replaced, but is a file.")
    recover(path)
    unfinished, replaced = _temporary(path, "unfinished"), _temporary(path, "replaced")
    try:
        yield unfinished
        if path.exists():
            path.rename(replaced)
        try:
            unfinished.rename(path)
        except BaseException:
            if replaced.exists() and not path.exists():
                replaced.rename(path)
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def complete_files(folder: str | Path, name: str) -> Iterator[Path]:
    """Yield a temporary folder for several files, which are moved to their folder together.

    At the end of the block either all of them are in `folder`, replacing files of the same names, or none is: the
    temporary folder is first renamed as a whole, and from then on its files count as complete. A process that is killed
    as they are moved leaves the rest in it; `finish_files`, which readers call first, moves it.

    Args:
        folder: The folder that the files are to lie in; it has to exist.
        name: A name for the group of files, by which leftovers of a killed process are recognised.

    Yields:
        The folder to write to.
    """
    complete = Path(folder) / f".{name}{_COMPLETE}"
    recover(complete)
    unfinished = _temporary(complete, "unfinished")
    try:
        unfinished.mkdir()
        yield unfinished
        while unfinished.exists():
            finish_files(folder)
            with _unless_not_empty():  # another process has just completed files of this name
                unfinished.rename(complete)
        finish_files(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def finish_files(folder: str | Path) -> None:
    """Move files that are complete but were not all moved (see `complete_files`) to their places.

    Several processes may do so at once.

    Args:
        folder: The folder that the files are to lie in.

    Raises:
        OSError: If they cannot be moved.
    """
    for complete in filter(Path.is_dir, Path(folder).glob(f".*{_COMPLETE}")):
        with contextlib.suppress(FileNotFoundError):  # another process has done it
            for path in sorted(complete.iterdir()):
                with contextlib.suppress(FileNotFoundError):
                    path.replace(Path(folder) / path.name)
            with _unless_not_empty():
                complete.rmdir()


@contextmanager
def _unless_not_empty() -> Iterator[None]:
    """Ignore the error that a folder is not empty."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def recover(path: str | Path) -> None:
    """Clean up after processes that were killed while they wrote a file or folder of this name.

    Unfinished ones are removed; a complete one that had been moved aside for another is put back if none is in its
    place. Files of a process that is still running are left alone; so are, for a day, those of another host.

    Args:
        path: The file's or folder's own name.
    """
    path = Path(path)
    prefix = _prefix(path)
    try:
        entries = [entry for entry in os.scandir(path.parent) if entry.name.startswith(prefix)]
    except OSError:
        return  # no folder, or an unreadable one: writing there raises the error
    for entry in sorted(entries, key=lambda entry: entry.name):
        match = _TEMPORARY.match(entry.name[len(prefix) :])
        if match is None or not _abandoned(entry, match):
            continue
        if entry.name.endswith(".replaced") and not path.exists():
            os.rename(entry.path, path)
        elif entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            Path(entry.path).unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file (UTF-8), as `complete_file` does.

    Args:
        path: The file's name; its folder has to exist.
        text: Its content.
    """
    with complete_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", newline="\n")


def inner_model(folder: str | Path) -> str:
    """A hint for a folder that has no model itself, but holds a run, whose model is in `best`, or a demo's `model`."""
    if (Path(folder) / "config.json").exists():
        return ""
    inner = (Path(folder) / name for name in ("best", "model"))
    return "".join(f" Did you mean {str(place)!r}?" for place in inner if (place / "config.json").is_file())


def _temporary(path: Path, state: str) -> Path:
    """A name that is unique among processes and calls."""
    owner = f"{_host()}-{os.getpid()}-{_start_of(os.getpid())}-{next(_counter)}"
    return path.with_name(f"{_prefix(path)}.{owner}.{state}")


def _prefix(path: Path) -> str:
    """The prefix of a file's temporary names, short enough for any file system."""
    name = path.name
    if len(name.encode("utf-8", "surrogateescape")) > 100:
        name = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:20]
    return f".{name}"


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode("utf-8", "replace")).hexdigest()[:6]


def _start_of(pid: int) -> int:
    """When a process started, in hundredths of a second after the machine did.

    A process number alone is used again, in containers at once. The clock may be set while a process runs; the
    difference to the start of the machine, which is computed from the same clock, stays.
    """
    started = psutil.boot_time()
    return round((psutil.Process(pid).create_time() - started) * 100)


def _abandoned(entry: os.DirEntry[str], match: re.Match[str]) -> bool:
    """Whether the process that was writing an entry is gone."""
    try:
        if match["host"] != _host():
            return time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED_AFTER
        return _start_of(int(match["pid"])) != int(match["start"])
    except psutil.AccessDenied:
        return False
    except (psutil.NoSuchProcess, OSError):
        return True
