"""Facts to vectors: each unique sentence is encoded once, ever, for a given encoder."""

# N facts or sentences, D width of a vector.

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from vkood.fields import require_unicode
from vkood.knowledge.embeddings.claims import Claims
from vkood.knowledge.embeddings.vector_cache import VectorCache, unwritable
from vkood.knowledge.facts import Fact

# Sentences taken in at a time: more would sort better by length, and take more memory.
_WINDOW = 16_384
# Seconds between checks of what other processes are encoding.
_PAUSE = 0.05

OnSentences = Callable[[int], None]
"""Called with the number of sentences that are ready so far."""


@runtime_checkable
class SentenceTower(Protocol):
    """Encodes sentences as vectors, such as `vkood.models.SentenceEncoder`.

    Attributes:
        width: D, the width of the vectors.
        fingerprint: A text that is another one whenever the vectors would be: it depends on weights, tokenizer
            and pooling.
    """

    width: int
    fingerprint: str

    def __call__(self, sentences: Sequence[str], /) -> Any:
        """Return (N, D) finite numbers, as an array or a tensor on the CPU."""
        ...


class FactEncoder:
    """Encodes facts, each different sentence once, and keeps their vectors in a folder.

    Several processes may encode into one folder at the same time: they share the work. What a process had
    finished when it was stopped or killed, batch by batch, is there when the next one comes. The vectors of
    several encoders may lie in one folder, as only the fingerprint distinguishes them.

    A sentence's vector can differ in the last bits with the others in its batch. The first one that is computed
    stays.

    Args:
        text_tower: Turns sentences into vectors.
        cache_dir: The folder of the vectors; created if there is none. It may be one that cannot be written to,
            if all that is needed is there.
        batch_size: Number of sentences encoded at a time. They are of like length, so that little
            is padded.

    Raises:
        ValueError: If `batch_size` is below 1, or the tower has no fingerprint.

    Example:
        >>> import tempfile
        >>> class Lengths:
        ...     width, fingerprint = 1, "lengths"
        ...
        ...     def __call__(self, sentences):
        ...         return [[len(sentence)] for sentence in sentences]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     encoder = FactEncoder(Lengths(), folder)
        ...     encoder.encode([Fact("umbrella", "UsedFor", "keeping dry"), "a mug breaks."]).shape
        (2, 1)
    """

    def __init__(self, text_tower: SentenceTower, cache_dir: str | Path, *, batch_size: int = 128) -> None:
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be a number of sentences from 1 up; got {batch_size}.")
        fingerprint, width = text_tower.fingerprint, text_tower.width
        if not (isinstance(fingerprint, str) and fingerprint):
            raise ValueError(f"`text_tower.fingerprint` must be a text, and not empty; got {fingerprint!r}.")
        self._tower = text_tower
        self._batch_size = batch_size
        name = hashlib.sha256(fingerprint.encode()).hexdigest()[:16]  # whatever a fingerprint is made of
        self.cache = VectorCache(folder=Path(cache_dir) / name, encoder=fingerprint, width=width)

    def encode(
        self, facts: Sequence[Fact | str], *, on_sentences: OnSentences | None = None
    ) -> Float32[np.ndarray, "facts width"]:
        """Return the vectors of facts, encoding only those that are not cached.

        Args:
            facts: Facts, whose sentences are encoded, or sentences; repeats are welcome.
            on_sentences: Called with the number of these that are ready so far.

        Returns:
            (N, D) vectors, in the order of `facts`.

        Raises:
            ValueError: If something else than facts and sentences is given, the tower returns something else
                than N finite vectors of its width, or the vectors in the folder are damaged or not of this
                encoder or version.
            OSError: If the folder cannot be read, or cannot be written to and has to.
        """
        sentences = _sentences(facts)
        with self.cache.opened() as cache:
            vectors, absent = cache.read(sentences)
            num_ready = len(sentences) - len(absent)
            if on_sentences is not None:
                on_sentences(num_ready)
            if absent:
                missing = [sentences[place] for place in absent]
                self._add(cache, missing, _counting_from(num_ready, on_sentences))
                vectors[absent], _ = cache.read(missing)
        return vectors

    def add(self, facts: Iterable[Fact | str], *, on_sentences: OnSentences | None = None) -> int:
        """Encode those of any number of facts that are not cached, without keeping them in memory.

        Args:
            facts: Facts, whose sentences are encoded, or sentences; they are read as they are needed.
            on_sentences: Called with the number of these that are ready so far.

        Returns:
            How many sentences were encoded by this call.

        Raises:
            ValueError: As `encode`.
            OSError: As `encode`.
        """
        with self.cache.opened() as cache:
            return self._add(cache, facts, _counting_from(0, on_sentences))

    def _add(self, cache: VectorCache, facts: Iterable[Fact | str], on_sentences: OnSentences) -> int:
        waiting = iter(_one_by_one(facts))
        num_ready = num_encoded = 0
        while window := list(islice(waiting, _WINDOW)):
            counts = Counter(_sentences(window))
            num_encoded += self._add_window(cache, counts, _counting_from(num_ready, on_sentences))
            num_ready += len(window)
        return num_encoded

    def _add_window(self, cache: VectorCache, counts: Counter[str], on_sentences: OnSentences) -> int:
        """Encode what is missing of these sentences, and wait for what others are encoding."""
        known = cache.known(list(counts))
        ready = sum(counts[sentence] for sentence in known)
        on_sentences(ready)
        # The sort is stable, so that the same sentences make the same batches, whoever asks.
        missing = sorted((sentence for sentence in counts if sentence not in known), key=len)
        num_encoded = 0
        if not missing:
            return num_encoded
        with self._claims() as claims:
            while missing:
                left = []
                for start in range(0, len(missing), self._batch_size):
                    batch = missing[start : start + self._batch_size]
                    new, others = self._divide(batch, claims, cache)
                    if new:
                        cache.add(new, self._vectors(new))
                    num_encoded += len(new)
                    left += others
                    ready += sum(counts[sentence] for sentence in set(batch).difference(others))
                    on_sentences(ready)
                if len(left) == len(missing):
                    time.sleep(_PAUSE)
                missing = left
        return num_encoded

    @contextmanager
    def _claims(self) -> Iterator[Claims]:
        claims = Claims(self.cache.folder / "claims")
        try:
            claims.begin()
        except OSError as error:
            raise unwritable(self.cache.folder, error) from error
        try:
            yield claims
        finally:
            claims.end()

    def _divide(self, batch: list[str], claims: Claims, cache: VectorCache) -> tuple[list[str], list[str]]:
        """Return what of a batch is for us to encode, and what others are encoding; the rest is done."""
        try:
            claimed = claims.take(batch)
        except OSError as error:
            raise unwritable(self.cache.folder, error) from error
        known = cache.known(batch)  # only now: what others finish from here on, they had claimed before
        free = known.union(claimed)
        return (
            [sentence for sentence in claimed if sentence not in known],
            [sentence for sentence in batch if sentence not in free],
        )

    def _vectors(self, sentences: list[str]) -> Float32[np.ndarray, "sentences width"]:
        vectors = np.asarray(self._tower(sentences), dtype=np.float32)
        expected = (len(sentences), self.cache.width)
        if vectors.shape != expected:
            raise ValueError(
                f"`text_tower` must return {expected}, a vector for each sentence; got {vectors.shape}."
            )
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            bad = sentences[int(finite.argmin())]
            raise ValueError(
                f"`text_tower` must return finite numbers; the vector of {bad[:80]!r} has others. Nothing of "
                "its batch was kept."
            )
        return vectors


def _one_by_one(facts: Iterable[Any]) -> Iterable[Any]:
    if isinstance(facts, str):
        raise ValueError(
            "`facts` must be a sequence of facts or sentences; got one string. Put it in a list."
        )
    return facts


def _sentences(facts: Iterable[Any]) -> list[str]:
    """The sentence of each fact or sentence."""
    sentences = [fact.sentence if isinstance(fact, Fact) else fact for fact in _one_by_one(facts)]
    for sentence in sentences:
        if not isinstance(sentence, str):
            raise ValueError(
                f"`facts` must hold facts or sentences; got {sentence!r:.80}, a {type(sentence).__name__}."
            )
        require_unicode("`facts`", sentence)
    return sentences


def _counting_from(start: int, on_sentences: OnSentences | None) -> OnSentences:
    def count(done: int) -> None:
        if on_sentences is not None:
            on_sentences(start + done)

    return count
