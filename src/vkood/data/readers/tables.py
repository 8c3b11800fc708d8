"""Arrow tables that METER's and ViLT's scripts wrote: they are used as they are, or prepared again to link facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vkood.data.layout import IMAGES_OF, MATCHES, SCHEMAS, Kind, schema_name
from vkood.data.readers.source import BadRows, Row, Source, SourceError
from vkood.data.record import Mismatch
from vkood.data.tables import Table, find_tables
from vkood.images import ImageProblem, decode_image


def answers_of(tables: Sequence[Table]) -> tuple[str, ...]:
    """The answer vocabulary of tables of questions: that of their metadata, or else the one their rows use.

    Raises:
        SourceError: If tables have different vocabularies, or an id below the highest is never used, so that its answer
            is unknown.
    """
    vocabularies = {tuple(table.metadata["answers"]) for table in tables if table.metadata.get("answers")}
    if len(vocabularies) > 1:
        raise SourceError("the tables have different answer vocabularies; prepare them together.")
    if vocabularies:
        return vocabularies.pop()
    answer_of_label: dict[int, str] = {}
    for table in tables:
        _require_sound(table)
        for row in table.scan(["answers", "answer_labels"]):
            for answers, labels in zip(row["answers"] or [], row["answer_labels"] or [], strict=True):
                for label, answer in zip(labels, answers, strict=True):
                    first = answer_of_label.setdefault(label, answer)
                    if first != answer:
                        raise SourceError(
                            f"{str(table.path)!r}: answer {label} is {first!r} in one row and {answer!r} in another; "
                            "tables that are prepared together have one vocabulary."
                        )
    missing = next((index for index in range(len(answer_of_label)) if index not in answer_of_label), None)
    if missing is not None or not answer_of_label:
        raise SourceError(
            f"the tables have no answer vocabulary, and no row uses answer {missing or 0}: provide the tables "
            "of all splits, or prepare them from the owners' files."
        )
    return tuple(answer_of_label[index] for index in range(len(answer_of_label)))


def _require_sound(table: Table) -> None:
    """Refuse a table of questions whose rows do not have their answers."""
    if missing := {"answers", "answer_labels"} - set(table.columns):
        raise SourceError(f"{str(table.path)!r} has no column `{min(missing)}`.")
    for row, reason in table.invalid_rows():
        raise SourceError(f"{str(table.path)!r}, row {row}: {reason}.")


def read_tables(root: Path) -> Source:
    """All tables of one kind in a folder.

    Args:
        root: The folder.

    Raises:
        SourceError: If there are none, or they are of several kinds.
    """
    tables = find_tables(root, ["*"])
    kinds: set[Kind] = {table.kind for table in tables}
    schemas = {schema_name(table.columns) for table in tables}
    if len(schemas) != 1:
        raise SourceError(
            f"the tables in {str(root)!r} must be of one kind, to be prepared together; they are of "
            f"{', '.join(sorted(schemas)) or 'none'}."
        )
    (schema,), (kind,) = schemas, kinds
    answers = answers_of(tables) if kind == "questions" else None
    num_answers = None if answers is None else len(answers)
    read = {table.name: partial(_rows, table, schema, kind, num_answers) for table in tables}
    return Source(
        name=root.name or "tables",
        kind=kind,
        schema=schema,
        tables=read,
        answers=answers,
        sizes={table.name: len(table) for table in tables},
    )


def _rows(table: Table, schema: str, kind: Kind, num_answers: int | None, bad: BadRows) -> Iterator[Row]:
    there = set(table.columns)
    linked_again = ("fact_ids", MATCHES)
    columns = [name for name in SCHEMAS[schema].names if name in there and name not in linked_again]
    wrong = dict(table.invalid_rows(num_answers=num_answers))
    for number, row in enumerate(table.scan(columns)):
        try:
            if number in wrong:
                raise Mismatch(wrong[number])
            for column in IMAGES_OF[kind]:
                decode_image(row[column] or b"", name=f"`{column}`")
        except (Mismatch, ImageProblem) as error:
            bad.bad(table.path.name, number, str(error).rstrip("."))
            continue
        bad.good()
        row |= {name: _unknown(name, row, kind) for name in SCHEMAS[schema].names if row.get(name) is None}
        yield row | {"image_id": str(row["image_id"])} if kind == "captions" else row


def _unknown(column: str, row: Row, kind: Kind) -> Any:
    """The value of a column of ours that other programs' tables lack."""
    if column == "identifiers":
        return [f"{row.get('identifier')}-{number}" for number in range(len(row["questions"]))]
    if column == "annotations":
        return [[] for _ in row["questions"]]
    if column.endswith("types"):
        return ["" for _ in row["questions"]]
    return "" if column in ("image_id", "split") and kind == "captions" else None
