"""Predictions in a file, checked by row and field before anything is scored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vkood.data.rows import Rows
from vkood.fields import shown
from vkood.files import parse_json, read_text
from vkood.tasks.task import Task

_WHAT = "file of predictions"


def read_predictions(path: str | Path, task: Task, rows: Rows) -> list[dict[str, Any]]:
    """Read the predictions for rows.

    Args:
        path: A JSON object a line, or one JSON list.
        task: Decides which fields there must be.
        rows: What they are predictions for.

    Raises:
        ValueError: If the file cannot be read, or a prediction lacks a field, has a value of another type, or is there
            twice; the error names the file, the row and the field.
    """
    predictions: list[dict[str, Any]] = []
    first: dict[tuple[str, Any], str] = {}
    for place, prediction in _read(Path(path)):
        if not isinstance(prediction, dict):
            raise ValueError(f"{place} must be an object with fields; got {shown(prediction)}.")
        key = task.check_prediction(place, prediction, rows)
        if key in first:
            raise ValueError(f"{place} predicts {' '.join(map(str, key))} again, which {first[key]} does.")
        first[key] = place
        predictions.append(prediction)
    return predictions


def _read(path: Path) -> Iterator[tuple[str, Any]]:
    """Each prediction, and where it stands."""
    text = read_text(path, what=_WHAT)
    if text.lstrip().startswith("["):
        for number, prediction in enumerate(parse_json(text, name=str(path), what=_WHAT), 1):
            yield f"{str(path)!r}, prediction {number},", prediction
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            place = f"{path}, line {number}"
            yield f"{str(path)!r}, line {number},", parse_json(line, name=place, what=_WHAT)


def field_of(place: str, prediction: dict[str, Any], name: str) -> Any:
    """A field of a prediction.

    Raises:
        ValueError: If it is missing.
    """
    if name not in prediction:
        raise ValueError(f"{place} must have the field `{name}`; it has {shown(list(prediction))}.")
    return prediction[name]


def wrong_field(place: str, name: str, expected: str, value: Any) -> ValueError:
    """The error for a field of a prediction that has another value than expected."""
    return ValueError(f"{place} must have as `{name}` {expected}; got {shown(value)}.")
