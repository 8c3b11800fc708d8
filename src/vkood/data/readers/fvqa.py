"""FVQA: questions about pictures, each of which one fact answers, as their owners distribute them or in JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vkood.data.readers.own import questions_source
from vkood.data.readers.pictures import Pictures
from vkood.data.readers.source import BadRows, Source, SourceError, require_file, require_min_occurrences
from vkood.data.readers.streams import json_lines, lines
from vkood.data.record import Integer, Mismatch, Optional, Record, Text
from vkood.files import FileProblem, read_json_object

QUESTIONS = "all_qs_dict_release.json"
LINES = "questions.jsonl"
_RELEASE = "new_dataset_release"
_OWNERS = Record(
    {"img_file": Text(), "question": Text(), "answer": Text(), "question_id": Optional(Integer())}
)
_OF_LINES = Record(
    {"image": Text(), "question": Text(), "answer": Text(), "question_id": Optional(Integer())}
)
_UNLISTED = "questions about images that neither list of the split has"


def read_fvqa(root: Path, *, min_occurrences: int = 1) -> Source:
    """FVQA (Wang et al., 2016), with the tables train and test of its first split, or train alone without one.

    Args:
        root: The folder with `all_qs_dict_release.json` (or its subfolder `new_dataset_release`), or with
            `questions.jsonl`, a question a line with `image`, `question`, `answer` and `question_id`; with the images
            in `images`, and the lists of the first of the owners' five splits, `Name_Lists/train_list_0.txt` and
            `test_list_0.txt`, if they are there.
        min_occurrences: How many questions must have an answer for it to be in the vocabulary.

    Raises:
        SourceError: If the questions or the folder of images are missing, or are no such files.
    """
    require_min_occurrences(min_occurrences)
    file = require_file(root, QUESTIONS, f"{_RELEASE}/{QUESTIONS}", LINES, what="FVQA's questions")
    images = file.parent / "images"
    if not images.is_dir():
        raise SourceError(f"There is no folder of images at {str(images)!r}.")
    bad = BadRows()
    split_of = _splits(file.parent)
    return questions_source(
        file, images, _records(file, split_of, bad), bad, "fvqa", min_occurrences, Pictures()
    )


def _splits(folder: Path) -> dict[str, str]:
    """The split of each image; empty if there are no lists."""
    split_of: dict[str, str] = {}
    for split in ("train", "test"):
        path = folder / "Name_Lists" / f"{split}_list_0.txt"
        if path.exists():
            split_of |= {line.strip(): split for _, line in lines(path) if isinstance(line, str)}
    return split_of


def _records(file: Path, split_of: dict[str, str], bad: BadRows) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each valid question with its row; invalid ones are left out."""
    owners = file.name == QUESTIONS
    for number, value in _owners(file) if owners else json_lines(file):
        if value is None:
            bad.skip("empty rows")
            continue
        try:
            if isinstance(value, Mismatch):
                raise value
            row = (_OWNERS if owners else _OF_LINES).read(value)
        except Mismatch as error:
            bad.bad(file.name, number, str(error))
            continue
        image = row["img_file" if owners else "image"]
        if split_of and image not in split_of:
            bad.skip(_UNLISTED)
            continue
        yield (
            number,
            {
                "image": image,
                "question": row["question"],
                "question_id": row["question_id"],
                "answer": [row["answer"]],
                "answers": None,
                "split": split_of.get(image, "train"),
            },
        )


def _owners(file: Path) -> Iterator[tuple[int, Any]]:
    """The questions of the owners' file, an object of objects, numbered from 1."""
    try:
        content = read_json_object(file, what="file of questions")
    except FileProblem as error:
        raise SourceError(str(error)) from None
    for number, (key, value) in enumerate(content.items(), start=1):
        yield number, {"question_id": key, **value} if isinstance(value, dict) else value
