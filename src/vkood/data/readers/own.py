"""Your own data: a CSV, TSV or JSON-lines file of questions or captions, and a folder of images.

Columns (or keys): `image`, the name of a file in the folder; `question` and `answer`, or `caption`; and, if you like,
`question_id` and `split`. Without `split` all rows are "train". Rows of one image and split are put together.

A question may have several answers, from several annotators say: in JSON lines as a list, in CSV as rows that repeat
image and question. An answer that is there k times counts as VQA's with k annotators (0.3, 0.6, 0.9, 1); but where no
question has more than one, a single answer counts in full.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vkood.data.readers.source import BadRows, Row, Source, SourceError, image_bytes, json_lines, separated
from vkood.data.readers.vqa import soft_targets

_SEPARATORS = {".csv": ",", ".tsv": "\t"}


@dataclass
class _Question:
    image: str
    question: str
    row: int
    question_id: int | None = None
    answers: list[str] = field(default_factory=list)


def read_own(file: Path, images: Path, *, name: str, min_occurrences: int = 1) -> Source:
    """Questions or captions of yours.

    Args:
        file: The `.csv`, `.tsv` or `.jsonl` file.
        images: The folder of the images.
        name: What to call the data set; tables are `name_split`.
        min_occurrences: How many questions have to have an answer for it to be in the vocabulary.

    Raises:
        SourceError: If the file is missing or of another kind, lacks a column, or no answer is left.
    """
    if not images.is_dir():
        raise SourceError(f"There is no folder of images at {str(images)!r}.")
    rows = list(_read_rows(file))
    columns = {key for _, row in rows[:100] if row is not None for key in row}
    if not rows or "image" not in columns or not ({"question", "caption"} & columns):
        raise SourceError(
            f"{str(file)!r} must have the columns `image` and `question` (with `answer`), or `image` and `caption`; "
            f"it has {', '.join(sorted(columns)) or 'no rows'}."
        )
    if "question" not in columns:
        splits = _splits(rows)
        tables = {
            f"{name}_{split}": partial(_caption_rows, file.name, images, rows, split) for split in splits
        }
        return Source(name=name, kind="captions", schema="captions", tables=tables)
    return _questions(file, images, rows, name, min_occurrences)


def _read_rows(file: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    if not file.is_file():
        raise SourceError(f"There is no file {str(file)!r}.")
    if file.suffix in (".jsonl", ".ndjson"):
        for number, row in json_lines(file):
            yield number, row if isinstance(row, dict) else None
        return
    if file.suffix not in _SEPARATORS:
        raise SourceError(f"{str(file)!r} must end in .csv, .tsv or .jsonl.")
    lines = separated(file, _SEPARATORS[file.suffix])
    _, header = next(lines, (0, []))
    names = [name.strip().lower() for name in header]
    for number, values in lines:
        yield number, dict(zip(names, values, strict=True)) if len(values) == len(names) else None


def _splits(rows: list[tuple[int, dict[str, Any] | None]]) -> list[str]:
    return list(dict.fromkeys(_split(row) for _, row in rows if row is not None))


def _split(row: Mapping[str, Any]) -> str:
    return str(row.get("split") or "train")


def _caption_rows(
    file: str, images: Path, rows: list[tuple[int, dict[str, Any] | None]], split: str, bad: BadRows
) -> Iterator[Row]:
    captions: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for number, row in rows:
        if row is None or not row.get("image") or not str(row.get("caption") or "").strip():
            if row is None or _split(row) == split:
                bad.bad(file, number, "it must have an image and a caption")
        elif _split(row) == split:
            captions[str(row["image"])].append((number, str(row["caption"]).strip()))
    for image, some in captions.items():
        content = image_bytes(images / image, bad, file, some[0][0])
        if content is not None:
            bad.good()
            told = [caption for _, caption in some]
            yield {"image": content, "caption": told, "image_id": image, "split": split}


def _questions(
    file: Path,
    images: Path,
    rows: list[tuple[int, dict[str, Any] | None]],
    name: str,
    min_occurrences: int,
) -> Source:
    by_split: dict[str, dict[tuple[str, str], _Question]] = {split: {} for split in _splits(rows)}
    unread: list[int] = []
    for number, row in rows:
        if row is None or not row.get("image") or not str(row.get("question") or "").strip():
            unread.append(number)
            continue
        image, text = str(row["image"]), str(row["question"]).strip()
        one = by_split[_split(row)].setdefault((image, text), _Question(image, text, number))
        answers = row.get("answers", row.get("answer"))
        one.answers += [str(a).strip() for a in (answers if isinstance(answers, list) else [answers])
                        if a not in (None, "")]  # fmt: skip
        if row.get("question_id") not in (None, ""):
            one.question_id = _number(file, number, row["question_id"])
    _number_questions(by_split)
    every = [one for split in by_split.values() for one in split.values()]
    counts = Counter(answer for one in every for answer in dict.fromkeys(one.answers))
    answers = tuple(answer for answer, count in counts.items() if count >= min_occurrences)
    if not answers:
        raise SourceError(f"{str(file)!r} has no answer that {min_occurrences} questions have.")
    single = all(len(one.answers) <= 1 for one in every)
    ids = {answer: index for index, answer in enumerate(answers)}
    numbers = {image: index for index, image in enumerate(dict.fromkeys(one.image for one in every))}
    made = _Made(file.name, images, ids, numbers, single)
    tables = {}
    for split, some in by_split.items():
        # Of rows that cannot be read the split is not known; they are told once.
        tables[f"{name}_{split}"] = partial(made.rows, split, list(some.values()), unread)
        unread = []
    return Source(name=name, kind="questions", schema="questions", tables=tables, answers=answers)


def _number(file: Path, row: int, told: Any) -> int:
    try:
        return int(told)
    except (TypeError, ValueError):
        raise SourceError(
            f"{str(file)!r}, row {row}: `question_id` must be a number; got {told!r}."
        ) from None


def _number_questions(by_split: Mapping[str, Mapping[tuple[str, str], _Question]]) -> None:
    """Give numbers to questions that have none; no number is there twice in a split."""
    for split, some in by_split.items():
        taken = Counter(one.question_id for one in some.values() if one.question_id is not None)
        if twice := [number for number, count in taken.items() if count > 1]:
            raise SourceError(f"`question_id` {twice[0]} belongs to two questions of the split {split!r}.")
        free = (number for number in range(len(some) + len(taken)) if number not in taken)
        for one in some.values():
            if one.question_id is None:
                one.question_id = next(free)


@dataclass(frozen=True)
class _Made:
    """What the rows of questions are made with."""

    file: str
    images: Path
    ids: Mapping[str, int]
    image_numbers: Mapping[str, int]
    single: bool

    def rows(self, split: str, questions: list[_Question], unread: list[int], bad: BadRows) -> Iterator[Row]:
        for number in unread:
            bad.bad(self.file, number, "it must have an image and a question")
        by_image: dict[str, list[_Question]] = defaultdict(list)
        for one in questions:
            by_image[one.image].append(one)
        for image, some in by_image.items():
            content = image_bytes(self.images / image, bad, self.file, some[0].row)
            if content is not None:
                bad.good()
                yield self._row(split, image, content, some)

    def _row(self, split: str, image: str, content: bytes, some: list[_Question]) -> Row:
        targets = [soft_targets(one.answers, self.ids) for one in some]
        scores = [[1.0] * len(ids) if self.single else scores for _, ids, scores in targets]
        return {
            "image": content,
            "questions": [one.question for one in some],
            "answers": [known for known, _, _ in targets],
            "answer_labels": [ids for _, ids, _ in targets],
            "answer_scores": scores,
            "image_id": self.image_numbers[image],
            "question_id": [one.question_id for one in some],
            "split": split,
            "annotations": [one.answers for one in some],
            "answer_types": ["" for _ in some],
            "question_types": ["" for _ in some],
        }
