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

    The facts are drawn as in `EasyVqaKnowledge` and answer nothing here: a model learns to do without. Questions on
    pictures whose colour or shape is unknown (see `EasyVqa`) always come without facts.

    Args:
        split: "train" (38,575 questions) or "test" (9,673).
        seed: Seed of the draws of facts, from 0.
        facts_share: Share of the questions that come with facts, from 0 to 1.
        irrelevant: How many irrelevant facts come with the six about entities, or (lowest, highest); by default
            (0, 2) in "train" and 0 in "test".

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> questions = EasyVqaQuestions("test", seed=0, facts_share=0.0)
        >>> questions[0]
        PlainQuestion(question='what is the red shape?', answer='triangle', image_index=0, facts=(), matches=())
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
    """Questions of one or several sources, one after the other, each with its picture: rows for a `VqaCollator`.

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


class JointVqa(torch.utils.data.Dataset[VqaExample]):
    """Both jobs mixed, in epochs of a chosen size: rows for training one model.

    An epoch has first its plain questions, then its knowledge questions (the loader is to shuffle). Each "train"
    epoch takes the next plain questions in a random order fixed by the seed, and the next pictures with newly drawn
    links and facts: all are seen before one comes again. Row i of epoch e depends on `seed`, the split, e and i
    alone. `EasyVqaKnowledge` says who calls `set_epoch`.

    Args:
        split: "train" or "test".
        seed: Seed of all draws, from 0.
        knowledge_share: Share of knowledge questions in every epoch, from 0 to 1.
        size: Rows of an epoch; by default twice the number of pictures (8,000 in "train").
        plain_facts_share: Share of the plain questions that come with facts, from 0 to 1.
        irrelevant: How many irrelevant facts come with the six about entities, or (lowest, highest); by default
            (0, 2) in "train" and 0 in "test".

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> dataset = JointVqa("train", seed=0)
        >>> len(dataset), dataset[0].answer in easy_vqa_answers(), dataset[-1].answer in KNOWLEDGE_ENTITIES
        (8000, True, True)
    """

    def __init__(
        self,
        split: Split,
        seed: int,
        knowledge_share: float = 0.5,
        *,
        size: int | None = None,
        plain_facts_share: float = 0.5,
        irrelevant: int | tuple[int, int] | None = None,
    ) -> None:
        _require_share("knowledge_share", knowledge_share)
        _require_share("plain_facts_share", plain_facts_share)
        if size is not None and not (isinstance(size, int) and size > 0):
            raise ValueError(f"`size` must be a number of rows from 1 up, or None; got {size!r}.")
        self.plain = EasyVqaQuestions(split, seed, facts_share=plain_facts_share, irrelevant=irrelevant)
        self._images = load_easy_vqa(split).images
        self._size = 2 * len(self._images) if size is None else size
        self._num_knowledge = round(knowledge_share * self._size)
        self.knowledge = EasyVqaKnowledge(split, seed, irrelevant=irrelevant, size=max(self._num_knowledge, 1))
        self._plain_order = np.random.default_rng((seed, 2)).permutation(len(self.plain))

    @property
    def epoch(self) -> int:
        """The epoch whose rows are shown."""
        return self.knowledge.draws.epoch

    def set_epoch(self, epoch: int) -> None:
        """Go to another epoch; "test" stays the same for ever."""
        self.plain.set_epoch(epoch)
        self.knowledge.set_epoch(epoch)

    def sentences(self) -> tuple[str, ...]:
        """Every fact that a row may hold, each once."""
        return all_sentences(self.plain, self.knowledge)

    def __len__(self) -> int:
        """How many rows an epoch has."""
        return self._size

    def __getitem__(self, index: int) -> VqaExample:
        """Return row `index` of this epoch."""
        if not -self._size <= index < self._size:
            raise IndexError(f"`index` must be below {self._size}; got {index}.")
        index %= self._size
        num_plain = self._size - self._num_knowledge
        if index >= num_plain:
            return _with_picture(self.knowledge[index - num_plain], self._images)
        place = (self.epoch * num_plain + index) % len(self._plain_order)
        return _with_picture(self.plain[int(self._plain_order[place])], self._images)


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
    if not 0 <= share <= 1:
        raise ValueError(f"`{name}` must be a share from 0 to 1; got {share!r}.")
