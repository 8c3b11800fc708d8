"""Checkpoints that are known to be whole: a mark is written last, and says what there has to be."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from vkood.files import write_text

_MARK = "whole.json"
_NAME = re.compile(r"checkpoint-(\d+)")


def mark_whole(checkpoint: Path) -> None:
    """Say that a checkpoint is written to the end.

    What is in it is brought to the disk first, so that the mark does not outlive a power cut that its files do not.
    """
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != _MARK)
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sizes = {str(path.relative_to(checkpoint)): path.stat().st_size for path in files}
    write_text(checkpoint / _MARK, json.dumps(sizes))


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint has its mark, and all files that it tells of have their sizes."""
    try:
        sizes = json.loads((checkpoint / _MARK).read_text(encoding="utf-8"))
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def newest_whole(folder: Path) -> Path | None:
    """The whole checkpoint with the most steps in a folder; None if there is none."""
    found = [path for path in folder.glob("checkpoint-*") if _NAME.fullmatch(path.name) and is_whole(path)]
    return max(found, key=steps_of, default=None)


def steps_of(checkpoint: Path) -> int:
    """After how many steps a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])
