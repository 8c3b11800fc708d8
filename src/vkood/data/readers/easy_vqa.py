"""easy-VQA, whose pictures and questions come with its package: real data for a first run, without any download."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator
from functools import partial

from PIL import Image

from vkood.data.easy_vqa import Split, easy_vqa_answers, load_easy_vqa
from vkood.data.readers.source import BadRows, Row, Source


def read_easy_vqa(num_images: int | None = None) -> Source:
    """easy-VQA, with the tables train and test.

    Args:
        num_images: Only the first so many pictures of each split; all, if None.

    Raises:
        ImportError: If the package `easy-vqa` is not installed.
        ValueError: If `num_images` is below 1.
    """
    if num_images is not None and num_images < 1:
        raise ValueError(f"`num_images` must be 1 or more, or None; got {num_images}.")
    answers = easy_vqa_answers()
    tables = {f"easy_vqa_{split}": partial(_rows, split, answers, num_images) for split in ("train", "test")}
    return Source(name="easy_vqa", kind="questions", schema="questions", tables=tables, answers=answers)


def _rows(split: Split, answers: tuple[str, ...], num_images: int | None, bad: BadRows) -> Iterator[Row]:
    data = load_easy_vqa(split)
    of_image: dict[int, list[int]] = defaultdict(list)
    for question, image in enumerate(data.image_index.tolist()):
        of_image[image].append(question)
    for image, questions in sorted(of_image.items())[:num_images]:
        file = io.BytesIO()
        Image.fromarray(data.images[image].permute(1, 2, 0).numpy()).save(file, "PNG")
        bad.good(len(questions))
        answer_of_each = [data.answers[question] for question in questions]
        yield {
            "image": file.getvalue(),
            "questions": [data.questions[question] for question in questions],
            "answers": [[answer] for answer in answer_of_each],
            "answer_labels": [[answers.index(answer)] for answer in answer_of_each],
            "answer_scores": [[1.0] for _ in answer_of_each],
            "image_id": image,
            "question_id": questions,
            "split": split,
            "annotations": [[answer] for answer in answer_of_each],
            "answer_types": ["yes/no" if answer in ("yes", "no") else "other" for answer in answer_of_each],
            "question_types": ["" for _ in answer_of_each],
        }
