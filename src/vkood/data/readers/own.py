"""Your own data: a CSV, TSV or JSON-lines file of questions or captions, and a folder of images.

Columns (or keys): `image`, the name of a file in the folder; `question` and `answer`, or `caption`; and, if you like,
`question_id` and `split`. Without `split` all rows are "train". Rows of one image and split are merged. A row is
one line: a quotation mark that is not closed on its line makes that line a bad row, and affects no other.

A question may have several answers, such as from several annotators: in JSON lines as a list `answers` (of texts, or of
VQA's `{"answer": text}`), in CSV as rows that repeat image and question. An answer that all its annotators give counts
in full; where they differ, one that k annotators give counts as in VQA (0.3, 0.6, 0.9, 1). Answers are in the
vocabulary as VQA's metric normalises them: "Red", "red" and "red." are one.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vkood.data.readers.pictures import Pictures
from vkood.data.readers.source import BadRows, Row, Source, SourceError, require_min_occurrences
from vkood.data.readers.streams import UndecodedLine, cells, json_lines, lines
from vkood.data.readers.vqa import Answer, soft_targets
from vkood.data.record import Integer, ListOf, Mismatch, Optional, Record, Text
from vkood.knowledge.language.plain_text import plain_text
from vkood.metrics import normalise_answer

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_ADVICE = "Say which encoding it has: `--encoding latin-1`, `--encoding utf-16`."
_SAME_AGAIN = "rows that repeat a question with its answer, each counted as one more annotator"
_QUOTED = "rows of a .tsv file with a cell in quotation marks, which are kept as text"
_MAX_SPLITS = 100
_FIRST_RECORDS = 100

_SPLIT = Text(
    pattern=r"(?!(.*_)?facts$)[\w-][\w.-]{0,63}",
    called="a name of letters, digits, `_`, `-` and `.` that does not end in `facts`",
)
_COMMON = {"image": Text(), "split": Optional(_SPLIT, "train")}
_ANSWERS = ListOf(Optional(Answer(), ""))


@dataclass(frozen=True)
class _Answers:
    """A list of answers, or a single one."""

    def read(self, value: Any, place: str = "") -> list[str]:
        listed = value if isinstance(value, list) else [value]
        return _ANSWERS.read(listed, place)


_QUESTION = Record(
    {
        **_COMMON,
        "question": Text(),
        "question_id": Optional(Integer()),
        "answer": Optional(_Answers()),
        "answers": Optional(_Answers()),
    }
)
_CAPTION = Record({**_COMMON, "caption": Text()})


@dataclass
class _Question:
    image: str
    question: str
    number: int | None
    rows: list[int] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)


def read_own(
    file: Path,
    images: Path,
    *,
    name: str,
    min_occurrences: int = 1,
    encoding: str | None = None,
    any_image_path: bool = False,
) -> Source:
    """A user's own questions or captions.

    Args:
        file: The `.csv`, `.tsv` or `.jsonl` file.
        images: The folder of the images.
        name: What to call the data set; tables are `name_split`.
        min_occurrences: Min number of questions with an answer for it to be in the vocabulary.
        encoding: The file's; UTF-8 by default.
        any_image_path: Whether images may lie outside of their folder, by absolute paths or `..`.

    Raises:
        SourceError: If the file is missing, of another kind or encoding, lacks a column, or no answer is left.
    """
    require_min_occurrences(min_occurrences)
    if not images.is_dir():
        raise SourceError(f"There is no folder of images at {str(images)!r}.")
    bad, pictures = BadRows(), Pictures(any_image_path)
    records = _Records(file, encoding, bad)
    if records.kind == "captions":
        return _captions(file, images, records, name, pictures)
    return questions_source(file, images, records.read(), bad, name, min_occurrences, pictures)


class _Records:
    """The records of a file, and whether they are questions or captions, by its columns or its first records."""

    def __init__(self, file: Path, encoding: str | None, bad: BadRows) -> None:
        if file.suffix.lower() not in (*_SEPARATORS, *_JSON_LINES):
            raise SourceError(f"{str(file)!r} must end in .csv, .tsv or .jsonl.")
        self._file, self._encoding, self.bad = file, encoding, bad
        self._values = self._json() if file.suffix.lower() in _JSON_LINES else self._separated()
        self._first = list(itertools.islice(self._values, _FIRST_RECORDS))
        columns = {name for _, value in self._first for name in value}
        if "image" not in columns or not {"question", "caption"} & columns:
            raise SourceError(
                f"{str(file)!r} must have the columns `image` and `question` (with `answer`), or `image` and "
                f"`caption`; it has {', '.join(map(repr, sorted(columns)[:20])) or 'no rows'}." + bad.first
            )
        self.kind = "questions" if "question" in columns else "captions"

    def read(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each valid record with its row; invalid ones are left out."""
        record = _QUESTION if self.kind == "questions" else _CAPTION
        for number, value in itertools.chain(self._first, self._values):
            try:
                yield number, record.read(value)
            except Mismatch as error:
                self.bad.bad(self._file.name, number, str(error))

    def _json(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, value in json_lines(self._file, encoding=self._encoding, advice=_ADVICE):
            if value is None:
                self.bad.skip("empty rows")
            elif isinstance(value, dict):
                yield number, value
            else:
                self._bad(number, value if isinstance(value, Mismatch) else Mismatch("it must be an object"))

    def _separated(self) -> Iterator[tuple[int, dict[str, Any]]]:
        separator = _SEPARATORS[self._file.suffix.lower()]
        names: list[str] = []
        for number, line in lines(self._file, encoding=self._encoding, advice=_ADVICE):
            try:
                if isinstance(line, Mismatch):
                    raise line
                values = [value.strip() for value in cells(line, separator)]
                while values and not values[-1] and len(values) > len(names):
                    values.pop()
                if not any(values):
                    self.bad.skip("empty rows")
                elif not names:
                    names = self._header(number, values)
                elif len(values) != len(names):
                    raise Mismatch(f"it must have {len(names)} cells, as the first row; it has {len(values)}")
                else:
                    if separator == "\t" and any(map(_is_quoted, values)):
                        self.bad.note(_QUOTED)
                    yield number, {key: value or None for key, value in zip(names, values, strict=True)}
            except Mismatch as error:
                if not names and not isinstance(error, UndecodedLine):
                    raise SourceError(
                        f"{str(self._file)!r}, row {number}, must name the columns: {error}."
                    ) from None
                self._bad(number, error)

    def _header(self, number: int, values: list[str]) -> list[str]:
        names = [value.lower() for value in values]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise SourceError(
                f"{str(self._file)!r}, row {number}, has the column {twice[0]!r} more than once."
            )
        return names

    def _bad(self, number: int, error: Mismatch) -> None:
        if isinstance(error, UndecodedLine):
            raise SourceError(f"{str(self._file)!r}, row {number}: {error}") from None
        self.bad.bad(self._file.name, number, str(error))


def _is_quoted(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _captions(file: Path, images: Path, records: _Records, name: str, pictures: Pictures) -> Source:
    by_split: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for number, row in records.read():
        captions = by_split[row["split"]][row["image"]]
        if captions.setdefault(row["caption"].strip(), number) == number:
            records.bad.pass_on()
        else:
            records.bad.skip("rows that repeat an image with its caption")
    _require_splits(file, by_split)
    tables = {
        f"{name}_{split}": partial(_caption_rows, file.name, images, split, rows, pictures)
        for split, rows in by_split.items()
    }
    sizes = {f"{name}_{split}": len(rows) for split, rows in by_split.items()}
    return Source(name=name, kind="captions", schema="captions", tables=tables, bad=records.bad, sizes=sizes)


def _caption_rows(
    file: str,
    images: Path,
    split: str,
    rows: Mapping[str, Mapping[str, int]],
    pictures: Pictures,
    bad: BadRows,
) -> Iterator[Row]:
    for image, captions in rows.items():
        content = pictures.read_named(images, image, bad, file, list(captions.values()))
        if content is not None:
            bad.good(len(captions))
            yield {"image": content, "caption": list(captions), "image_id": image, "split": split}


def questions_source(
    file: Path,
    images: Path,
    records: Iterable[tuple[int, Mapping[str, Any]]],
    bad: BadRows,
    name: str,
    min_occurrences: int,
    pictures: Pictures,
) -> Source:
    """Questions, one a record, as tables by their splits.

    Args:
        file: Where they are from.
        images: The folder of the images.
        records: Each with the number of its row: `image`, `question`, `question_id` (or None), `answer` and `answers`
            (lists of answers, or None), and `split`.
        bad: Counts what is left out.
        name: What to call the data set; tables are `name_split`.
        min_occurrences: Min number of questions with an answer for it to be in the vocabulary.
        pictures: Reads the images.

    Raises:
        SourceError: If no answer is left, or there are too many splits.
    """
    by_split: dict[str, _Questions] = defaultdict(lambda: _Questions(file.name, bad))
    for number, row in records:
        by_split[row["split"]].add(number, row)
    _require_splits(file, by_split)
    questions = {split: of_split.numbered() for split, of_split in by_split.items()}
    all_questions = [question for of_split in questions.values() for question in of_split]
    answers, spellings = _vocabulary(all_questions, min_occurrences)
    if not answers:
        raise SourceError(f"{str(file)!r} has no answer that {min_occurrences} questions have.{bad.first}")
    if spellings:
        bad.note("further spellings of answers, merged as VQA's metric does", spellings)
    ids = {answer: index for index, answer in enumerate(answers)}
    numbers = {
        image: index
        for index, image in enumerate(dict.fromkeys(question.image for question in all_questions))
    }
    writing = _Tables(file.name, images, ids, numbers, pictures)
    tables = {f"{name}_{split}": partial(writing.rows, split, rows) for split, rows in questions.items()}
    sizes = {f"{name}_{split}": len({row.image for row in rows}) for split, rows in questions.items()}
    return Source(
        name=name,
        kind="questions",
        schema="questions",
        tables=tables,
        answers=answers,
        bad=bad,
        sizes=sizes,
    )


def _require_splits(file: Path, splits: Mapping[str, Any]) -> None:
    if len(splits) > _MAX_SPLITS:
        raise SourceError(
            f"{str(file)!r} must have at most {_MAX_SPLITS} different values of `split`; it has {len(splits):,}."
        )


def _normalised(answer: str) -> str:
    """Normalised as by VQA's metric; an answer of which nothing would remain ("A", "-") is only lower-cased."""
    return normalise_answer(answer) or answer.lower()


def _vocabulary(questions: Sequence[_Question], min_occurrences: int) -> tuple[tuple[str, ...], int]:
    """The normalised answers that enough questions have, and how many further spellings they have."""
    counts = Counter(
        answer for question in questions for answer in dict.fromkeys(map(_normalised, question.answers))
    )
    answers = tuple(answer for answer, count in counts.items() if count >= min_occurrences)
    spelt = {answer for question in questions for answer in question.answers}
    return answers, len(spelt) - len({_normalised(answer) for answer in spelt})


class _Questions:
    """The questions of a split, collected from their rows."""

    def __init__(self, file: str, bad: BadRows) -> None:
        self._file, self._bad = file, bad
        self._by_key: dict[tuple[str, str, int | None], _Question] = {}
        self._by_number: dict[int, _Question] = {}

    def add(self, row: int, record: Mapping[str, Any]) -> None:
        """Add a row: a question, or one more annotator's answer to it. Two `question_id`s are two questions."""
        image, text, number = record["image"], record["question"].strip(), record["question_id"]
        key = image, text, number
        if (
            number is not None
            and (other := self._by_number.get(number)) is not None
            and key not in self._by_key
        ):
            self._bad.bad(
                self._file,
                row,
                f"its `question_id` {number} is that of another question, in row {other.rows[0]}",
            )
            return
        question = self._by_key.setdefault(key, _Question(image, text, number))
        if number is not None:
            self._by_number[number] = question
        answers = self._known(record["answers"]) or self._known(record["answer"])
        if question.rows and (not answers or (len(answers) == 1 and answers[0] in question.answers)):
            self._bad.note(_SAME_AGAIN)
        self._bad.pass_on()
        question.rows.append(row)
        question.answers += answers

    def _known(self, several: list[str] | None) -> list[str]:
        """The answers of a list that are not blank."""
        # Combining accents, ligatures and invisible characters would make a different answer.
        answers = [plain_text(answer).text.strip() for answer in several or []]
        if len(answers) > 1:
            self._bad.note("blank answers in lists of several, left out", answers.count(""))
        return [answer for answer in answers if answer]

    def numbered(self) -> list[_Question]:
        """All questions; those without a number get an unused one."""
        free = (number for number in range(2 * len(self._by_key)) if number not in self._by_number)
        for question in self._by_key.values():
            if question.number is None:
                question.number = next(free)
        return list(self._by_key.values())


@dataclass(frozen=True)
class _Tables:
    """Writes rows of questions."""

    file: str
    images: Path
    ids: Mapping[str, int]
    image_numbers: Mapping[str, int]
    pictures: Pictures

    def rows(self, split: str, questions: Sequence[_Question], bad: BadRows) -> Iterator[Row]:
        by_image: dict[str, list[_Question]] = defaultdict(list)
        for question in questions:
            by_image[question.image].append(question)
        for image, of_image in by_image.items():
            rows = sorted(row for question in of_image for row in question.rows)
            content = self.pictures.read_named(self.images, image, bad, self.file, rows)
            if content is not None:
                bad.good(len(rows))
                yield self._row(split, image, content, of_image)

    def _row(self, split: str, image: str, content: bytes, questions: Sequence[_Question]) -> Row:
        targets = [self._targets(question.answers) for question in questions]
        return {
            "image": content,
            "questions": [question.question for question in questions],
            "answers": [known for known, _, _ in targets],
            "answer_labels": [ids for _, ids, _ in targets],
            "answer_scores": [scores for _, _, scores in targets],
            "image_id": self.image_numbers[image],
            "question_id": [question.number for question in questions],
            "split": split,
            "annotations": [question.answers for question in questions],
            "answer_types": ["" for _ in questions],
            "question_types": ["" for _ in questions],
        }

    def _targets(self, answers: Sequence[str]) -> tuple[list[str], list[int], list[float]]:
        normalised = [_normalised(answer) for answer in answers]
        known, ids, scores = soft_targets(normalised, self.ids)
        return known, ids, [1.0] * len(ids) if len(set(normalised)) == 1 else scores
