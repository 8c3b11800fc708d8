"""Rows of tables as examples: a question, a caption or a sentence each, with its images, facts and targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from vkood.data.layout import IMAGES_OF, MATCHES, TEXTS_OF, Kind
from vkood.data.tables import Table, TableError, sentences_of
from vkood.data.validation import list_lengths


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A text with its images.

    Attributes:
        images: Each image as its file's bytes; empty where images are not requested.
        text: The question, caption or sentence.
        facts: Numbers of its facts in the rows' `sentences`.
        matches: For each fact, whether it agrees with the image; empty where that is unknown.
        index: The example's index in the dataset.
        image_index: The number of its image (or pair) among those of all tables.
        name: Its table and row, for errors.
        seed: The seed of its random draws; another in every epoch.
        id: The question's id, the sentence's identifier, or the image's id.
        labels: Ids of answers; of a sentence 1 if it is true, 0 if not.
        scores: The score of each label.
        answers: The annotators' answers, word for word.
        answer_type: A group in which accuracy is reported too; may be empty.
        question_type: A further group; may be empty.
        false_texts: Texts that belong to other images, with the facts of each.
    """

    images: tuple[bytes, ...]
    text: str
    facts: tuple[int, ...] = ()
    matches: tuple[bool, ...] = ()
    index: int = 0
    image_index: int = 0
    name: str = ""
    seed: tuple[int, ...] = ()
    id: int | str = 0
    labels: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()
    answers: tuple[str, ...] = ()
    answer_type: str = ""
    question_type: str = ""
    false_texts: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def generator(self) -> np.random.Generator:
        """The random generator of the example."""
        return np.random.default_rng(self.seed)


class Rows(Dataset[Example]):
    """The texts of tables, one an example; tables stay on disk, and an index of 8 bytes a text in memory.

    Args:
        tables: Tables of one kind.
        answered: Leave out questions without a target, which cannot be trained on.
        num_false: False texts to draw for each example, from captions of other images.
        seed: Random seed.
        images: Whether examples bring their images.
        limit: Use only the first `limit` texts; None uses all.

    Attributes:
        kind: What the tables' rows are.
        sentences: The facts of all tables; `Example.facts` counts in them.
        image_index: (texts,) the number of each text's image.

    Raises:
        TableError: If there are no tables, they are of several kinds, a facts table is missing, rows are inconsistent,
            or there are no texts.
    """

    def __init__(
        self,
        tables: Sequence[Table],
        *,
        answered: bool = False,
        num_false: int = 0,
        seed: int = 0,
        images: bool = True,
        limit: int | None = None,
    ) -> None:
        self.tables = tuple(tables)
        kinds: set[Kind] = {table.kind for table in tables}
        if len(kinds) != 1:
            raise TableError(
                f"tables must be of one kind; these are of {', '.join(sorted(kinds)) or 'none'}."
            )
        self.kind: Kind = kinds.pop()
        self.num_false, self.seed, self._images, self.epoch = num_false, seed, images, 0
        self._last: tuple[int, dict[str, Any]] | None = (
            None  # texts of one image are often read one after another
        )
        self.sentences, self._fact_starts = _sentences(self.tables)
        starts, index, text_index = [0], [], []
        for table in tables:
            rows, texts = _text_index(table, TEXTS_OF[self.kind], answered and self.kind == "questions")
            index.append(rows + starts[-1])
            text_index.append(texts)
            starts.append(starts[-1] + len(table))
        self._starts = np.array(starts)
        self.image_index = np.concatenate(index)[:limit]
        self._text_index = np.concatenate(text_index)[:limit]
        if not len(self.image_index):
            names = ", ".join(table.name for table in tables)
            raise TableError(
                f"there are no texts{' with a target' if answered else ''} in the tables {names}."
            )
        self.num_images = starts[-1]
        if num_false and len(np.unique(self.image_index[:2048])) < 2:
            raise TableError("false texts need at least two images.")

    def set_epoch(self, epoch: int) -> None:
        """Draw again, with the seed of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.image_index)

    def __getitem__(self, index: int) -> Example:
        """An example."""
        text, facts, row, place = self._text(index, everything=True)
        seed = (self.seed, self.epoch, index)
        image_index = int(self.image_index[index])
        fields: dict[str, Any] = {
            "index": index,
            "image_index": image_index,
            "name": self.name_of(image_index),
            "seed": seed,
        }
        images = tuple(row[column] for column in IMAGES_OF[self.kind]) if self._images else ()
        if self.kind == "questions":
            fields |= _question(row, place)
        elif self.kind == "pairs":
            identifiers = row.get("identifiers") or [
                f"{row['identifier']}-{n}" for n in range(len(row["questions"]))
            ]
            fields |= {"id": identifiers[place], "labels": (int(row["answers"][place] == "True"),)}
        else:
            fields["id"] = str(row.get("image_id", ""))
        if self.num_false:
            fields["false_texts"] = self._false_texts(index, np.random.default_rng((*seed, 1)))
        return Example(images=images, text=text, facts=facts, **fields)

    def text(self, index: int) -> tuple[str, tuple[int, ...]]:
        """A text and its facts, without anything else of its row."""
        text, facts, *_ = self._text(index, everything=False)
        return text, facts

    def name_of(self, image_index: int) -> str:
        """The table and the row of an image, by its number among those of all tables, for errors."""
        number, row = self._place_of(image_index)
        return f"{self.tables[number].path.name}, row {row}"

    def image_bytes(self, image_index: int) -> tuple[bytes, ...]:
        """The images of a row, by its number among those of all tables."""
        number, row = self._place_of(image_index)
        return tuple(self.tables[number].row(row, IMAGES_OF[self.kind]).values())

    def _place_of(self, image_index: int) -> tuple[int, int]:
        """The number of an image's table, and its row there."""
        number = int(np.searchsorted(self._starts, image_index, side="right")) - 1
        return number, image_index - int(self._starts[number])

    def _text(self, index: int, *, everything: bool) -> tuple[str, tuple[int, ...], dict[str, Any], int]:
        image, place = int(self.image_index[index]), int(self._text_index[index])
        number, row_number = self._place_of(image)
        table, texts = self.tables[number], TEXTS_OF[self.kind]
        columns = [texts] + (["fact_ids"] if "fact_ids" in table.columns else [])
        if everything:
            skipped = () if self._images else IMAGES_OF[self.kind]
            columns = [column for column in table.columns if column not in skipped]
        if everything and self._last is not None and self._last[0] == image:
            row = self._last[1]
        else:
            row = table.row(row_number, columns)
        if everything:
            self._last = image, row
        start = self._fact_starts[number]
        facts = row["fact_ids"][place] if start is not None and row.get("fact_ids") else []
        return row[texts][place], tuple(fact + (start or 0) for fact in facts), row, place

    def _false_texts(
        self, index: int, generator: np.random.Generator
    ) -> tuple[tuple[str, tuple[int, ...]], ...]:
        own = self.image_index[index]
        drawn: list[tuple[str, tuple[int, ...]]] = []
        while len(drawn) < self.num_false:
            other = int(generator.integers(len(self)))
            if self.image_index[other] != own:
                drawn.append(self.text(other))
        return tuple(drawn)


class RowImages(Dataset[Example]):
    """The images of rows, without texts.

    Args:
        rows: The rows.
        numbers: Which images, by their numbers among those of all tables.
    """

    def __init__(self, rows: Rows, numbers: np.ndarray) -> None:
        self._rows, self._numbers = rows, numbers

    def __len__(self) -> int:
        """How many images (or pairs)."""
        return len(self._numbers)

    def __getitem__(self, index: int) -> Example:
        """An image as an example without a text."""
        number = int(self._numbers[index])
        images = self._rows.image_bytes(number)
        return Example(images=images, text="", image_index=number, name=self._rows.name_of(number))


def _question(row: dict[str, Any], place: int) -> dict[str, Any]:
    """The targets of a question, as far as they are known."""
    fields: dict[str, Any] = {"id": row["question_id"][place]}
    for name, column in (
        ("labels", "answer_labels"),
        ("scores", "answer_scores"),
        ("answers", "annotations"),
        ("matches", MATCHES),
    ):
        if row.get(column):
            fields[name] = tuple(row[column][place])
    for name, column in (("answer_type", "answer_types"), ("question_type", "question_types")):
        if row.get(column):
            fields[name] = row[column][place]
    return fields


def _text_index(table: Table, texts: str, answered: bool) -> tuple[np.ndarray, np.ndarray]:
    """For each text of a table its row and its place in the row."""
    rows, places, done = [], [], 0
    for batch in table.batches([texts, "answer_labels"] if answered else [texts]):
        counts = list_lengths(batch.column(texts))
        of_rows = np.repeat(np.arange(batch.num_rows), counts)
        of_texts = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        if answered:
            kept = list_lengths(batch.column("answer_labels").flatten()) > 0
            of_rows, of_texts = of_rows[kept], of_texts[kept]
        rows.append((of_rows + done).astype(np.int32))
        places.append(of_texts.astype(np.int32))
        done += batch.num_rows
    empty = np.zeros(0, np.int32)
    return np.concatenate([empty, *rows]), np.concatenate([empty, *places])


def _sentences(tables: Sequence[Table]) -> tuple[tuple[str, ...], list[int | None]]:
    """The facts of all tables, and where those of each begin; None for tables without. Rows are checked on the way."""
    sentences: list[str] = []
    begun: dict[str, tuple[int, int]] = {}
    starts: list[int | None] = []
    for table in tables:
        name = table.metadata.get("facts")
        start = num_facts = None
        if name is not None:
            path = str(table.path.with_name(name))
            if path not in begun:
                of_table = sentences_of(table) or []
                begun[path] = len(sentences), len(of_table)
                sentences += of_table
            start, num_facts = begun[path]
        for row, reason in table.invalid_rows(num_facts=num_facts):
            raise TableError(
                f"{str(table.path)!r}, row {row}: {reason}. `vkood data check` lists all that is wrong."
            )
        starts.append(start)
    return tuple(sentences), starts
