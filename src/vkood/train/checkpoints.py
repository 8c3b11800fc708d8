"""Complete checkpoints: a mark is written last, with the size and checksum of every file."""

from __future__ import annotations

import json
import os
import re
import zlib
from pathlib import Path
from typing import Any

from vkood.files import FileProblem, open_regular, read_json_object, write_text

MARK = "whole.json"
_STATE = "trainer_state.json"
_CHUNK = 2**22
_NAME = re.compile(r"checkpoint-(\d+)")


def mark_whole(checkpoint: Path) -> None:
    """Mark a checkpoint as complete.

    Its files are flushed to the disk first, so that the mark does not survive a power cut that its files do not.
    """
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != MARK)
    contents = {str(path.relative_to(checkpoint)): _size_and_checksum(path, sync=True) for path in files}
    write_text(checkpoint / MARK, json.dumps(contents))


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint has its mark, and all files that it names have their sizes and checksums."""
    try:
        contents = read_json_object(checkpoint / MARK)
        return all(_size_and_checksum(checkpoint / name) == content for name, content in contents.items())
    except (FileProblem, OSError):
        return False


def all_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, whole or not, those with the most steps first."""
    named = [path for path in folder.glob("checkpoint-*") if _NAME.fullmatch(path.name)]
    return sorted(named, key=steps_of, reverse=True)


def newest_whole(folder: Path) -> Path | None:
    """The whole checkpoint with the most steps in a folder; None if there is none."""
    return next((path for path in all_checkpoints(folder) if is_whole(path)), None)


def how_to_resume(folder: Path) -> str:
    """How to resume after an interruption, for its message."""
    marked = (path for path in all_checkpoints(folder) if (path / MARK).exists())
    newest = next(marked, None)
    return f"the same command {'begins again' if newest is None else f'resumes from {newest.name}'}"


def has_ended(checkpoint: Path, *, steps: int) -> bool:
    """Whether training had ended when a checkpoint was written: after the last step, or by early stopping.

    Args:
        checkpoint: A whole checkpoint of the Trainer.
        steps: Number of steps of the run.
    """
    state: dict[str, Any] = read_json_object(checkpoint / _STATE, what="state of the training")
    control = state.get("stateful_callbacks", {}).get("TrainerControl", {}).get("args", {})
    return steps_of(checkpoint) >= steps or bool(control.get("should_training_stop"))


def steps_of(checkpoint: Path) -> int:
    """After how many steps a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def _size_and_checksum(path: Path, *, sync: bool = False) -> list[int]:
    """A file's size and CRC-32, which accidental damage does not leave as it is."""
    size = checksum = 0
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            size, checksum = size + len(chunk), zlib.crc32(chunk, checksum)
        if sync:
            os.fsync(file.fileno())
    return [size, checksum]
