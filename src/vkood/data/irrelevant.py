"""Facts about other things than a question is about: ours, and a user's own file."""

from __future__ import annotations

import functools
import os
import re
from importlib import resources
from pathlib import Path

from vkood import files
from vkood.data.easy_vqa import Split, require_split

MAX_LINE_LENGTH = 1000
MAX_BYTES = 1 << 26
_WHAT = "file of irrelevant facts"


def irrelevant_facts(split: Split) -> tuple[str, ...]:
    """Return our facts about other things; "train" and "test" share neither a sentence nor a subject.

    None is about an entity of the questions. None states the colour or the geometric shape of a thing, for that can
    agree with a picture ("A lemon is yellow." does, where the shape is yellow); some use these words in ways that
    say nothing of the kind ("A referee sends a player off with a red card.").

    Raises:
        ValueError: If `split` is neither "train" nor "test".

    Example:
        >>> irrelevant_facts("train")[0]
        'A whale is a kind of mammal.'
    """
    return _shipped_facts(require_split(split))


def read_irrelevant_facts(path: str | Path) -> tuple[str, ...]:
    """Read a user's own irrelevant facts: a UTF-8 text file, one fact a line.

    White space around a fact, blank lines and a byte order mark are dropped; a line that comes twice counts twice.

    Args:
        path: The file.

    Returns:
        The facts, at least one, in the order of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the path is a folder or a pipe, or cannot be read, or the file is empty, has more than 64 MiB, is
            not UTF-8 text, or has a line of more than 1,000 characters. The message is one sentence for the user.
    """
    content = files.read_bytes(path, what=_WHAT, max_bytes=MAX_BYTES)
    name = repr(os.fspath(path))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if re.search("[\x00-\x08\x0e-\x1f]", text):
        raise ValueError(
            f"The file of irrelevant facts {name} is not UTF-8 text; save it as UTF-8, one fact a line."
        )
    lines = [line.strip() for line in re.split("\r\n|\r|\n", text)]
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_LINE_LENGTH:
            raise ValueError(
                f"Line {number} of the file of irrelevant facts {name} has {len(line):,} characters, "
                f"but a fact may have {MAX_LINE_LENGTH:,} at most."
            )
    facts = tuple(line for line in lines if line)
    if not facts:
        raise ValueError(
            f"The file of irrelevant facts {name} is empty; write at least one fact, one a line."
        )
    return facts


@functools.cache
def _shipped_facts(split: Split) -> tuple[str, ...]:
    text = resources.files("vkood.data").joinpath(f"irrelevant_facts_{split}.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
