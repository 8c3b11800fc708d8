"""A process that encodes facts into a folder, and that may kill itself at the worst of moments.

Run in `tests` as: python -m support.encoding_worker FOLDER RECORD SECONDS_A_BATCH FIRST LAST MOMENT
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.hashed_tower import HashedTower
from vkood.knowledge import FactEncoder
from vkood.knowledge.embeddings import claims, vector_cache

BATCH_SIZE = 10

# Of each: where it lives, what it is called, and whether it still does its work the last time.
MOMENTS: dict[str, tuple[Any, str, bool]] = {
    "while it encodes": (HashedTower, "__call__", False),
    "when it has encoded": (HashedTower, "__call__", True),
    "when it has written rows": (vector_cache.VectorCache, "_append", True),
    "before it commits the index": (vector_cache, "_checksums", True),
    "while it claims, with the lock of all": (claims, "_key", True),
}


def sentences_between(first: int, last: int) -> list[str]:
    """The sentences that a worker encodes."""
    return [f"thing {number} is {'very ' * (number % 7)}big." for number in range(first, last)]


def dying(work: Callable[..., Any], *, done: bool, calls: int) -> Callable[..., Any]:
    """Work that kills its process at a call, with the work done or not."""
    left = calls

    def once_more(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        result = work(*arguments) if done or left else None
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return once_more


def main(folder: str, record: str, seconds: str, first: str, last: str, moment: str) -> None:
    """Encode, and say when it begins."""
    if moment != "never":
        owner, name, done = MOMENTS[moment]
        calls = 4 * BATCH_SIZE if name == "_key" else 4
        setattr(owner, name, dying(getattr(owner, name), done=done, calls=calls))
    tower = HashedTower(Path(record), seconds=float(seconds))
    encoder = FactEncoder(tower, folder, batch_size=BATCH_SIZE)
    print("ready", flush=True)
    encoder.encode(sentences_between(int(first), int(last)))


if __name__ == "__main__":
    main(*sys.argv[1:])
