"""easy-VQA, whose pictures and questions come with its package: real data for a first run, without any download."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from vkood.data.easy_vqa import Split, easy_vqa_answers, load_easy_vqa
from vkood.data.easy_vqa_knowledge import EasyVqaKnowledge, Question, TrainingQuestions, joint_answers
from vkood.data.readers.source import BadRows, Row, Source

KNOWLEDGE_TRAIN = "easy_vqa_knowledge_train"
"""The table of both kinds of questions that `read_easy_vqa_knowledge` has for training."""
EPOCHS = 8
"""Epochs of draws in it by default."""

_Drawn = Iterable[tuple[int, Sequence[Question]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """Facts that are added to the six of every knowledge question of a test.

    Attributes:
        irrelevant: Number of facts about other things.
        contradicting: Number of facts that contradict the picture.

    Example:
        >>> Flood(irrelevant=48).table
        'easy_vqa_knowledge_test_48_irrelevant'
    """

    irrelevant: int = 0
    contradicting: int = 0

    @property
    def table(self) -> str:
        """The name of the table of this test."""
        parts = {"irrelevant": self.irrelevant, "contradicting": self.contradicting}
        return "easy_vqa_knowledge_test" + "".join(f"_{n}_{kind}" for kind, n in parts.items() if n)


FLOODS = (Flood(), Flood(irrelevant=48), Flood(irrelevant=150), Flood(contradicting=48))
"""The tests that `read_easy_vqa_knowledge` has by default."""


def read_easy_vqa(num_images: int | None = None) -> Source:
    """easy-VQA, with the tables train and test.

    Args:
        num_images: Use only the first `num_images` pictures of each split; None uses all.

    Raises:
        ImportError: If the package `easy-vqa` is not installed.
        ValueError: If `num_images` is below 1.
    """
    if num_images is not None and num_images < 1:
        raise ValueError(f"`num_images` must be 1 or more, or None; got {num_images}.")
    answers = easy_vqa_answers()
    splits: tuple[Split, ...] = ("train", "test")
    tables = {
        f"easy_vqa_{split}": partial(_rows, split, answers, partial(_of_pictures, split, num_images))
        for split in splits
    }
    return Source(
        name="easy_vqa",
        kind="questions",
        schema="questions",
        tables=tables,
        answers=answers,
        sizes={f"easy_vqa_{split}": len(_of_pictures(split, num_images)) for split in splits},
    )


def read_easy_vqa_knowledge(
    *,
    seed: int = 0,
    epochs: int = EPOCHS,
    floods: Iterable[Flood] = FLOODS,
    irrelevant_facts: Sequence[str] | None = None,
) -> Source:
    """Knowledge questions on easy-VQA's pictures, with their facts: a table to train on, and one for each test.

    The table to train on has ten questions of both kinds in a row (see `TrainingQuestions`), and a row for each picture
    in each of several epochs of draws: it is trained on once.

    Args:
        seed: Random seed of all draws.
        epochs: Epochs of draws in the table to train on; without that table, if 0.
        floods: The tests, each with all 888 questions.
        irrelevant_facts: What tests draw irrelevant facts from, in place of vkood's own.

    Raises:
        ImportError: If the package `easy-vqa` is not installed.
        ValueError: If an argument is out of range.
    """
    if epochs < 0:
        raise ValueError(f"`epochs` must be 0 or more; got {epochs}.")
    answers = joint_answers()
    tables: dict[str, Callable[[BadRows], Iterator[Row]]] = {}
    sizes: dict[str, int] = {}
    if epochs:
        training = TrainingQuestions(seed)
        tables[KNOWLEDGE_TRAIN] = partial(_rows, "train", answers, partial(_training, training, epochs))
        sizes[KNOWLEDGE_TRAIN] = epochs * len(training)
    for flood in floods:
        test = EasyVqaKnowledge(
            "test",
            seed,
            irrelevant=flood.irrelevant,
            contradicting=flood.contradicting,
            irrelevant_facts=irrelevant_facts,
        )
        tables[flood.table] = partial(_rows, "test", answers, partial(_one_each, test))
        sizes[flood.table] = len(test)
    return Source(
        name="easy_vqa_knowledge",
        kind="questions",
        schema="questions with matches",
        tables=tables,
        answers=answers,
        has_facts=True,
        sizes=sizes,
    )


def _of_pictures(split: Split, num_images: int | None) -> Sequence[tuple[int, Sequence[Question]]]:
    """The package's questions, picture by picture."""
    data = load_easy_vqa(split)
    of_picture: dict[int, list[Question]] = {}
    for text, answer, picture in zip(data.questions, data.answers, data.image_index.tolist(), strict=True):
        of_picture.setdefault(picture, []).append(Question(text=text, answer=answer, picture=picture))
    return sorted(of_picture.items())[:num_images]


def _training(questions: TrainingQuestions, epochs: int) -> _Drawn:
    for epoch in range(epochs):
        for picture in range(len(questions)):
            yield picture, questions.about(picture, epoch=epoch)


def _one_each(questions: EasyVqaKnowledge) -> _Drawn:
    for place, picture in enumerate(questions.pictures):
        yield picture, [questions[place]]


def _rows(
    split: Split, answers: Sequence[str], questions: Callable[[], _Drawn], bad: BadRows
) -> Iterator[Row]:
    pictures = load_easy_vqa(split).images
    files: dict[int, bytes] = {}
    numbers = {answer: number for number, answer in enumerate(answers)}
    num_questions = 0
    for picture, about in questions():
        if picture not in files:
            files[picture] = _png(pictures[picture].permute(1, 2, 0).numpy())
        bad.good(len(about))
        row = _row(about, numbers)
        row |= {"image": files[picture], "image_id": picture, "split": split}
        yield row | {"question_id": list(range(num_questions, num_questions + len(about)))}
        num_questions += len(about)


def _row(questions: Sequence[Question], numbers: Mapping[str, int]) -> Row:
    answers = [[question.answer] for question in questions]
    return {
        "questions": [question.text for question in questions],
        "answers": answers,
        "answer_labels": [[numbers[question.answer]] for question in questions],
        "answer_scores": [[1.0] for _ in questions],
        "annotations": answers,
        "answer_types": ["yes/no" if q.answer in ("yes", "no") else "other" for q in questions],
        "question_types": ["" for _ in questions],
        "facts": [question.facts for question in questions],
        "fact_matches": [question.matches for question in questions],
    }


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
