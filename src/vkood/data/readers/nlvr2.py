"""NLVR2: sentences about two images, as its owners distribute them (JSON lines and folders of PNGs)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from vkood.data.readers.source import BadRows, Row, Source, image_bytes, json_lines, require_file

SPLITS = ("train", "dev", "test1")
_NEEDED = ("sentence", "identifier", "label")


def read_nlvr2(root: Path) -> Source:
    """NLVR2 (Suhr et al., ACL 2019), with the tables train, dev and test1 (test-P).

    Args:
        root: The folder with `train.json`, `dev.json` and `test1.json` (or its subfolders `nlvr2/data` or `data`), and
            with the images in `images/train/<directory>`, `dev` and `test1` (or all three in `images`).

    Raises:
        SourceError: If a file is missing.
    """
    tables = {}
    for split in SPLITS:
        file = f"{split}.json"
        path = require_file(root, file, f"nlvr2/data/{file}", f"data/{file}", told=f"NLVR2's {split}")
        tables[f"nlvr2_{split}"] = partial(_rows, root, split, path)
    return Source(name="nlvr2", kind="pairs", schema="pairs", tables=tables)


def _rows(root: Path, split: str, path: Path, bad: BadRows) -> Iterator[Row]:
    """A pair of images a row, with all its sentences."""
    pairs: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for number, line in json_lines(path):
        missing = [
            name for name in _NEEDED if not isinstance(line, dict) or not isinstance(line.get(name), str)
        ]
        if missing:
            bad.bad(path.name, number, f"it lacks {', '.join(missing)}")
        elif line["label"] not in ("True", "False") or line["identifier"].count("-") != 3:
            bad.bad(path.name, number, "its label or its identifier is none")
        else:
            pairs[line["identifier"].rpartition("-")[0]].append((number, line))
    for pair, lines in pairs.items():
        number, first = lines[0]
        images = [
            image_bytes(_image(root, split, first, f"{pair}-img{side}.png"), bad, path.name, number)
            for side in (0, 1)
        ]
        if None not in images:
            bad.good()
            yield {
                "image_0": images[0],
                "image_1": images[1],
                "questions": [line["sentence"] for _, line in lines],
                "answers": [line["label"] for _, line in lines],
                "identifier": pair,
                "identifiers": [line["identifier"] for _, line in lines],
            }


def _image(root: Path, split: str, line: dict[str, Any], name: str) -> Path:
    directory = str(line.get("directory", ""))
    places = (
        root / "images" / split / directory / name,
        root / split / directory / name,
        root / split / name,
        root / "images" / split / name,
    )
    return next((place for place in places if place.is_file()), places[0] if split == "train" else places[2])
