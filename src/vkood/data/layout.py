"""The columns of prepared tables: METER's and ViLT's, and what we add behind them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import pyarrow as pa

Kind = Literal["questions", "captions", "pairs"]
"""What a table's rows are: an image with questions, an image with captions, two images with sentences."""

_TEXTS, _NUMBERS = pa.list_(pa.string()), pa.list_(pa.int64())
# Facts are numbers of sentences in the facts table, a list for each text of a row.
_FACTS = pa.field("fact_ids", pa.list_(pa.list_(pa.int32())))

SCHEMAS: dict[str, pa.Schema] = {
    "questions": pa.schema(
        [
            ("image", pa.binary()),
            ("questions", _TEXTS),
            ("answers", pa.list_(_TEXTS)),
            ("answer_labels", pa.list_(_NUMBERS)),
            ("answer_scores", pa.list_(pa.list_(pa.float64()))),
            ("image_id", pa.int64()),
            ("question_id", _NUMBERS),
            ("split", pa.string()),
            # Ours: what the annotators said, word for word, and the types by which accuracy is reported.
            ("annotations", pa.list_(_TEXTS)),
            ("answer_types", _TEXTS),
            ("question_types", _TEXTS),
            _FACTS,
        ]
    ),
    "captions": pa.schema(
        [
            ("image", pa.binary()),
            ("caption", _TEXTS),
            ("image_id", pa.string()),
            ("split", pa.string()),
            _FACTS,
        ]
    ),
    "regions": pa.schema(
        [
            ("image", pa.binary()),
            ("caption", _TEXTS),
            ("width", _NUMBERS),
            ("height", _NUMBERS),
            ("x", _NUMBERS),
            ("y", _NUMBERS),
            ("image_id", pa.string()),
            _FACTS,
        ]
    ),
    "pairs": pa.schema(
        [
            ("image_0", pa.binary()),
            ("image_1", pa.binary()),
            ("questions", _TEXTS),
            ("answers", _TEXTS),
            ("identifier", pa.string()),
            ("identifiers", _TEXTS),  # ours: of each sentence, for consistency
            _FACTS,
        ]
    ),
}

MATCHES = "fact_matches"
"""The column that says of each fact of each text whether it agrees with the image."""

SCHEMAS["questions with matches"] = SCHEMAS["questions"].append(
    pa.field(MATCHES, pa.list_(pa.list_(pa.bool_())))
)

CONCEPTS = (pa.field("concepts", _TEXTS), pa.field("concept_probabilities", pa.list_(pa.float32())))
"""Further columns of tables that were prepared with concepts: those of the picture, the likeliest first."""

TEXTS_OF: dict[Kind, str] = {"questions": "questions", "captions": "caption", "pairs": "questions"}
"""The column of each kind that has its texts."""

TEXT_NAMES: dict[Kind, str] = {"questions": "questions", "captions": "captions", "pairs": "sentences"}
"""What the texts of each kind are."""

IMAGES_OF: dict[Kind, tuple[str, ...]] = {
    "questions": ("image",),
    "captions": ("image",),
    "pairs": ("image_0", "image_1"),
}
"""The columns of each kind that have its images."""

FACTS_SCHEMA = pa.schema([("sentence", pa.string())])
"""A facts table: sentences by their numbers."""


def kind_of(columns: Iterable[str]) -> Kind:
    """What a table's rows are, by its columns.

    Raises:
        ValueError: If they are none of ours.

    Example:
        >>> kind_of(["image", "caption", "image_id", "split"])
        'captions'
    """
    there = set(columns)
    if {"image_0", "image_1", "questions", "answers"} <= there:
        return "pairs"
    if {"image", "questions", "question_id"} <= there:
        return "questions"
    if {"image", "caption"} <= there:
        return "captions"
    raise ValueError(
        "the table must have the columns of questions (image, questions, question_id), captions (image, caption) or "
        f"pairs of images (image_0, image_1, questions, answers); it has {', '.join(sorted(there)) or 'none'}."
    )


def schema_name(columns: Iterable[str]) -> str:
    """The name in `SCHEMAS` of a table's columns.

    Raises:
        ValueError: If they are none of ours.
    """
    columns = tuple(columns)
    kind = kind_of(columns)
    if kind == "questions" and MATCHES in columns:
        return "questions with matches"
    return "regions" if kind == "captions" and "x" in columns else kind


def unfit_column(schema: pa.Schema) -> str:
    """What is wrong with the types of a table's columns; empty where all can be read as ours.

    Example:
        >>> unfit_column(pa.schema([("image", pa.binary()), ("caption", pa.string())]))
        'the column `caption` must be of the type list<string>; it is string'
    """
    ours = SCHEMAS[schema_name(schema.names)]
    for name in ours.names:
        if schema.names.count(name) > 1:
            return f"the column `{name}` must occur once; it occurs {schema.names.count(name)} times"
        if name in schema.names and not _fits(schema.field(name).type, ours.field(name).type):
            # Others' tables number images where ours name them.
            if name == "image_id" and _fits(schema.field(name).type, pa.int64()):
                continue
            expected = str(ours.field(name).type).replace("item: ", "")
            return f"the column `{name}` must be of the type {expected}; it is {schema.field(name).type}"
    return ""


def _fits(type_: pa.DataType, ours: pa.DataType) -> bool:
    """Whether values of a type can be read as those of one of ours; lists that are all empty have no type of items."""
    kinds = pa.types
    if kinds.is_null(type_):
        return True
    if kinds.is_list(ours):
        is_list = kinds.is_list(type_) or kinds.is_large_list(type_)
        return is_list and _fits(type_.value_type, ours.value_type)
    if kinds.is_string(ours):
        return kinds.is_string(type_) or kinds.is_large_string(type_)
    if kinds.is_binary(ours):
        return kinds.is_binary(type_) or kinds.is_large_binary(type_)
    if kinds.is_boolean(ours):
        return kinds.is_boolean(type_)
    return kinds.is_integer(type_) or (kinds.is_floating(ours) and kinds.is_floating(type_))


def empty_facts(row: dict[str, Any], kind: Kind) -> list[list[int]]:
    """No facts for each text of a row."""
    return [[] for _ in row[TEXTS_OF[kind]]]
