"""Options of every command that are out of range, of the wrong type, or do not go together."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from ..case import Case, Right

_NUMBERS = (
    "-1",
    "0",
    "1e99",
    "nan",
    "inf",
    "-inf",
    "99999999999999999999",
    "x",
    "",
    "1.5",
    "[1]",
    "{}",
    "null",
    "true",
)
_WORDS = (
    "",
    "x",
    "null",
    "[]",
    "{a: 1}",
    "/none/here",
    "-1",
    "[/b]",
    "a b",
    "\u202ea",
    "!!python/object:os.system",
    "${oc.env:HOME}",
)
_NEVER = {"", "x", "nan", "inf", "-inf", "[1]", "{}", "1e99", "99999999999999999999"}
"""No number of a run may be one of these."""
# Run keys whose value may be large or zero; all others are bounded.
_FREE = ("output", "recipe", "model.config", "data.folder")


def draw(rng: random.Random, kit: Path) -> Case:
    return rng.choice((_train, _train, _train, _option, _option, _pair))(rng, kit)


def _train(rng: random.Random, kit: Path) -> Case:
    from vkood.train.run import Run
    from vkood.train.settings import keys_of

    keys = keys_of(Run())
    key = rng.choice([name for name in keys if name not in _FREE])
    default = keys[key]
    is_number = isinstance(default, int | float) and not isinstance(default, bool)
    value = rng.choice(_NUMBERS if is_number else (*_WORDS, *_NUMBERS))
    right: Right = "refused" if is_number and value in _NEVER else "either"
    recipe = rng.choice(("vqa", "vqa", "blip-vqa"))

    def write(folder: Path) -> list[str]:
        fixed = {
            "data.folder": kit / "tables" / "vqav2",
            "output": folder / "run",
            "num_gpus": 0,
            "data.limit": 16,
            "data.evaluate_limit": 4,
            "optimisation.steps": 1,
        }
        words = [f"{name}={value}" for name, value in fixed.items() if name != key]
        return ["train", recipe, "tiny", *words, f"{key}={value}"]

    return Case(f"{recipe} {key}={value}", write, right)


# Command lines whose last word takes the value; words are separated by spaces, names in braces stand for paths.
_WITH_NUMBER = (
    "predict {best} --image {picture} --text dog --facts none --top={value}",
    "data tiny coco --output {folder}/o --num-images={value}",
    "data tiny coco --output {folder}/o --seed={value}",
    "data prepare vqav2 --root {raw}/vqav2 --output {folder}/o --facts=none --min-answers={value}",
    "data prepare vqav2 --root {raw}/vqav2 --output {folder}/o --facts=none --max-bad={value}",
    "data prepare vqav2 --root {raw}/vqav2 --output {folder}/o --facts=none --max-facts={value}",
    "evaluate {best} --data {tables} --output {folder}/o --limit={value}",
    "evaluate {best} --data easy-vqa-knowledge --limit=2 --seed={value}",
    "evaluate {best} --data easy-vqa-knowledge --limit=2 --irrelevant={value}",
    "demo --output /dev/null/x --seed={value}",
    "knowledge lookup dog --limit={value}",
    "knowledge encode --encoder {kit}/text --output {folder}/v --store {knowledge}/facts.db --batch-size={value}",
    "knowledge build conceptnet {knowledge}/assertions.csv --output {folder}/f.db --min-weight={value}",
    "knowledge build wordnet {knowledge}/dict --output {folder}/f.db --max-sense={value}",
)
_WITH_WORD = (
    "data tiny --output {folder}/o -- {value}",
    "data prepare --root {raw} --output {folder}/o -- {value}",
    "evaluate {best} --data={value}",
    "evaluate {best} --data {tables} --output {folder}/o --table={value}",
    "predict {best} --image {picture} --text dog --facts={value}",
    "train -- {value}",
    "train vqa -- {value}",
    "knowledge encode --output {folder}/v --encoder={value}",
    "knowledge build conceptnet {knowledge}/assertions.csv --output {folder}/f.db --relations={value}",
    "knowledge build conceptnet {knowledge}/assertions.csv --output {folder}/f.db --language={value}",
    "knowledge build wordnet {knowledge}/dict --output {folder}/f.db --words={value}",
    "knowledge build table {knowledge}/facts.csv --output {folder}/f.db --name={value}",
)


def _option(rng: random.Random, kit: Path) -> Case:
    numeric = rng.random() < 0.6
    template = rng.choice(_WITH_NUMBER if numeric else _WITH_WORD)
    value = rng.choice(_NUMBERS if numeric else _WORDS)

    def write(folder: Path) -> list[str]:
        places = {
            "best": kit / "run" / "vqa" / "best",
            "tables": kit / "tables" / "vqav2",
            "raw": kit / "raw",
            "knowledge": kit / "knowledge",
            "picture": min((kit / "raw" / "own-captions" / "images").iterdir()),
            "kit": kit,
            "folder": folder,
        }
        return [word.format(**places, value=value) for word in template.split()]

    # What is no number, and no whole number where one is asked for; a huge one may be fine.
    right: Right = "refused" if numeric and value in _NEVER - {"1e99", "99999999999999999999"} else "either"
    return Case(template.format_map(_Names(value=value)), write, right)


class _Names(dict[str, str]):
    """Names of paths stay in braces."""

    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"


def _pair(rng: random.Random, kit: Path) -> Case:
    """Options that exclude or need each other."""
    best, tables = kit / "run" / "vqa" / "best", kit / "tables" / "vqav2"
    commands: list[list[Any]] = [
        ["evaluate", "--data", tables],
        ["evaluate", best, "--data", tables, "--predictions", "x.jsonl"],
        ["evaluate", best, "--data", "easy-vqa", "--irrelevant", "3"],
        ["evaluate", best, "--data", "easy-vqa", "--table", "a"],
        ["evaluate", "--data", tables, "--predictions", "x.jsonl"],
        ["data", "prepare", "own", "--root", ".", "--output", "o"],
        ["data", "prepare", "vqav2", "--output", "o"],
        ["train", "vqa", "--config", "none.yaml"],
        ["train"],
        ["train", "vqa", "cached", f"data.folder={tables}"],
        ["train", "vqa", "tiny", "adapters", f"data.folder={tables}"],
        ["train", "blip-vqa", f"data.folder={tables}"],
        ["train", "vqa", "evaluate_only=true", f"data.folder={tables}"],
        ["train", "nlvr2", "tiny", f"data.folder={tables}", "num_gpus=0", "output=o"],
        ["train", "retrieval-coco", "tiny", f"data.folder={tables}", "num_gpus=0", "output=o"],
        ["train", "vqa", "tiny", "data.folder=none", "output=o"],
        ["train", "vqa", "tiny", f"data.folder={tables}", "data.train=[none]", "num_gpus=0", "output=o"],
        ["train", "vqa", "tiny", f"data.folder={tables}", "model.checkpoint=/none", "num_gpus=0", "output=o"],
        ["train", "vqa", f"data.folder={tables}", "model.image=none", "num_gpus=0", "output=o"],
        ["train", "vqa", "tiny", f"data.folder={tables}", "num_nodes=2", "output=o"],
        ["predict", best, "--image", "none.png", "--text", "a"],
        ["predict", "none", "--image", "none.png", "--text", "a"],
        ["convert", "none.ckpt", "--output", "o"],
        ["knowledge", "stats", "--store", "none.db"],
        ["knowledge", "lookup", "", "--store", "none.db"],
        ["knowledge", "build", "table", "none.csv", "--output", "f.db"],
        ["knowledge", "build", "wordnet", "none", "--output", "f.db"],
        ["demo", "--output", "/proc/none"],
        ["no-such-command"],
        ["data", "check", "none"],
        ["data", "check", "."],
    ]
    words = [str(word) for word in rng.choice(commands)]
    return Case(" ".join(words).replace(str(kit), ""), lambda folder: words, "refused")
