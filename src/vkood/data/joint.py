"""Both jobs as datasets for one model: easy-VQA's own questions, and the knowledge questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from vkood.data.collate import VqaExample
from vkood.data.draws import Draws
from vkood.data.easy_vqa import Split, easy_vqa_answers, load_easy_vqa, require_split
from vkood.data.easy_vqa_knowledge import (
    KNOWLEDGE_ENTITIES,
    EasyVqaKnowledge,
    FactDraw,
    KnowledgeQuestion,
    entity_facts,
)
from vkood.data.irrelevant import irrelevant_facts


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainQuestion:
    """One of easy-VQA's own questions, which pixels answer; facts may come along all the same.

    Attributes:
        question: The question.
        answer: One of the 13 answers.
        image_index: The picture: a row of `EasyVqa.images` of the same split.
        facts: The facts, in random order; none if the example comes without.
        matches: For every fact, whether it agrees with the picture.
    """

    question: str
    answer: str
    image_index: int
    facts: tuple[str, ...] = ()
    matches: tuple[bool, ...] = ()


class EasyVqaQuestions:
    """Easy-VQA's own questions, in the package's order, a share of them with facts drawn for their picture.

    The facts are drawn as in `EasyVqaKnowledge` and answer nothing here: a model learns to do without.
    Questions on pictures whose colour or shape is unknown (see `EasyVqa`) always come without facts.

    Args:
        split: "train" (38,575 questions) or "test" (9,673).
        seed: Seed of the draws of facts, from 0.
        facts_share: Share of the questions that come with facts, from 0 to 1.
        irrelevant: How many irrelevant facts come with the six about entities, or (lowest, highest); by
            default (0, 2) in "train" and 0 in "test".

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> questions = EasyVqaQuestions("test", seed=0, facts_share=0.0)
        >>> questions[0]
        PlainQuestion(question='what is the red shape?', answer='triangle', image_index=0, facts=(),
        matches=())
    """

    def __init__(
        self,
        split: Split,
        seed: int,
        *,
        facts_share: float = 0.5,
        irrelevant: int | tuple[int, int] | None = None,
    ) -> None:
        self.split = require_split(split)
        _require_share("facts_share", facts_share)
        if irrelevant is None:
            irrelevant = (0, 2) if split == "train" else 0
        self.draws = Draws("plain", split, seed)
        self.draw_facts = FactDraw(irrelevant_facts(split), irrelevant=irrelevant)
        self.facts_share = facts_share
        self._data = load_easy_vqa(split)
        self._image_index: list[int] = self._data.image_index.tolist()

    def set_epoch(self, epoch: int) -> None:
        """Give "train" the facts of another epoch; "test" stays the same for ever."""
        self.draws.set_epoch(epoch)

    def sentences(self) -> tuple[str, ...]:
        """Every fact that an example may hold, each once."""
        if self.facts_share == 0:
            return ()
        return entity_facts() + (self.draw_facts.pool if self.draw_facts.high else ())

    def __len__(self) -> int:
        """How many questions there are."""
        return len(self._image_index)

    def __getitem__(self, index: int) -> PlainQuestion:
        """Return question `index`, with its facts of this epoch."""
        image_index = self._image_index[index]
        colour, shape = self._data.colours[image_index], self._data.shapes[image_index]
        facts: tuple[str, ...] = ()
        matches: tuple[bool, ...] = ()
        if self.facts_share > 0 and colour is not None and shape is not None:
            generator = self.draws.generator(index % len(self))
            if generator.random() < self.facts_share:
                facts, matches, *_ = self.draw_facts(generator, colour=colour, shape=shape)
        return PlainQuestion(
            question=self._data.questions[index],
            answer=self._data.answers[index],
            image_index=image_index,
            facts=facts,
            matches=matches,
        )


class VqaDataset(torch.utils.data.Dataset[VqaExample]):
    """Questions of several sources, one after the other, each with its picture: rows for a `VqaCollator`.

    Args:
        sources: `EasyVqaQuestions` and `EasyVqaKnowledge` of any split.

    Example:
        >>> dataset = VqaDataset(EasyVqaQuestions("test", 0), EasyVqaKnowledge("test", 0, irrelevant=3))
        >>> len(dataset), len(dataset[9673].facts), tuple(dataset[9673].image.shape)
        (10561, 9, (3, 64, 64))
    """

    def __init__(self, *sources: EasyVqaQuestions | EasyVqaKnowledge) -> None:
        if not sources:
            raise ValueError("`sources` must have at least one source of questions; got none.")
        self.sources = sources
        self._images = [load_easy_vqa(source.split).images for source in sources]
        self._ends = np.cumsum([len(source) for source in sources]).tolist()

    def set_epoch(self, epoch: int) -> None:
        """Go to another epoch in every source."""
        for source in self.sources:
            source.set_epoch(epoch)

    def sentences(self) -> tuple[str, ...]:
        """Every fact that a row may hold, each once."""
        return all_sentences(*self.sources)

    def __len__(self) -> int:
        """How many rows there are."""
        return self._ends[-1]

    def __getitem__(self, index: int) -> VqaExample:
        """Return row `index`."""
        if not 0 <= index < len(self):
            raise IndexError(f"`index` must be from 0 to {len(self) - 1}; got {index}.")
        start = 0
        for source, images, end in zip(self.sources, self._images, self._ends, strict=True):
            if index < end:
                question = source[index - start]
                return _with_picture(question, images)
            start = end
        raise AssertionError("the last end is the length")


class JointVqa(torch.utils.data.Dataset[tuple[VqaExample, ...]]):
    """Both jobs mixed, for training one model: row i holds several questions about picture i.

    So a model encodes each picture once for all of them. Every epoch a row has other plain questions of its
    picture, and knowledge questions with newly drawn links and facts. A picture whose colour or shape is
    unknown (see `EasyVqa`) has plain questions only, as many as there are up to the sum of both numbers. Row
    i of epoch e depends on `seed`, the split, e and i alone. `EasyVqaKnowledge` says who calls `set_epoch`.

    Args:
        split: "train" or "test".
        seed: Seed of all draws, from 0.
        plain: Plain questions about each picture, or all that it has if these are fewer.
        knowledge: Knowledge questions about each picture.
        plain_facts_share: Share of the plain questions that come with facts, from 0 to 1.
        irrelevant: How many irrelevant facts come with the six about entities, or (lowest, highest); by
            default (0, 2) in "train" and 0 in "test".
        size: Use only that many pictures, chosen by the seed; all by default.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> dataset = JointVqa("train", seed=0, plain=2, knowledge=1)
        >>> len(dataset), [example.answer in KNOWLEDGE_ENTITIES for example in dataset[0]]
        (4000, [False, False, True])
    """

    def __init__(
        self,
        split: Split,
        seed: int,
        *,
        plain: int = 5,
        knowledge: int = 3,
        plain_facts_share: float = 0.5,
        irrelevant: int | tuple[int, int] | None = None,
        size: int | None = None,
    ) -> None:
        for name, number in (("plain", plain), ("knowledge", knowledge)):
            if not isinstance(number, int) or number < 0:
                raise ValueError(f"`{name}` must be a number of questions from 0 up; got {number!r}.")
        _require_share("plain_facts_share", plain_facts_share)
        if plain + knowledge == 0:
            raise ValueError("`plain` and `knowledge` cannot both be 0: rows need questions.")
        data = load_easy_vqa(split)
        self._images = data.images
        if size is not None and not (isinstance(size, int) and 0 < size <= len(self._images)):
            raise ValueError(f"`size` must be from 1 to {len(self._images)} pictures, or None; got {size!r}.")
        self._plain, self._knowledge = plain, knowledge
        self._pictures = list(range(len(self._images)))
        if size is not None:
            self._pictures = sorted(
                np.random.default_rng((seed, 3)).permutation(self._pictures)[:size].tolist()
            )
        self.plain = EasyVqaQuestions(split, seed, facts_share=plain_facts_share, irrelevant=irrelevant)
        described = data.described.tolist()
        self._place = {picture: place for place, picture in enumerate(described)}
        self.knowledge = EasyVqaKnowledge(
            split, seed, irrelevant=irrelevant, size=max(knowledge, 1) * len(described)
        )
        self._questions_of: list[list[int]] = [[] for _ in self._images]
        for question, picture in enumerate(data.image_index.tolist()):
            self._questions_of[picture].append(question)
        self._choice = Draws("choice", split, seed)

    @property
    def epoch(self) -> int:
        """The epoch whose rows are shown."""
        return self.knowledge.draws.epoch

    def set_epoch(self, epoch: int) -> None:
        """Go to another epoch; "test" stays the same for ever."""
        for part in (self.plain, self.knowledge, self._choice):
            part.set_epoch(epoch)

    def sentences(self) -> tuple[str, ...]:
        """Every fact that a row may hold, each once."""
        return all_sentences(self.plain, self.knowledge)

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self._pictures)

    def __getitem__(self, index: int) -> tuple[VqaExample, ...]:
        """Return the questions about picture `index` in this epoch."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"`index` must be below {len(self)}; got {index}.")
        picture = self._pictures[index]
        place = self._place.get(picture)
        num_plain = self._plain if place is not None else self._plain + self._knowledge
        order = self._choice.generator(picture).permutation(len(self._questions_of[picture]))[:num_plain]
        questions: list[PlainQuestion | KnowledgeQuestion] = [
            self.plain[self._questions_of[picture][position]] for position in order.tolist()
        ]
        if place is not None:
            rounds = range(self._knowledge)
            questions += [self.knowledge[turn * len(self._place) + place] for turn in rounds]
        return tuple(_with_picture(question, self._images) for question in questions)


@runtime_checkable
class HasSentences(Protocol):
    """A dataset that knows which facts its rows may hold."""

    def sentences(self) -> tuple[str, ...]:
        """Every fact that a row may hold, each once."""
        ...


def all_sentences(*datasets: HasSentences) -> tuple[str, ...]:
    """Return every fact that a row of these datasets may hold, each once: what a `FactTable` is built from.

    Example:
        >>> len(all_sentences(JointVqa("train", 0))) == len(entity_facts()) + len(irrelevant_facts("train"))
        True
    """
    return tuple(dict.fromkeys(sentence for dataset in datasets for sentence in dataset.sentences()))


def joint_answers() -> tuple[str, ...]:
    """Return the answers of both jobs: easy-VQA's 13, then the 64 entities.

    Raises:
        ImportError: If the package `easy-vqa` is not installed.

    Example:
        >>> len(joint_answers())
        77
    """
    return easy_vqa_answers() + KNOWLEDGE_ENTITIES


def _with_picture(question: PlainQuestion | KnowledgeQuestion, images: torch.Tensor) -> VqaExample:
    return VqaExample(
        image=images[question.image_index],
        question=question.question,
        answer=question.answer,
        facts=question.facts,
        matches=question.matches,
    )


def _require_share(name: str, share: float) -> None:
    if not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ValueError(f"`{name}` must be a share from 0 to 1; got {share!r}.")
