"""Synthetic data sets, prepared once for all tests of a process."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from vkood.data.prepare import prepare, read_source
from vkood.data.tiny import write_tiny


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="vkood-prepared."))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def raw(name: str) -> Path:
    """A synthetic data set in its owners' files; tests only read it."""
    return write_tiny(name, _folder() / "raw" / name)


@functools.cache
def tables(*names: str) -> Path:
    """A folder with the tables of synthetic data sets; tests only read it."""
    folder = _folder() / "-".join(names)
    for name in names:
        prepare(read_source(name, raw(name)), folder)
    return folder
