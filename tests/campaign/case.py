"""A case: inputs, a command line, and what is right."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Right = Literal["refused", "accepted", "either"]


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        name: What is wrong with it.
        write: Writes the inputs into a folder and returns the command line behind `vkood`.
        right: Whether the command must refuse it, must accept it, or may do either so long as it does so well.
        file_limit: Most bytes that a file may have, as if the disk were full then.
        environment: Variables to set.
        check: Called with the folder when the command has ended with exit code 0; returns a complaint, or "".
    """

    name: str
    write: Callable[[Path], list[str]]
    right: Right = "either"
    file_limit: int | None = None
    environment: dict[str, str] = field(default_factory=dict)
    check: Callable[[Path], str] | None = None


Draw = Callable[[random.Random, Path], Case]
"""How a kind draws a case; the path is the kit of sound inputs."""


def canary(folder: Path) -> Path:
    """The file that code of an input writes if it is run."""
    return folder / "CANARY"


def canary_code(folder: Path) -> str:
    """Python code that writes the canary."""
    return f"open({str(canary(folder))!r}, 'w').close()\n"


def copied(source: Path, target: Path) -> Path:
    """A copy of a file or folder of the kit that may be changed by `rewrite`; files share their bytes until then."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=os.link)
    else:
        os.link(source, target)
    return target


def rewrite(path: Path, content: bytes | str) -> None:
    """Give a file other content, without touching the kit's."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)


def rewrite_json(path: Path, change: Callable[[Any], Any]) -> None:
    """Change the content of a JSON file; NaN and infinities are written as Python writes them."""
    rewrite(path, json.dumps(change(json.loads(path.read_text(encoding="utf-8")))))
