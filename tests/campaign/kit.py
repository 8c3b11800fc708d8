"""Sound inputs of every kind, small, from which cases are made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from .server import forked

RAW = (
    "vqav2",
    "okvqa",
    "nlvr2",
    "coco",
    "flickr30k",
    "visual-genome",
    "sbu",
    "conceptual-captions",
    "own-questions",
    "own-captions",
)
TABLES = {"vqav2": "vqav2", "nlvr2": "nlvr2", "coco": "coco"}
RUNS = {"vqa": "vqav2", "nlvr2": "nlvr2", "retrieval-coco": "coco", "blip-vqa": "vqav2"}
PREDICTED = {"vqa": "vqav2_val", "nlvr2": "nlvr2_dev", "retrieval-coco": "coco_caption_karpathy_val"}
ORACLES = Path(__file__).resolve().parents[1] / "data" / "oracles"
SUFFICES = (
    "num_gpus=0",
    "optimisation.steps=2",
    "optimisation.save_every=1",
    "data.limit=32",
    "data.evaluate_limit=8",
)


def build_kit(kit: Path) -> None:
    """Write the kit, unless it is there; each part in a process of its own, so that this one stays free of threads."""
    whole = kit / "whole"
    if whole.exists():
        return
    shutil.rmtree(kit, ignore_errors=True)
    kit.mkdir(parents=True)
    for name, part in _parts(kit).items():
        log = kit / f"{name}.log"
        code = forked(part, log)
        if code:
            raise RuntimeError(
                f"the kit's {name} cannot be built (exit code {code}):\n{log.read_text()[-2000:]}"
            )
    whole.touch()


def _parts(kit: Path) -> dict[str, Callable[[], None]]:
    parts: dict[str, Callable[[], None]] = {"raw": lambda: _raw(kit), "tables": lambda: _tables(kit)}
    for recipe, data in RUNS.items():
        parts[f"run-{recipe}"] = lambda recipe=recipe, data=data: _run(kit, recipe, data)
    parts["predictions"] = lambda: _predictions(kit)
    parts["run-easy"] = lambda: _easy(kit)
    return parts | {"towers": lambda: _towers(kit), "knowledge": lambda: _knowledge(kit)}


def vkood(*words: object) -> None:
    """Run a command in this process, which must be one of its own."""
    import sys

    from vkood.cli import main

    sys.argv = ["vkood", *map(str, words)]
    try:
        main()
    except SystemExit as stop:
        if stop.code:
            raise RuntimeError(f"vkood {' '.join(map(str, words))} failed") from None


def _raw(kit: Path) -> None:
    from vkood.data.tiny import write_tiny

    for name in RAW:
        write_tiny(name, kit / "raw" / name, num_images=12)


def _tables(kit: Path) -> None:
    for table, raw in TABLES.items():
        vkood("data", "prepare", raw, "--root", kit / "raw" / raw, "--output", kit / "tables" / table)


def _run(kit: Path, recipe: str, data: str) -> None:
    folder = kit / "run" / recipe
    vkood("train", recipe, "tiny", f"data.folder={kit / 'tables' / data}", f"output={folder}", *SUFFICES)


def _easy(kit: Path) -> None:
    """A model of easy-VQA as the demo leaves it, untrained."""
    from support.tiny_vqa import save_tiny

    save_tiny(kit / "run" / "easy" / "best")


def _towers(kit: Path) -> None:
    from transformers import BertConfig, BertModel, ViTConfig, ViTImageProcessor, ViTModel

    from support.tiny_vqa import tiny_tokenizer

    text = BertConfig(
        vocab_size=len(tiny_tokenizer()),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(text).save_pretrained(kit / "text")
    tiny_tokenizer().save_pretrained(kit / "text")
    image = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )
    ViTModel(image).save_pretrained(kit / "image")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(kit / "image")


def _knowledge(kit: Path) -> None:
    from support.synthetic_dump import assertion

    folder = kit / "knowledge"
    folder.mkdir()
    (folder / "facts.csv").write_text(
        "subject,relation,object,weight,source\ncircle,IsA,shape,1,ours\nred circle,HasProperty,round,2.5,ours\n"
        "dog,IsA,animal,1,ours\nwall,MadeOf,brick,1,ours\n"
    )
    (folder / "facts.jsonl").write_text(
        '{"subject": "dog", "relation": "IsA", "object": "animal", "weight": 1.5}\n' * 3
    )
    (folder / "assertions.csv").write_text(
        assertion()
        + assertion(start="/c/en/dog/n")
        + assertion(relation="/r/UsedFor", start="/c/en/cup", end="/c/en/tea")
    )
    wordnet = folder / "dict"
    wordnet.mkdir()
    (wordnet / "data.noun").write_text(
        "  1 This software and database is being provided to you  \n"
        "00000010 03 n 01 animal 0 001 ~ 00000020 n 0000 | a living thing  \n"
        "00000020 05 n 01 dog 0 002 @ 00000010 n 0000 %p 00000030 n 0000 | a pet  \n"
        "00000030 08 n 01 tail 0 001 #p 00000020 n 0000 | at the end of a dog  \n"
    )
    (wordnet / "index.noun").write_text(
        "  1 This software and database is being provided to you  \n"
        "animal n 1 1 ~ 1 1 00000010  \ndog n 1 2 @ %p 1 1 00000020  \ntail n 1 1 #p 1 0 00000030  \n"
    )
    vkood("knowledge", "build", "table", folder / "facts.csv", "--output", folder / "facts.db")
    vkood(
        "knowledge",
        "encode",
        "--store",
        folder / "facts.db",
        "--encoder",
        kit / "text",
        "--output",
        folder / "vectors",
    )


def _predictions(kit: Path) -> None:
    """Predictions for whole tables, as `vkood evaluate` writes them."""
    for recipe, table in PREDICTED.items():
        vkood(
            "evaluate",
            kit / "run" / recipe / "best",
            "--data",
            kit / "tables" / RUNS[recipe],
            "--table",
            table,
            "--output",
            kit / "predictions",
        )
