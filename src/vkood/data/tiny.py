"""Small synthetic data sets in the file formats of the real ones: for tests, and to try commands on.

Every picture shows a coloured shape; questions, captions and sentences are about it.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

_COLOURS = {"red": "#d62728", "green": "#2ca02c", "blue": "#1f77b4", "yellow": "#ffdd33"}
_SHAPES = ("circle", "square", "triangle")
MAX_IMAGES = 100_000
_ANNOTATORS = 10
_SIDE = 64
_MARK = "SYNTHETIC.txt"
"""The file by which a folder of synthetic data is known; what real data are in is not written over."""


@dataclass(frozen=True, slots=True)
class _Picture:
    """A coloured shape on a plain ground."""

    colour: str
    shape: str
    left: int
    top: int

    @property
    def caption(self) -> str:
        return f"a {self.colour} {self.shape} on a white wall"

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.new("RGB", (_SIDE, _SIDE), "white")
        draw = ImageDraw.Draw(picture)
        box = (self.left, self.top, self.left + 28, self.top + 28)
        if self.shape == "circle":
            draw.ellipse(box, fill=_COLOURS[self.colour])
        elif self.shape == "square":
            draw.rectangle(box, fill=_COLOURS[self.colour])
        else:
            draw.polygon(
                [(box[0], box[3]), (box[2], box[3]), (box[0] + 14, box[1])], fill=_COLOURS[self.colour]
            )
        picture.save(path)


def _pictures(num: int, generator: random.Random) -> list[_Picture]:
    """Every colour with every shape in turn, in another order each time."""
    kinds = [(colour, shape) for shape in _SHAPES for colour in _COLOURS]
    generator.shuffle(kinds)
    return [
        _Picture(*kinds[number % len(kinds)], generator.randrange(4, 32), generator.randrange(4, 32))
        for number in range(num)
    ]


def write_tiny(name: str, root: str | Path, *, num_images: int = 24, seed: int = 0) -> Path:
    """Write a synthetic data set in the files of a real one.

    Args:
        name: One of `TINY`.
        root: The folder; created if missing.
        num_images: Pictures (or pairs) in each split.
        seed: Random seed.

    Returns:
        The folder.

    Raises:
        ValueError: If there is no such data set, `num_images` is out of range, or the folder has other files than
            synthetic data.
    """
    if name not in TINY:
        raise ValueError(f"there is no synthetic {name!r}; there are {', '.join(TINY)}.")
    if not 2 <= num_images <= MAX_IMAGES:
        raise ValueError(f"`num_images` must be from 2 to {MAX_IMAGES:,}; got {num_images}.")
    root = Path(root)
    others = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    if others and _MARK not in others:
        raise ValueError(
            f"synthetic data need a new or empty folder, or one with earlier synthetic data; {str(root)!r} has other "
            f"files, such as {others[0]!r}."
        )
    root.mkdir(parents=True, exist_ok=True)
    (root / _MARK).write_text(
        "Written by `vkood data tiny`: nothing in this folder is real.\n", encoding="utf-8"
    )
    TINY[name](root, num_images, random.Random(f"{name} {seed}"))
    return root


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def _questions(picture: _Picture) -> list[tuple[str, str, str, str]]:
    """Question, answer, and their types."""
    return [
        (f"What color is the {picture.shape}?", picture.colour, "other", "what color is the"),
        ("What shape is on the wall?", picture.shape, "other", "what"),
        (f"Is there a {picture.colour} {picture.shape}?", "yes", "yes/no", "is there a"),
    ]


def _answers(answer: str, generator: random.Random) -> list[dict[str, Any]]:
    """The answers of ten annotators, one or two of which differ."""
    answers = [answer] * _ANNOTATORS
    for place in generator.sample(range(_ANNOTATORS), generator.randrange(1, 3)):
        answers[place] = "don't know"
    return [
        {"answer": text, "answer_confidence": "yes", "answer_id": number + 1}
        for number, text in enumerate(answers)
    ]


def _vqa_split(
    root: Path,
    folder: str,
    files: tuple[str, str | None],
    pictures: list[_Picture],
    first: int,
    generator: random.Random,
) -> None:
    questions, annotations = [], []
    for number, picture in enumerate(pictures):
        image_id = first + number
        picture.save(root / folder / f"COCO_{folder}_{image_id:012d}.jpg")
        for place, (text, answer, answer_type, question_type) in enumerate(_questions(picture)):
            numbers = {"image_id": image_id, "question_id": 1000 * image_id + place}
            questions.append(numbers | {"question": text})
            annotations.append(
                numbers
                | {
                    "question_type": question_type,
                    "multiple_choice_answer": answer,
                    "answer_type": answer_type,
                    "answers": _answers(answer, generator),
                }
            )
    _write_json(root / files[0], {"questions": questions})
    if files[1] is not None:
        _write_json(root / files[1], {"annotations": annotations})


def _vqav2(root: Path, num: int, generator: random.Random) -> None:
    names = "v2_OpenEnded_mscoco_{}_questions.json", "v2_mscoco_{}_annotations.json"
    for number, split in enumerate(("train2014", "val2014")):
        files = names[0].format(split), names[1].format(split)
        _vqa_split(root, split, files, _pictures(num, generator), 1000 * (number + 1), generator)
    test = _pictures(num, generator)
    _vqa_split(root, "test2015", (names[0].format("test2015"), None), test, 5000, generator)
    dev = names[0].format("test-dev2015")
    _vqa_split(root, "test2015", (dev, None), test[: num // 2], 5000, generator)


def _okvqa(root: Path, num: int, generator: random.Random) -> None:
    for number, split in enumerate(("train2014", "val2014")):
        files = f"OpenEnded_mscoco_{split}_questions.json", f"mscoco_{split}_annotations.json"
        _vqa_split(root, split, files, _pictures(num, generator), 1000 * (number + 1), generator)


def _nlvr2(root: Path, num: int, generator: random.Random) -> None:
    for split, folder in (("train", "images/train"), ("dev", "dev"), ("test1", "test1")):
        lines = []
        for number in range(num):
            # Two pairs of images share their sentences, as in NLVR2, where consistency asks for both.
            group, pair = number // 2, f"{split}-{number // 2}-{number % 2}"
            first, second = _pictures(2, generator)
            directory = {"directory": group % 3} if split == "train" else {}
            place = root / folder / str(directory.get("directory", ""))
            for side, picture in enumerate((first, second)):
                picture.save(place / f"{pair}-img{side}.png")
            for text in range(2):
                shape = _SHAPES[(group + text) % len(_SHAPES)]
                lines.append(
                    {
                        "sentence": f"At least one of the images shows a {shape}.",
                        "identifier": f"{pair}-{text}",
                        "label": str(shape in (first.shape, second.shape)),
                        **directory,
                    }
                )
        (root / f"{split}.json").write_text(
            "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"
        )


def _karpathy(root: Path, num: int, generator: random.Random, name: str, splits: tuple[str, ...]) -> None:
    images = []
    for split in splits:
        folder = "flickr30k-images" if name == "flickr30k" else "train2014" if split == "train" else "val2014"
        for number, picture in enumerate(_pictures(num, generator)):
            file = f"{split}{number}.jpg" if name == "flickr30k" else f"COCO_{folder}_{split}{number}.jpg"
            picture.save(root / folder / file)
            captions = [picture.caption, f"There is a {picture.shape}, and it is {picture.colour}."]
            image: dict[str, Any] = {"filename": file, "split": split, "imgid": len(images)}
            image["sentences"] = [{"raw": caption, "tokens": caption.lower().split()} for caption in captions]
            images.append(image | ({} if name == "flickr30k" else {"filepath": folder}))
    _write_json(root / f"dataset_{name}.json", {"dataset": name, "images": images})


def _coco(root: Path, num: int, generator: random.Random) -> None:
    _karpathy(root, num, generator, "coco", ("train", "restval", "val", "test"))


def _flickr30k(root: Path, num: int, generator: random.Random) -> None:
    _karpathy(root, num, generator, "flickr30k", ("train", "val", "test"))


def _visual_genome(root: Path, num: int, generator: random.Random) -> None:
    images = []
    for number, picture in enumerate(_pictures(num, generator), 1):
        picture.save(root / ("VG_100K" if number % 2 else "VG_100K_2") / f"{number}.jpg")
        box = {"x": picture.left, "y": picture.top, "width": 28, "height": 28, "image_id": number}
        phrases = (picture.caption, f"the {picture.shape} is {picture.colour}")
        regions = [
            box | {"region_id": 10 * number + place, "phrase": text} for place, text in enumerate(phrases)
        ]
        images.append({"id": number, "regions": regions})
    _write_json(root / "region_descriptions.json", images)


def _sbu(root: Path, num: int, generator: random.Random) -> None:
    rows = []
    for number, picture in enumerate(_pictures(num, generator)):
        picture.save(root / "images" / f"{number}.jpg")
        rows.append((picture.caption, f"{number}.jpg"))
    _write_separated(root / "sbu.tsv", rows, "\t")


def _conceptual_captions(root: Path, num: int, generator: random.Random) -> None:
    files = {"training": "Train_GCC-training.tsv", "validation": "Validation_GCC-1.1.0-Validation.tsv"}
    for folder, file in files.items():
        rows = []
        for number, picture in enumerate(_pictures(num, generator)):
            picture.save(root / folder / f"{number:08d}.jpg")
            rows.append((picture.caption, f"http://images.example/{number}?size=big"))
        _write_separated(root / file, rows, "\t")


def _own_questions(root: Path, num: int, generator: random.Random) -> None:
    rows: list[tuple[Any, ...]] = [("image", "question", "answer", "split")]
    for split in ("train", "val"):
        for number, picture in enumerate(_pictures(num, generator)):
            file = f"{split}{number}.png"
            picture.save(root / "images" / file)
            rows += [(file, text, answer, split) for text, answer, _, _ in _questions(picture)]
    _write_separated(root / "questions.csv", rows, ",")


def _own_captions(root: Path, num: int, generator: random.Random) -> None:
    lines = []
    for split in ("train", "val"):
        for number, picture in enumerate(_pictures(num, generator)):
            file = f"{split}{number}.png"
            picture.save(root / "images" / file)
            lines.append({"image": file, "caption": picture.caption, "split": split})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (root / "captions.jsonl").write_text(text, encoding="utf-8")


def _write_separated(path: Path, rows: list[tuple[Any, ...]], separator: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator, lineterminator="\n").writerows(rows)


TINY: dict[str, Callable[[Path, int, random.Random], None]] = {
    "vqav2": _vqav2,
    "okvqa": _okvqa,
    "nlvr2": _nlvr2,
    "coco": _coco,
    "flickr30k": _flickr30k,
    "visual-genome": _visual_genome,
    "sbu": _sbu,
    "conceptual-captions": _conceptual_captions,
    "own-questions": _own_questions,
    "own-captions": _own_captions,
}
"""The writers of synthetic data sets by name."""
