"""Uncaught exceptions: one sentence, the traceback in a file, and exit code 1."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import platform
import select
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import typer

import vkood
from vkood.escaping import printable

DEBUG = "VKOOD_DEBUG"
"""The environment variable that shows tracebacks; `--debug` sets it, so that the processes of a run have it too."""

_INTERRUPTED = 128 + signal.SIGINT
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Libraries in other languages have no error numbers, only these texts.
_DISK_FULL_TEXTS = (
    "no space left on device",
    "file too large",
    "database or disk is full",
    "pytorchstreamwriter failed",
)
_OUT_OF_MEMORY_TEXTS = ("can't allocate memory", "out of memory", "bad_alloc", "malloc of size")
_MAX_SENTENCE = 1_000
"""Characters of a sentence; a value that it quotes may have millions."""
_ADVICE = {
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
    errno.EROFS: "choose a place that can be written to",
    errno.EMFILE: "raise the limit on open files, such as by `ulimit -n 4096`",
    errno.ENFILE: "close other programs, or raise the system's limit on open files",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def debugging() -> bool:
    """Whether tracebacks are to be shown."""
    return os.environ.get(DEBUG, "") not in ("", "0")


@contextlib.contextmanager
def answer_errors() -> Iterator[None]:
    """Turn an uncaught exception of the block into one sentence on the standard error, and an exit code.

    The code is 1; 2 where vkood itself refuses an input; 130 after Ctrl-C. A reader that has gone (`| head`) ends a
    command without a word. The traceback goes to a file in the folder for temporary files; `--debug` shows it.
    """
    _print_any_character()
    threading.excepthook = _answer_in_a_thread
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt as error:
        if "LOCAL_RANK" not in os.environ:  # a process of a run leaves it to the one that started it
            print_sentence(f"interrupted{f'; {error}' if str(error) else ''}.")
        raise SystemExit(_INTERRUPTED) from None
    except Exception as error:
        if isinstance(error, typer.Abort) or hasattr(error, "exit_code"):
            raise  # Typer's own, which it prints
        if isinstance(error, BrokenPipeError) and _reader_has_gone():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what has yet to be flushed
            raise SystemExit(1) from None
        if _is_refusal(error):
            if debugging():
                traceback.print_exception(error)
            print_sentence(_without_worker(error))
            raise SystemExit(2) from None
        print_sentence(f"{_sentence(error)} {_saved_traceback(error)}")
        raise SystemExit(1) from None


@contextlib.contextmanager
def interruptible(kept: str) -> Iterator[None]:
    """Let the message of Ctrl-C in the block say what was saved, and how to resume."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(str(error) or kept) from error


def _print_any_character() -> None:
    """Escape characters that the terminal cannot encode, so that a name or an answer does not end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _answer_in_a_thread(error: threading.ExceptHookArgs) -> None:
    """Report the exception of a thread, such as one that writes logs; the command continues."""
    if isinstance(error.exc_value, Exception):
        print_sentence(f"{_sentence(error.exc_value)} {_saved_traceback(error.exc_value)}")


def _reader_has_gone() -> bool:
    """Whether the broken pipe is the standard output, rather than one of ours."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # no such call on this system, or an output that is no file
        return False


def _is_refusal(error: Exception) -> bool:
    """Whether an error is one of vkood's own for callers, whose message is already a sentence."""
    ours = type(error).__module__.partition(".")[0] == vkood.__name__
    return ours and isinstance(error, ValueError | OSError)


def _without_worker(error: Exception) -> str:
    """An error's message, without the traceback that torch prepends in a data loader's worker."""
    message = str(error)
    return message.rpartition(f"{type(error).__name__}: ")[2] if message.startswith("Caught ") else message


def _sentence(error: Exception) -> str:
    """What happened, to what, and what to do about it."""
    path = _file_in_hand(error)
    name = repr(path) if path else "the output"
    lines = str(error).strip().splitlines() or ["no message"]
    if _is_disk_full(error):
        return f"the disk is full, or a file-size limit is reached: {name} was not written. Make room and try again."
    if isinstance(error, MemoryError) or any(text in str(error).lower() for text in _OUT_OF_MEMORY_TEXTS):
        return f"there is not enough memory ({lines[0].rstrip('.')}){_working_on(path)}; use a smaller input or batch."
    if isinstance(error, RecursionError):
        return f"an input is nested too deep to be read{_working_on(path)}."
    if isinstance(error, OSError) and error.errno is not None:
        advice = f"; {_ADVICE[error.errno]}" if error.errno in _ADVICE else ""
        return f"{name} cannot be read or written: {(error.strerror or lines[0]).lower()}{advice}."
    if isinstance(error, UnicodeEncodeError):
        return f"a name or text that is not valid Unicode cannot be written{_working_on(path)}: {lines[0]}."
    return f"unexpected {type(error).__name__}{_working_on(path)}: {lines[0].rstrip('.')}."


def _working_on(path: str) -> str:
    return f" while working on {path!r}" if path else ""


def _is_disk_full(error: BaseException | None) -> bool:
    """Whether a full disk, a quota or a limit on file size is behind an error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            return True
        if any(text in str(error).lower() for text in _DISK_FULL_TEXTS):
            return True
        error = error.__cause__ or error.__context__
    return False


def _file_in_hand(error: Exception) -> str:
    """The file that the error names, or else the path that the innermost of our functions was working on."""
    if isinstance(error, OSError) and isinstance(error.filename, str | os.PathLike):
        return str(error.filename)
    path = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__", "").partition(".")[0] == vkood.__name__:
            path = next((str(held) for held in frame.f_locals.values() if isinstance(held, Path)), path)
    return path


def _saved_traceback(error: Exception) -> str:
    """Save the traceback and say where; with `--debug` print it instead."""
    if debugging():
        traceback.print_exception(error)
        return ""
    try:
        descriptor, path = tempfile.mkstemp(prefix="vkood-traceback.", suffix=".txt")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(
                f"vkood {vkood.__version__}, Python {platform.python_version()}, {platform.platform()}\n"
            )
            file.write(f"{sys.argv}\n\n")
            traceback.print_exception(error, file=file)
    except OSError:
        return "No traceback could be saved; `vkood --debug` shows it."
    return f"The traceback is in {path}; `vkood --debug` shows it."


def print_sentence(sentence: str) -> None:
    """Print a sentence to the standard error, on one line of bounded length without control characters."""
    line = printable(" ".join(sentence.split()))
    if len(line) > _MAX_SENTENCE:
        line = f"{line[: _MAX_SENTENCE // 2]} [...] {line[-_MAX_SENTENCE // 2 :]}"
    typer.echo(f"vkood: {line}", err=True)
