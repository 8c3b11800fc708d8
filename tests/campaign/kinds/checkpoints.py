"""Checkpoints of METER and BLIP: damaged, of the wrong kind, bombs, and with code."""

from __future__ import annotations

import io
import json
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..case import Case, Right
from ..kit import ORACLES
from ..mutations import WRONG, damaged_bytes, damaged_json, label
from .models import pickle_with_code

Written = tuple[str, Right, Callable[[Path], list[str]]]


def draw(rng: random.Random, kit: Path) -> Case:
    kinds: tuple[Callable[[random.Random], Written], ...] = (_bomb, _code, _content, _structure)
    if ORACLES.is_dir():
        kinds += (_bytes, _state, _state, _state, _configuration, _options)
    name, right, write = rng.choice(kinds)(rng)
    return Case(
        name, lambda folder: ["convert", *write(folder), "--output", str(folder / "model"), "--quiet"], right
    )


def _sources(rng: random.Random) -> tuple[Path, list[str]]:
    if rng.random() < 0.5:
        text = ORACLES / "meter" / "text_config_roberta-tiny.json"
        return ORACLES / "meter" / "vqa.ckpt", ["--text-config", str(text)]
    return ORACLES / "blip" / "vqa.pth", ["--text-config", str(ORACLES / "blip" / "med_config_tiny.json")]


def _bytes(rng: random.Random) -> Written:
    source, options = _sources(rng)
    name, content = damaged_bytes(source.read_bytes(), rng)

    def write(folder: Path) -> list[str]:
        (folder / source.name).write_bytes(content)
        return [str(folder / source.name), *options]

    return f"{source.name} {name}", "either" if name.startswith(("flipped", "tail")) else "refused", write


def _state(rng: random.Random) -> Written:
    """A key, a shape, a value or a hyper-parameter other than it should be."""
    source, options = _sources(rng)
    kind = rng.choice(
        (
            "missing",
            "renamed",
            "shape",
            "nan",
            "prefix",
            "text for a tensor",
            "no state",
            "hyper",
            "scalar",
            "list",
            "position",
        )
    )
    seed = rng.randrange(10**6)
    value = rng.choice(WRONG)

    def write(folder: Path) -> list[str]:
        import torch

        content = torch.load(source, weights_only=True)
        key = "state_dict" if "state_dict" in content else "model"
        change_state(content, content[key], kind, random.Random(seed), value)
        if kind == "no state":
            content = {"epoch": 3}
        elif kind == "list":
            content = list(content[key].values())
        torch.save(content, folder / source.name)
        return [str(folder / source.name), *options]

    sure = kind in ("missing", "renamed", "shape", "nan", "text for a tensor", "no state", "list", "position")
    name = f"hyper-parameter = {label(value)}" if kind == "hyper" else kind
    return f"{source.name}: {name} (seed {seed})", "refused" if sure else "either", write


def change_state(
    content: dict[str, Any], state: dict[str, Any], kind: str, rng: random.Random, value: Any
) -> None:
    """Change one thing in a state dictionary that every model needs."""
    import torch

    needed = [
        name for name in state if ".attention.self." in name or ".attn.qkv" in name or "resblocks.0" in name
    ]
    name = rng.choice(needed)
    if kind == "missing":
        del state[name]
    elif kind == "renamed":
        state[name.replace("e", "o")] = state.pop(name)
    elif kind == "shape":
        state[name] = torch.zeros(3, 5, 7)
    elif kind == "scalar":
        state[name] = torch.tensor(1.0)
    elif kind == "nan":
        state[name] = torch.full_like(state[name], float("nan"))
    elif kind == "text for a tensor":
        state[name] = "a text"
    elif kind == "position":
        for position in [key for key in state if "position_embeddings" in key or "pos_embed" in key]:
            del state[position]
    elif kind == "prefix":
        renamed = {f"module.{key}": values for key, values in state.items()}
        state.clear()
        state.update(renamed)
    elif kind == "hyper":
        settings = content.setdefault("hyper_parameters", content.get("config", {}))
        target = settings.get("config", settings) if isinstance(settings, dict) else {}
        if isinstance(target, dict) and target:
            target[rng.choice(sorted(map(str, target)))] = (
                value if not isinstance(value, str) or len(value) < 100 else "x"
            )


def _bomb(rng: random.Random) -> Written:
    kind = rng.choice(("zip", "name", "nested", "number", "entries"))

    def write(folder: Path) -> list[str]:
        path = folder / "bomb.ckpt"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/version", "3")
            archive.writestr("archive/data.pkl", _bomb_pickle(kind))
            if kind == "entries":
                for number in range(30_000):
                    archive.writestr(f"archive/data/{number}", b"")
        return [str(path)]

    return f"bomb: {kind}", "refused", write


def _bomb_pickle(kind: str) -> bytes:
    if kind == "zip":
        return b"\x80\x02" + b"\x00" * 400_000_000
    if kind == "name":
        return b"\x80\x02c" + b"a." * 500_000 + b"\nb\n."
    if kind == "nested":
        return b"\x80\x02" + b"(" * 2_000_000 + b"."
    if kind == "number":
        return b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01" * 100
    return pickle.dumps({"state_dict": {}}, protocol=2)


def _code(rng: random.Random) -> Written:
    zipped = rng.random() < 0.5

    def write(folder: Path) -> list[str]:
        path = folder / "code.pth"
        content = pickle_with_code(folder)
        if zipped:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("archive/version", "3")
                archive.writestr("archive/data.pkl", content)
        else:
            path.write_bytes(content)
        return [str(path)]

    return "code in a pickle", "refused", write


def _content(rng: random.Random) -> Written:
    """Sound files that hold something else."""
    value = rng.choice(WRONG[:-1])

    def write(folder: Path) -> list[str]:
        import torch

        path = folder / "other.pth"
        if isinstance(value, str) and len(value) > 1000:
            torch.save({"model": torch.nn.Linear(2, 2).state_dict()}, path)
        else:
            torch.save(
                rng.choice((value, {"state_dict": value}, {"model": value}, {"state_dict": {"a": value}})),
                path,
            )
        return [str(path)]

    return f"a checkpoint of {label(value)}", "refused", write


def _structure(rng: random.Random) -> Written:
    kind = rng.choice(
        ("safetensors", "json", "npz", "empty zip", "folder", "device", "missing", "empty folder")
    )

    def write(folder: Path) -> list[str]:
        path = folder / "file.ckpt"
        if kind == "safetensors":
            path = folder / "file.safetensors"
            header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 8]}}).encode()
            path.write_bytes(struct.pack("<Q", len(header)) + header + b"\x00" * 8)
        elif kind == "json":
            path.write_text('{"state_dict": {}}')
        elif kind == "npz":
            import numpy as np

            buffer = io.BytesIO()
            np.savez(buffer, a=np.zeros(3))
            path.write_bytes(buffer.getvalue())
        elif kind == "empty zip":
            zipfile.ZipFile(path, "w").close()
        elif kind == "folder":
            path.mkdir()
            (path / "config.json").write_text('{"model_type": "bert"}')
        elif kind == "empty folder":
            path.mkdir()
        elif kind == "device":
            path.symlink_to("/dev/zero")
        return [str(path)]

    return f"a checkpoint that is a {kind}", "refused", write


def _configuration(rng: random.Random) -> Written:
    source, options = _sources(rng)
    name, content = damaged_json(Path(options[1]).read_text(), rng)

    def write(folder: Path) -> list[str]:
        (folder / "text.json").write_bytes(content)
        return [str(source), "--text-config", str(folder / "text.json")]

    return f"text configuration of {source.name}: {name}", "either", write


def _options(rng: random.Random) -> Written:
    source, options = _sources(rng)
    more = rng.choice(
        (
            ["--task", "other"],
            ["--image-size", "-1"],
            ["--image-size", "100000"],
            ["--image-size", "7"],
            ["--image-config", "/none.json"],
            ["--text-config", "/dev/zero"],
            ["--task", ""],
        )
    )
    return f"{source.name} {' '.join(more)}", "refused", lambda folder: [str(source), *options, *more]
