"""Image-text retrieval on tables: every image and text is encoded once, then pairs are scored in chunks.

Legend: N images, M texts, T image tokens, L words, F facts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from typing_extensions import override

from vkood.data.batches import Collator
from vkood.data.rows import RowImages, Rows
from vkood.data.tables import Table
from vkood.metrics import recall_at
from vkood.models import BlipVkoodForImageTextRetrieval
from vkood.tasks.ranks import gathered, own_share
from vkood.tasks.task import Looking, Scores, Task, evaluating

NOT_SCORED = -100.0
"""The score of pairs that a shortlist leaves out."""
_RANKS = (1, 5, 10)


@dataclass(frozen=True, kw_only=True)
class PairScores:
    """How well texts go with images.

    Attributes:
        text_search: (N, M) scores among which each image's texts are found.
        image_search: (N, M) scores among which each text's image is found; the same without a shortlist.
    """

    text_search: Tensor
    image_search: Tensor


class RetrievalTask(Task):
    """Images to be found for captions, and captions for images.

    Args:
        num_false: False captions for each image in training; 0 for a model that takes those of the batch.
        shortlist: How many candidates are looked at closely, after a first look by features; all, if None.
        memory_limit: Megabytes that the scoring of pairs may take beyond the model, roughly.
        add_similarity: Whether a first look's similarity is added to the closer look's score, as in BLIP; VK-OOD takes
            the latter alone.
    """

    name = "retrieval"
    metric = "mean_recall"

    def __init__(
        self,
        *,
        num_false: int = 15,
        shortlist: int | None = None,
        memory_limit: int = 2048,
        add_similarity: bool = False,
    ) -> None:
        for name, number in (("shortlist", shortlist), ("memory_limit", memory_limit)):
            if number is not None and number < 1:
                raise ValueError(f"`{name}` must be at least 1; got {number}.")
        self.num_false, self.shortlist, self.memory_limit = num_false, shortlist, memory_limit
        self.add_similarity = add_similarity

    @override
    def rows(
        self, tables: Sequence[Table], *, training: bool, seed: int = 0, limit: int | None = None
    ) -> Rows:
        return Rows(tables, num_false=self.num_false if training else 0, seed=seed, limit=limit)

    @override
    def evaluate(self, model: Any, rows: Rows, collate: Collator, looking: Looking) -> Scores:
        """Recall among the first 1, 5 and 10, both ways, and the mean of these; predictions are the best candidates."""
        scores = self.score(model, rows, collate, looking)
        images, image_of_text = np.unique(rows.image_index, return_inverse=True)
        return _recalls(scores, torch.from_numpy(image_of_text), images)

    def score(self, model: Any, rows: Rows, collate: Collator, looking: Looking) -> PairScores:
        """Score pairs of the rows' images and texts; every process takes a share of the images.

        Args:
            model: A model for retrieval of either family.
            rows: The rows.
            collate: Makes batches.
            looking: How to go through them. Results do not depend on the number of processes.

        Raises:
            ValueError: If a shortlist or the first look's similarity is asked for, but the model has no features for a
                first look.
        """
        blip = isinstance(model, BlipVkoodForImageTextRetrieval)
        for name, asked in (
            ("shortlist", self.shortlist is not None),
            ("add_similarity", self.add_similarity),
        ):
            if asked and not blip:
                raise ValueError(
                    f"`{name}` needs a model with features for a first look (BLIP's); this one, of two streams, has "
                    "none. Leave it out."
                )
        with evaluating(model, looking.autocast), tempfile.TemporaryDirectory() as folder:
            encoder = _Blip(model) if blip else _TwoStream(model)
            texts = _Texts(rows, collate, encoder, looking)
            images = _Images(rows, collate, encoder, looking, Path(folder))
            return self._scored(encoder, images, texts, looking)

    def _scored(self, encoder: Any, images: _Images, texts: _Texts, looking: Looking) -> PairScores:
        found: list[tuple[int, np.ndarray, np.ndarray]] = []
        wanted, step = self._wanted(images, texts), self._pairs_at_once(images, texts)
        for number in images.own:
            of_image = np.arange(len(texts)) if wanted is None else np.flatnonzero(wanted[:, number].any(0))
            tokens = images.tokens(number)
            chunks = [of_image[start : start + step] for start in range(0, len(of_image), step)]
            scores = torch.cat([encoder.pairs(tokens, texts.some(chunk)) for chunk in chunks])
            if looking.on_rows is not None:
                looking.on_rows(1)
            found.append((number, of_image, scores.float().cpu().numpy()))
        whole = np.full((len(images), len(texts)), NOT_SCORED, dtype=np.float32)
        for number, of_image, scores in (one for some in gathered(found) for one in some):
            whole[number, of_image] = scores
        if self.add_similarity:
            whole += images.similarity(texts).numpy()
        if wanted is None:
            everything = torch.from_numpy(whole)
            return PairScores(text_search=everything, image_search=everything)
        searched = [torch.from_numpy(np.where(some, whole, NOT_SCORED)) for some in wanted]
        return PairScores(text_search=searched[0], image_search=searched[1])

    def _wanted(self, images: _Images, texts: _Texts) -> np.ndarray | None:
        """(2, N, M) which pairs are looked at closely, to find texts and to find images; None for all."""
        if self.shortlist is None:
            return None
        similarity = images.similarity(texts)
        wanted = torch.zeros(2, *similarity.shape, dtype=torch.bool)
        wanted[0].scatter_(1, similarity.topk(min(self.shortlist, len(texts)), dim=1).indices, True)
        wanted[1].scatter_(0, similarity.topk(min(self.shortlist, len(images)), dim=0).indices, True)
        return wanted.numpy()

    def _pairs_at_once(self, images: _Images, texts: _Texts) -> int:
        """How many pairs of an image fit into memory: each holds a dozen states for every token of both sides."""
        tokens = images.num_tokens + texts.longest
        floats = 16 * tokens * images.width + 4 * 12 * tokens * tokens
        return max(1, int(self.memory_limit * 2**20 / (4 * floats)))


class _Images:
    """Images, encoded once, this process's share of them; their tokens lie in a file."""

    def __init__(self, rows: Rows, collate: Collator, encoder: Any, looking: Looking, folder: Path) -> None:
        numbers = np.unique(rows.image_index)
        self._count = len(numbers)
        # Whole batches are shared out, so that each has the same images however many processes there are.
        starts = own_share(range(0, len(numbers), looking.batch_size))
        self.own = [
            n for start in starts for n in range(start, min(start + looking.batch_size, len(numbers)))
        ]
        loader = DataLoader(
            RowImages(rows, numbers),
            batch_sampler=[list(range(s, min(s + looking.batch_size, len(numbers)))) for s in starts],
            collate_fn=collate.images,
            num_workers=looking.num_workers,
        )
        self._place = {number: place for place, number in enumerate(self.own)}
        self._device = encoder.model.device
        self._kept: np.memmap | None = None
        features: list[Tensor] = []
        done = 0
        for batch in loader:
            feature, tokens = encoder.images(
                {name: tensor.to(self._device) for name, tensor in batch.items()}
            )
            features.append(feature.float().cpu())
            array = tokens.float().cpu().numpy()
            if self._kept is None:
                shape = (len(self.own), *array.shape[1:])
                self._kept = np.lib.format.open_memmap(folder / "tokens.npy", "w+", np.float32, shape)
            self._kept[done : done + len(array)] = array
            done += len(array)
        self.num_tokens, self.width = (1, 1) if self._kept is None else self._kept.shape[1:]
        self._features = self._of_all(torch.cat(features) if features else torch.empty(0, 0))

    def _of_all(self, own: Tensor) -> Tensor:
        shares = [(places, part) for places, part in gathered((self.own, own)) if places]
        whole = torch.empty(self._count, shares[0][1].shape[1])
        for places, part in shares:
            whole[places] = part
        return whole

    def __len__(self) -> int:
        return self._count

    def tokens(self, number: int) -> Tensor:
        """(T, width) the tokens of an image of this process's."""
        assert self._kept is not None
        return torch.from_numpy(np.array(self._kept[self._place[number]])).to(self._device)

    def similarity(self, texts: _Texts) -> Tensor:
        """(N, M) by features."""
        return self._features @ texts.features.T


class _Texts:
    """Texts, encoded once."""

    def __init__(self, rows: Rows, collate: Collator, encoder: Any, looking: Looking) -> None:
        told = [rows.text(index) for index in range(len(rows))]
        tokens = collate.tokens([text for text, _ in told])
        self._tokens, self._collate, self._device = tokens, collate, encoder.model.device
        self._facts = [facts for _, facts in told]
        self.longest = max(map(len, tokens)) + max(map(len, self._facts))
        features, self._states = [], []
        for start in range(0, len(tokens), looking.batch_size):
            batch = {
                k: v.to(self._device)
                for k, v in collate.padded(tokens[start : start + looking.batch_size]).items()
            }
            feature, states = encoder.texts(batch)
            features.append(feature.float().cpu())
            self._states += [s[: len(t)] for s, t in zip(states, tokens[start:], strict=False)]
        self.features = torch.cat(features)

    def __len__(self) -> int:
        return len(self._tokens)

    def some(self, places: np.ndarray) -> dict[str, Tensor]:
        """Ids, mask, facts and, where the encoder keeps them, states of some texts."""
        batch = self._collate.padded([self._tokens[place] for place in places])
        batch |= self._collate.facts([self._facts[place] for place in places])
        batch = {name: tensor.to(self._device) for name, tensor in batch.items()}
        if self._states:
            some = [self._states[place] for place in places]
            batch["text_features"] = torch.nn.utils.rnn.pad_sequence(some, batch_first=True)
        return batch


class _TwoStream:
    """How a two-stream model scores pairs: towers once, fusion for each pair."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def images(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        tokens = batch.get("image_features")
        tokens = self.model.base_model.image_tower(batch["pixel_values"]) if tokens is None else tokens
        return tokens.new_empty(len(tokens), 0), tokens

    def texts(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        states = self.model.base_model.text_tower(**batch)
        return states.new_empty(len(states), 0), states

    def pairs(self, image: Tensor, texts: dict[str, Tensor]) -> Tensor:
        several = {name: tensor[None] for name, tensor in texts.items()}
        return self.model(image_features=image[None], output_states=False, **several).logits[0]


class _Blip:
    """How BLIP scores pairs: by features, and by reading the image."""

    def __init__(self, model: BlipVkoodForImageTextRetrieval) -> None:
        self.model = model

    def images(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self.model.image_features(batch["pixel_values"])

    def texts(self, batch: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        return self.model.text_features(**batch), []

    def pairs(self, image: Tensor, texts: dict[str, Tensor]) -> Tensor:
        image = image.expand(len(texts["input_ids"]), *image.shape)
        return self.model.match_scores(image, **texts)[:, 1]


def _recalls(scores: PairScores, image_of_text: Tensor, images: np.ndarray) -> Scores:
    of_texts = recall_at(scores.text_search, image_of_text, _RANKS)
    of_images = recall_at(scores.image_search, image_of_text, _RANKS)
    found = {name: value for name, value in of_texts.items() if name.startswith("text")}
    found |= {name: value for name, value in of_images.items() if name.startswith("image")}
    best = _RANKS[-1]
    predictions: list[dict[str, Any]] = []
    order = scores.text_search.argsort(dim=1, descending=True, stable=True)[:, :best].tolist()
    for number, some in zip(images.tolist(), order, strict=True):
        predictions.append({"image": number, "texts": some})
    order = scores.image_search.argsort(dim=0, descending=True, stable=True)[:best].T.tolist()
    for number, some in enumerate(order):
        predictions.append({"text": number, "images": [int(images[image]) for image in some]})
    return Scores(metrics=found | {"mean_recall": sum(found.values()) / len(found)}, predictions=predictions)


def score_retrieved(predictions: Sequence[dict[str, Any]], rows: Rows) -> dict[str, float]:
    """Recall of candidates that are in a file.

    Args:
        predictions: Each with `image`, the number of an image, and `texts`, the numbers of the texts found for it, the
            best first; or with `text` and `images`.
        rows: The rows.

    Raises:
        ValueError: If an image or a text of the rows has no candidates.
    """
    found: dict[str, float] = {}
    of_text = rows.image_index
    ways: tuple[tuple[str, str, Iterator[int]], ...] = (
        ("image", "texts", iter(np.unique(of_text).tolist())),
        ("text", "images", iter(range(len(of_text)))),
    )
    for one, candidates, wanted in ways:
        told = {p[one]: p[candidates] for p in predictions if one in p}
        hits = {k: 0 for k in _RANKS}
        count = 0
        for number in wanted:
            if number not in told:
                raise ValueError(f"every {one} must have candidates; {one} {number} has none.")
            right = [
                of_text[candidate] == number if one == "image" else of_text[number] == candidate
                for candidate in told[number]
            ]
            count += 1
            for k in _RANKS:
                hits[k] += any(right[:k])
        found |= {f"{candidates[:-1]}_recall@{k}": hits[k] / count for k in _RANKS}
    return found | {"mean_recall": sum(found.values()) / len(found)}
