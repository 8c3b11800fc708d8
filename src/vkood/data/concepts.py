"""Concepts of pictures in tables: from a tagger or from descriptions, once for each picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from vkood.data.layout import IMAGES_OF, Kind
from vkood.data.readers.source import BadRows, SourceError
from vkood.data.readers.streams import json_lines, json_records
from vkood.data.record import Integer, ListOf, Mismatch, Optional, Record, Text
from vkood.knowledge.linking.query import together

Likely = tuple[tuple[str, float], ...]
"""Concepts with probabilities, the likeliest first."""

_CAPTION = Record(
    {"image_id": Integer(), "caption": Optional(Text()), "captions": Optional(ListOf(Text()), [])}
)
_JSON_LINES = (".jsonl", ".ndjson")


@runtime_checkable
class ShownConcepts(Protocol):
    """What a picture shows, as `PictureConcepts` has it."""

    @property
    def concepts(self) -> Likely:
        """Entries of the store with probabilities, the likeliest first."""
        ...


@runtime_checkable
class PictureTagger(Protocol):
    """Says what pictures show, as `ConceptTagger` does, and `CachedTagger`, which keeps its answers on disk.

    Attributes:
        fingerprint: Changes when what it says may change.
    """

    fingerprint: str

    def __call__(self, images: Sequence[bytes], /) -> Sequence[ShownConcepts]:
        """What each picture shows, by the content of its file."""
        ...


@dataclass(frozen=True)
class RowConcepts:
    """Where the concepts of rows' pictures come from.

    Args:
        tagger: Says what pictures show, if there is one.
        captions: Descriptions of pictures by `image_id`, if there are any.
    """

    tagger: PictureTagger | None = None
    captions: Mapping[int, Sequence[str]] = field(default_factory=dict)

    def of(self, rows: Sequence[dict[str, Any]], kind: Kind) -> list[Likely]:
        """The concepts of each row's picture; of several pictures each concept's largest probability."""
        if self.tagger is None:
            return [()] * len(rows)
        columns = IMAGES_OF[kind]
        shown = iter(self.tagger([row[column] for row in rows for column in columns]))
        return [together([next(shown).concepts for _ in columns]) for _ in rows]

    def captions_of(self, row: dict[str, Any]) -> tuple[str, ...]:
        """The descriptions of a row's picture."""
        return tuple(self.captions.get(row["image_id"], ())) if self.captions else ()


def read_picture_captions(path: str | Path) -> dict[int, list[str]]:
    """Read descriptions of pictures.

    Args:
        path: COCO's file of captions (`annotations`, each with `image_id` and `caption`), or JSON lines with `image_id`
            and `caption` or `captions`.

    Raises:
        SourceError: If the file is missing, a record is not such, or there is none.
    """
    path = Path(path)
    bad = BadRows(0.0)
    records = (
        _line_records(path)
        if path.suffix in _JSON_LINES
        else json_records(path, _CAPTION, bad, key="annotations")
    )
    captions: dict[int, list[str]] = {}
    for _, record in records:
        own = [*([] if record["caption"] is None else [record["caption"]]), *record["captions"]]
        captions.setdefault(record["image_id"], []).extend(own)
    bad.require_few()
    if not any(captions.values()):
        raise SourceError(f"{str(path)!r} has no captions.")
    return captions


def _line_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, value in json_lines(path):
        try:
            if isinstance(value, Mismatch):
                raise value
            yield number, _CAPTION.read(value)
        except Mismatch as error:
            raise SourceError(f"{str(path)!r}, line {number}: {error}.") from None
