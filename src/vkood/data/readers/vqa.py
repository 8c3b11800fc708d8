"""VQAv2 and OK-VQA: questions and annotations as their owners distribute them.

Answers that are the annotators' majority at least nine times make the vocabulary, in the order of their first question,
over training and validation together. A question's targets are scored by how many annotators gave each answer, word
for word.
"""

from __future__ import annotations

import random
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vkood.data.readers.pictures import Pictures
from vkood.data.readers.source import BadRows, Row, Source, SourceError, require_file, require_min_occurrences
from vkood.data.readers.streams import json_records
from vkood.data.record import Integer, ListOf, Optional, Record, Text
from vkood.metrics import normalise_answer, soft_score

MIN_OCCURRENCES = 9
"""Minimum number of questions whose majority answer it is, for an answer in the vocabulary."""
REST_VAL_IMAGES = 1000
"""Number of images of the validation split kept for validation when the others are trained on; at most half."""

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


_NO_KNOWN_ANSWER = "questions to be trained on without an answer in the vocabulary"


@dataclass(frozen=True)
class Answer:
    """An annotator's answer: `{"answer": text}`, or the text alone; a whole number stands for its digits."""

    def read(self, value: Any, place: str = "") -> str:
        """The text."""
        if isinstance(value, Mapping):
            value, place = value.get("answer"), f"{place}.answer"
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        # There are few different ones.
        return sys.intern(Text(blank=True).read(value, place))


_QUESTION = Record({"question_id": Integer(), "image_id": Integer(), "question": Text()})
_ANNOTATION = Record(
    {
        "question_id": Integer(),
        "answers": ListOf(Answer(), min_length=1),
        "multiple_choice_answer": Optional(Answer()),
        "answer_type": Optional(Text(blank=True), ""),
        "question_type": Optional(Text(blank=True), ""),
    }
)


def read_vqav2(root: Path, *, min_occurrences: int = MIN_OCCURRENCES) -> Source:
    """VQAv2 (Goyal et al., CVPR 2017), with the tables train, val, test, test-dev, trainable_val and rest_val.

    Args:
        root: The folder with the questions' and annotations' JSON files (or its subfolder `vqav2`), and with the image
            folders `train2014`, `val2014` and `test2015`.
        min_occurrences: How often an answer has to be the majority's to be in the vocabulary.

    Raises:
        SourceError: If a file is missing or not a regular file.
    """
    return _read("vqav2", root, _VQAV2_FILES, min_occurrences)


def read_okvqa(root: Path, *, min_occurrences: int = MIN_OCCURRENCES) -> Source:
    """OK-VQA (Marino et al., CVPR 2019), with the tables train and val.

    Args:
        root: As for VQAv2; the files have OK-VQA's own names.
        min_occurrences: How often an answer has to be the majority's to be in the vocabulary.

    Raises:
        SourceError: If a file is missing or not a regular file.
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


def soft_targets(
    annotations: Iterable[str], ids: Mapping[str, int]
) -> tuple[list[str], list[int], list[float]]:
    """The annotators' answers that are in the vocabulary, their ids, and their scores by the number of annotators.

    Example:
        >>> soft_targets(["red"] * 4 + ["blue"] * 2 + ["mauve"], {"blue": 0, "red": 1})
        (['red', 'blue'], [1, 0], [1.0, 0.6])
    """
    counts = Counter(annotations)
    known = [answer for answer in counts if answer in ids]
    return known, [ids[answer] for answer in known], [soft_score(counts[answer]) for answer in known]


def _read(name: str, root: Path, files: Mapping[str, tuple[str, str | None]], min_occurrences: int) -> Source:
    require_min_occurrences(min_occurrences)
    bad, pictures = BadRows(), Pictures()
    splits = {split: _Split(name, root, split, *paths, bad, pictures) for split, paths in files.items()}
    majority = (
        _majority(annotation)
        for split in ("train", "val")
        for annotation in splits[split].annotations.values()
    )
    answers = answer_vocabulary(majority, min_occurrences)
    if not answers:
        raise SourceError(
            f"no answer of {name} is the majority's {min_occurrences} times or more, so there is no vocabulary; lower "
            f"`--min-answers` for small data.{bad.first}"
        )
    ids = {answer: index for index, answer in enumerate(answers)}
    parts = {f"{name}_{split}": (part, part.images) for split, part in splits.items()}
    if name == "vqav2":
        val = splits["val"]
        rest = val.rest()
        parts |= {f"{name}_trainable_val": (val, val.images - rest), f"{name}_rest_val": (val, rest)}
    return Source(
        name=name,
        kind="questions",
        schema="questions",
        tables={table: partial(part.rows, ids, images) for table, (part, images) in parts.items()},
        answers=answers,
        bad=bad,
        sizes={table: part.num_rows(ids, images) for table, (part, images) in parts.items()},
    )


class _Split:
    """The questions of a split by image, and their annotations."""

    def __init__(
        self,
        name: str,
        root: Path,
        split: str,
        questions: str,
        annotations: str | None,
        bad: BadRows,
        pictures: Pictures,
    ) -> None:
        self.split = split
        self._pictures, self._folder = pictures, root / _IMAGE_FOLDERS[split]
        self._file = require_file(
            root, questions, f"{name}/{questions}", what=f"{name}'s questions ({split})"
        )
        self.annotations: dict[int, dict[str, Any]] = {}
        self._annotated = annotations is not None
        if annotations is not None:
            file = require_file(
                root, annotations, f"{name}/{annotations}", what=f"{name}'s annotations ({split})"
            )
            for number, annotation in json_records(file, _ANNOTATION, bad, key="annotations"):
                question_id = annotation["question_id"]
                if question_id in self.annotations:
                    bad.bad(file.name, number, f"question {question_id} has an annotation already")
                else:
                    bad.pass_on()
                    self.annotations[question_id] = annotation
        self._by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
        known: set[int] = set()
        for number, question in json_records(self._file, _QUESTION, bad, key="questions"):
            question_id = question["question_id"]
            if question_id in known:
                bad.bad(
                    self._file.name, number, f"its `question_id` {question_id} is that of another question"
                )
            elif self._annotated and question_id not in self.annotations:
                bad.bad(self._file.name, number, f"question {question_id} has no annotation")
            else:
                bad.pass_on()
                self._by_image[question["image_id"]].append(question)
            known.add(question_id)
        if missing := len(self.annotations.keys() - known):
            bad.note(f"annotations of questions that {self._file.name} does not have, not used", missing)

    @property
    def images(self) -> frozenset[int]:
        """The ids of all images."""
        return frozenset(self._by_image)

    def rest(self) -> frozenset[int]:
        """The images kept for validation: a random sample with a fixed seed."""
        images = sorted(self._by_image)
        return frozenset(random.Random(0).sample(images, min(REST_VAL_IMAGES, len(images) // 2)))

    def rows(self, ids: Mapping[str, int], images: Collection[int], bad: BadRows) -> Iterator[Row]:
        """An image a row, in the order of their ids; in train, questions without a known answer are left out."""
        for image_id in sorted(images):
            row = self._row(image_id, ids)
            kept = len(row["questions"])
            bad.skip(_NO_KNOWN_ANSWER, len(self._by_image[image_id]) - kept)
            if not kept:
                continue
            path = self._folder / f"COCO_{self._folder.name}_{image_id:012d}.jpg"
            image = self._pictures.read(
                path, bad, self._file.name, [f"question {number}" for number in row["question_id"]]
            )
            if image is not None:
                bad.good(kept)
                yield {"image": image, **row}

    def num_rows(self, ids: Mapping[str, int], images: Collection[int]) -> int:
        """How many of these images have a question that is kept."""
        return sum(
            any(self._is_kept(question, ids) for question in self._by_image[image_id]) for image_id in images
        )

    def _is_kept(self, question: Mapping[str, Any], ids: Mapping[str, int]) -> bool:
        """Whether a question has a known answer, or needs none."""
        if self.split != "train":
            return True
        return not ids.keys().isdisjoint(self.annotations[question["question_id"]]["answers"])

    def _row(self, image_id: int, ids: Mapping[str, int]) -> Row:
        row: Row = {"image_id": image_id, "split": self.split}
        columns = ("questions", "question_id", "answers", "answer_labels", "answer_scores", "annotations")
        row |= {column: [] for column in (*columns, "answer_types", "question_types")}
        for question in self._by_image[image_id]:
            if not self._is_kept(question, ids):
                continue
            if self._annotated:
                annotation = self.annotations[question["question_id"]]
                answers, labels, scores = soft_targets(annotation["answers"], ids)
                row["answers"].append(answers)
                row["answer_labels"].append(labels)
                row["answer_scores"].append(scores)
                row["annotations"].append(annotation["answers"])
                row["answer_types"].append(annotation["answer_type"])
                row["question_types"].append(annotation["question_type"])
            row["questions"].append(question["question"])
            row["question_id"].append(question["question_id"])
        return row


def _majority(annotation: Mapping[str, Any]) -> str:
    """The majority's answer as the file has it; else the most frequent annotation, the first of several that tie."""
    if annotation["multiple_choice_answer"] is not None:
        return annotation["multiple_choice_answer"]
    return Counter(annotation["answers"]).most_common(1)[0][0]
