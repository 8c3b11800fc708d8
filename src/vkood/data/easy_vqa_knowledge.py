"""Knowledge questions on easy-VQA's pictures: the answer stands neither in the pixels nor in the question.

"Which object has the same colour as the shape?" can be answered only with a fact that links an entity to the colour
which the picture shows. The links are drawn afresh for every example, so that none can be learnt by heart; among the
facts that come along, most contradict the picture and some are about other things.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vkood.data.draws import Draws
from vkood.data.easy_vqa import COLOURS, SHAPES, Split, load_easy_vqa, require_split
from vkood.data.irrelevant import irrelevant_facts, read_irrelevant_facts

__all__ = [
    "COLOUR_FACTS",
    "COLOUR_QUESTIONS",
    "KNOWLEDGE_ENTITIES",
    "MAX_CONTRADICTING",
    "SHAPE_FACTS",
    "SHAPE_QUESTIONS",
    "EasyVqaKnowledge",
    "FactDraw",
    "KnowledgeQuestion",
    "entity_facts",
    "irrelevant_facts",
    "read_irrelevant_facts",
]

_shipped_facts = irrelevant_facts  # an argument has this name too

# fmt: off
KNOWLEDGE_ENTITIES: tuple[str, ...] = (
    "kite", "mug", "scarf", "lantern", "pillow", "badge", "sticker", "rug",
    "drum", "brooch", "pendant", "magnet", "vase", "candle", "mirror", "tray",
    "box", "basket", "sled", "earring", "banner", "skateboard", "stamp", "ladle",
    "coaster", "blanket", "towel", "curtain", "racket", "stool", "bench", "tent",
    "puzzle", "toy", "whistle", "saddle", "wallet", "notebook", "folder", "bookmark",
    "hat", "helmet", "shield", "mask", "puppet", "ornament", "keychain", "locket",
    "patch", "plaque", "napkin", "soap", "eraser", "sponge", "buckle", "bowl",
    "plate", "jar", "teapot", "suitcase", "cabinet", "speaker", "token", "radio",
)
# fmt: on
"""What the knowledge questions are about, and their answers: things of no typical colour or shape."""

COLOUR_FACTS: tuple[str, ...] = (
    "The {entity} is {value}.",
    "The {entity} has a {value} colour.",
    "The color of the {entity} is {value}.",
)
SHAPE_FACTS: tuple[str, ...] = (
    "The {entity} is a {value}.",
    "The {entity} has the shape of a {value}.",
    "The {entity} is shaped like a {value}.",
)
COLOUR_QUESTIONS: tuple[str, ...] = (
    "which object has the same colour as the shape?",
    "which object has the same color as the shape in the image?",
    "what thing shares its color with the figure in the picture?",
    "which thing is the same colour as the figure shown here?",
    "what has the colour of the shape in this image?",
    "name the object whose color matches that of the shape.",
    "the colour of which thing is also the colour of the shape?",
    "which of the objects matches the picture in color?",
)
SHAPE_QUESTIONS: tuple[str, ...] = (
    "which object has the same shape as the figure?",
    "which object has the same shape as the one in the image?",
    "what thing shares its shape with the figure in the picture?",
    "which thing is shaped like the figure shown here?",
    "what has the form of the shape in this image?",
    "name the object whose shape matches that of the figure.",
    "the shape of which thing is also the shape in the picture?",
    "which of the objects matches the picture in shape?",
)

MAX_CONTRADICTING = len(KNOWLEDGE_ENTITIES) - 6

_NUM_ENTITIES = len(KNOWLEDGE_ENTITIES)
# What the six facts of every example say: (an attribute, whether as the picture shows it).
_BASE_PLAN = (("colour", True), ("shape", True), *[("colour", False)] * 2, *[("shape", False)] * 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeQuestion:
    """A question, the picture it is about, and the facts that come with it.

    Attributes:
        question: The question.
        answer: The entity that answers it.
        image_index: The picture: a row of `EasyVqa.images` of the same split.
        facts: The facts, in random order.
        matches: For every fact, whether it is one of ours and agrees with the picture: it gives its entity the
            picture's colour or the picture's shape. False for every irrelevant fact.
        asks: What the question asks for.
    """

    question: str
    answer: str
    image_index: int
    facts: tuple[str, ...]
    matches: tuple[bool, ...]
    asks: Literal["colour", "shape"]


class FactDraw:
    """Draws the facts that come with a picture: two that match it, four that contradict it, and floods.

    The order of the random draws is arranged so that the first six facts do not depend on how many others are asked
    for, and a smaller flood is part of a larger one: conditions differ in nothing else.

    Args:
        irrelevant_facts: Sentences about other things.
        irrelevant: How many of them, or (lowest, highest) to draw the number uniformly for every example.
        contradicting: How many facts that contradict the picture beyond the four that always come.

    Raises:
        ValueError: If a number is negative or not a number, too many contradicting facts are asked for (every entity
            has at most one fact in an example), or irrelevant facts are asked for and there are none.
    """

    def __init__(
        self,
        irrelevant_facts: Sequence[str],
        *,
        irrelevant: int | tuple[int, int] = 0,
        contradicting: int = 0,
    ) -> None:
        if isinstance(irrelevant_facts, str):
            raise ValueError(
                "`irrelevant_facts` must be a sequence of sentences; got one string. Put it in a list."
            )
        limits = irrelevant if isinstance(irrelevant, tuple) else (irrelevant, irrelevant)
        low, high = limits if len(limits) == 2 else (None, None)
        if not (isinstance(low, int) and isinstance(high, int) and 0 <= low <= high):
            raise ValueError(
                "`irrelevant` must be a number of facts from 0 up, or a tuple (lowest, highest) of such; "
                f"got {irrelevant!r}."
            )
        if not (isinstance(contradicting, int) and 0 <= contradicting <= MAX_CONTRADICTING):
            raise ValueError(
                f"`contradicting` must be from 0 to {MAX_CONTRADICTING}, since every one of the {_NUM_ENTITIES} "
                f"entities has one fact at most; got {contradicting!r}."
            )
        if high > 0 and not irrelevant_facts:
            raise ValueError(
                "`irrelevant_facts` must have at least one sentence; got none. Ask for `irrelevant=0`."
            )
        self.pool = tuple(irrelevant_facts)
        self.low, self.high, self.contradicting = low, high, contradicting

    def __call__(
        self, generator: np.random.Generator, *, colour: str, shape: str
    ) -> tuple[tuple[str, ...], tuple[bool, ...], str, str]:
        """Draw the facts for a picture.

        Args:
            generator: The source of randomness.
            colour: The picture's colour.
            shape: The picture's shape.

        Returns:
            The facts in random order; for every fact whether it matches the picture; the entity of the picture's
            colour; the entity of its shape.
        """
        # Everything is drawn for all 64 entities, needed or not: so the draws do not depend on the condition.
        entities = generator.permutation(_NUM_ENTITIES).tolist()
        draws = generator.integers(
            0, 84, _NUM_ENTITIES
        ).tolist()  # 84 = 3 wordings x 14 wrong values x 2 kinds
        table = _entity_facts()
        own = {"colour": COLOURS.index(colour), "shape": SHAPES.index(shape)}
        count = {"colour": len(COLOURS), "shape": len(SHAPES)}
        facts = []
        for place in range(len(_BASE_PLAN) + self.contradicting):
            wording, wrong, extra = draws[place] % 3, draws[place] // 3 % 14, draws[place] // 42
            kind, match = (
                _BASE_PLAN[place] if place < len(_BASE_PLAN) else (("colour", "shape")[extra], False)
            )
            # Counting on from the picture's own value reaches every other one; 14 = 7 wrong colours x 2 wrong shapes,
            # so each is reached equally often.
            value = own[kind] if match else (own[kind] + 1 + wrong % (count[kind] - 1)) % count[kind]
            facts.append(table[kind][entities[place]][value][wording])
        num_irrelevant = int(generator.integers(self.low, self.high + 1))
        facts += self._irrelevant(generator, num_irrelevant)
        order = generator.permutation(len(facts)).tolist()
        return (
            tuple(facts[place] for place in order),
            tuple(place < 2 for place in order),
            KNOWLEDGE_ENTITIES[entities[0]],
            KNOWLEDGE_ENTITIES[entities[1]],
        )

    def _irrelevant(self, generator: np.random.Generator, count: int) -> list[str]:
        """Draw without repeats; a pool smaller than the count is used up and shuffled again."""
        chosen: list[int] = []
        while len(chosen) < count:
            chosen += generator.permutation(len(self.pool))[: count - len(chosen)].tolist()
        return [self.pool[place] for place in chosen]


class EasyVqaKnowledge:
    """Knowledge questions on the pictures of easy-VQA, one for each picture whose colour and shape are known.

    Every example has six facts about six entities: one gives its entity the picture's colour, one the picture's
    shape, two a wrong colour, two a wrong shape. The question asks for the entity of the colour or the entity of the
    shape (half and half), so exactly one fact answers it. Floods come on top: facts about other things, and facts
    about further entities that contradict the picture.

    Example i depends on `seed`, the split and i alone, and in "train" also on the epoch (`set_epoch`): runs repeat,
    and "test" examples have the same question, answer and six facts under every flood. A smaller flood is part of
    a larger one. Irrelevant facts repeat within an example only if more are asked for than the pool has.

    Accelerate and the Hugging Face Trainer call `set_epoch` before each epoch in a single process; elsewhere the
    training loop has to.

    Args:
        split: "train" (3,578 pictures) or "test" (888).
        seed: Seed of all draws, from 0.
        irrelevant: How many irrelevant facts to add, or (lowest, highest) to draw the number for every example. By
            default (0, 2) in "train", so that a flood is something new at test time, and 0 in "test".
        contradicting: How many contradicting facts to add, from 0 to 58.
        irrelevant_facts: Sentences in place of `irrelevant_facts(split)`. They count as irrelevant whatever they say.
        size: How many examples; by default one for each picture. A larger number goes round the pictures again,
            with other draws; with a smaller one, each "train" epoch goes on from the picture where the last stopped.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> plain = EasyVqaKnowledge("test", seed=0)
        >>> flooded = EasyVqaKnowledge("test", seed=0, irrelevant=48)
        >>> len(plain), len(plain[3].facts), len(flooded[3].facts)
        (888, 6, 54)
        >>> plain[3].question == flooded[3].question, set(plain[3].facts) < set(flooded[3].facts)
        (True, True)
    """

    def __init__(
        self,
        split: Split,
        seed: int,
        irrelevant: int | tuple[int, int] | None = None,
        contradicting: int = 0,
        irrelevant_facts: Sequence[str] | None = None,
        size: int | None = None,
    ) -> None:
        self.split = require_split(split)
        if size is not None and not (isinstance(size, int) and size > 0):
            raise ValueError(
                f"`size` must be a number of examples from 1 up, or None for all pictures; got {size!r}."
            )
        if irrelevant is None:
            irrelevant = (0, 2) if split == "train" else 0
        self.draws = Draws("knowledge", split, seed)
        pool = _shipped_facts(split) if irrelevant_facts is None else irrelevant_facts
        self.draw_facts = FactDraw(pool, irrelevant=irrelevant, contradicting=contradicting)
        data = load_easy_vqa(split)
        self._pictures = [
            (row, colour, shape)
            for row, (colour, shape) in enumerate(zip(data.colours, data.shapes, strict=True))
            if colour is not None and shape is not None
        ]
        self._size = len(self._pictures) if size is None else size

    def set_epoch(self, epoch: int) -> None:
        """Give "train" the draws of another epoch; "test" stays the same for ever."""
        self.draws.set_epoch(epoch)

    def sentences(self) -> tuple[str, ...]:
        """Every fact that an example may hold, each once: what a fact table has to know."""
        pool = self.draw_facts.pool if self.draw_facts.high else ()
        return tuple(dict.fromkeys((*entity_facts(), *pool)))

    def __len__(self) -> int:
        """How many examples there are."""
        return self._size

    def __getitem__(self, index: int) -> KnowledgeQuestion:
        """Draw example `index`."""
        if not -self._size <= index < self._size:
            raise IndexError(f"`index` must be below {self._size}; got {index}.")
        index %= self._size
        generator = self.draws.generator(index)
        place = (self.draws.epoch * self._size + index) % len(self._pictures)
        image_index, colour, shape = self._pictures[place]
        asks, wording = generator.integers(0, (2, len(COLOUR_QUESTIONS))).tolist()
        facts, matches, *entities = self.draw_facts(generator, colour=colour, shape=shape)
        return KnowledgeQuestion(
            question=(COLOUR_QUESTIONS, SHAPE_QUESTIONS)[asks][wording],
            answer=entities[asks],
            image_index=image_index,
            facts=facts,
            matches=matches,
            asks=("colour", "shape")[asks],
        )


def entity_facts() -> tuple[str, ...]:
    """Return every fact about an entity: 64 entities, 8 colours and 3 shapes, in three wordings each.

    Example:
        >>> len(entity_facts()), entity_facts()[0]
        (2112, 'The kite is black.')
    """
    return tuple(
        fact for table in _entity_facts().values() for entity in table for value in entity for fact in value
    )


@functools.cache
def _entity_facts() -> dict[str, list[list[list[str]]]]:
    """Every fact about an entity, at [kind][entity][value][wording]."""
    return {
        kind: [
            [[wording.format(entity=entity, value=value) for wording in wordings] for value in values]
            for entity in KNOWLEDGE_ENTITIES
        ]
        for kind, values, wordings in (("colour", COLOURS, COLOUR_FACTS), ("shape", SHAPES, SHAPE_FACTS))
    }
