"""Which process is encoding which sentences, so that several share the work and none is done twice."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

# The common lock is held for a few file operations; whoever holds it this long has stopped.
_PATIENCE = 60.0


class Claims:
    """One worker's claims among those of all others on the same folder.

    Each worker has a file that names what it has claimed, and holds a lock on another. The operating system
    gives that lock back when the process ends, however it ends: a claim without a held lock is void.

    Args:
        folder: Where the workers meet; created if there is none.
        patience: Seconds to wait for the common lock.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ours, theirs = Claims(Path(folder)), Claims(Path(folder))
        ...     ours.begin(), theirs.begin()
        ...     ours.take(["a", "b"]), theirs.take(["b", "c"])
        ...     ours.end(), theirs.end()
        (None, None)
        (['a', 'b'], ['c'])
        (None, None)
    """

    def __init__(self, folder: Path, *, patience: float = _PATIENCE) -> None:
        self._folder, self._patience = folder, patience
        self._own = folder / f"{os.getpid()}-{uuid.uuid4().hex}.claims"
        self._turn = FileLock(folder / "turn.lock", timeout=patience)
        self._alive = _lock_of(self._own)

    def begin(self) -> None:
        """Join the workers.

        Raises:
            OSError: If no file can be written in the folder, or its lock is not to be had.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._taking_turns():  # or another might find our file before our lock
            self._alive.acquire()
            self._own.touch()

    def end(self) -> None:
        """Leave, and release all claims."""
        self._own.unlink(missing_ok=True)
        self._alive.release()
        Path(self._alive.lock_file).unlink(missing_ok=True)

    def take(self, sentences: Sequence[str]) -> list[str]:
        """Claim those of the sentences that nobody else has claimed, in place of what was claimed before.

        Whoever claims a sentence has to look afterwards whether it is done: claims of what is done are given
        up.

        Raises:
            OSError: If the claims cannot be written, or the folder's lock is not to be had.
        """
        keys = {_key(sentence): sentence for sentence in sentences}
        with self._taking_turns():
            for others in self._folder.glob("*.claims"):
                if others != self._own and _is_alive(others):
                    for key in _claimed(others):
                        keys.pop(key, None)
            self._own.write_text("\n".join(keys), encoding="ascii")
        return list(keys.values())

    @contextmanager
    def _taking_turns(self) -> Iterator[None]:
        try:
            self._turn.acquire()
        except Timeout:
            raise TimeoutError(
                f"Another process has held {str(self._folder / 'turn.lock')!r} for {self._patience:.0f} seconds; "
                "see what it does, or end it."
            ) from None
        try:
            yield
        finally:
            self._turn.release()


def _lock_of(claims: Path) -> FileLock:
    return FileLock(claims.with_suffix(".lock"))


def _key(sentence: str) -> str:
    return hashlib.blake2b(sentence.encode(), digest_size=16).hexdigest()


def _claimed(claims: Path) -> list[str]:
    try:
        return claims.read_text(encoding="ascii").split()
    except FileNotFoundError:  # its worker has left just now
        return []


def _is_alive(claims: Path) -> bool:
    """Whether the process that wrote this file is still there; what a dead one left is removed."""
    lock = _lock_of(claims)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    claims.unlink(missing_ok=True)
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)
    return False
