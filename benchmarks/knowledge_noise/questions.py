"""Rows: the tokens of a picture (or of a mosaic of four), and questions about it with their facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vkood.data import COLOURS, KNOWLEDGE_ENTITIES, SHAPES, FactDraw, irrelevant_facts
from vkood.data.easy_vqa import Split
from vkood.data.easy_vqa_knowledge import COLOUR_FACTS, COLOUR_QUESTIONS, SHAPE_QUESTIONS

from .materials import MOSAIC_KNOWLEDGE, MOSAIC_PLAIN, Materials, Pictures, answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question, its answer, and the facts that come along."""

    text: str
    answer: str
    facts: tuple[str, ...] = ()
    matches: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Questions about one image, given by its tokens (tokens, width)."""

    tokens: Tensor
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What a row holds.

    Attributes:
        knowledge: Knowledge questions.
        plain: Questions that the image answers by itself, without facts.
        irrelevant: Irrelevant facts that come along, (lowest, highest).
        contradicting: Contradicting facts beyond those that always come.
        shapes: Shapes in a mosaic, (lowest, highest).
        mosaic_facts: How many of the six facts of a mosaic's question come, (lowest, highest); the match does.
    """

    knowledge: int = 3
    plain: int = 1
    irrelevant: tuple[int, int] = (0, 2)
    contradicting: int = 0
    shapes: tuple[int, int] = (3, 3)
    mosaic_facts: tuple[int, int] = (6, 6)


ONE_QUESTION = Mix(knowledge=1, plain=0, irrelevant=(0, 0))


class SinglePictures(Dataset[Row]):
    """One picture a row, as in the table of `vkood prepare easy-vqa-knowledge`, but as tokens.

    Args:
        pictures: The pictures.
        mix: What rows hold.
        seed: Of all draws.
        pool: Which irrelevant facts.
        fixed: Whether every epoch has the same draws.
    """

    def __init__(self, pictures: Pictures, mix: Mix, seed: int, pool: Split, *, fixed: bool = False) -> None:
        self._pictures, self._mix, self._seed, self._fixed = pictures, mix, seed, fixed
        self._draw = FactDraw(
            irrelevant_facts(pool), irrelevant=mix.irrelevant, contradicting=mix.contradicting
        )
        self._plain: dict[int, list[int]] = {row: [] for row in pictures.rows}
        for question, row in enumerate(pictures.data.image_index.tolist()):
            if row in self._plain:
                self._plain[row].append(question)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Go to another epoch's draws."""
        self._epoch = 0 if self._fixed else epoch

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self._pictures.rows)

    def __getitem__(self, index: int) -> Row:
        """Return row `index`."""
        row = self._pictures.rows[index]
        generator = np.random.default_rng((self._seed, 11, self._epoch, row))
        # Knowledge first: so it stays the same under every flood.
        questions = [self._knowledge(generator, row) for _ in range(self._mix.knowledge)]
        data, own = self._pictures.data, self._plain[row]
        for place in generator.integers(0, len(own), self._mix.plain).tolist():
            questions.append(Question(text=data.questions[own[place]], answer=data.answers[own[place]]))
        return Row(tokens=self._pictures.tokens[row], questions=tuple(questions))

    def _knowledge(self, generator: np.random.Generator, row: int) -> Question:
        colour, shape = self._pictures.shows(row)
        asks, wording = generator.integers(0, (2, len(COLOUR_QUESTIONS))).tolist()
        facts, matches, *entities = self._draw(generator, colour=colour, shape=shape)
        text = (COLOUR_QUESTIONS, SHAPE_QUESTIONS)[asks][wording]
        return Question(text=text, answer=entities[asks], facts=facts, matches=matches)


class Mosaics(Dataset[Row]):
    """Four tiles a row: a circle, a rectangle and a triangle of three colours, and an empty one.

    The tiles' tokens lie one after the other; each is encoded by itself, so a token knows its own tile. A
    knowledge question names a shape and asks for the entity of its colour. Of six facts one gives an entity
    that colour (the match), two give the colours of the other shapes, three colours that no shape has. (With
    `Mix.shapes`, mosaics in training may have fewer shapes: then fewer colours are shown.)

    Args:
        pictures: Where tiles come from.
        empty: (tokens, width) the empty tile.
        mix: What rows hold; `contradicting` are facts with colours that no shape has.
        seed: Of all draws.
        pool: Which irrelevant facts.
        size: Rows in an epoch.
        fixed: Whether every epoch has the same draws.
    """

    def __init__(
        self, pictures: Pictures, empty: Tensor, mix: Mix, seed: int, pool: Split, size: int, fixed: bool
    ) -> None:
        self._pictures, self._empty, self._mix, self._seed = pictures, empty, mix, seed
        self._pool, self._size, self._fixed = irrelevant_facts(pool), size, fixed
        self._by_look: dict[tuple[str, str], list[int]] = {}
        for row in pictures.rows:
            self._by_look.setdefault(pictures.shows(row), []).append(row)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Go to another epoch's draws."""
        self._epoch = 0 if self._fixed else epoch

    def __len__(self) -> int:
        """How many rows there are."""
        return self._size

    def __getitem__(self, index: int) -> Row:
        """Return row `index`."""
        generator = np.random.default_rng((self._seed, 12, self._epoch, index))
        colours = [COLOURS[place] for place in generator.permutation(len(COLOURS)).tolist()]
        low, high = self._mix.shapes
        # The order is drawn as well, so that any shape may be among the few.
        there = generator.permutation(len(SHAPES))[: int(generator.integers(low, high + 1))]
        tiles = [self._empty] * (4 - len(there))
        for place in there.tolist():
            rows = self._by_look[colours[place], SHAPES[place]]
            tiles.append(self._pictures.tokens[rows[int(generator.integers(len(rows)))]])
        tokens = torch.cat([tiles[place] for place in generator.permutation(4).tolist()])
        named = generator.choice(there, self._mix.knowledge + self._mix.plain).tolist()
        knowledge = [self._knowledge(generator, colours, shape) for shape in named[: self._mix.knowledge]]
        plain = [self._plain(generator, colours, shape) for shape in named[self._mix.knowledge :]]
        return Row(tokens=tokens, questions=(*knowledge, *plain))

    def _plain(self, generator: np.random.Generator, colours: Sequence[str], shape: int) -> Question:
        text = MOSAIC_PLAIN[int(generator.integers(len(MOSAIC_PLAIN)))].format(shape=SHAPES[shape])
        return Question(text=text, answer=colours[shape])

    def _knowledge(self, generator: np.random.Generator, colours: Sequence[str], shape: int) -> Question:
        shown, absent = colours[: len(SHAPES)], colours[len(SHAPES) :]
        others = [colour for place, colour in enumerate(shown) if place != shape]
        wording = int(generator.integers(len(MOSAIC_KNOWLEDGE)))
        entities = generator.permutation(len(KNOWLEDGE_ENTITIES)).tolist()
        styles = generator.integers(0, len(COLOUR_FACTS), len(entities)).tolist()
        low, high = self._mix.irrelevant
        num_irrelevant = int(generator.integers(low, high + 1))
        wrong = [*others, *absent[:3]]
        min_facts, max_facts = self._mix.mosaic_facts
        if min_facts < len(wrong) + 1:
            wrong = [wrong[place] for place in generator.permutation(len(wrong)).tolist()]
            wrong = wrong[: int(generator.integers(min_facts, max_facts + 1)) - 1]
        stated = [shown[shape], *wrong]
        stated += [absent[place % len(absent)] for place in range(self._mix.contradicting)]
        facts = [
            COLOUR_FACTS[style].format(entity=KNOWLEDGE_ENTITIES[entity], value=colour)
            for style, entity, colour in zip(styles, entities, stated, strict=False)
        ]
        facts += [self._pool[place] for place in generator.permutation(len(self._pool))[:num_irrelevant]]
        order = generator.permutation(len(facts)).tolist()
        return Question(
            text=MOSAIC_KNOWLEDGE[wording].format(shape=SHAPES[shape]),
            answer=KNOWLEDGE_ENTITIES[entities[0]],
            facts=tuple(facts[place] for place in order),
            matches=tuple(place == 0 for place in order),
        )


@dataclass
class Collate:
    """Rows to the model's named tensors, with `image_features` for images.

    Attributes:
        materials: Tokenizer and fact vectors.
        use_facts: Whether the model sees facts.
        with_matches: Whether to add `fact_matches`.
        corrupt: Shares of the image tokens to replace, and by what; see `Corruption`.
    """

    materials: Materials
    use_facts: bool = True
    with_matches: bool = False
    corrupt: Corruption | None = None
    _ids: dict[str, list[int]] = field(default_factory=dict)
    _answers: dict[str, int] = field(default_factory=lambda: {text: i for i, text in enumerate(answers())})

    def __call__(self, rows: list[Row]) -> dict[str, Tensor]:
        """Collate rows, all with the same number of questions."""
        images = torch.stack([row.tokens for row in rows])
        flat = [question for row in rows for question in row.questions]
        ids = [self._encoded(question.text) for question in flat]
        mask = torch.arange(max(map(len, ids))) < torch.tensor([len(row) for row in ids])[:, None]
        input_ids = torch.zeros(mask.shape, dtype=torch.long)
        input_ids[mask] = torch.tensor([token for row in ids for token in row])
        facts = [question.facts if self.use_facts else () for question in flat]
        padded = self.materials.facts.padded(facts)
        fact_mask = padded["fact_mask"]
        batch = {
            "input_ids": input_ids,
            "attention_mask": mask.long(),
            **padded,
            "labels": torch.tensor([self._answers[question.answer] for question in flat]),
        }
        if self.with_matches:
            matches = torch.zeros_like(fact_mask)
            kept = [match for question in flat for match in question.matches if self.use_facts]
            matches[fact_mask] = torch.tensor(kept, dtype=torch.bool)
            batch["fact_matches"] = matches
        batch = {name: value.unflatten(0, (len(rows), -1)) for name, value in batch.items()}
        return {"image_features": images if self.corrupt is None else self.corrupt(images)} | batch

    def _encoded(self, text: str) -> list[int]:
        if text not in self._ids:
            encoded: Any = self.materials.tokenizer(text)
            self._ids[text] = encoded["input_ids"]
        return self._ids[text]


class Corruption:
    """Replaces a share of each image's tokens.

    Args:
        clean: (images, tokens, width) tokens to take from, and whose spread noise has.
        share: The share.
        by: "noise", drawn with the mean and deviation of every feature; or "foreign", tokens of other images.
        seed: Of the draws.
    """

    def __init__(self, clean: Tensor, share: float, by: str, seed: int) -> None:
        self._pool = clean.flatten(0, 1)
        self._share, self._by = share, by
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the images' tokens with some replaced."""
        number = round(self._share * images.shape[1])
        order = torch.rand(images.shape[:2], generator=self._generator).argsort(1)
        if self._by == "foreign":
            drawn = torch.randint(len(self._pool), images.shape[:2], generator=self._generator)
            replacement = self._pool[drawn]
        else:
            drawn = torch.randn(images.shape, generator=self._generator)
            replacement = drawn * self._pool.std(0) + self._pool.mean(0)
        return torch.where((order < number)[..., None], replacement, images)


def single_train(materials: Materials, mix: Mix, seed: int, fraction: float) -> SinglePictures:
    """Training rows of a fraction of the pictures."""
    rows = materials.train.rows
    kept = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    kept = [rows[place] for place in kept[: round(fraction * len(rows))]]
    return SinglePictures(replace(materials.train, rows=kept), mix, seed, "train")
