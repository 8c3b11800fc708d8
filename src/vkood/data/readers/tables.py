"""Arrow tables that METER's and ViLT's scripts wrote: they are used as they are, or prepared again to link facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from vkood.data.layout import SCHEMAS, Kind, kind_of
from vkood.data.readers.source import BadRows, Row, Source, SourceError
from vkood.data.tables import Table, find_tables


def answers_of(tables: Sequence[Table]) -> tuple[str, ...]:
    """The answer vocabulary of tables of questions: what they say of themselves, or else what their rows use.

    Raises:
        SourceError: If tables say different things, or an id between two used ones is never used, so that its answer
            is not known.
    """
    told = {tuple(table.told["answers"]) for table in tables if table.told.get("answers")}
    if len(told) > 1:
        raise SourceError("the tables have different answer vocabularies; prepare them together.")
    if told:
        return told.pop()
    found: dict[int, str] = {}
    for table in tables:
        for row in table.scan(["answers", "answer_labels"]):
            for answers, labels in zip(row["answers"], row["answer_labels"], strict=True):
                found.update(zip(labels, answers, strict=True))
    missing = [index for index in range(max(found, default=-1) + 1) if index not in found]
    if missing or not found:
        raise SourceError(
            f"the tables do not tell their answer vocabulary, and no row uses answer {missing[0] if missing else 0}: "
            "give the tables of all splits, or prepare them from the owners' files."
        )
    return tuple(found[index] for index in range(len(found)))


def read_tables(root: Path) -> Source:
    """All tables of one kind in a folder.

    Args:
        root: The folder.

    Raises:
        SourceError: If there are none, or they are of several kinds.
    """
    tables = find_tables(root, ["*"])
    schemas = {"regions" if "x" in table.columns else kind_of(table.columns) for table in tables}
    kinds = {kind_of(table.columns) for table in tables}
    if len(schemas) != 1:
        raise SourceError(
            f"the tables in {str(root)!r} must be of one kind, to be prepared together; they are of "
            f"{', '.join(sorted(schemas)) or 'none'}."
        )
    (schema,), (kind,) = schemas, kinds
    answers = answers_of(tables) if kind == "questions" else None
    read = {table.name: partial(_rows, table, schema) for table in tables}
    return Source(
        name=root.name or "tables", kind=cast(Kind, kind), schema=schema, tables=read, answers=answers
    )


def _rows(table: Table, schema: str, bad: BadRows) -> Iterator[Row]:
    there = set(table.columns)
    columns = [name for name in SCHEMAS[schema].names if name in there and name != "fact_ids"]
    for row in table.scan(columns):
        bad.good()
        yield row | {name: _unknown(name, row) for name in SCHEMAS[schema].names if name not in row}


def _unknown(column: str, row: Row) -> Any:
    """What stands in a column of ours that others' tables lack."""
    if column == "identifiers":
        return [f"{row['identifier']}-{number}" for number in range(len(row["questions"]))]
    if column == "annotations":
        return [[] for _ in row["questions"]]
    return ["" for _ in row["questions"]] if column.endswith("types") else None
