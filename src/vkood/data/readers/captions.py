"""Images with captions: COCO and Flickr30k (Karpathy's splits), Visual Genome, SBU and Conceptual Captions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from vkood.data.readers.pictures import Pictures
from vkood.data.readers.source import BadRows, Row, Source, require_file
from vkood.data.readers.streams import cells, json_records, lines
from vkood.data.record import Integer, ListOf, Mismatch, Optional, Record, Ruled, Text
from vkood.fields import Choice

_TABLE_ROWS = 100_000
"""Max rows of a table of web captions; further rows go into further tables, numbered from 0."""
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", "")
_REGION = Record(
    {
        "phrase": Optional(Text(blank=True), ""),
        "image_id": Optional(Integer()),
        **{name: Optional(Integer(), 0) for name in ("width", "height", "x", "y")},
    }
)
_REGIONS = Record({"id": Optional(Integer()), "regions": Optional(ListOf(_REGION), [])})


def read_coco(root: Path) -> Source:
    """COCO captions in Karpathy's splits (train, restval, val, test).

    Args:
        root: The folder with `dataset_coco.json` (or `karpathy/dataset_coco.json`), `train2014` and `val2014`.

    Raises:
        SourceError: If a file is missing or not a regular file.
    """
    splits = ("train", "restval", "val", "test")
    return _karpathy(root, "coco", "dataset_coco.json", splits)


def read_flickr30k(root: Path) -> Source:
    """Flickr30k captions in Karpathy's splits (train, val, test).

    Args:
        root: The folder with `dataset_flickr30k.json` (or `karpathy/dataset_flickr30k.json`) and `flickr30k-images`.

    Raises:
        SourceError: If a file is missing or not a regular file.
    """
    return _karpathy(root, "f30k", "dataset_flickr30k.json", ("train", "val", "test"))


def read_visual_genome(root: Path) -> Source:
    """Visual Genome's region descriptions (Krishna et al., 2017), an image a row with all of them.

    Args:
        root: The folder with `region_descriptions.json` (or `annotations/region_descriptions.json`) and the images in
            `VG_100K` and `VG_100K_2` (or both in `images`).

    Raises:
        SourceError: If a file is missing or not a regular file.
    """
    file = "region_descriptions.json"
    path = require_file(root, file, f"annotations/{file}", what="Visual Genome's region descriptions")
    return Source(
        name="vg",
        kind="captions",
        schema="regions",
        tables={"vg": partial(_regions, root, path, Pictures())},
        sizes={"vg": sum(1 for _ in json_records(path, Record({}), BadRows()))},
    )


def read_sbu(root: Path, *, any_image_path: bool = False) -> Source:
    """SBU captions (Ordonez et al., NeurIPS 2011): a file of tab-separated captions and images, and a folder of them.

    Args:
        root: The folder with `sbu.tsv`, a caption and an image a row, and the images in `images`. An image is the name
            of a file there; or a URL, whose file is named by its row, counted from 0 (`17.jpg`, `00000017.jpg`).
        any_image_path: Whether images may lie outside of their folder, by absolute paths or `..`.

    Raises:
        SourceError: If the file is missing.
    """
    path = require_file(root, "sbu.tsv", what="SBU's captions")
    return _web("sbu", {"sbu": (path, root / "images")}, Pictures(any_image_path))


def read_conceptual_captions(root: Path, *, any_image_path: bool = False) -> Source:
    """Conceptual Captions (Sharma et al., ACL 2018), as `read_sbu`.

    Args:
        root: The folder with `Train_GCC-training.tsv` and `Validation_GCC-1.1.0-Validation.tsv`, and the images in
            `training` and `validation`. Without the validation file there is no validation table.
        any_image_path: Whether images may lie outside of their folder, by absolute paths or `..`.

    Raises:
        SourceError: If the training file is missing.
    """
    train = require_file(root, "Train_GCC-training.tsv", what="Conceptual Captions")
    files = {"conceptual_caption_train": (train, root / "training")}
    val = root / "Validation_GCC-1.1.0-Validation.tsv"
    if val.exists():  # a pipe or a folder of that name is refused when it is read
        files["conceptual_caption_val"] = (val, root / "validation")
    return _web("conceptual_caption", files, Pictures(any_image_path))


def _karpathy(root: Path, name: str, file: str, splits: tuple[str, ...]) -> Source:
    path = require_file(root, file, f"karpathy/{file}", what=f"Karpathy's splits ({name})")
    record = Record(
        {
            "split": Ruled(Choice(splits)),
            "filename": Text(),
            "filepath": Optional(Text(), "flickr30k-images"),
            "sentences": ListOf(Record({"raw": Text(blank=True)})),
        }
    )
    bad, pictures = BadRows(), Pictures()
    images: dict[str, list[tuple[int, str, list[str]]]] = {split: [] for split in splits}
    for number, image in json_records(path, record, bad, key="images"):
        captions = [sentence["raw"].strip() for sentence in image["sentences"] if sentence["raw"].strip()]
        if captions:
            bad.pass_on()
            images[image["split"]].append((number, f"{image['filepath']}/{image['filename']}", captions))
        else:
            bad.bad(path.name, number, "it has no captions")
    for split in splits:
        if not images[split]:
            bad.note(f"split without images, for which there is no table: {split}")
    tables = {
        f"{name}_caption_karpathy_{split}": partial(_karpathy_rows, root, path.name, rows, split, pictures)
        for split, rows in images.items()
        if rows
    }
    return Source(
        name=f"{name}_caption_karpathy",
        kind="captions",
        schema="captions",
        tables=tables,
        bad=bad,
        sizes={f"{name}_caption_karpathy_{split}": len(rows) for split, rows in images.items() if rows},
    )


def _karpathy_rows(
    root: Path,
    file: str,
    images: list[tuple[int, str, list[str]]],
    split: str,
    pictures: Pictures,
    bad: BadRows,
) -> Iterator[Row]:
    for number, name, captions in images:
        content = pictures.read_named(root, name, bad, file, number)
        if content is not None:
            bad.good()
            image_id = name.rpartition("/")[2]
            yield {"image": content, "caption": captions, "image_id": image_id, "split": split}


def _regions(root: Path, path: Path, pictures: Pictures, bad: BadRows) -> Iterator[Row]:
    for number, image in json_records(path, _REGIONS, bad):
        regions = [region for region in image["regions"] if region["phrase"].strip()]
        bad.note("regions without a phrase, left out", len(image["regions"]) - len(regions))
        image_id = next(
            (number for number in (image["id"], *(r["image_id"] for r in regions)) if number is not None),
            None,
        )
        if not regions or image_id is None:
            bad.bad(path.name, number, "it has no regions" if image_id is not None else "it has no `id`")
            continue
        places = [
            root / folder / part / f"{image_id}.jpg"
            for folder in ("", "images")
            for part in ("VG_100K", "VG_100K_2")
        ]
        place = next((place for place in places if place.is_file()), places[0])
        content = pictures.read(place, bad, path.name, number)
        if content is not None:
            bad.good()
            row: Row = {name: [region[name] for region in regions] for name in ("width", "height", "x", "y")}
            captions = [region["phrase"].strip() for region in regions]
            yield {"image": content, "caption": captions, "image_id": str(image_id), **row}


def _web(name: str, files: dict[str, tuple[Path, Path]], pictures: Pictures) -> Source:
    tables, sizes = {}, {}
    for table, (path, images) in files.items():
        for part, size in enumerate(_web_sizes(path)):
            tables[f"{table}_{part}"] = partial(_web_rows, path, images, part, pictures)
            sizes[f"{table}_{part}"] = size
    return Source(name=name, kind="captions", schema="captions", tables=tables, sizes=sizes)


def _web_sizes(path: Path) -> list[int]:
    """How many lines of each table are text that is not blank; there is one table at least."""
    sizes = [0]
    for number, line in lines(path):
        if number > len(sizes) * _TABLE_ROWS:
            sizes.append(0)
        sizes[-1] += isinstance(line, str) and bool(line.strip())
    return sizes


def _web_rows(path: Path, images: Path, part: int, pictures: Pictures, bad: BadRows) -> Iterator[Row]:
    for number, line in islice(lines(path), part * _TABLE_ROWS, (part + 1) * _TABLE_ROWS):
        try:
            if isinstance(line, Mismatch):
                raise line
            if not line.strip():
                bad.skip("empty rows")
                continue
            row = [cell.strip() for cell in cells(line, "\t")]
            if len(row) < 2 or not row[0] or not row[1]:
                raise Mismatch("it must have a caption, a tab, and an image")
            place = _web_image(images, row[1], number - 1, pictures)
        except Mismatch as error:
            bad.bad(path.name, number, str(error))
            continue
        content = pictures.read(place, bad, path.name, number)
        if content is not None:
            bad.good()
            yield {"image": content, "caption": [row[0]], "image_id": f"{number - 1}", "split": "train"}


def _web_image(images: Path, name: str, row: int, pictures: Pictures) -> Path:
    if "://" not in name:
        return pictures.place(images, name)
    places = [images / f"{stem}{ending}" for stem in (f"{row}", f"{row:08d}") for ending in _ENDINGS]
    return next((place for place in places if place.is_file()), places[0])
