"""How fast retrieval is scored: every image and text encoded once, against towers run for every pair, as METER has it.

Ratios in one run, on one thread of the CPU. Scoring all pairs METER's way takes hours, so the cost of pairs is measured
on a few, in turns, and multiplied; what is encoded once is measured whole.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from transformers import BertConfig, ViTConfig

from vkood.data.prepare import prepare
from vkood.data.readers.own import read_own
from vkood.models import (
    BlipVkoodConfig,
    BlipVkoodForImageTextRetrieval,
    VkoodConfig,
    VkoodForImageTextRetrieval,
)
from vkood.recipes.resolve import resolve
from vkood.train.assembly import Assembly, assemble
from vkood.train.training import train

from ..measuring import as_read, interleaved, print_tables, run_parts, setting, write_json
from .tables import tables

_IMAGES, _TEXTS, _WORDS, _PAIRS_AT_ONCE = 200, 1000, 16, 50
_TOWER: dict[str, Any] = {
    "hidden_size": 384,
    "num_attention_heads": 6,
    "intermediate_size": 1536,
    "num_hidden_layers": 8,
}
_SHORTLIST = 16


def two_stream() -> Any:
    """A mid-size random model: towers of 384 x 8 layers, a fusion of 256 x 2."""
    return VkoodForImageTextRetrieval(
        VkoodConfig(
            image_config=ViTConfig(**_TOWER, image_size=112, patch_size=16),
            text_config=BertConfig(**_TOWER, vocab_size=1000),
            hidden_size=256,
            num_attention_heads=4,
            num_fusion_layers=2,
        )
    ).eval()


def blip() -> Any:
    """A mid-size random BLIP of the same towers."""
    return BlipVkoodForImageTextRetrieval(
        BlipVkoodConfig(
            vision_config=_TOWER | {"image_size": 112, "patch_size": 16},
            text_config=_TOWER | {"vocab_size": 1000, "bos_token_id": 2, "sep_token_id": 3},
        )
    ).eval()


@torch.inference_mode()
def full_scoring(rounds: int) -> dict[str, float]:
    """All pairs: towers once, against towers for every pair."""
    model = two_stream()
    core = model.base_model
    pixels = torch.randn(_IMAGES, 3, 112, 112)
    ids, mask = torch.randint(5, 1000, (_TEXTS, _WORDS)), torch.ones(_TEXTS, _WORDS, dtype=torch.long)
    begin = time.process_time()
    images = torch.cat([core.image_tower(pixels[start : start + 32]) for start in range(0, _IMAGES, 32)])
    texts = torch.cat([core.text_tower(ids[s : s + 64], mask[s : s + 64]) for s in range(0, _TEXTS, 64)])
    encoding = time.process_time() - begin
    pairs = slice(0, _PAIRS_AT_ONCE)

    def once() -> Tensor:
        return model(
            ids[None, pairs],
            mask[None, pairs],
            image_features=images[:1],
            text_features=texts[None, pairs],
            output_states=False,
        ).logits

    def every_time() -> Tensor:
        return model(
            ids[pairs], mask[pairs], pixels[:1].expand(_PAIRS_AT_ONCE, -1, -1, -1), output_states=False
        ).logits

    torch.testing.assert_close(once()[0], every_time(), atol=1e-4, rtol=1e-4)
    seconds = interleaved({"once": once, "every time": every_time}, rounds)
    parts = _IMAGES * _TEXTS / _PAIRS_AT_ONCE
    ours = encoding + parts * statistics.median(seconds["once"])
    theirs = parts * statistics.median(seconds["every time"])
    return {
        "seconds, all pairs, METER's way": theirs,
        "seconds, all pairs, ours": ours,
        "times faster": theirs / ours,
    }


@torch.inference_mode()
def shortlist(rounds: int) -> dict[str, float]:
    """BLIP's second stage on a shortlist, against towers for every pair."""
    model = blip()
    pixels, ids = torch.randn(_IMAGES, 3, 112, 112), torch.randint(5, 1000, (_TEXTS, _WORDS))
    mask = torch.ones(_TEXTS, _WORDS, dtype=torch.long)
    begin = time.process_time()
    encoded = [model.image_features(pixels[start : start + 32]) for start in range(0, _IMAGES, 32)]
    features, images = (torch.cat(parts) for parts in zip(*encoded, strict=True))
    texts = torch.cat([model.text_features(ids[s : s + 64], mask[s : s + 64]) for s in range(0, _TEXTS, 64)])
    encoding = time.process_time() - begin
    similarity = features @ texts.T
    shortlisted = torch.zeros(_IMAGES, _TEXTS, dtype=torch.bool)
    shortlisted.scatter_(1, similarity.topk(_SHORTLIST, dim=1).indices, True)
    shortlisted.scatter_(0, similarity.topk(_SHORTLIST, dim=0).indices, True)
    pairs = slice(0, _PAIRS_AT_ONCE)

    def once() -> Tensor:
        return model.match_scores(images[:1].expand(_PAIRS_AT_ONCE, -1, -1), ids[pairs], mask[pairs])

    def every_time() -> Tensor:
        tokens = model.blip.encode_image(pixels[:1].expand(_PAIRS_AT_ONCE, -1, -1, -1))
        return model.match_scores(tokens, ids[pairs], mask[pairs])

    seconds = interleaved({"once": once, "every time": every_time}, rounds)
    ours = encoding + int(shortlisted.sum()) / _PAIRS_AT_ONCE * statistics.median(seconds["once"])
    theirs = _IMAGES * _TEXTS / _PAIRS_AT_ONCE * statistics.median(seconds["every time"])
    return {
        "share of pairs re-ranked": float(shortlisted.double().mean()),
        "seconds, METER's way": theirs,
        "seconds, shortlist": ours,
        "times faster": theirs / ours,
    }


def two_shapes(folder: Path, copies: int) -> Path:
    """Tables of pictures of two coloured shapes side by side: no two captions of a split's test half are alike."""
    rows = []
    (folder / "images").mkdir(parents=True)
    generator = random.Random(0)
    kinds = [
        (colour, shape)
        for colour in ("red", "green", "blue", "yellow")
        for shape in ("ellipse", "rectangle", "cross")
    ]
    for split, count in (("train", copies), ("val", 1)):
        for number, (first, second) in enumerate(itertools.product(kinds, kinds)):
            for copy in range(count):
                picture = Image.new("RGB", (64, 64), "white")
                draw = ImageDraw.Draw(picture)
                for side, (colour, shape) in enumerate((first, second)):
                    left, top = 32 * side + generator.randrange(1, 8), generator.randrange(4, 36)
                    box = (left, top, left + 22, top + 22)
                    if shape == "cross":
                        draw.line(box, fill=colour, width=6)
                        draw.line((box[0], box[3], box[2], box[1]), fill=colour, width=6)
                    else:
                        getattr(draw, shape)(box, fill=colour)
                file = f"{split}-{number}-{copy}.png"
                picture.save(folder / "images" / file)
                caption = f"a {first[0]} {first[1]} left of a {second[0]} {second[1]}"
                rows.append({"image": file, "caption": caption, "split": split})
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    prepare(
        read_own(folder / "captions.jsonl", folder / "images", name="shapes"), folder / "tables", facts=None
    )
    return folder / "tables"


def recall(steps: int) -> dict[str, float]:
    """Recall of a small trained BLIP, full and with a shortlist, on 144 new pictures."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        words = [
            "tiny",
            f"data.folder={two_shapes(folder, 8)}",
            f"output={folder / 'run'}",
            "data.test=[]",
            "data.train=[shapes_train]",
            "data.validation=[shapes_val]",
            f"optimisation.steps={steps}",
            "optimisation.evaluate_every=1000",
            "optimisation.batch_size=64",
            "data.facts=false",
            "optimisation.device_batch_size=64",
            f"options.shortlist={_SHORTLIST}",
            "optimisation.warmup=0.1",
            "optimisation.max_grad_norm=1.0",
        ]
        train(resolve("blip-retrieval-coco", words))
        overrides = [*words, f"model.checkpoint={folder / 'run' / 'last'}", "evaluate_only=true"]
        assembly = assemble(resolve("blip-retrieval-coco", [*overrides, "data.test=[shapes_val]"]))
        return {
            "mean recall, all pairs": _recall(assembly, None),
            "mean recall, shortlist": _recall(assembly, _SHORTLIST),
        }


def _recall(assembly: Assembly, candidates: int | None) -> float:
    rows = assembly.rows(["shapes_val"])
    task = replace(assembly.task, shortlist=candidates)
    collate = assembly.collator(rows, training=False)
    return task.evaluate(assembly.built.model, rows, collate, assembly.evaluation_options()).metrics[
        "mean_recall"
    ]


def main() -> None:
    """Measure, print, and write down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--quick", action="store_true", help="one round, few steps: no result")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4000, help="of the small model's training")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if arguments.quick:
        arguments.rounds, arguments.steps = 1, 20
    results = run_parts(
        {
            "full scoring": lambda: full_scoring(arguments.rounds),
            "shortlist": lambda: shortlist(arguments.rounds),
            "recall": lambda: recall(arguments.steps),
        }
    )
    content = {"setting": setting(), "images": _IMAGES, "texts": _TEXTS, **results}
    print_tables(tables(as_read(content)))
    write_json(arguments.json, content)


if __name__ == "__main__":
    main()
