"""The hash of a store's facts: whoever writes or verifies a store takes it up in the same way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np


class ContentHash:
    """The hash of a store's facts, taken up piece by piece.

    Concepts, facts and sources are hashed as they lie in the file; since a concept's number is its place in the
    alphabet and a source's is the place of its first use, the same facts always have the same hash.
    """

    def __init__(self) -> None:
        self._concepts = hashlib.sha256()
        self._facts = hashlib.sha256()

    def add_concepts(self, texts: Iterable[str]) -> None:
        """Take up concepts, in the order of their numbers."""
        self._concepts.update("\n".join(texts).encode() + b"\n")

    def add_facts(self, rows: np.ndarray[Any, np.dtype[np.uint32]]) -> None:
        """Take up rows of the table of facts, in their order."""
        self._facts.update(np.ascontiguousarray(rows, "<u4").tobytes())

    def result(self, relations: Iterable[str], sources: Iterable[str]) -> str:
        """Return the hash, when all was taken up.

        Args:
            relations: The relations that the file names, in the order of their numbers.
            sources: The sources that it names, likewise.
        """
        parts = [self._concepts.hexdigest(), self._facts.hexdigest(), *relations, *sources]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
