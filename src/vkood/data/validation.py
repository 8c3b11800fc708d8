"""Consistency of the rows of tables, from offsets and numbers alone: images are not read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from vkood.data.layout import MATCHES, SCHEMAS, TEXTS_OF, kind_of, schema_name


def columns_to_validate(columns: list[str]) -> list[str]:
    """The columns of a table that `invalid_rows` needs."""
    schema = SCHEMAS[schema_name(columns)]
    return [
        name for name in columns if name in schema.names and not pa.types.is_binary(schema.field(name).type)
    ]


def invalid_rows(
    batch: pa.RecordBatch, columns: list[str], *, num_answers: int | None = None, num_facts: int | None = None
) -> list[tuple[int, str]]:
    """The invalid rows of a batch, each with the reason.

    Args:
        batch: Those of `columns_to_validate(columns)`.
        columns: All columns of the table.
        num_answers: Size of the answer vocabulary; None where it is not known.
        num_facts: Number of facts; None leaves their numbers unchecked.
    """
    schema = SCHEMAS[schema_name(columns)]
    known = {
        name: batch.column(name).cast(schema.field(name).type)
        for name in batch.schema.names
        if name in schema.names and name != "image_id"
    }
    reasons: dict[int, str] = {}
    for row, reason in _problems(known, TEXTS_OF[kind_of(columns)], num_answers, num_facts):
        reasons.setdefault(row, reason)
    return sorted(reasons.items())


def _problems(
    columns: dict[str, pa.Array], texts_column: str, num_answers: int | None, num_facts: int | None
) -> Iterator[tuple[int, str]]:
    texts = columns[texts_column]
    counts = list_lengths(texts)
    yield from _at(np.flatnonzero(_nulls(texts)), f"`{texts_column}` is null")
    yield from _at(_rows(counts)[_nulls(texts.flatten())], f"`{texts_column}` has a text that is null")
    required = {"question_id"} | ({"answers"} if "identifier" in columns else set())
    wrong = np.zeros(len(counts), bool)
    for name, column in columns.items():
        if name != texts_column and pa.types.is_list(column.type):
            lengths = list_lengths(column)
            unequal = (lengths != counts) & ((lengths > 0) | (name in required))
            wrong |= unequal
            yield from _at(np.flatnonzero(unequal), f"`{name}` must have as many values as `{texts_column}`")
    sound = pa.array(~wrong)
    columns = {name: column.filter(sound) for name, column in columns.items()}
    numbers = np.flatnonzero(~wrong)
    for row, reason in _value_problems(columns, num_answers, num_facts):
        yield int(numbers[row]), reason


def _value_problems(
    columns: dict[str, pa.Array], num_answers: int | None, num_facts: int | None
) -> Iterator[tuple[int, str]]:
    """Problems of rows whose lists are of the right lengths."""
    if "question_id" in columns:
        ids = columns["question_id"]
        yield from _at(_rows(list_lengths(ids))[_nulls(ids.flatten())], "`question_id` has a null")
    if "identifier" in columns:
        answers = columns["answers"]
        judged = np.isin(answers.flatten().to_numpy(zero_copy_only=False), ("True", "False"))
        yield from _at(_rows(list_lengths(answers))[~judged], "`answers` must be 'True' or 'False' each")
    elif "answer_labels" in columns:
        yield from _answer_problems(columns, num_answers)
    if "fact_ids" in columns and num_facts is not None:
        rows, facts = _flat(columns["fact_ids"])
        yield from _at(
            rows[_outside(facts, num_facts)],
            f"`fact_ids` must be from 0 to {num_facts - 1:,}, the table's facts",
        )
    if MATCHES in columns and "fact_ids" in columns:
        matches, facts = (columns[name].flatten() for name in (MATCHES, "fact_ids"))
        if len(matches):  # a table may leave them out altogether
            rows = _rows(list_lengths(columns["fact_ids"]))
            yield from _at(
                rows[list_lengths(matches) != list_lengths(facts)],
                f"`{MATCHES}` must have as many values as `fact_ids`",
            )


def _answer_problems(columns: dict[str, pa.Array], num_answers: int | None) -> Iterator[tuple[int, str]]:
    labels = columns["answer_labels"]
    lacking = np.zeros(len(labels), bool)
    for name in ("answers", "answer_scores"):
        lengths = list_lengths(columns[name]) if name in columns else np.zeros(len(labels), int)
        unequal = lengths != list_lengths(labels)
        yield from _at(np.flatnonzero(unequal), f"`{name}` must be there where `answer_labels` is")
        lacking |= unequal
    sound, numbers = pa.array(~lacking), np.flatnonzero(~lacking)
    labels = labels.filter(sound)
    of_rows, counts = numbers[_rows(list_lengths(labels))], list_lengths(labels.flatten())
    for name in ("answers", "answer_scores"):
        if name in columns:
            unequal = list_lengths(columns[name].filter(sound).flatten()) != counts
            yield from _at(of_rows[unequal], f"`{name}` must have as many values as `answer_labels`")
    rows, ids = _flat(labels)
    outside = _outside(ids, np.iinfo(np.int64).max if num_answers is None else num_answers)
    limit = (
        "0 or more"
        if num_answers is None
        else f"from 0 to {num_answers - 1:,}, the answers of the vocabulary"
    )
    yield from _at(numbers[rows[outside]], f"`answer_labels` must be {limit}")
    if "answer_scores" in columns:
        rows, scores = _flat(columns["answer_scores"].filter(sound))
        values = scores.fill_null(np.nan).to_numpy(zero_copy_only=False)
        wrong = ~(np.isfinite(values) & (values >= 0))
        yield from _at(numbers[rows[wrong]], "`answer_scores` must be finite and not negative")


def _at(rows: np.ndarray, reason: str) -> Iterator[tuple[int, str]]:
    yield from ((int(row), reason) for row in rows)


def list_lengths(lists: pa.Array) -> np.ndarray:
    """The length of each list; 0 for a null."""
    return lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)


def _rows(lengths: np.ndarray) -> np.ndarray:
    """For each value of lists of these lengths the number of its list."""
    return np.repeat(np.arange(len(lengths)), lengths)


def _flat(lists: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """The values of lists of lists, and the row of each."""
    inner = lists.flatten()
    return _rows(list_lengths(lists))[_rows(list_lengths(inner))], inner.flatten()


def _nulls(values: pa.Array) -> np.ndarray:
    return values.is_null().to_numpy(zero_copy_only=False)


def _outside(values: pa.Array, limit: int) -> np.ndarray:
    """Which values are null, negative, or not below the limit."""
    numbers = values.fill_null(-1).to_numpy(zero_copy_only=False)
    return (numbers < 0) | (numbers >= limit)
