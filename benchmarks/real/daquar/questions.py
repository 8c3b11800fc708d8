"""The questions of DAQUAR, as tables with the columns `image`, `question`, `answer` and maybe `split`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a photograph, and the answer that a person gave."""

    photograph: Path
    text: str
    answer: str
    split: str


def read_questions(table: Path, images: Path) -> list[Question]:
    """The questions of a table.

    Args:
        table: A CSV file with the columns `image`, `question`, `answer` and maybe `split`.
        images: The folder of the photographs.

    Raises:
        ValueError: A column is missing, or there is no question.
        FileNotFoundError: A photograph, or the table, is missing.
    """
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = set(rows[0]) if rows else set()
    if not {"image", "question", "answer"} <= columns:
        raise ValueError(
            f"{table} must have questions with the columns `image`, `question` and `answer`; it has {sorted(columns)}."
        )
    questions = [
        Question(images / row["image"], row["question"], row["answer"], row.get("split", "")) for row in rows
    ]
    for photograph in dict.fromkeys(question.photograph for question in questions):
        if not photograph.is_file():
            raise FileNotFoundError(f"{photograph}, which {table} names, is not there.")
    return questions
