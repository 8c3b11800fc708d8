"""Model folders: configurations, weights, tokenizers and processors with one fault."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..case import Case, Right, canary_code, copied, rewrite, rewrite_json
from ..mutations import WRONG, damaged_bytes, damaged_json, label, places, with_value

RECIPES = {"vqa": "vqav2", "nlvr2": "nlvr2", "retrieval-coco": "coco", "blip-vqa": "vqav2"}
EASY = "easy"
"""A model of easy-VQA, as the demo leaves it."""
STRUCTURE: dict[str, tuple[Any, ...]] = {
    "hidden_size": (0, -1, 32, 10**9),
    "num_attention_heads": (0, -1, 7),
    "num_hidden_layers": (-1, 3, 10**9),
    "num_fusion_layers": (-1, 3, 10**9),
    "vocab_size": (-1, 0, 7, 10**12),
    "image_size": (0, -1, 100_000),
    "patch_size": (0, -1, 7),
    "intermediate_size": (0, -1, 33, 10**10),
    "fact_dim": (0, -1, 7, 10**10),
    "joint_dim": (0, -1, 7),
    "max_position_embeddings": (0, -1, 7, 10**12),
}
"""Fields that decide the shapes of weights, and values that cannot be true of the file beside them."""
JSON_FILES = ("config.json", "processor_config.json", "tokenizer_config.json", "tokenizer.json")
Fault = tuple[str, Right, Callable[[Path], None]]


def draw(rng: random.Random, kit: Path) -> Case:
    recipe = rng.choice((*RECIPES, EASY))
    name, right, damage = rng.choice(
        (_value, _structure, _text, _bytes, _weights, _weights, _foreign_code, _lacking)
    )(rng, kit / "run" / recipe / "best")
    command = rng.choice((predict, predict, predict, evaluate, train)) if recipe != EASY else evaluate_easy

    def write(folder: Path) -> list[str]:
        model = copied(kit / "run" / recipe / "best", folder / "model")
        damage(model)
        return command(kit, recipe, model, folder)

    if command is train and right == "refused" and damage.__name__ == "processor":
        right = "either"  # training knows its processor from the recipe
    return Case(f"{recipe}, {command.__name__}: {name}", write, right)


def predict(kit: Path, recipe: str, model: Path, folder: Path, facts: str = "none") -> list[str]:
    picture = min((kit / "raw" / "own-captions" / "images").iterdir())
    images = ["--image", str(picture)] * (2 if recipe == "nlvr2" else 1)
    return [
        "predict",
        str(model),
        *images,
        "--text",
        "What color is the dog?",
        "--facts",
        facts,
        "--json",
        "--output",
        str(folder / "out.html"),
    ]


def evaluate(kit: Path, recipe: str, model: Path, folder: Path) -> list[str]:
    return [
        "evaluate",
        str(model),
        "--data",
        str(kit / "tables" / RECIPES[recipe]),
        "--limit",
        "4",
        "--output",
        str(folder / "results"),
    ]


def evaluate_easy(kit: Path, recipe: str, model: Path, folder: Path) -> list[str]:
    return ["evaluate", str(model), "--data", "easy-vqa", "--limit", "4", "--json"]


def train(kit: Path, recipe: str, model: Path, folder: Path) -> list[str]:
    return [
        "train",
        recipe,
        "tiny",
        f"data.folder={kit / 'tables' / RECIPES[recipe]}",
        f"model.checkpoint={model}",
        "optimisation.steps=1",
        "data.limit=16",
        "data.evaluate_limit=4",
        "num_gpus=0",
        f"output={folder / 'run'}",
    ]


def _value(rng: random.Random, model: Path) -> Fault:
    file = rng.choice([name for name in JSON_FILES[:3] if (model / name).exists()])
    document = json.loads((model / file).read_text())
    place, value = rng.choice(places(document)), rng.choice(WRONG)
    return (
        f"{file}: {'.'.join(map(str, place))} = {label(value)}",
        "either",
        lambda folder: rewrite_json(folder / file, lambda config: with_value(config, place, value)),
    )


def _structure(rng: random.Random, model: Path) -> Fault:
    document = json.loads((model / "config.json").read_text())
    candidates = [place for place in places(document) if place[-1] in STRUCTURE]
    place = rng.choice(candidates)
    value = rng.choice(STRUCTURE[place[-1]])
    return (
        f"{'.'.join(place)} = {value}",
        # Of a decoder-less tower some of them decide nothing, and what is 0 may mean "none" there.
        "refused" if abs(value) > 50_000 or value < 0 else "either",
        lambda folder: rewrite_json(folder / "config.json", lambda config: with_value(config, place, value)),
    )


def _text(rng: random.Random, model: Path) -> Fault:
    file = rng.choice([name for name in JSON_FILES if (model / name).exists()])
    name, content = damaged_json((model / file).read_text(), rng)
    return f"{file}: {name}", "either", lambda folder: rewrite(folder / file, content)


def _bytes(rng: random.Random, model: Path) -> Fault:
    name, content = damaged_bytes((model / "model.safetensors").read_bytes(), rng)
    certain = name.split()[0] in ("empty", "text", "zeros", "head", "cut")
    return (
        f"weights {name}",
        "refused" if certain else "either",
        lambda folder: rewrite(folder / "model.safetensors", content),
    )


def _weights(rng: random.Random, model: Path) -> Fault:
    kind = rng.choice(
        (
            "renamed",
            "all renamed",
            "one missing",
            "half missing",
            "nan",
            "infinite",
            "shape",
            "integers",
            "one more",
            "no file",
            "index",
        )
    )
    seed = rng.randrange(10**6)
    return (
        f"weights: {kind}",
        "either" if kind == "one more" else "refused",
        lambda folder: damage_weights(folder, kind, seed),
    )


def damage_weights(folder: Path, kind: str, seed: int) -> None:
    """Write other weights in place of those of a folder."""
    import torch
    from safetensors.torch import load_file, save_file

    rng = random.Random(seed)
    path = folder / "model.safetensors"
    weights = load_file(path)
    names = [name for name, values in weights.items() if values.is_floating_point() and values.numel() > 1]
    name = rng.choice(names)
    if kind == "renamed":
        weights[f"{name}_other"] = weights.pop(name)
    elif kind == "all renamed":
        weights = {f"other.{key}": values for key, values in weights.items()}
    elif kind == "one missing":
        del weights[name]
    elif kind == "half missing":
        weights = {key: values for key, values in weights.items() if key not in names[len(names) // 2 :]}
    elif kind in ("nan", "infinite"):
        weights[name] = weights[name].clone()
        weights[name].view(-1)[rng.randrange(weights[name].numel())] = float(
            "nan" if kind == "nan" else "inf"
        )
    elif kind == "shape":
        weights[name] = torch.cat([weights[name], weights[name]])
    elif kind == "integers":
        weights[name] = weights[name].long()
    elif kind == "one more":
        weights["other.weight"] = torch.zeros(3)
    path.unlink()
    if kind == "index":
        index = {"metadata": {}, "weight_map": {key: "../../elsewhere.safetensors" for key in weights}}
        rewrite(folder / "model.safetensors.index.json", json.dumps(index))
    elif kind != "no file":
        save_file(weights, path, {"format": "pt"})


def _foreign_code(rng: random.Random, model: Path) -> Fault:
    kind = rng.choice(
        (
            "config.json",
            "tokenizer_config.json",
            *(["processor_config.json"] if (model / "processor_config.json").exists() else []),
            "text_config",
            "image_config",
            "pickle",
        )
    )

    def damage(folder: Path) -> None:
        (folder / "foreign.py").write_text(canary_code(folder.parent))
        names = {
            name: "foreign.Foreign"
            for name in ("AutoConfig", "AutoModel", "AutoProcessor", "AutoImageProcessor")
        }
        names["AutoTokenizer"] = ["foreign.Foreign", "foreign.Foreign"]  # pyright: ignore[reportArgumentType]
        if kind == "pickle":
            (folder / "model.safetensors").unlink()
            rewrite(folder / "pytorch_model.bin", pickle_with_code(folder.parent))
        elif kind in JSON_FILES:
            rewrite_json(folder / kind, lambda config: {**config, "auto_map": names})
        else:

            def inner(config: Any) -> Any:
                key = kind if kind in config else "vision_config" if kind == "image_config" else "text_config"
                return {**config, key: {**config[key], "auto_map": names, "model_type": "foreign"}}

            rewrite_json(folder / "config.json", inner)

    return f"code of its own in {kind}", "refused", damage


def pickle_with_code(folder: Path) -> bytes:
    """A pickle that runs a shell command when it is loaded without care."""
    import pickle

    class Canary:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {folder / 'CANARY'}",)

    return pickle.dumps({"weight": Canary()})


def _lacking(rng: random.Random, model: Path) -> Fault:
    file = rng.choice((*JSON_FILES, "model.safetensors", "all"))

    def processor(folder: Path) -> None:
        for path in list(folder.iterdir()) if file == "all" else [folder / file]:
            path.unlink(missing_ok=True)

    certain = (file == "all" or (model / file).exists()) and file in (
        "config.json",
        "model.safetensors",
        "all",
        "processor_config.json",
        "tokenizer.json",
    )
    return f"without {file}", "refused" if certain else "either", processor
