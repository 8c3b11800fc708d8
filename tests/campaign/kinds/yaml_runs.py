"""Runs as YAML, for `vkood train --config`."""

from __future__ import annotations

import random
from pathlib import Path

from ..case import Case, Right
from ..mutations import WRONG, damaged_bytes, damaged_text, label, places, with_value

_WHOLE: dict[str, tuple[str, Right]] = {
    "a tag": ("!!python/object/apply:os.system ['touch CANARY']\n", "refused"),
    "a tag inside": ("data: !!python/name:os.system\n", "refused"),
    "a set": ("data: !!set {a, b}\n", "refused"),
    "a date": ("output: 2020-01-01\n", "either"),
    "an alias of itself": ("data: &a\n  folder: *a\n", "refused"),
    "laughs": (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{after}: &{after} [*{before}{f',*{before}' * 8}]\n"
            for before, after in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "refused",
    ),
    "interpolation of the environment": ("data:\n  folder: ${oc.env:HOME}\n", "either"),
    "interpolation of itself": ("data:\n  folder: ${data.folder}\n", "refused"),
    "a list": ("- a\n- b\n", "refused"),
    "a text": ("only words\n", "refused"),
    "two documents": ("task: vqa\n---\ntask: vqa\n", "refused"),
    "a key twice": ("task: vqa\ntask: nlvr2\n", "refused"),
    "tabs": ("data:\n\tfolder: a\n", "refused"),
    "nested": ("[" * 20_000, "refused"),
    "numbers as keys": ("1: 2\n", "refused"),
    "null": ("null\n", "refused"),
    "nulls": ("data: null\nmodel: null\n", "refused"),
    "unknown": ("dta:\n  folder: a\n", "refused"),
}


def draw(rng: random.Random, kit: Path) -> Case:
    kind = rng.choice(("whole", "value", "value", "damage"))
    dry = rng.random() < 0.3
    name, content, right = _content(rng, kit, kind)

    def write(folder: Path) -> list[str]:
        (folder / "run.yaml").write_bytes(content)
        more = (
            ["--dry-run"] if dry else [f"output={folder / 'run'}", f"data.folder={kit / 'tables' / 'vqav2'}"]
        )
        return ["train", "--config", str(folder / "run.yaml"), *more]

    return Case(f"{kind}: {name}", write, right)


def _content(rng: random.Random, kit: Path, kind: str) -> tuple[str, bytes, Right]:
    import yaml

    text = (kit / "run" / "vqa" / "run.yaml").read_text()
    if kind == "whole":
        name = rng.choice(list(_WHOLE))
        return name, _WHOLE[name][0].encode(), _WHOLE[name][1]
    if kind == "damage":
        name, content = (damaged_text if rng.random() < 0.5 else lambda t, r: damaged_bytes(t.encode(), r))(
            text, rng
        )
        return name, content, "either"
    document = yaml.safe_load(text)
    place, value = rng.choice(places(document)), rng.choice([value for value in WRONG if value != "\ud800"])
    changed = yaml.safe_dump(with_value(document, place, value))
    return f"{'.'.join(map(str, place))} = {label(value)}", changed.encode(), "either"
