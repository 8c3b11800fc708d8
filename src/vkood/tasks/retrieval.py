"""Image-text retrieval on tables: every image and text is encoded once, then pairs are scored in chunks.

Legend: N images, M texts, T image tokens, L words, F facts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override

from vkood.data.batches import Collator, ContrastBatches, RankBatches
from vkood.data.rows import Example, RowImages, Rows
from vkood.data.tables import Table
from vkood.fields import Whole, as_count
from vkood.metrics import recall_at
from vkood.models import BlipVkoodForImageTextRetrieval, VkoodForImageTextRetrieval
from vkood.models.explainable import MATCHING
from vkood.tasks.predictions import field_of, wrong_field
from vkood.tasks.ranks import gathered, own_share
from vkood.tasks.task import EvaluationOptions, Scores, Task, evaluating

NOT_SCORED = -100.0
"""The score of pairs that are not on a shortlist."""
_RANKS = (1, 5, 10)


@dataclass(frozen=True, kw_only=True)
class PairScores:
    """How well texts go with images.

    Attributes:
        text_search: (N, M) scores by which texts are retrieved for each image.
        image_search: (N, M) scores by which images are retrieved for each text; the same without a shortlist.
    """

    text_search: Tensor
    image_search: Tensor


class AlphaRamp(TrainerCallback):
    """Raises the weight of the momentum encoder's targets from 0 during the first epoch, as BLIP does.

    Args:
        model: A model with an `alpha` of its own, whose configuration has the final value.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    @override
    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._model.alpha = self._model.config.alpha * min(1.0, state.epoch or 0.0)


@dataclass(frozen=True, kw_only=True)
class RetrievalTask(Task):
    """Retrieval of images by captions, and of captions by images.

    A two-stream model is trained to rank an image's caption above false ones; BLIP, to tell the captions of a batch
    and of earlier ones apart, by features and by a momentum encoder.

    Attributes:
        false_texts: False captions of each image in training (two-stream).
        shortlist: Number of candidates, the best by features, that are re-ranked by the matching head (BLIP); all, if
            None.
        memory_limit: Megabytes that the scoring of pairs may take beyond the model, roughly.
        add_similarity: Whether the similarity of features is added to the matching head's score, as in BLIP; VK-OOD
            takes the latter alone.
    """

    name: ClassVar[str] = "retrieval"
    metric: ClassVar[str] = "mean_recall"
    models: ClassVar[Mapping[str, Any]] = {
        "two-stream": VkoodForImageTextRetrieval,
        "blip": BlipVkoodForImageTextRetrieval,
    }
    checkpoint_task: ClassVar[str | None] = "retrieval"

    false_texts: int = 15
    shortlist: int | None = None
    memory_limit: int = 2048
    add_similarity: bool = False

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        for name, number in (("shortlist", self.shortlist), ("memory_limit", self.memory_limit)):
            if number is not None:
                object.__setattr__(self, name, as_count(name, number))
        if self.family != "blip" and (self.add_similarity or self.shortlist is not None):
            raise ValueError(
                "`options.shortlist` and `options.add_similarity` need features to rank candidates by, which models "
                "of the BLIP family alone have; leave them out, or take `model.family=blip`."
            )

    @property
    @override
    def momentum_encoder(self) -> bool:
        return self.family == "blip"

    @override
    def rows(
        self, tables: Sequence[Table], *, training: bool, seed: int = 0, limit: int | None = None
    ) -> Rows:
        num_false = self.false_texts if training and self.family == "two-stream" else 0
        return Rows(tables, num_false=num_false, seed=seed, limit=limit)

    @override
    def collator(self, shared: Collator, *, training: bool) -> Collator:
        if not training:
            return shared
        return (ContrastBatches if self.family == "blip" else RankBatches)(**vars(shared))

    @override
    def callbacks(self, model: Any) -> list[TrainerCallback]:
        return [AlphaRamp(model)] if self.family == "blip" else []

    @override
    def target(self, example: Example) -> str:
        return f"It {MATCHING[1]}: the caption is the picture's own."

    @override
    def num_evaluated(self, rows: Rows) -> int:
        return len(np.unique(rows.image_index))

    @override
    def evaluate(self, model: Any, rows: Rows, collate: Collator, options: EvaluationOptions) -> Scores:
        """Recall among the first 1, 5 and 10, both ways, and the mean of these; predictions are the best candidates."""
        scores = self.pair_scores(model, rows, collate, options)
        images, image_of_text = np.unique(rows.image_index, return_inverse=True)
        return _recalls(scores, torch.from_numpy(image_of_text), images)

    @override
    def check_prediction(self, place: str, prediction: dict[str, Any], rows: Rows) -> tuple[str, Any]:
        image, text = Whole(0, rows.num_images - 1), Whole(0, len(rows) - 1)
        name, query_rule, others, candidate_rule = (
            ("image", image, "texts", text) if "image" in prediction else ("text", text, "images", image)
        )
        query = field_of(place, prediction, name)
        if not query_rule.accepts(query):
            raise wrong_field(place, name, query_rule.expected, query)
        candidates = field_of(place, prediction, others)
        if not isinstance(candidates, list):
            raise wrong_field(place, others, f"a list of numbers of {others}", candidates)
        for candidate in candidates:
            if not candidate_rule.accepts(candidate):
                raise wrong_field(place, others, f"a list, each {candidate_rule.expected}", candidate)
        if len(set(candidates)) < len(candidates):
            raise wrong_field(place, others, "a list without repetitions", candidates)
        return name, query

    @override
    def score(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> dict[str, float]:
        """Recall of candidates from a file.

        Args:
            predictions: Each with `image`, the number of an image, and `texts`, the numbers of its candidates, the best
                first; or with `text` and `images`.
            rows: The rows.

        Raises:
            ValueError: If an image or a text of the rows has no candidates.
        """
        of_text = rows.image_index
        recalls: dict[str, float] = {}
        for kind, others, numbers in (
            ("image", "texts", np.unique(of_text).tolist()),
            ("text", "images", list(range(len(of_text)))),
        ):
            candidates = {p[kind]: p[others] for p in predictions if kind in p}
            hits = dict.fromkeys(_RANKS, 0)
            for number in numbers:
                if number not in candidates:
                    raise ValueError(f"every {kind} must have candidates; {kind} {number} has none.")
                right = [
                    of_text[candidate] == number if kind == "image" else of_text[number] == candidate
                    for candidate in candidates[number]
                ]
                for k in _RANKS:
                    hits[k] += any(right[:k])
            recalls |= {f"{others[:-1]}_recall@{k}": hits[k] / len(numbers) for k in _RANKS}
        return recalls | {"mean_recall": sum(recalls.values()) / len(recalls)}

    def pair_scores(
        self, model: Any, rows: Rows, collate: Collator, options: EvaluationOptions
    ) -> PairScores:
        """Score pairs of the rows' images and texts; every process takes a share of the images.

        Args:
            model: A model for retrieval of the task's family.
            rows: The rows.
            collate: Makes batches.
            options: How to iterate over them. Results do not depend on the number of processes.
        """
        with evaluating(model, options.autocast), tempfile.TemporaryDirectory() as folder:
            encoder = _Blip(model) if self.family == "blip" else _TwoStream(model)
            texts = _Texts(rows, collate, encoder, options)
            images = _Images(rows, collate, encoder, options, Path(folder))
            return self._scored(encoder, images, texts, options)

    def _scored(self, encoder: Any, images: _Images, texts: _Texts, options: EvaluationOptions) -> PairScores:
        of_images: list[tuple[int, np.ndarray, np.ndarray]] = []
        selected, step = self._selected(images, texts), self._pairs_at_once(images, texts)
        for number in images.own:
            pairs = np.ones((1, len(texts)), bool) if selected is None else selected[:, number]
            of_image = np.flatnonzero(pairs.any(0))
            tokens = images.tokens(number)
            chunks = [of_image[start : start + step] for start in range(0, len(of_image), step)]
            scores = torch.cat([encoder.pairs(tokens, texts.batch(chunk)) for chunk in chunks])
            if options.on_rows is not None:
                options.on_rows(1)
            of_images.append((number, of_image, scores.float().cpu().numpy()))
        whole = np.full((len(images), len(texts)), NOT_SCORED, dtype=np.float32)
        for share in gathered(of_images):
            for number, of_image, scores in share:
                whole[number, of_image] = scores
        if self.add_similarity:
            whole += images.similarity(texts).numpy()
        if selected is None:
            scores = torch.from_numpy(whole)
            return PairScores(text_search=scores, image_search=scores)
        for_images, for_texts = (torch.from_numpy(np.where(pairs, whole, NOT_SCORED)) for pairs in selected)
        return PairScores(text_search=for_images, image_search=for_texts)

    def _selected(self, images: _Images, texts: _Texts) -> np.ndarray | None:
        """(2, N, M) which pairs are re-ranked, to retrieve texts and to retrieve images; None for all."""
        if self.shortlist is None:
            return None
        similarity = images.similarity(texts)
        selected = torch.zeros(2, *similarity.shape, dtype=torch.bool)
        selected[0].scatter_(1, similarity.topk(min(self.shortlist, len(texts)), dim=1).indices, True)
        selected[1].scatter_(0, similarity.topk(min(self.shortlist, len(images)), dim=0).indices, True)
        return selected.numpy()

    def _pairs_at_once(self, images: _Images, texts: _Texts) -> int:
        """Number of pairs of an image that fit into memory: each holds a dozen states for every token of both sides."""
        tokens = images.num_tokens + texts.longest
        floats = 16 * tokens * images.width + 4 * 12 * tokens * tokens
        return max(1, int(self.memory_limit * 2**20 / (4 * floats)))


class _Images:
    """Images, encoded once, this process's share of them; their tokens lie in a file."""

    def __init__(
        self, rows: Rows, collate: Collator, encoder: Any, options: EvaluationOptions, folder: Path
    ) -> None:
        numbers = np.unique(rows.image_index)
        self._count = len(numbers)
        # Whole batches are distributed, so that each has the same images however many processes there are.
        starts = own_share(range(0, len(numbers), options.batch_size))
        self.own = [
            n for start in starts for n in range(start, min(start + options.batch_size, len(numbers)))
        ]
        loader = DataLoader(
            RowImages(rows, numbers),
            batch_sampler=[list(range(s, min(s + options.batch_size, len(numbers)))) for s in starts],
            collate_fn=collate.images,
            num_workers=options.num_workers,
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

    def __init__(self, rows: Rows, collate: Collator, encoder: Any, options: EvaluationOptions) -> None:
        texts = [rows.text(index) for index in range(len(rows))]
        tokens = collate.tokens([text for text, _ in texts])
        self._tokens, self._collate, self._device = tokens, collate, encoder.model.device
        self._facts = [facts for _, facts in texts]
        self.longest = max(map(len, tokens)) + max(map(len, self._facts))
        features, self._states = [], []
        for start in range(0, len(tokens), options.batch_size):
            batch = {
                k: v.to(self._device)
                for k, v in collate.padded(tokens[start : start + options.batch_size]).items()
            }
            feature, states = encoder.texts(batch)
            features.append(feature.float().cpu())
            self._states += [s[: len(t)] for s, t in zip(states, tokens[start:], strict=False)]
        self.features = torch.cat(features)

    def __len__(self) -> int:
        return len(self._tokens)

    def batch(self, places: np.ndarray) -> dict[str, Tensor]:
        """Ids, mask, facts and, where the encoder keeps them, states of the texts at these places."""
        batch = self._collate.padded([self._tokens[place] for place in places])
        batch |= self._collate.facts([self._facts[place] for place in places])
        batch = {name: tensor.to(self._device) for name, tensor in batch.items()}
        if self._states:
            states = [self._states[place] for place in places]
            batch["text_features"] = torch.nn.utils.rnn.pad_sequence(states, batch_first=True)
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
        group = {name: tensor[None] for name, tensor in texts.items()}
        return self.model(image_features=image[None], output_states=False, **group).logits[0]


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
    recalls = {name: value for name, value in of_texts.items() if name.startswith("text")}
    recalls |= {name: value for name, value in of_images.items() if name.startswith("image")}
    best = _RANKS[-1]
    predictions: list[dict[str, Any]] = []
    order = scores.text_search.argsort(dim=1, descending=True, stable=True)[:, :best].tolist()
    for number, texts in zip(images.tolist(), order, strict=True):
        predictions.append({"image": number, "texts": texts})
    order = scores.image_search.argsort(dim=0, descending=True, stable=True)[:best].T.tolist()
    for number, best_images in enumerate(order):
        predictions.append({"text": number, "images": [int(images[image]) for image in best_images]})
    mean = sum(recalls.values()) / len(recalls)
    return Scores(metrics=recalls | {"mean_recall": mean}, predictions=predictions)
