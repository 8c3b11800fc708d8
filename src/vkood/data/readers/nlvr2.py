"""NLVR2: sentences about two images, as its owners distribute them (JSON lines and folders of PNGs)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from vkood.data.readers.pictures import Pictures
from vkood.data.readers.source import BadRows, Row, Source, require_file
from vkood.data.readers.streams import json_lines
from vkood.data.record import Integer, Mismatch, Optional, Record, Ruled, Text
from vkood.fields import Choice

SPLITS = ("train", "dev", "test1")
_SENTENCE = Record(
    {
        "sentence": Text(),
        "identifier": Text(
            pattern=r"\w{1,20}(-\d{1,19}){3}", called="a split and three numbers, such as 'dev-850-0-0'"
        ),
        "label": Ruled(Choice(("True", "False"))),
        "directory": Optional(Integer()),
    }
)


def read_nlvr2(root: Path) -> Source:
    """NLVR2 (Suhr et al., ACL 2019), with the tables train, dev and test1 (test-P).

    Args:
        root: The folder with `train.json`, `dev.json` and `test1.json` (or its subfolders `nlvr2/data` or `data`), and
            with the images in `images/train/<directory>`, `dev` and `test1` (or all three in `images`).

    Raises:
        SourceError: If a file is missing.
    """
    tables, sizes, pictures = {}, {}, Pictures()
    for split in SPLITS:
        file = f"{split}.json"
        path = require_file(root, file, f"nlvr2/data/{file}", f"data/{file}", what=f"NLVR2's {split}")
        tables[f"nlvr2_{split}"] = partial(_rows, root, split, path, pictures)
        sizes[f"nlvr2_{split}"] = len(_pairs(path, BadRows()))
    return Source(name="nlvr2", kind="pairs", schema="pairs", tables=tables, sizes=sizes)


def _rows(root: Path, split: str, path: Path, pictures: Pictures, bad: BadRows) -> Iterator[Row]:
    """A pair of images a row, with all its sentences."""
    for pair, lines in _pairs(path, bad).items():
        numbers = [number for number, _ in lines]
        first = lines[0][1]
        images: list[bytes | None] = []
        for side in (0, 1):
            place = _image(root, split, first, f"{pair}-img{side}.png")
            if None not in images:
                images.append(pictures.read(place, bad, path.name, numbers))
        if None not in images:
            bad.good(len(lines))
            yield {
                "image_0": images[0],
                "image_1": images[1],
                "questions": [line["sentence"] for _, line in lines],
                "answers": [line["label"] for _, line in lines],
                "identifier": pair,
                "identifiers": [line["identifier"] for _, line in lines],
            }


def _pairs(path: Path, bad: BadRows) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    """The sentences of each pair of images, with their rows."""
    pairs: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    known: set[str] = set()
    for number, value in json_lines(path):
        if value is None:
            bad.skip("empty rows")
            continue
        try:
            if isinstance(value, Mismatch):
                raise value
            sentence = _SENTENCE.read(value)
            identifier = sentence["identifier"]
            if identifier in known:
                raise Mismatch(f"its `identifier` {identifier!r} is that of another sentence")
        except Mismatch as error:
            bad.bad(path.name, number, str(error))
            continue
        known.add(identifier)
        pairs[identifier.rpartition("-")[0]].append((number, sentence))
    return pairs


def _image(root: Path, split: str, line: dict[str, Any], name: str) -> Path:
    directory = "" if line["directory"] is None else str(line["directory"])
    places = (
        root / "images" / split / directory / name,
        root / split / directory / name,
        root / split / name,
        root / "images" / split / name,
    )
    return next((place for place in places if place.is_file()), places[0] if split == "train" else places[2])
