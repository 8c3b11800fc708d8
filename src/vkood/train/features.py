"""Features of images and texts from frozen towers, computed once and kept on disk at two bytes a number.

Files of a few hundred images (or texts) appear when they are complete, so that an interrupted job resumes where it was,
and several processes share the work. They lie in a folder named by a fingerprint of towers, preparation and
tables.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from vkood.data.batches import Collator
from vkood.data.rows import Example, RowImages, Rows
from vkood.files import FileProblem, complete_file
from vkood.images import DECODING
from vkood.tasks.ranks import gathered, own_share
from vkood.tasks.task import EvaluationOptions, evaluating

_IMAGES_IN_FILE = 256
_TEXTS_IN_FILE = 4096
Progress = Callable[[str, int], Callable[[int], None]]
"""Of what, and how many of it, features are computed; returns what is called with how many are done since."""

_OPEN_FILES = 64
"""Of each shard the descriptor stays open, and a process may often have no more than 256."""


class CachedFeatures:
    """Features on disk, memory-mapped.

    Args:
        folder: The folder of the files.
        texts: All different texts in the order of the files; empty if texts are not kept.
        tokens: Number of tokens of each text.
        images_in_file: Number of images in each file.
        texts_in_file: Number of texts in each file.
    """

    def __init__(
        self,
        folder: Path,
        texts: Sequence[str],
        tokens: Sequence[int],
        *,
        images_in_file: int = _IMAGES_IN_FILE,
        texts_in_file: int = _TEXTS_IN_FILE,
    ) -> None:
        self.folder, self.images_in_file, self.texts_in_file = folder, images_in_file, texts_in_file
        self._number = {text: number for number, text in enumerate(texts)}
        self._tokens = np.array(tokens, dtype=np.int64)
        parts = range(0, len(texts), texts_in_file)
        inside = [np.cumsum(self._tokens[part : part + texts_in_file]) for part in parts]
        ends = np.concatenate([np.zeros(0, np.int64), *inside])
        self._starts = ends - self._tokens

    @property
    def has_texts(self) -> bool:
        """Whether texts are kept."""
        return bool(self._number)

    def images(self, examples: Sequence[Example]) -> Float[Tensor, "batch *images tokens width"]:
        """The tokens of the examples' images."""
        rows = []
        for example in examples:
            part, place = divmod(example.image_index, self.images_in_file)
            rows.append(_mapped(self.folder / f"images-{part:06d}.npy")[place].copy())
        return torch.from_numpy(np.stack(rows)).float()

    def texts(self, texts: Sequence[str], length: int) -> Float[Tensor, "batch length width"]:
        """The tokens of texts, zero where a text is shorter than `length`."""
        rows = []
        for text in texts:
            number = self._number[text]
            start, count = self._starts[number], self._tokens[number]
            shard = _mapped(self.folder / f"texts-{number // self.texts_in_file:06d}.npy")
            rows.append(shard[start : start + count].astype(np.float32))
        padded = torch.zeros(len(rows), length, rows[0].shape[1])
        for row, states in zip(padded, rows, strict=True):
            row[: len(states)] = torch.from_numpy(states)
        return padded


def cached_features(
    model: Any,
    rows: Rows,
    collate: Collator,
    folder: Path,
    *,
    with_texts: bool,
    options: EvaluationOptions,
    images_in_file: int = _IMAGES_IN_FILE,
    texts_in_file: int = _TEXTS_IN_FILE,
    progress: Progress = lambda what, total: lambda done: None,
) -> CachedFeatures:
    """The features of rows, computed where they are not cached.

    Every process computes a share, and returns when all is there.

    Args:
        model: A two-stream model with frozen towers.
        rows: The rows.
        collate: Prepares pictures and texts.
        folder: Where features of all kinds are kept.
        with_texts: Whether texts are kept too.
        options: How to iterate over the rows.
        images_in_file: Number of images in each file, the same whenever `folder` is used.
        texts_in_file: Number of texts in each file, likewise.
        progress: Reports how far this process is, of what was not kept before.
    """
    core = model.base_model
    place = folder / fingerprint(core, rows, collate, options)
    place.mkdir(parents=True, exist_ok=True)
    with evaluating(model, options.autocast):
        texts = tuple(dict.fromkeys(rows.text(index)[0] for index in range(len(rows)))) if with_texts else ()
        tokens = collate.tokens(texts) if texts else []
        features = CachedFeatures(
            place,
            texts,
            [len(ids) for ids in tokens],
            images_in_file=images_in_file,
            texts_in_file=texts_in_file,
        )
        _fill_images(core, rows, collate, features, options, progress)
        _fill_texts(core, tokens, collate, features, options, progress)
    gathered(None)  # all have written
    return features


def fingerprint(core: Any, rows: Rows, collate: Collator, options: EvaluationOptions) -> str:
    """The name of the features by weights, preparation of pictures and texts, tables, precision."""
    digest = hashlib.sha256()
    for tower in (core.image_tower, core.text_tower):
        for name, tensor in sorted(tower.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    processor: Any = collate.processor
    digest.update(json.dumps(processor.image_processor.to_dict(), sort_keys=True, default=str).encode())
    digest.update(f"decoding {DECODING}".encode())
    files = [(table.name, table.path.stat().st_size, table.path.stat().st_mtime_ns) for table in rows.tables]
    digest.update(json.dumps([files, processor.max_length, len(rows), str(options.autocast)]).encode())
    digest.update(json.dumps(processor.tokenizer.get_vocab(), sort_keys=True).encode())
    return digest.hexdigest()[:20]


def _missing(kept: str, total: int, in_file: int, folder: Path) -> dict[Path, range]:
    """The files of this process's share that are not there, each with the numbers of what belongs in it."""
    parts = {
        folder / f"{kept}-{part:06d}.npy": range(part * in_file, min((part + 1) * in_file, total))
        for part in own_share(range(-(-total // in_file)))
    }
    return {path: numbers for path, numbers in parts.items() if not path.exists()}


def _fill_images(
    core: Any,
    rows: Rows,
    collate: Collator,
    features: CachedFeatures,
    options: EvaluationOptions,
    progress: Progress,
) -> None:
    device = next(core.parameters()).device
    missing = _missing("images", rows.num_images, features.images_in_file, features.folder)
    count = progress("images", sum(map(len, missing.values())))
    for path, numbers in missing.items():
        loader = DataLoader(
            RowImages(rows, np.arange(numbers.start, numbers.stop)),
            batch_size=options.batch_size,
            collate_fn=collate.images,
            num_workers=options.num_workers,
        )
        pixels = (batch["pixel_values"].to(device) for batch in loader)
        _write(path, _counted(((len(batch), core.image_tower(batch)) for batch in pixels), count))


def _fill_texts(
    core: Any,
    tokens: list[list[int]],
    collate: Collator,
    features: CachedFeatures,
    options: EvaluationOptions,
    progress: Progress,
) -> None:
    device = next(core.parameters()).device
    missing = _missing("texts", len(tokens), features.texts_in_file, features.folder)
    count = progress("texts", sum(map(len, missing.values())))
    for path, numbers in missing.items():
        in_file = tokens[numbers.start : numbers.stop]
        starts = range(0, len(in_file), options.batch_size)
        batches = (in_file[start : start + options.batch_size] for start in starts)
        states = ((len(batch), _encode_texts(core, batch, collate, device)) for batch in batches)
        _write(path, _counted(states, count))


def _counted(parts: Iterable[tuple[int, Tensor]], count: Callable[[int], None]) -> Iterator[Tensor]:
    """Tensors, each counted as so many images or texts once it is computed."""
    for number, part in parts:
        yield part
        count(number)


def _encode_texts(core: Any, tokens: list[list[int]], collate: Collator, device: torch.device) -> Tensor:
    """The states of all tokens of texts, one text's after the other's."""
    batch = {name: tensor.to(device) for name, tensor in collate.padded(tokens).items()}
    return core.text_tower(**batch)[batch["attention_mask"].bool()]


def _write(path: Path, parts: Iterator[Tensor]) -> None:
    arrays = [part.to(torch.float16).cpu().numpy() for part in parts]
    with complete_file(path) as unfinished, unfinished.open("wb") as file:
        np.save(file, np.concatenate(arrays))


@functools.lru_cache(maxsize=_OPEN_FILES)
def _mapped(path: Path) -> np.ndarray:
    """A file's numbers on disk. Whoever keeps a part of them copies it: a view would keep the file open."""
    try:
        return np.load(path, mmap_mode="r")
    except (ValueError, EOFError) as error:
        raise FileProblem(
            f"The cached features {str(path)!r} are damaged ({error}): delete the file, and they are computed again."
        ) from None
