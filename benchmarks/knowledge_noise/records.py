"""Finished runs, one JSON object a line, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch
import transformers

import vkood

KEY = ("part", "arm", "learning_rate", "seed", "fraction", "steps")
Record = dict[str, Any]


class Records:
    """The records of a file.

    Args:
        path: The file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._records: list[Record] = [json.loads(line) for line in lines if line.strip()]

    def find(self, **values: Any) -> list[Record]:
        """Records that have these values."""
        return [
            record
            for record in self._records
            if all(record.get(name) == value for name, value in values.items())
        ]

    def add(self, record: Record) -> None:
        """Append a record; a line is written at once, so a stop leaves no half of it."""
        self._records.append(record)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = (json.dumps(record) + "\n").encode()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def setting(command: str) -> Record:
    """What the numbers depend on besides the code.

    Args:
        command: The command that makes this record.
    """
    return {
        "command": command,
        "date": datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "code": _code(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "vkood": vkood.__version__,
        },
    }


@functools.cache
def _code() -> str:
    """A digest of the library's modules that a run uses: records of other code do not compare."""
    root = Path(vkood.__file__).parent
    rooms = ("solve", "mixture", "gating", "models")
    files = sorted(path for room in rooms for path in (root / room).rglob("*.py"))
    content = b"".join(path.read_bytes() for path in (*files, root / "recipes" / "easy_vqa.py"))
    return hashlib.sha256(content).hexdigest()[:12]


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
