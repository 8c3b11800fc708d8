"""VQAv2 and OK-VQA: questions and annotations as their owners distribute them.

Answers that are the annotators' majority at least nine times make the vocabulary, in the order of their first question,
over training and validation together. A question's targets are scored by how many annotators gave each answer, word
for word.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from vkood.data.readers.source import BadRows, Row, Source, SourceError, image_bytes, read_json, require_file
from vkood.metrics import normalise_answer, soft_score

MIN_OCCURRENCES = 9
"""How often an answer has to be the majority's to be in the vocabulary."""
REST_VAL_IMAGES = 1000
"""How many images of the validation split are kept for validation when the others are trained on; half, if fewer."""

_VQAV2_FILES = {
    "train": ("v2_OpenEnded_mscoco_train2014_questions.json", "v2_mscoco_train2014_annotations.json"),
    "val": ("v2_OpenEnded_mscoco_val2014_questions.json", "v2_mscoco_val2014_annotations.json"),
    "test": ("v2_OpenEnded_mscoco_test2015_questions.json", None),
    "test-dev": ("v2_OpenEnded_mscoco_test-dev2015_questions.json", None),
}
_OKVQA_FILES = {
    "train": ("OpenEnded_mscoco_train2014_questions.json", "mscoco_train2014_annotations.json"),
    "val": ("OpenEnded_mscoco_val2014_questions.json", "mscoco_val2014_annotations.json"),
}
_IMAGE_FOLDERS = {"train": "train2014", "val": "val2014", "test": "test2015", "test-dev": "test2015"}


def read_vqav2(root: Path, *, min_occurrences: int = MIN_OCCURRENCES) -> Source:
    """VQAv2 (Goyal et al., CVPR 2017), with the tables train, val, test, test-dev, trainable_val and rest_val.

    Args:
        root: The folder with the questions' and annotations' JSON files (or its subfolder `vqav2`), and with the image
            folders `train2014`, `val2014` and `test2015`.
        min_occurrences: How often an answer has to be the majority's to be in the vocabulary.

    Raises:
        SourceError: If a file is missing or is none.
    """
    return _read("vqav2", root, _VQAV2_FILES, min_occurrences)


def read_okvqa(root: Path, *, min_occurrences: int = MIN_OCCURRENCES) -> Source:
    """OK-VQA (Marino et al., CVPR 2019), with the tables train and val.

    Args:
        root: As for VQAv2; the files have OK-VQA's own names.
        min_occurrences: How often an answer has to be the majority's to be in the vocabulary.

    Raises:
        SourceError: If a file is missing or is none.
    """
    return _read("okvqa", root, _OKVQA_FILES, min_occurrences)


def answer_vocabulary(majority_answers: Iterable[str], min_occurrences: int) -> tuple[str, ...]:
    """The normalised majority answers that occur often enough, by their first occurrence.

    Example:
        >>> answer_vocabulary(["Two", "a cat", "2", "dog"], 2)
        ('2',)
    """
    counts = Counter(normalise_answer(answer).replace(",", "") for answer in majority_answers)
    return tuple(answer for answer, count in counts.items() if count >= min_occurrences)


def soft_targets(given: Iterable[str], ids: Mapping[str, int]) -> tuple[list[str], list[int], list[float]]:
    """The known ones among the annotators' answers, their ids, and their scores by how many gave them.

    Example:
        >>> soft_targets(["red"] * 4 + ["blue"] * 2 + ["mauve"], {"blue": 0, "red": 1})
        (['red', 'blue'], [1, 0], [1.0, 0.6])
    """
    counts = Counter(given)
    known = [answer for answer in counts if answer in ids]
    return known, [ids[answer] for answer in known], [soft_score(counts[answer]) for answer in known]


def _read(name: str, root: Path, files: Mapping[str, tuple[str, str | None]], min_occurrences: int) -> Source:
    found = {split: _Split(name, root, split, *paths) for split, paths in files.items()}
    majority = [
        annotation["multiple_choice_answer"]
        if "multiple_choice_answer" in annotation
        else _majority(annotation)
        for split in ("train", "val")
        for annotation in found[split].annotations.values()
    ]
    answers = answer_vocabulary(majority, min_occurrences)
    if not answers:
        raise SourceError(
            f"no answer of {name} is the majority's {min_occurrences} times or more, so there is no vocabulary; lower "
            "`--min-answers` for small data."
        )
    ids = {answer: index for index, answer in enumerate(answers)}
    tables = {f"{name}_{split}": partial(part.rows, ids) for split, part in found.items()}
    if name == "vqav2":
        rest = found["val"].rest()
        tables[f"{name}_trainable_val"] = partial(found["val"].rows, ids, without=rest)
        tables[f"{name}_rest_val"] = partial(found["val"].rows, ids, only=rest)
    return Source(name=name, kind="questions", schema="questions", tables=tables, answers=answers)


class _Split:
    """The questions of a split by image, and what annotators said."""

    def __init__(self, name: str, root: Path, split: str, questions: str, annotations: str | None) -> None:
        self.split = split
        self.file = require_file(root, questions, f"{name}/{questions}", told=f"{name}'s questions ({split})")
        self.images = root / _IMAGE_FOLDERS[split]
        self.by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for question in _listed(self.file, "questions"):
            self.by_image[question["image_id"]].append(question)
        self.annotations: dict[int, dict[str, Any]] = {}
        if annotations is not None:
            file = require_file(
                root, annotations, f"{name}/{annotations}", told=f"{name}'s annotations ({split})"
            )
            self.annotations = {one["question_id"]: one for one in _listed(file, "annotations")}
            for questions_of_image in self.by_image.values():
                for question in questions_of_image:
                    if question["question_id"] not in self.annotations:
                        raise SourceError(
                            f"{str(file)!r} has no annotation of question {question['question_id']}."
                        )

    def rest(self) -> frozenset[int]:
        """The images kept for validation: a fair sample, the same every time."""
        images = sorted(self.by_image)
        return frozenset(random.Random(0).sample(images, min(REST_VAL_IMAGES, len(images) // 2)))

    def rows(
        self,
        ids: Mapping[str, int],
        bad: BadRows,
        only: frozenset[int] | None = None,
        without: frozenset[int] = frozenset(),
    ) -> Iterator[Row]:
        """An image a row, in the order of their ids; in train, questions without a known answer are left out."""
        folder = self.images.name
        for image_id in sorted(self.by_image):
            if image_id in without or (only is not None and image_id not in only):
                continue
            row = self._row(image_id, ids)
            if not row["questions"]:
                continue
            path = self.images / f"COCO_{folder}_{image_id:012d}.jpg"
            image = image_bytes(path, bad, self.file.name, f"image_id {image_id}")
            if image is not None:
                bad.good()
                yield {"image": image, **row}

    def _row(self, image_id: int, ids: Mapping[str, int]) -> Row:
        row: Row = {"image_id": image_id, "split": self.split}
        columns = ("questions", "question_id", "answers", "answer_labels", "answer_scores", "annotations")
        row |= {column: [] for column in (*columns, "answer_types", "question_types")}
        for question in self.by_image[image_id]:
            annotation = self.annotations.get(question["question_id"])
            if annotation is not None:
                given = [answer["answer"] for answer in annotation["answers"]]
                answers, labels, scores = soft_targets(given, ids)
                if not labels and self.split == "train":
                    continue
                row["answers"].append(answers)
                row["answer_labels"].append(labels)
                row["answer_scores"].append(scores)
                row["annotations"].append(given)
                row["answer_types"].append(str(annotation.get("answer_type", "")))
                row["question_types"].append(str(annotation.get("question_type", "")))
            row["questions"].append(question["question"])
            row["question_id"].append(question["question_id"])
        return row


def _majority(annotation: Mapping[str, Any]) -> str:
    """The answer that most annotators gave, of the first given where several tie."""
    return Counter(answer["answer"] for answer in annotation["answers"]).most_common(1)[0][0]


def _listed(file: Path, key: str) -> list[dict[str, Any]]:
    content = read_json(file)
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise SourceError(f"{str(file)!r} must hold an object with a list {key!r}, as VQA's files do.")
    needed = {"questions": ("question_id", "image_id", "question"), "annotations": ("question_id", "answers")}
    for number, one in enumerate(content[key]):
        missing = [name for name in needed[key] if not isinstance(one, dict) or name not in one]
        if missing:
            raise SourceError(f"{str(file)!r}, {key}[{number}], lacks {', '.join(missing)}.")
    return content[key]
