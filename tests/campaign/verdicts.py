"""What a command made of a case."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .case import Case, canary

VERDICTS = (
    "well",
    "unexpected",
    "traceback",
    "wrong acceptance",
    "wrong refusal",
    "no sentence",
    "left over",
    "prompt",
    "hang",
    "memory",
    "code run",
    "broken case",
)
"""The possible verdicts on a case; all but the first are faults (the last of the campaign itself)."""

BROKEN = 99
"""The exit code of a process that could not write its case."""
_TEMPORARY = re.compile(r"(\.unfinished|\.replaced|^\.preparing\.|^\.vkood\.)")
_MAX_SENTENCE_LENGTH = 1_500


@dataclass(frozen=True)
class End:
    """How a process ended.

    Attributes:
        code: Its exit code; negative for a signal.
        killed: Why the campaign killed it ("hang", "memory"); "" if it did not.
        output: Its standard output.
        errors: Its standard error.
    """

    code: int
    killed: str
    output: str
    errors: str


def verdict(case: Case, folder: Path, end: End) -> tuple[str, str]:
    """One of `VERDICTS`, and the sentence or the fault."""
    lines = [line for line in end.errors.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if canary(folder).exists():
        return "code run", last
    if end.killed:
        return end.killed, last
    if end.code == BROKEN:
        return "broken case", last
    if "[y/N]" in end.output + end.errors:
        return "prompt", last
    if end.code < 0 or "Traceback (most recent call last)" in end.errors:
        return "traceback", last if end.code >= 0 else f"signal {-end.code}"
    if any(line.startswith("vkood: unexpected ") for line in lines):
        return "unexpected", last
    if end.code == 0:
        if case.right == "refused":
            return "wrong acceptance", last
        complaint = case.check(folder) if case.check is not None else ""
        return ("wrong acceptance", complaint) if complaint else ("well", last)
    if case.right == "accepted":
        return "wrong refusal", last
    if not _is_answer(end, lines):
        return "no sentence", f"exit code {end.code}: {last[:300]}"
    if left := next(_left_over(folder), None):
        return "left over", str(left)
    return "well", last


def _is_answer(end: End, lines: list[str]) -> bool:
    """Whether a refusal says in one sentence what is wrong: ours, Typer's panel, or the table of `vkood data check`."""
    if end.code == 1 and "Wrong" in end.output:
        return True
    sentences = [line for line in lines if line.startswith("vkood: ")]
    if end.code in (1, 2) and sentences and lines[-1] == sentences[-1]:
        return 20 < len(sentences[-1]) < _MAX_SENTENCE_LENGTH
    return end.code == 2 and "Error" in end.errors and "Usage" in end.errors


def _left_over(folder: Path) -> Iterator[Path]:
    """Unfinished files that a refused command has left behind."""
    for above, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if _TEMPORARY.search(name):
                yield Path(above, name)
