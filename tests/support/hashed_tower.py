"""A stand-in for an encoder of sentences, for tests and their processes: quick, exact, and it keeps a record."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

WIDTH = 6


class HashedTower:
    """A sentence's vector depends on its text alone.

    Args:
        record: A file to which each sentence that is encoded is appended as a line, by any number of processes.
        seconds: How long a batch takes.
        fingerprint: What it says it is.
    """

    width = WIDTH

    def __init__(
        self, record: Path | None = None, *, seconds: float = 0, fingerprint: str = "hashed"
    ) -> None:
        self.fingerprint = fingerprint
        self.batches: list[list[str]] = []
        self._record, self._seconds = record, seconds

    def __call__(self, sentences: Sequence[str], /) -> np.ndarray:
        self.batches.append(list(sentences))
        time.sleep(self._seconds)
        if self._record is not None:
            log = os.open(self._record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            os.write(log, "".join(f"{sentence}\n" for sentence in sentences).encode())
            os.close(log)
        return hashed(sentences)

    @property
    def encoded(self) -> list[str]:
        """All sentences that were encoded here, in their order."""
        return [sentence for batch in self.batches for sentence in batch]


def hashed(sentences: Sequence[str]) -> np.ndarray:
    """What the tower returns, known independently."""
    digests = [hashlib.blake2b(sentence.encode(), digest_size=2 * WIDTH).digest() for sentence in sentences]
    return np.frombuffer(b"".join(digests), dtype="<u2").reshape(-1, WIDTH).astype(np.float32) / 2**16
