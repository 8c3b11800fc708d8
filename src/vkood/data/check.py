"""Check a folder of tables: what is in it, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vkood.data.layout import IMAGES_OF, TEXTS_OF, Kind
from vkood.data.tables import Table, find_tables, sentences_of
from vkood.images import ImageProblem, decode_image


@dataclass
class TableCheck:
    """A summary of a table. Lists name rows by their image's id or identifier, and by their place.

    Attributes:
        table: Its name.
        kind: What its rows are.
        rows: Number of rows.
        texts: Number of questions, captions or sentences.
        texts_with_facts: Number of texts with facts.
        missing_images: Rows without an image.
        undecodable_images: Rows with an image that cannot be decoded.
        unknown_answers: Questions with a target outside the vocabulary.
        invalid_rows: Rows whose columns are inconsistent, each with the reason.
        without_answer: Number of questions without a known answer.
        duplicates: Question ids, or image ids and identifiers, that occur more than once.
    """

    table: str
    kind: Kind
    rows: int = 0
    texts: int = 0
    texts_with_facts: int = 0
    missing_images: list[str] = field(default_factory=list)
    undecodable_images: list[str] = field(default_factory=list)
    unknown_answers: list[str] = field(default_factory=list)
    invalid_rows: list[str] = field(default_factory=list)
    without_answer: int = 0
    duplicates: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not (
            self.missing_images
            or self.undecodable_images
            or self.unknown_answers
            or self.invalid_rows
            or self.duplicates
        )

    def record(self) -> dict[str, Any]:
        """The summary in values of JSON."""
        return asdict(self) | {"sound": self.sound}


def check_folder(
    folder: str | Path, *, on_rows: Callable[[str, int, int], None] | None = None
) -> list[TableCheck]:
    """Check all tables of a folder, decoding every image.

    Args:
        folder: The folder.
        on_rows: Called with a table's name, rows done, and rows in all.

    Raises:
        TableError: If the folder has no tables, or one of them is not an Arrow file, is truncated or damaged, or has
            columns of other names or types.
    """
    return [_check(table, on_rows) for table in find_tables(folder, ["*"])]


def _check(table: Table, on_rows: Callable[[str, int, int], None] | None) -> TableCheck:
    kind = table.kind
    report = TableCheck(table.name, kind)
    names: Counter[str] = Counter()
    answers = table.metadata.get("answers")
    facts = sentences_of(table)
    wrong = dict(table.invalid_rows(num_facts=None if facts is None else len(facts)))
    for place, row in enumerate(table.scan(table.columns)):
        name = str(row.get("image_id", row.get("identifier", place)))
        label = f"{name} (row {place})"
        report.rows += 1
        if place in wrong:
            report.invalid_rows.append(f"{label}, {wrong[place]}")
        for column in IMAGES_OF[kind]:
            if not row[column]:
                report.missing_images.append(label)
            elif not _decodes(row[column]):
                report.undecodable_images.append(label)
        _count_texts(report, row, kind)
        if kind == "questions":
            names.update(f"question {number}" for number in row["question_id"] or [])
            _check_answers(report, row, len(answers or ()))
        else:
            names[name] += 1
        if on_rows is not None:
            on_rows(table.name, report.rows, len(table))
    report.duplicates = [name for name, count in names.items() if count > 1]
    return report


def _count_texts(report: TableCheck, row: dict[str, Any], kind: Kind) -> None:
    report.texts += len(row[TEXTS_OF[kind]] or [])
    report.texts_with_facts += sum(map(bool, row.get("fact_ids") or []))


def _check_answers(report: TableCheck, row: dict[str, Any], num_answers: int) -> None:
    parts = (row.get(column) or [] for column in ("question_id", "answer_labels", "answers"))
    for number, labels, known in zip(*parts, strict=False):
        labels, known = labels or [], known or []
        outside = [
            label for label in labels if label is None or label < 0 or (num_answers and label >= num_answers)
        ]
        if outside or len(labels) != len(known):
            report.unknown_answers.append(f"question {number}")
        report.without_answer += not labels


def _decodes(content: bytes) -> bool:
    try:
        decode_image(content, name="image")
    except ImageProblem:
        return False
    return True
