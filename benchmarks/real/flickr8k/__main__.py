"""Image-text retrieval on photographs with five captions each, with and without knowledge.

    python -m benchmarks.real.flickr8k --json benchmarks/results/real_flickr8k.json
    python -m benchmarks.real.flickr8k --root DIR --test FILE.csv --test-images DIR --json OUT

`DIR` has `captions.csv` (image, caption, split) and `images`. Without `--test`, models learn from the split "train" and
rank the photographs and captions of "dev"; with it they learn from both, and rank those of FILE.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vkood.knowledge import FactEncoder
from vkood.metrics import recall_at
from vkood.models import VkoodForImageTextRetrieval
from vkood.pipelines.encoding import fact_encoder_of
from vkood.processes import peak_memory

from ...measuring import print_tables, setting, write_json
from ..frozen_inputs import Inputs, encoded
from ..frozen_towers import image_tower_folder, text_tower_folder
from ..fusion_training import Settings, train
from ..photo_facts import looked_up
from .tables import tables

DEFAULT_DATA = Path(__file__).parents[4] / "shared" / "real" / "flickr8k"
SCRATCH = Path(tempfile.gettempdir()) / "vkood-real"
SEEDS = (0, 1, 2)
MAX_FACTS = 10
SKETCH = 128
NO_GATE = {"kind": "none"}
SETTINGS = Settings(
    model={
        "hidden_size": 128,
        "num_attention_heads": 4,
        "num_fusion_layers": 1,
        "intermediate_size": 256,
        "pooling": "product",
        "dropout": 0.1,
        "output_states": False,
    },
    epochs=2,
    batch_size=16,
    learning_rate=1e-3,
)

_TEXTS_OF_A_STEP = 8  # of each photograph: the true caption, and others of the batch
_SCORED_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption and the photograph that it describes."""

    photograph: Path
    text: str
    split: str


def read_captions(table: Path, images: Path) -> list[Caption]:
    """The captions of a CSV file with the columns `image`, `caption` and maybe `split`.

    Raises:
        ValueError: A column is missing, or there is no caption.
        FileNotFoundError: A photograph, or the table, is missing.
    """
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = set(rows[0]) if rows else set()
    if not {"image", "caption"} <= columns:
        raise ValueError(
            f"{table} must have captions with the columns `image` and `caption`; it has {sorted(columns)}."
        )
    captions = [Caption(images / row["image"], row["caption"], row.get("split", "")) for row in rows]
    for photograph in dict.fromkeys(caption.photograph for caption in captions):
        if not photograph.is_file():
            raise FileNotFoundError(f"{photograph}, which {table} names, is not there.")
    return captions


def new_model(
    towers: tuple[Path, Path], gate: dict[str, Any], settings: Settings, seed: int
) -> VkoodForImageTextRetrieval:
    """A model of frozen towers, image and text."""
    torch.manual_seed(seed)
    model = VkoodForImageTextRetrieval.from_towers(*towers, **settings.model, gate=gate)
    model.freeze_towers()
    return model


def ranking_loss(
    model: VkoodForImageTextRetrieval, inputs: Inputs, examples: Tensor, dropout: float
) -> Tensor:
    """The cross-entropy of each photograph's own caption among those of other photographs in the batch.

    The k-th false caption of an example is that of the example k places on; one that describes the same photograph
    does not count.
    """
    texts = min(_TEXTS_OF_A_STEP, len(examples))
    places = (torch.arange(len(examples))[:, None] + torch.arange(texts)) % len(examples)
    candidates = examples[places]
    scores = pair_scores(model, inputs, examples, candidates, dropout)
    same = inputs.photograph[candidates] == inputs.photograph[examples][:, None]
    same[:, 0] = False
    return torch.nn.functional.cross_entropy(
        scores.masked_fill(same, -torch.inf), torch.zeros(len(examples), dtype=torch.long)
    )


def pair_scores(
    model: VkoodForImageTextRetrieval,
    inputs: Inputs,
    examples: Tensor,
    candidates: Tensor,
    dropout: float = 0.0,
) -> Tensor:
    """Scores, (examples, texts), of the photographs of examples with the texts of others, (examples, texts)."""
    shape = candidates.shape
    batch = inputs.batch(candidates.flatten(), dropout)
    del batch["image_features"]
    texts = {name: values.unflatten(0, shape) for name, values in batch.items()}
    image = inputs.photographs[inputs.photograph[examples]].float()
    return model(image_features=torch.nn.functional.dropout(image, dropout), **texts).logits


@torch.no_grad()
def recalls(model: VkoodForImageTextRetrieval, inputs: Inputs, rows: Tensor) -> dict[str, float]:
    """Recall at 1, 5 and 10, both ways, among the photographs and captions of some examples."""
    photographs, image_of_text = inputs.photograph[rows].unique(return_inverse=True)
    first_rows = torch.stack([rows[image_of_text == place][0] for place in range(len(photographs))])
    scores = [
        torch.cat(
            [
                pair_scores(model, inputs, row[None], captions[None])[0]
                for captions in rows.split(_SCORED_AT_ONCE)
            ]
        )
        for row in first_rows
    ]
    return recall_at(torch.stack(scores), image_of_text)


def measured(
    inputs: Inputs,
    train_rows: Tensor,
    target_rows: Tensor,
    towers: tuple[Path, Path],
    settings: Settings,
    seeds: Sequence[int],
) -> list[dict[str, Any]]:
    """Train each arm with each seed on the rows `train_rows`, and rank the rows `target_rows`."""
    records: list[dict[str, Any]] = []
    for seed in seeds:
        for arm, (gate, own) in {
            "no knowledge": (NO_GATE, inputs.without_facts()),
            "unfiltered facts": (NO_GATE, inputs),
            "filtered facts": ({}, inputs),
        }.items():
            begin = time.process_time()
            model = new_model(towers, gate, settings, seed)

            def loss_of(
                places: Tensor, model: VkoodForImageTextRetrieval = model, own: Inputs = own
            ) -> Tensor:
                return ranking_loss(model, own, train_rows[places], settings.feature_dropout)

            train(model, loss_of, len(train_rows), settings, seed)
            figures = recalls(model, own, target_rows)
            records.append({"arm": arm, "seed": seed, **figures, "cpu_seconds": time.process_time() - begin})
            print(f"{arm}, seed {seed}: {figures}", flush=True)
    return records


def main(
    encoder: FactEncoder | None = None,
    towers: tuple[Path, Path] | None = None,
    settings: Settings = SETTINGS,
) -> None:
    """Run, print a table, and write the numbers."""
    options = _arguments()
    if options.root == DEFAULT_DATA and not (DEFAULT_DATA / "captions.csv").is_file():
        print(f"Skipped: no captions lie in {os.path.relpath(DEFAULT_DATA)}; name others by --root.")
        return
    if (options.test is None) != (options.test_images is None):
        raise SystemExit("--test and --test-images go together: name both or neither.")
    torch.set_num_threads(1)
    begin = time.process_time()
    captions, train_rows, target_rows = _captions(options)
    towers = towers or (image_tower_folder(options.scratch), text_tower_folder(options.scratch, SKETCH))
    texts = [caption.text for caption in captions]
    blank = new_model(towers, NO_GATE, settings, 0)
    inputs = encoded(
        blank.vkood, towers, [caption.photograph for caption in captions], texts, options.scratch
    )
    facts = looked_up(texts, [()] * len(texts), encoder or fact_encoder_of()[0], max_facts=MAX_FACTS)
    inputs = replace(inputs, facts=facts)
    prepared = time.process_time() - begin
    records = measured(
        inputs, torch.tensor(train_rows), torch.tensor(target_rows), towers, settings, options.seeds
    )
    content: dict[str, Any] = {
        "arms": records,
        "train_captions": len(train_rows),
        "target_captions": len(target_rows),
        "target_photographs": len({captions[row].photograph for row in target_rows}),
        "facts_per_caption": float(facts.counts[target_rows].float().mean()),
        "cpu_minutes": {"preparing": prepared / 60, "all": (time.process_time() - begin) / 60},
        "peak_memory_mib": peak_memory(),
        "setting": setting(),
    }
    print_tables(tables(content))
    write_json(options.json, content)


def _captions(options: argparse.Namespace) -> tuple[list[Caption], list[int], list[int]]:
    """All captions, and which rows of them are learnt from and which are ranked."""
    captions = read_captions(options.root / "captions.csv", options.root / "images")
    if options.test is not None:
        test = read_captions(options.test, options.test_images)
        return captions + test, list(range(len(captions))), list(range(len(captions), len(captions + test)))
    target_rows = [row for row, caption in enumerate(captions) if caption.split == "dev"]
    train_rows = [row for row, caption in enumerate(captions) if caption.split != "dev"]
    if not target_rows or not train_rows:
        raise SystemExit(
            f'{options.root / "captions.csv"} must have captions of the split "dev" and others, unless --test names a '
            "table of captions to rank."
        )
    return captions, train_rows, target_rows


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.real.flickr8k", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--root", type=Path, default=DEFAULT_DATA, help="the folder of captions.csv and images"
    )
    parser.add_argument("--test", type=Path, help="a table of other captions to rank")
    parser.add_argument("--test-images", type=Path, help="the folder of their photographs")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="a model each")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help="where the towers' outputs are kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
