"""Features of images and texts from frozen towers, computed once and kept on disk at two bytes a number.

Files of a few hundred images (or texts) appear when they are complete, so that an interrupted job resumes where it was,
and several processes share the work. They lie in a folder named by a fingerprint of towers, preparation and
tables.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
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
        _fill_images(core, rows, collate, features, options)
        _fill_texts(core, tokens, collate, features, options)
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


def _fill_images(
    core: Any, rows: Rows, collate: Collator, features: CachedFeatures, options: EvaluationOptions
) -> None:
    device, size = next(core.parameters()).device, features.images_in_file
    for part in own_share(range(-(-rows.num_images // size))):
        path = features.folder / f"images-{part:06d}.npy"
        if path.exists():
            continue
        numbers = np.arange(part * size, min((part + 1) * size, rows.num_images))
        loader = DataLoader(
            RowImages(rows, numbers),
            batch_size=options.batch_size,
            collate_fn=collate.images,
            num_workers=options.num_workers,
        )
        _write(path, (core.image_tower(batch["pixel_values"].to(device)) for batch in loader))


def _fill_texts(
    core: Any,
    tokens: list[list[int]],
    collate: Collator,
    features: CachedFeatures,
    options: EvaluationOptions,
) -> None:
    device, size = next(core.parameters()).device, features.texts_in_file
    for part in own_share(range(-(-len(tokens) // size))):
        path = features.folder / f"texts-{part:06d}.npy"
        if path.exists():
            continue
        in_file = tokens[part * size : (part + 1) * size]
        starts = range(0, len(in_file), options.batch_size)
        batches = (in_file[start : start + options.batch_size] for start in starts)
        _write(path, (_encode_texts(core, batch, collate, device) for batch in batches))


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
