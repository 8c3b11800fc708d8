"""What identifies an encoder: a hash of everything that its vectors depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from vkood.models.loading import WEIGHTS, local_folder

_OTHERS = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


def encoder_fingerprint(folder: str | Path, *, files: Iterable[str], pooling: str) -> str:
    """Hash the files that an encoder is loaded from, and those alone: many folders hold others besides.

    It does not depend on where the files lie, so a copy has the same one.

    Args:
        folder: A folder (or hub name) with a `transformers` model and its tokenizer.
        files: The names of further files: the tokenizer's vocabulary, and code that is run.
        pooling: How a sentence's tokens become one vector.

    Raises:
        OSError: If there is no such folder, or no weights are in it.
    """
    local = local_folder(folder)
    names = {name for name in (*_OTHERS, *files) if (local / name).is_file()}
    names.update(_weights(local))
    digest = hashlib.sha256(pooling.encode())
    for name in sorted(names):
        digest.update(f"\n{name} {_hash_of(local / name)}".encode())
    return digest.hexdigest()


def _weights(folder: Path) -> Iterator[str]:
    first = next((name for name in WEIGHTS if (folder / name).is_file()), None)
    if first is None:
        raise FileNotFoundError(f"There are no weights in {str(folder)!r}: none of {', '.join(WEIGHTS)}.")
    yield first
    if first.endswith(".index.json"):
        stem, _, kind = first.removesuffix(".index.json").partition(".")
        yield from (part.name for part in folder.glob(f"{stem}-*.{kind}"))


def _hash_of(file: Path) -> str:
    content = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(2**20):
            content.update(block)
    return content.hexdigest()
