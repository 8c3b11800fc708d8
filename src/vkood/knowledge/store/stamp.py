"""The stamp of a store: a hash of all bytes of its file, kept in the header.

The content hash shows whether facts were altered. The stamp shows it of any other byte too, also where SQLite keeps
nothing. It cannot be the hash of itself, so it counts as zeros in the hashed bytes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

STAMP = "stamp"
"""Name of the header's row."""
NO_STAMP = "0" * 64
"""What the row holds until the file is stamped."""
_BLOCK = 2**20


def stamp_file(path: Path) -> None:
    """Put the hash of a file that has `NO_STAMP` in its place.

    Raises:
        ValueError: If the file has no such place, or several.
    """
    stamp, place = _hash_and_place(path, NO_STAMP)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(stamp.encode())


def stamped_hash(path: Path, stamp: str) -> str:
    """Return the hash that a file stamped with `stamp` would have to have as its stamp.

    Raises:
        ValueError: If the file has no such stamp, or several.
    """
    return _hash_and_place(path, stamp)[0]


def _hash_and_place(path: Path, stamp: str) -> tuple[str, int]:
    """The hash of a file with zeros for its stamp, and where the stamp lies: SQLite keeps it after its name."""
    place = _only_place(path, (STAMP + stamp).encode()) + len(STAMP)
    whole = hashlib.sha256()
    with path.open("rb") as file:
        for size in (place, None):
            while block := file.read(_BLOCK if size is None else min(_BLOCK, size - file.tell())):
                whole.update(block)
            if size is not None:
                whole.update(NO_STAMP.encode())
                file.seek(place + len(NO_STAMP))
    return whole.hexdigest(), place


def _only_place(path: Path, stamp: bytes) -> int:
    places: list[int] = []
    with path.open("rb") as file:
        start, content = 0, b""
        while block := file.read(_BLOCK):
            content += block
            at = content.find(stamp)
            while at >= 0:
                places.append(start + at)
                at = content.find(stamp, at + 1)
            rest = content[-(len(stamp) - 1) :]  # the beginning of one may lie across two blocks
            start, content = start + len(content) - len(rest), rest
    if len(places) != 1:
        raise ValueError("its stamp was altered")
    return places[0]
