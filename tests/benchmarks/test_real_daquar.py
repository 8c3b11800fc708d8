"""The benchmark on questions about photographs, on pictures of one colour, with small random towers."""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmarks.real import frozen_towers
from benchmarks.real.daquar import __main__ as daquar
from benchmarks.real.daquar.language import language_alone
from benchmarks.real.daquar.questions import Question, read_questions
from benchmarks.real.frozen_towers import (
    PhotoTokens,
    PhotoTokensConfig,
    SentenceTokens,
    SentenceTokensConfig,
)
from benchmarks.real.fusion_training import Settings
from benchmarks.real.photo_facts import Facts, belonging, looked_up
from PIL import Image
from transformers import BertConfig

from support.hashed_tower import HashedTower
from support.small_frozen_towers import save_towers
from vkood import PictureConcepts
from vkood.knowledge import FactEncoder
from vkood.models.towers import SentenceEncoder
from vkood.pipelines.concept_tagger.imagenet import EfficientNetLite2
from vkood.pipelines.encoding import FACT_ENCODER, sentence_encoder_folder

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
    epochs=40,
    batch_size=8,
    learning_rate=1e-2,
    averaging=0.8,
)


class Tagger:
    """Sees an umbrella in every photograph."""

    names = ("umbrella", "whale")
    fingerprint = "umbrellas"
    calls = 0

    def __call__(self, photographs: Sequence[Path], /) -> list[PictureConcepts]:
        Tagger.calls += 1
        return [
            PictureConcepts(names=(("umbrella", 0.9),), concepts=(("umbrella", 0.9),)) for _ in photographs
        ]


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return save_towers(tmp_path_factory.mktemp("towers"))


def write_questions(root: Path, table: str, splits: Sequence[str]) -> None:
    (root / "images").mkdir(parents=True, exist_ok=True)
    lines = ["image,question,answer,split"]
    for place, split in enumerate(splits):
        colour = list(COLOURS)[place % 2]
        name = f"{split}{place}.png"
        Image.new("RGB", (20, 16), COLOURS[colour]).save(root / "images" / name)
        lines.append(f"{name},what color is the umbrella ?,{colour},{split}")
        lines.append(f"{name},what is the umbrella made of ?,cloth,{split}")
    (root / table).write_text("\n".join(lines) + "\n")


def run(
    monkeypatch: pytest.MonkeyPatch,
    towers: tuple[Path, Path],
    scratch: Path,
    *options: object,
    epochs: int = SETTINGS.epochs,
) -> None:
    monkeypatch.setattr(sys, "argv", ["daquar", *map(str, options), "--scratch", str(scratch)])
    daquar.main(
        Tagger, FactEncoder(HashedTower(), scratch / "facts"), towers, replace(SETTINGS, epochs=epochs)
    )


def test_each_arm_answers_what_language_alone_cannot(
    tmp_path: Path,
    towers: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_questions(tmp_path, "questions.csv", ["train"] * 12 + ["val"] * 4)
    out = tmp_path / "out.json"
    run(monkeypatch, towers, tmp_path / "scratch", "--root", tmp_path, "--seeds", 0, "--json", out)
    figures = json.loads(out.read_text())
    assert figures["language alone"] == 0.75
    assert (figures["train_questions"], figures["target_questions"], figures["facts_per_question"]) == (
        24,
        8,
        5,
    )
    arms = {record["arm"]: record for record in figures["arms"]}
    assert list(arms) == ["no knowledge", "unfiltered facts", "filtered facts", "learnt gate"]
    assert all(record["accuracy"] == 1 for record in arms.values())
    assert arms["unfiltered facts"]["mean_gate"] == 1 >= arms["learnt gate"]["mean_gate"] > 0
    assert 0 <= figures["kept_per_question"] <= 5
    assert "language alone (linear SVM)" in capsys.readouterr().out

    write_questions(tmp_path / "apart", "held-out.csv", ["", "", ""])
    calls = Tagger.calls
    test = ("--test", tmp_path / "apart" / "held-out.csv", "--test-images", tmp_path / "apart" / "images")
    options = ("--root", tmp_path, *test, "--seeds", 0, 1, "--json", out)
    run(monkeypatch, towers, tmp_path / "scratch", *options, epochs=1)
    figures = json.loads(out.read_text())
    assert (figures["train_questions"], figures["target_questions"], len(figures["arms"])) == (32, 6, 8)
    assert Tagger.calls == calls + 1
    run(monkeypatch, towers, tmp_path / "scratch", "--root", tmp_path, *test, "--seeds", 0, epochs=1)
    assert Tagger.calls == calls + 1  # what it said is kept


def test_language_alone_knows_the_commonest_answer_to_each_wording() -> None:
    training = [
        Question(Path(f"{place % 5}.png"), text, answer, "train")
        for place, (text, answer) in enumerate([("how many ?", "2"), ("what color ?", "red")] * 10)
    ]
    target = [Question(Path("new.png"), text, "", "") for text in ("what color ?", "how many ?")]
    assert language_alone(training, target) == ["red", "2"]


def test_facts_are_those_of_the_text_and_of_its_photograph(tmp_path: Path) -> None:
    encoder = FactEncoder(HashedTower(), tmp_path)
    texts = ["what is it used for ?", "what is it used for ?", "qwertz ?"]
    facts = looked_up(texts, [(("umbrella", 0.9),), (), ()], encoder, max_facts=3)
    vectors, mask = facts.at(torch.tensor([0, 2]))
    assert mask.tolist() == [[True] * 3, [False] * 3]
    assert vectors.shape == (2, 3, 6)
    assert facts.at(torch.tensor([2]))[1].shape == (1, 0)


def test_facts_that_belong_come_first_and_others_are_left_out(tmp_path: Path) -> None:
    encoder = FactEncoder(SentenceEncoder(sentence_encoder_folder(FACT_ENCODER)), tmp_path)
    sentences = ["An umbrella keeps off the rain.", "A whale lives in the sea.", "An umbrella can be folded."]
    facts = Facts(
        torch.from_numpy(encoder.encode(sentences)), torch.tensor([[1, 0, 2], [0, 2, -1], [1, 0, -1]])
    )
    shown = [PictureConcepts(names=((name, 0.9),), concepts=()) for name in ("umbrella", "umbrella", "whale")]
    kept = belonging(facts, shown, ("umbrella", "whale", "piano"), encoder)
    assert kept.rows.tolist() == [[0, 2, -1], [0, 2, -1], [1, -1, -1]]
    assert kept.counts.tolist() == [2, 2, 1]


def test_a_cell_is_what_lies_there() -> None:
    """A token for the whole picture, then cells row by row: their colours are the picture's there."""
    tower = PhotoTokens(PhotoTokensConfig(image_size=[96, 128])).eval()
    pixels = torch.zeros(1, 3, 96, 128)
    pixels[:, 0, :32, :32] = 1
    with torch.no_grad():
        tokens = tower(pixels).last_hidden_state
    assert tokens is not None
    assert tokens.shape == (1, 13, 1294)
    assert tokens[0, 1:, 1280].tolist() == [2, *[0] * 11]
    torch.testing.assert_close(tokens[0, 0, :1000].std(unbiased=False), torch.tensor(1.0), atol=0.05, rtol=0)
    assert len({tuple(place) for place in tokens[0, 1:, -8:].tolist()}) == 12


def test_the_first_token_is_the_mean_and_has_the_phrases() -> None:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = SentenceTokensConfig(encoder_config=BertConfig(**small, vocab_size=9), sketch=64)
    tower = SentenceTokens(config).eval()
    ids = torch.tensor([[1, 2, 3, 4, 0], [1, 2, 3, 4, 5], [1, 3, 2, 4, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
    with torch.no_grad():
        tokens = tower(ids, mask).last_hidden_state
        alone = tower(ids[:1, :4], mask[:1, :4]).last_hidden_state
        states = tower.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    assert tokens.shape == (3, 5, 80) == (3, 5, config.hidden_size)
    torch.testing.assert_close(tokens[0, 0, :16], states[0, :4].mean(0))
    torch.testing.assert_close(tokens[:, 1:, :16], states[:, 1:])
    torch.testing.assert_close(tokens[:, 0, 16:].square().mean(-1), torch.full((3,), 0.25))
    assert not tokens[:, 1:, 16:].any()
    assert torch.equal(tokens[0, 0, 16:], alone[0, 0, 16:])  # padding is no phrase
    assert not torch.equal(tokens[0, 0, 16:], tokens[2, 0, 16:])  # the order of words counts


def test_towers_of_the_package_index_are_loaded_as_towers(tmp_path: Path) -> None:
    towers = frozen_towers.image_tower_folder(tmp_path), frozen_towers.text_tower_folder(tmp_path)
    model = daquar.new_model(towers, ["red"], {"kind": "none"}, daquar.SETTINGS, 0)
    weights = EfficientNetLite2().network.state_dict()
    kept = model.vkood.image_tower.encoder.network.state_dict()
    assert all(torch.equal(kept[name], weight) for name, weight in weights.items())
    assert not any(parameter.requires_grad for parameter in model.vkood.text_tower.parameters())
    output = frozen_towers.text_tokens(model.vkood.text_tower, towers[1], ["what is it ?", "what ?"])
    assert output["mask"].sum(1).tolist() == [6, 4]
    expected = SentenceEncoder(sentence_encoder_folder(FACT_ENCODER))(["what is it ?"])[0]
    cosine = torch.cosine_similarity(output["states"][0, 0, :384].float(), expected, dim=0)
    assert cosine > 0.999


def test_tensors_are_made_once_for_each_of_what_they_depend_on(tmp_path: Path) -> None:
    calls = []

    def make() -> dict[str, torch.Tensor]:
        calls.append(1)
        return {"numbers": torch.arange(3)}

    for parts in (("a", 1), ("a", 1), ("a", 2)):
        assert frozen_towers.kept_tensors(tmp_path, "some", parts, make)["numbers"].tolist() == [0, 1, 2]
    assert len(calls) == 2


def test_tables_that_do_not_fit_are_refused(
    tmp_path: Path, towers: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "bad.csv"
    table.write_text("image,question\n0.png,what ?\n")
    with pytest.raises(ValueError, match=r"must have questions with the columns"):
        read_questions(table, tmp_path)
    table.write_text("image,question,answer\n0.png,what ?,it\n")
    with pytest.raises(FileNotFoundError, match=r"0.png, which .* names, is not there"):
        read_questions(table, tmp_path)
    write_questions(tmp_path, "questions.csv", ["train"])
    with pytest.raises(SystemExit, match=re.escape('questions of the split "val"')):
        run(monkeypatch, towers, tmp_path, "--root", tmp_path)
    with pytest.raises(SystemExit, match="go together"):
        run(monkeypatch, towers, tmp_path, "--root", tmp_path, "--test", table)


def test_without_questions_it_is_skipped_with_a_sentence(
    tmp_path: Path,
    towers: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(daquar, "DEFAULT_DATA", tmp_path)
    run(monkeypatch, towers, tmp_path)
    assert capsys.readouterr().out.startswith("Skipped: no questions lie in")
