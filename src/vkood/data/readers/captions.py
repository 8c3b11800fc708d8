"""Images with captions: COCO and Flickr30k (Karpathy's splits), Visual Genome, SBU and Conceptual Captions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from vkood.data.readers.source import (
    BadRows,
    Row,
    Source,
    SourceError,
    image_bytes,
    read_json,
    require_file,
    separated,
)

_TABLE_ROWS = 100_000
"""Rows of a table of web captions: more are put into further tables, numbered from 0."""
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", "")


def read_coco(root: Path) -> Source:
    """COCO captions in Karpathy's splits (train, restval, val, test).

    Args:
        root: The folder with `dataset_coco.json` (or `karpathy/dataset_coco.json`), `train2014` and `val2014`.

    Raises:
        SourceError: If a file is missing or is none.
    """
    splits = ("train", "restval", "val", "test")
    return _karpathy(root, "coco", "dataset_coco.json", splits)


def read_flickr30k(root: Path) -> Source:
    """Flickr30k captions in Karpathy's splits (train, val, test).

    Args:
        root: The folder with `dataset_flickr30k.json` (or `karpathy/dataset_flickr30k.json`) and `flickr30k-images`.

    Raises:
        SourceError: If a file is missing or is none.
    """
    return _karpathy(root, "f30k", "dataset_flickr30k.json", ("train", "val", "test"))


def read_visual_genome(root: Path) -> Source:
    """Visual Genome's region descriptions (Krishna et al., 2017), an image a row with all of them.

    Args:
        root: The folder with `region_descriptions.json` (or `annotations/region_descriptions.json`) and the images in
            `VG_100K` and `VG_100K_2` (or both in `images`).

    Raises:
        SourceError: If a file is missing or is none.
    """
    file = "region_descriptions.json"
    path = require_file(root, file, f"annotations/{file}", told="Visual Genome's region descriptions")
    return Source(name="vg", kind="captions", schema="regions", tables={"vg": partial(_regions, root, path)})


def read_sbu(root: Path) -> Source:
    """SBU captions (Ordonez et al., NeurIPS 2011): a file of tab-separated captions and images, and a folder of them.

    Args:
        root: The folder with `sbu.tsv`, a caption and an image a row, and the images in `images`. An image is the name
            of a file there; or a URL, whose file is called by its row, counted from 0 (`17.jpg`, `00000017.jpg`).

    Raises:
        SourceError: If the file is missing.
    """
    path = require_file(root, "sbu.tsv", told="SBU's captions")
    return _web("sbu", {"sbu": (path, root / "images")})


def read_conceptual_captions(root: Path) -> Source:
    """Conceptual Captions (Sharma et al., ACL 2018), as `read_sbu`.

    Args:
        root: The folder with `Train_GCC-training.tsv` and `Validation_GCC-1.1.0-Validation.tsv`, and the images in
            `training` and `validation`. Without the validation file there is no validation table.

    Raises:
        SourceError: If the training file is missing.
    """
    train = require_file(root, "Train_GCC-training.tsv", told="Conceptual Captions")
    files = {"conceptual_caption_train": (train, root / "training")}
    val = root / "Validation_GCC-1.1.0-Validation.tsv"
    if val.is_file():
        files["conceptual_caption_val"] = (val, root / "validation")
    return _web("conceptual_caption", files)


def _karpathy(root: Path, name: str, file: str, splits: tuple[str, ...]) -> Source:
    path = require_file(root, file, f"karpathy/{file}", told=f"Karpathy's splits ({name})")
    content = read_json(path)
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list):
        raise SourceError(f"{str(path)!r} must hold an object with a list 'images', as Karpathy's files do.")
    tables = {
        f"{name}_caption_karpathy_{split}": partial(_karpathy_rows, root, path.name, images, split)
        for split in splits
    }
    return Source(name=f"{name}_caption_karpathy", kind="captions", schema="captions", tables=tables)


def _karpathy_rows(
    root: Path, file: str, images: list[dict[str, Any]], split: str, bad: BadRows
) -> Iterator[Row]:
    for number, image in enumerate(images):
        if image.get("split") != split:
            continue
        captions = [one.get("raw", "").strip() for one in image.get("sentences", [])]
        captions = [caption for caption in captions if caption]
        if not captions or "filename" not in image:
            bad.bad(file, number, "it has no captions or no filename")
            continue
        folder = image.get("filepath", "flickr30k-images")
        content = image_bytes(root / folder / image["filename"], bad, file, number)
        if content is not None:
            bad.good()
            yield {"image": content, "caption": captions, "image_id": image["filename"], "split": split}


def _regions(root: Path, path: Path, bad: BadRows) -> Iterator[Row]:
    for number, image in enumerate(read_json(path)):
        regions = image.get("regions", []) if isinstance(image, dict) else []
        regions = [region for region in regions if region.get("phrase", "").strip()]
        if not regions:
            bad.bad(path.name, number, "it has no regions")
            continue
        image_id = image.get("id", regions[0].get("image_id"))
        places = [
            root / folder / part / f"{image_id}.jpg"
            for folder in ("", "images")
            for part in ("VG_100K", "VG_100K_2")
        ]
        content = image_bytes(
            next((place for place in places if place.is_file()), places[0]), bad, path.name, number
        )
        if content is not None:
            bad.good()
            row: Row = {
                name: [region.get(name, 0) for region in regions] for name in ("width", "height", "x", "y")
            }
            captions = [region["phrase"].strip() for region in regions]
            yield {"image": content, "caption": captions, "image_id": str(image_id), **row}


def _web(name: str, files: dict[str, tuple[Path, Path]]) -> Source:
    tables = {}
    for table, (path, images) in files.items():
        with path.open("rb") as file:
            num_rows = sum(1 for _ in file)
        for part in range(max(1, -(-num_rows // _TABLE_ROWS))):
            tables[f"{table}_{part}"] = partial(_web_rows, path, images, part)
    return Source(name=name, kind="captions", schema="captions", tables=tables)


def _web_rows(path: Path, images: Path, part: int, bad: BadRows) -> Iterator[Row]:
    for number, row in separated(path, "\t"):
        if (number - 1) // _TABLE_ROWS != part:
            continue
        if len(row) < 2 or not row[0].strip() or not row[1].strip():
            bad.bad(path.name, number, "it must have a caption, a tab, and an image")
            continue
        content = image_bytes(_web_image(images, row[1].strip(), number - 1), bad, path.name, number)
        if content is not None:
            bad.good()
            yield {
                "image": content,
                "caption": [row[0].strip()],
                "image_id": f"{number - 1}",
                "split": "train",
            }


def _web_image(images: Path, told: str, row: int) -> Path:
    if "://" not in told:
        return images / told
    places = [images / f"{stem}{ending}" for stem in (f"{row}", f"{row:08d}") for ending in _ENDINGS]
    return next((place for place in places if place.is_file()), places[0])
