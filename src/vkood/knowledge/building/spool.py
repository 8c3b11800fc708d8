"""Facts on their way into the order of a store, with memory that does not grow with their number.

The facts wait in files. Until all concepts are known, a concept is named by the hash of its text; then the texts are
merged from sorted files, a concept is numbered by its place in the alphabet, and the facts are taken up again, one
stretch of subjects at a time. What stays in memory is a stretch, and some 30 bytes for each concept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from vkood.knowledge.sources.batches import Batch, normalise_source

JOINED = " + "
"""Between the names of the sources that share a fact."""

_HASHED = np.dtype(
    [("subject", "<i8"), ("object", "<i8"), ("thousandths", "<i4"), ("source", "<i4"), ("relation", "u1")]
)
NUMBERED = np.dtype(
    [("subject", "<u4"), ("object", "<u4"), ("thousandths", "<u4"), ("source", "<u4"), ("relation", "u1")]
)
"""A fact whose concepts are numbered; its source is a place in `Spool.sources`."""

# How a number packs what facts are sorted by: relations are fewer than 2**6, weights below 2**30, concepts below 2**29.
_RELATION_BITS, _WEIGHT_BITS, _CONCEPT_BITS = 6, 30, 29

Facts = np.ndarray[Any, np.dtype[Any]]


class Spool:
    """Takes facts in any order, and gives concepts and facts in the order of a store.

    First `add` all, then go through `concepts`, then through `facts`.

    Args:
        folder: Where the files are kept. They are small beside what is read, and go with the folder.
        num_texts: Different texts that are held before they are sorted and written out.
        num_facts: Facts that are sorted at a time.
        block: Characters that are read at a time from each sorted file of texts.
    """

    def __init__(
        self, folder: Path, *, num_texts: int = 300_000, num_facts: int = 500_000, block: int = 1 << 20
    ) -> None:
        self._folder = folder
        self._num_texts, self._num_facts, self._block = num_texts, num_facts, block
        self._texts: set[str] = set()
        self._text_files: list[Path] = []
        self._hashes: list[np.ndarray[Any, np.dtype[np.int64]]] = []
        self._facts = (folder / "facts").open("wb")
        self._source_of: dict[str, int] = {}
        self.num_added = 0

    @property
    def sources(self) -> list[str]:
        """The names of all sources, alone and joined."""
        return list(self._source_of)

    def add(self, batch: Batch) -> None:
        """Take facts."""
        facts = np.empty(len(batch.subjects), _HASHED)
        facts["subject"] = _hashes(batch.subjects)
        facts["object"] = _hashes(batch.objects)
        facts["thousandths"] = batch.thousandths
        facts["relation"] = batch.relations
        numbers = {name: self._source(name) for name in set(batch.sources)}
        facts["source"] = [numbers[name] for name in batch.sources]
        self._facts.write(facts.tobytes())
        self.num_added += len(facts)
        self._texts.update(batch.subjects, batch.objects)
        if len(self._texts) > self._num_texts:
            self._write_texts()

    def concepts(self) -> Iterator[list[str]]:
        """Give all concepts once, in alphabetical order: a concept's number is its place."""
        if self._text_files:
            self._write_texts()
            blocks = _merged(self._text_files, self._block)
        else:
            blocks = iter([sorted(self._texts)])
            self._texts = set()
        for block in blocks:
            self._hashes.append(_hashes(block))
            yield block

    def facts(self) -> Iterator[Facts]:
        """Give all facts once, by subject, weight (falling), relation and object.

        Facts that differ in weight and source alone become one, with the largest weight and the names of all
        sources.
        """
        self._facts.close()
        runs, per_subject = self._numbered_runs()
        ends = np.cumsum(per_subject)
        total = int(ends[-1]) if len(ends) else 0
        firsts = np.unique(np.searchsorted(ends, np.arange(0, total, self._num_facts), side="right"))
        cuts = []
        for run in runs:
            subjects = np.fromfile(run, NUMBERED)["subject"]
            cuts.append([*np.searchsorted(subjects, firsts).tolist(), len(subjects)])
        for part, first in enumerate(firsts.tolist()):
            pieces = [
                np.fromfile(run, NUMBERED, cut[part + 1] - cut[part], offset=cut[part] * NUMBERED.itemsize)
                for run, cut in zip(runs, cuts, strict=True)
            ]
            yield self._joined(np.concatenate(pieces), first)

    def close(self) -> None:
        """Close the file of facts."""
        self._facts.close()

    def _source(self, name: str) -> int:
        """The number of a source; several names are brought into order, each once."""
        number = self._source_of.get(name)
        if number is None:
            names = sorted({normalise_source(part) for part in name.split(JOINED)})
            number = self._source_of.setdefault(JOINED.join(names), len(self._source_of))
        return number

    def _write_texts(self) -> None:
        if not self._texts:
            return
        path = self._folder / f"texts-{len(self._text_files)}"
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.write("\n".join(sorted(self._texts)) + "\n")
        self._text_files.append(path)
        self._texts = set()

    def _numbered_runs(self) -> tuple[list[Path], Any]:
        """The facts with numbers for hashes, in files that are sorted by subject, and how many each subject has."""
        hashes = np.concatenate(self._hashes) if self._hashes else np.empty(0, np.int64)
        self._hashes = []
        order = np.argsort(hashes).astype(np.uint32)
        hashes = hashes[order]
        if len(hashes) >= 2**_CONCEPT_BITS:
            raise ValueError(
                f"A store may have {2**_CONCEPT_BITS - 1:,} concepts at most; these sources have {len(hashes):,}. "
                "Build several stores, or leave relations out."
            )
        if (hashes[1:] == hashes[:-1]).any():
            # Two of ten million texts have the same hash once in a million builds; the next draws other hashes.
            raise ValueError("Two concepts have the same hash by chance; build again.")
        per_subject = np.zeros(len(hashes), np.int64)
        runs: list[Path] = []
        with (self._folder / "facts").open("rb") as file:
            while len(read := np.fromfile(file, _HASHED, self._num_facts)):
                subjects = order[_places(hashes, read["subject"])]
                by_subject = np.argsort(subjects)
                facts = np.empty(len(read), NUMBERED)
                facts["subject"] = subjects[by_subject]
                facts["object"] = order[_places(hashes, read["object"])][by_subject]
                for name in ("thousandths", "source", "relation"):
                    facts[name] = read[name][by_subject]
                per_subject += np.bincount(subjects, minlength=len(per_subject))
                path = self._folder / f"run-{len(runs)}"
                facts.tofile(path)
                runs.append(path)
        return runs, per_subject

    def _joined(self, facts: Facts, first: int) -> Facts:
        """A stretch of facts in order, each once; `first` is the number of its first subject."""
        subject = (facts["subject"] - first).astype(np.uint64)
        key = subject << (_RELATION_BITS + _CONCEPT_BITS)
        key |= facts["relation"].astype(np.uint64) << _CONCEPT_BITS
        key |= facts["object"]
        order = np.argsort(key)
        key = key[order]
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        sources = facts["source"][order]
        joined = facts[order[starts]]
        joined["thousandths"] = np.maximum.reduceat(facts["thousandths"][order], starts)
        ends = np.append(starts[1:], len(facts))
        differ = np.minimum.reduceat(sources, starts) != np.maximum.reduceat(sources, starts)
        names = self.sources
        for place in np.flatnonzero(differ):
            together = {names[number] for number in sources[starts[place] : ends[place]].tolist()}
            joined["source"][place] = self._source(JOINED.join(sorted(together)))
        rank = (joined["subject"] - first).astype(np.uint64) << _WEIGHT_BITS
        rank |= (2**_WEIGHT_BITS - 1 - joined["thousandths"]).astype(np.uint64)
        return joined[np.argsort(rank, kind="stable")]  # facts of one weight stay by relation and object


def _hashes(texts: list[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.fromiter(map(hash, texts), np.int64, len(texts))


def _places(
    hashes: np.ndarray[Any, np.dtype[Any]], queries: np.ndarray[Any, np.dtype[Any]]
) -> np.ndarray[Any, np.dtype[Any]]:
    """The position of each requested hash among all of them; searched in order, near ones are found in the caches."""
    order = np.argsort(queries)
    places = np.empty(len(queries), np.int64)
    places[order] = np.searchsorted(hashes, queries[order])
    return places


def _merged(paths: list[Path], size: int) -> Iterator[list[str]]:
    """The different lines of sorted files, in order, by blocks of `size` characters of each."""
    files: list[TextIO] = [path.open(encoding="utf-8", newline="\n") for path in paths]
    try:
        held = [(file, block) for file in files if (block := file.readlines(size))]
        while held:
            # What is not beyond any file's last line has been read completely.
            last = min(block[-1] for _, block in held)
            cuts = [bisect_right(block, last) for _, block in held]
            ready = chain.from_iterable(block[:cut] for (_, block), cut in zip(held, cuts, strict=True))
            # What lies one after the other in order is sorted with little to compare.
            yield [line[:-1] for line in dict.fromkeys(sorted(ready))]
            held = [
                (file, rest)
                for (file, block), cut in zip(held, cuts, strict=True)
                if (rest := block[cut:] or file.readlines(size))
            ]
    finally:
        for file in files:
            file.close()
