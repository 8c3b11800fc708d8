"""The benchmark on captions, on pictures of one colour, with small random towers."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from benchmarks.real.flickr8k import __main__ as flickr8k
from benchmarks.real.frozen_inputs import Inputs
from benchmarks.real.fusion_training import Settings
from PIL import Image

from support.hashed_tower import HashedTower
from support.small_frozen_towers import save_towers
from vkood.knowledge import FactEncoder

COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255)}
SETTINGS = Settings(
    model={
        "hidden_size": 16,
        "num_attention_heads": 2,
        "num_fusion_layers": 1,
        "intermediate_size": 32,
        "pooling": "product",
        "fact_dim": 6,
        "output_states": False,
    },
    epochs=10,
    batch_size=8,
    learning_rate=1e-2,
    averaging=0.8,
)


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return save_towers(tmp_path_factory.mktemp("towers"))


def write_captions(root: Path, table: str, splits: Sequence[str]) -> None:
    (root / "images").mkdir(parents=True, exist_ok=True)
    lines = ["image,caption,split"]
    for place, split in enumerate(splits):
        colour = list(COLOURS)[place % 2]
        name = f"{split}{place}.png"
        Image.new("RGB", (20, 16), COLOURS[colour]).save(root / "images" / name)
        lines += [f"{name},a {colour} umbrella,{split}", f"{name},umbrella is {colour},{split}"]
    (root / table).write_text("\n".join(lines) + "\n")


def run(monkeypatch: pytest.MonkeyPatch, towers: tuple[Path, Path], scratch: Path, *options: object) -> None:
    monkeypatch.setattr(sys, "argv", ["flickr8k", *map(str, options), "--scratch", str(scratch)])
    flickr8k.main(FactEncoder(HashedTower(), scratch / "facts"), towers, SETTINGS)


def test_each_arm_learns_which_caption_is_whose(
    tmp_path: Path,
    towers: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_captions(tmp_path, "captions.csv", ["train"] * 16)
    write_captions(tmp_path / "apart", "held-out.csv", ["", ""])
    out = tmp_path / "out.json"
    test = ("--test", tmp_path / "apart" / "held-out.csv", "--test-images", tmp_path / "apart" / "images")
    run(monkeypatch, towers, tmp_path / "scratch", "--root", tmp_path, *test, "--seeds", 0, "--json", out)
    figures = json.loads(out.read_text())
    sizes = [figures[name] for name in ("train_captions", "target_captions", "target_photographs")]
    assert sizes == [32, 4, 2]
    assert figures["facts_per_caption"] == 10
    assert [record["arm"] for record in figures["arms"]] == [
        "no knowledge",
        "unfiltered facts",
        "filtered facts",
    ]
    assert all(record["text_recall@1"] == record["image_recall@1"] == 1 for record in figures["arms"])
    assert "2 photographs and 4 captions" in capsys.readouterr().out


def test_captions_of_the_same_photograph_are_no_false_ones(towers: tuple[Path, Path]) -> None:
    """Four examples of two photographs: of the four candidates of each, the two of the other photograph count."""
    torch.manual_seed(0)
    model = flickr8k.new_model(towers, {"kind": "none"}, SETTINGS, 0)
    inputs = Inputs(
        photographs=torch.randn(2, 5, 16),
        texts=torch.randn(4, 3, 16),
        text_mask=torch.ones(4, 3, dtype=torch.bool),
        photograph=torch.tensor([0, 0, 1, 1]),
        text=torch.arange(4),
    )
    rows = torch.arange(4)
    with torch.no_grad():
        loss = flickr8k.ranking_loss(model, inputs, rows, 0.0)
        scores = flickr8k.pair_scores(model, inputs, rows, rows.expand(4, 4))
    others = {0: [2, 3], 1: [2, 3], 2: [0, 1], 3: [0, 1]}
    expected = torch.stack(
        [scores[row, [row, *others[row]]].logsumexp(0) - scores[row, row] for row in range(4)]
    ).mean()
    torch.testing.assert_close(loss, expected)


def test_tables_that_do_not_fit_are_refused(
    tmp_path: Path, towers: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "bad.csv"
    table.write_text("image,text\n0.png,a red umbrella\n")
    with pytest.raises(ValueError, match="must have captions with the columns"):
        flickr8k.read_captions(table, tmp_path)
    table.write_text("image,caption\n0.png,a red umbrella\n")
    with pytest.raises(FileNotFoundError, match=r"0.png, which .* names, is not there"):
        flickr8k.read_captions(table, tmp_path)
    write_captions(tmp_path, "captions.csv", ["train"])
    with pytest.raises(SystemExit, match='captions of the split "dev"'):
        run(monkeypatch, towers, tmp_path, "--root", tmp_path)
    with pytest.raises(SystemExit, match="go together"):
        run(monkeypatch, towers, tmp_path, "--root", tmp_path, "--test", table)


def test_without_captions_it_is_skipped_with_a_sentence(
    tmp_path: Path,
    towers: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(flickr8k, "DEFAULT_DATA", tmp_path)
    run(monkeypatch, towers, tmp_path)
    assert capsys.readouterr().out.startswith("Skipped: no captions lie in")
