"""Predictions in a file, checked by row and field before anything is scored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vkood.data.rows import Rows
from vkood.fields import Whole, shown
from vkood.files import parse_json, read_text

_WHAT = "file of predictions"
_INT64 = Whole(-(2**63), 2**63 - 1)


def read_predictions(path: str | Path, rows: Rows) -> list[dict[str, Any]]:
    """Read the predictions for some rows.

    Args:
        path: A JSON object a line, or one JSON list.
        rows: What they are predictions for; they decide which fields there must be.

    Raises:
        ValueError: If the file cannot be read, or a prediction lacks a field, has a value of another type, or is made
            twice; the error names the file, the row and the field.
    """
    predictions: list[dict[str, Any]] = []
    first: dict[Any, str] = {}
    for place, prediction in _read(Path(path)):
        if not isinstance(prediction, dict):
            raise ValueError(f"{place} must be an object with fields; got {shown(prediction)}.")
        key = {"questions": _question, "pairs": _pair, "captions": _candidates}[rows.kind](
            place, prediction, rows
        )
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


def _question(place: str, prediction: dict[str, Any], rows: Rows) -> tuple[str, Any]:
    identifier = _field(place, prediction, "question_id")
    if not _INT64.accepts(identifier):
        raise _wrong(place, "question_id", "a whole number", identifier)
    answer = _field(place, prediction, "answer")
    if not isinstance(answer, str):
        raise _wrong(place, "answer", "a text", answer)
    return "question", identifier


def _pair(place: str, prediction: dict[str, Any], rows: Rows) -> tuple[str, Any]:
    identifier = _field(place, prediction, "identifier")
    if not isinstance(identifier, str):
        raise _wrong(place, "identifier", "a text", identifier)
    answer = _field(place, prediction, "answer")
    if not isinstance(answer, bool) and answer not in ("True", "False"):
        raise _wrong(place, "answer", '"True" or "False"', answer)
    return "sentence", identifier


def _candidates(place: str, prediction: dict[str, Any], rows: Rows) -> tuple[str, Any]:
    image, text = Whole(0, rows.num_images - 1), Whole(0, len(rows) - 1)
    name, number, others, other = (
        ("image", image, "texts", text) if "image" in prediction else ("text", text, "images", image)
    )
    query = _field(place, prediction, name)
    if not number.accepts(query):
        raise _wrong(place, name, number.expected, query)
    candidates = _field(place, prediction, others)
    if not isinstance(candidates, list):
        raise _wrong(place, others, f"a list of numbers of {others}", candidates)
    for candidate in candidates:
        if not other.accepts(candidate):
            raise _wrong(place, others, f"a list, each {other.expected}", candidate)
    if len(set(candidates)) < len(candidates):
        raise _wrong(place, others, "a list without repetitions", candidates)
    return name, query


def _field(place: str, prediction: dict[str, Any], name: str) -> Any:
    if name not in prediction:
        raise ValueError(f"{place} must have the field `{name}`; it has {shown(list(prediction))}.")
    return prediction[name]


def _wrong(place: str, name: str, expected: str, value: Any) -> ValueError:
    return ValueError(f"{place} must have as `{name}` {expected}; got {shown(value)}.")
