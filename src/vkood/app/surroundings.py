"""What Gradio reads when it is imported: it reports to nobody, and its files lie in a folder that is deleted."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""The addresses at which this computer alone reaches the page."""


@contextmanager
def surroundings() -> Iterator[Path]:
    """Set Gradio's environment variables, and delete its folder of temporary files at the end.

    It has to be entered before Gradio is imported for the first time, which makes folders.

    Yields:
        The folder.
    """
    names = ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED")
    before = {name: os.environ.get(name) for name in names}
    with tempfile.TemporaryDirectory(prefix="vkood-app-", ignore_cleanup_errors=True) as folder:
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
        try:
            yield Path(folder)
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def delete_old_files(folder: Path, age: float) -> None:
    """Delete files that nothing has been written to for a while.

    Args:
        folder: Where they are, or in folders of it.
        age: How long, in seconds.
    """
    latest = time.time() - age
    for path in folder.rglob("*"):
        try:
            if path.is_file() and path.stat().st_mtime < latest:
                path.unlink()
        except OSError:
            continue  # It is gone already.
