"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def complete_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary name in the same folder to write to.

    At the end of the block the file takes its own name, and the place of a file that has it. If the block
    fails, what was written goes, and a file that was there before stays as it was.

    Args:
        path: The file's own name; its folder has to exist.

    Yields:
        The name to write to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with complete_file(f"{folder}/numbers.txt") as unfinished:
        ...         _ = unfinished.write_text("1 2 3")
        ...     [file.name for file in Path(folder).iterdir()]
        ['numbers.txt']
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def complete_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside a folder to write to, as `complete_file` does for a file.

    At the end of the block the folder takes its own name, and the place of a folder that has it.

    Args:
        path: The folder's own name; what it lies in has to exist.

    Yields:
        The name to write to; nothing is there yet.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    replaced = path.with_name(f".{path.name}.{os.getpid()}.replaced")
    try:
        yield unfinished
        if path.exists():
            path.rename(replaced)
        unfinished.rename(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file (UTF-8), as `complete_file` does.

    Args:
        path: The file's name; its folder has to exist.
        text: What it is to hold.
    """
    with complete_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", newline="\n")
