"""Knowledge questions on easy-VQA's pictures: the answer stands neither in the pixels nor in the question.

"Which object has the same colour as the shape?" can be answered only with a fact that links an entity to the colour
which the picture shows. Every question draws links of its own, so that none can be memorised; among the facts
that come along, most contradict the picture and some are about other things.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vkood.data.easy_vqa import COLOURS, SHAPES, Split, easy_vqa_answers, load_easy_vqa, require_split
from vkood.data.irrelevant import irrelevant_facts as default_irrelevant_facts

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
class Question:
    """A question about a picture, and the facts that come with it.

    Attributes:
        text: The question.
        answer: The right answer.
        picture: A row of `EasyVqa.images` of the same split.
        facts: The facts, in random order.
        matches: For every fact, whether it is about an entity and agrees with the picture: it gives its entity the
            picture's colour or the picture's shape. False for every irrelevant fact.
    """

    text: str
    answer: str
    picture: int
    facts: tuple[str, ...] = ()
    matches: tuple[bool, ...] = ()


class FactDraw:
    """Draws the facts that come with a picture: two that match it, four that contradict it, and floods.

    The order of the random draws is arranged so that the first six facts do not depend on how many others are asked
    for, and a smaller flood is part of a larger one: conditions differ in nothing else.

    Args:
        irrelevant_facts: Sentences about other things.
        irrelevant: Number of irrelevant facts, or (min, max) to draw the number uniformly for every example.
        contradicting: Number of facts that contradict the picture beyond the four that always come.

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
    """Knowledge questions on the pictures of easy-VQA whose colour and shape are known, one for each.

    Every question has six facts about six entities: one gives its entity the picture's colour, one the picture's
    shape, two a wrong colour, two a wrong shape. The question asks for the entity of the colour or the entity of the
    shape (half and half), so exactly one fact answers it. Floods come on top: facts about other things, and facts
    about further entities that contradict the picture.

    Question i depends on `seed`, the split and i alone: it is the same, with the same six facts, under every flood. A
    smaller flood is part of a larger one. Irrelevant facts repeat within a question only if more are requested than
    there are.

    Args:
        split: "train" (3,578 pictures) or "test" (888).
        seed: Seed of all draws, from 0.
        irrelevant: Number of irrelevant facts to add, or (min, max) to draw the number for every question.
        contradicting: Number of contradicting facts to add, from 0 to 58.
        irrelevant_facts: The irrelevant facts to draw from; by default those of vkood for the split. They count as
            irrelevant whatever they say.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> plain = EasyVqaKnowledge("test", seed=0)
        >>> flooded = EasyVqaKnowledge("test", seed=0, irrelevant=48)
        >>> len(plain), len(plain[3].facts), len(flooded[3].facts)
        (888, 6, 54)
        >>> plain[3].text == flooded[3].text, set(plain[3].facts) < set(flooded[3].facts)
        (True, True)
    """

    def __init__(
        self,
        split: Split,
        seed: int,
        *,
        irrelevant: int | tuple[int, int] = 0,
        contradicting: int = 0,
        irrelevant_facts: Sequence[str] | None = None,
    ) -> None:
        self._split: Split = require_split(split)
        self._seed = _require_seed(seed)
        sentences = default_irrelevant_facts(split) if irrelevant_facts is None else irrelevant_facts
        self.draw_facts = FactDraw(sentences, irrelevant=irrelevant, contradicting=contradicting)
        self._data = load_easy_vqa(split)
        self.pictures: tuple[int, ...] = tuple(self._data.described.tolist())

    def __len__(self) -> int:
        """How many questions there are."""
        return len(self.pictures)

    def __getitem__(self, index: int) -> Question:
        """Question `index`."""
        if not 0 <= index < len(self):
            raise IndexError(f"`index` must be from 0 to {len(self) - 1}; got {index}.")
        return self.question(index)

    def question(self, place: int, *, number: int = 0, epoch: int = 0) -> Question:
        """A question about a picture.

        Args:
            place: The picture's place among `pictures`.
            number: Which of several about the same picture.
            epoch: Of these draws.
        """
        generator = _generator("knowledge", self._split, self._seed, epoch, number * len(self) + place)
        picture = self.pictures[place]
        asks, wording = generator.integers(0, (2, len(COLOUR_QUESTIONS))).tolist()
        facts, matches, *entities = self.facts(generator, picture)
        text = (COLOUR_QUESTIONS, SHAPE_QUESTIONS)[asks][wording]
        return Question(text=text, answer=entities[asks], picture=picture, facts=facts, matches=matches)

    def facts(
        self, generator: np.random.Generator, picture: int
    ) -> tuple[tuple[str, ...], tuple[bool, ...], str, str]:
        """Facts for a picture, as `FactDraw` returns them."""
        colour, shape = self._data.colours[picture], self._data.shapes[picture]
        assert colour is not None
        assert shape is not None
        return self.draw_facts(generator, colour=colour, shape=shape)


class TrainingQuestions:
    """Questions of both kinds about the pictures of the train split; every epoch has its own draws.

    A picture whose colour or shape is unknown (see `EasyVqa`) has questions of easy-VQA alone, without facts, in place
    of knowledge questions.

    Args:
        seed: Seed of all draws, from 0.
        plain: Questions of easy-VQA about each picture.
        knowledge: Knowledge questions about each picture.
        plain_facts_share: Share of easy-VQA's questions that come with facts: they answer nothing there, and a model
            learns to do without. From 0 to 1.
        irrelevant: How many irrelevant facts come with the six about entities, (lowest, highest): few, so that a flood
            is new at test time.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> questions = TrainingQuestions(seed=0, plain=2, knowledge=1).about(0, epoch=0)
        >>> [question.answer in KNOWLEDGE_ENTITIES for question in questions]
        [False, False, True]
    """

    def __init__(
        self,
        seed: int,
        *,
        plain: int = 6,
        knowledge: int = 4,
        plain_facts_share: float = 0.25,
        irrelevant: tuple[int, int] = (0, 2),
    ) -> None:
        for name, number in (("plain", plain), ("knowledge", knowledge)):
            if not isinstance(number, int) or number < 0:
                raise ValueError(f"`{name}` must be a number of questions from 0 up; got {number!r}.")
        if plain + knowledge == 0:
            raise ValueError("`plain` and `knowledge` cannot both be 0: pictures need questions.")
        if not 0 <= plain_facts_share <= 1:
            raise ValueError(f"`plain_facts_share` must be a share from 0 to 1; got {plain_facts_share!r}.")
        self._seed, self._plain, self._knowledge = seed, plain, knowledge
        self._facts_share = plain_facts_share
        self._data = load_easy_vqa("train")
        self._drawn = EasyVqaKnowledge("train", seed, irrelevant=irrelevant)
        self._place = {picture: place for place, picture in enumerate(self._drawn.pictures)}
        self._questions_of: list[list[int]] = [[] for _ in self._data.images]
        for number, picture in enumerate(self._data.image_index.tolist()):
            self._questions_of[picture].append(number)

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self._questions_of)

    def about(self, picture: int, *, epoch: int) -> tuple[Question, ...]:
        """The questions about a picture in an epoch."""
        place = self._place.get(picture)
        num_plain = self._plain if place is not None else self._plain + self._knowledge
        own = self._questions_of[picture]
        order = self._generator("choice", epoch, picture).permutation(len(own))[:num_plain].tolist()
        questions = [self._own_question(own[index], picture, epoch) for index in order]
        if place is not None:
            numbers = range(self._knowledge)
            questions += [self._drawn.question(place, number=number, epoch=epoch) for number in numbers]
        return tuple(questions)

    def _own_question(self, number: int, picture: int, epoch: int) -> Question:
        facts: tuple[str, ...] = ()
        matches: tuple[bool, ...] = ()
        if self._facts_share > 0 and picture in self._place:
            generator = self._generator("plain", epoch, number)
            if generator.random() < self._facts_share:
                facts, matches, *_ = self._drawn.facts(generator, picture)
        text, answer = self._data.questions[number], self._data.answers[number]
        return Question(text=text, answer=answer, picture=picture, facts=facts, matches=matches)

    def _generator(self, purpose: _Purpose, epoch: int, index: int) -> np.random.Generator:
        return _generator(purpose, "train", self._seed, epoch, index)


def joint_answers() -> tuple[str, ...]:
    """Return the answers of both kinds of questions: easy-VQA's 13, then the 64 entities.

    Raises:
        ImportError: If the package `easy-vqa` is not installed.

    Example:
        >>> len(joint_answers())
        77
    """
    return easy_vqa_answers() + KNOWLEDGE_ENTITIES


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


_Purpose = Literal["knowledge", "plain", "choice"]
_PURPOSES = {"knowledge": 0, "plain": 1, "choice": 2}
_SPLITS = {"train": 0, "test": 1}


def _generator(purpose: _Purpose, split: Split, seed: int, epoch: int, index: int) -> np.random.Generator:
    """The source of randomness of one draw, which depends on nothing else, so that runs repeat."""
    return np.random.default_rng((seed, _PURPOSES[purpose], _SPLITS[split], epoch, index))


def _require_seed(seed: int) -> int:
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"`seed` must be an integer from 0 up; got {seed!r}.")
    return seed
