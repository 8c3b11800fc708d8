"""Folders of encoders and towers: for facts (`knowledge encode`) and for training (`model.image`, `model.text`)."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

from ..case import Case, canary_code, copied, rewrite, rewrite_json
from ..mutations import WRONG, damaged_bytes, damaged_json, label, places, with_value
from .models import damage_weights, pickle_with_code

# What stands between the towers; by default it is as large as the paper's.
SMALL = (
    "model.config.hidden_size=16",
    "model.config.num_attention_heads=2",
    "model.config.intermediate_size=32",
    "model.config.num_fusion_layers=1",
)


def draw(rng: random.Random, kit: Path) -> Case:
    tower = rng.choice(("text", "text", "image"))
    use = rng.choice(("encode", "text")) if tower == "text" else "image"
    name, right, damage = _fault(rng, kit / tower)

    def write(folder: Path) -> list[str]:
        copy = copied(kit / tower, folder / "tower")
        damage(copy)
        if use == "encode":
            return [
                "knowledge",
                "encode",
                "--store",
                str(kit / "knowledge" / "facts.db"),
                "--encoder",
                str(copy),
                "--output",
                str(folder / "vectors"),
            ]
        other = "image" if use == "text" else "text"
        return [
            "train",
            "vqa",
            "tiny",
            f"data.folder={kit / 'tables' / 'vqav2'}",
            f"model.{use}={copy}",
            f"model.{other}={kit / other}",
            *SMALL,
            "model.image_size=32",
            "data.text_length=16",
            "optimisation.steps=1",
            "data.limit=16",
            "data.evaluate_limit=4",
            "num_gpus=0",
            f"output={folder / 'run'}",
        ]

    return Case(f"{use}: {name}", write, right)


def _fault(rng: random.Random, tower: Path) -> tuple[str, str, Callable[[Path], None]]:
    files = [path.name for path in sorted(tower.iterdir()) if path.suffix == ".json"]
    kind = rng.choice(
        ("value", "text", "weights", "weights", "weights", "bytes", "code", "pickle", "lacking", "layers")
    )
    file = rng.choice(files)
    if kind == "value":
        place, value = rng.choice(places(json.loads((tower / file).read_text()))), rng.choice(WRONG)
        name = f"{file}: {'.'.join(map(str, place))} = {label(value)}"
        return (
            name,
            "either",
            lambda at: rewrite_json(at / file, lambda config: with_value(config, place, value)),
        )
    if kind == "text":
        name, content = damaged_json((tower / file).read_text(), rng)
        return f"{file}: {name}", "either", lambda at: rewrite(at / file, content)
    if kind == "weights":
        what = rng.choice(("half missing", "one missing", "nan", "shape", "all renamed", "no file"))
        seed = rng.randrange(10**6)
        # The pooler of BERT and ViT is not used: whether it is there is nobody's loss.
        right = "refused" if what in ("half missing", "all renamed", "no file") else "either"
        return f"weights: {what}", right, lambda at: damage_weights(at, what, seed)
    if kind == "bytes":
        name, content = damaged_bytes((tower / "model.safetensors").read_bytes(), rng)
        return f"weights {name}", "either", lambda at: rewrite(at / "model.safetensors", content)
    if kind == "layers":
        number = rng.choice((3, 10**9, -1))
        return (
            f"num_hidden_layers = {number}",
            "refused",
            lambda at: rewrite_json(
                at / "config.json", lambda config: {**config, "num_hidden_layers": number}
            ),
        )
    if kind == "lacking":
        return (
            f"without {file}",
            "refused" if file == "tokenizer.json" else "either",
            lambda at: (at / file).unlink(),
        )

    def foreign(at: Path) -> None:
        if kind == "pickle":
            (at / "model.safetensors").unlink()
            rewrite(at / "pytorch_model.bin", pickle_with_code(at.parent))
            return
        (at / "foreign.py").write_text(canary_code(at.parent))
        names = {key: "foreign.Foreign" for key in ("AutoConfig", "AutoModel", "AutoImageProcessor")}
        rewrite_json(
            at / file,
            lambda config: {**config, "auto_map": {**names, "AutoTokenizer": ["foreign.Foreign", None]}},
        )

    return f"code of its own in {'a pickle' if kind == 'pickle' else file}", "refused", foreign
