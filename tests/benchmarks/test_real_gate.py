"""The benchmark on photographs, with pictures of one colour and a tagger that reads the colour."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from benchmarks.real import gate, untrained_gates
from benchmarks.real.labelled_photographs import (
    Candidates,
    Material,
    drawn_candidates,
    facts_of,
    read_photographs,
)
from benchmarks.real.tags import Tags, cached_tags
from PIL import Image
from torch import Tensor

from vkood import OutlierLayer, PictureConcepts
from vkood.knowledge import FactStore
from vkood.mixture import Spherical

NOUNS = ("umbrella", "pizza", "elephant", "chair")


class ColourTagger:
    """Names the noun whose number is a picture's red; sure of it, but for the next one."""

    names: Sequence[str] = NOUNS
    fingerprint = "colours"

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, photographs: Sequence[Path], /) -> list[PictureConcepts]:
        self.calls += 1
        shown = []
        for path in photographs:
            with Image.open(path) as picture:
                red = picture.getpixel((0, 0))[0]
            names = ((NOUNS[red], 0.9), (NOUNS[(red + 1) % len(NOUNS)], 0.1))
            shown.append(PictureConcepts(names, concepts=()))
        return shown


def encode(sentences: Sequence[str]) -> Tensor:
    """A direction for each noun, and one that all sentences have in part."""
    named = [[float(noun in sentence) for noun in NOUNS] for sentence in sentences]
    return torch.nn.functional.normalize(
        torch.cat([torch.tensor(named), torch.ones(len(named), 1)], 1), dim=-1
    )


@pytest.fixture
def table(tmp_path: Path) -> Path:
    lines = ["image,noun,split"]
    for index in range(16):
        noun = index % len(NOUNS)
        Image.new("RGB", (8, 8), (noun, 0, 0)).save(tmp_path / f"{index}.png")
        lines.append(f"{index}.png,{NOUNS[noun]},{'train' if index < 8 else 'test'}")
    Image.new("RGB", (8, 8)).save(tmp_path / "unknown.png")
    lines.append("unknown.png,gribblefrotz,test")
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(lines) + "\n")
    return labels


def run(monkeypatch: pytest.MonkeyPatch, *options: object, tagger: ColourTagger | None = None) -> None:
    monkeypatch.setattr(sys, "argv", ["gate", *map(str, options)])
    gate.main(tagger or ColourTagger(), encode)


def test_facts_of_the_pictured_noun_are_told_apart(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(untrained_gates, "ARMS", [untrained_gates.ARMS[0], untrained_gates.ARMS[6]])
    out, scratch = table.parent / "out.json", table.parent / "scratch"
    tagger = ColourTagger()
    options = ("--labels", table, "--images", table.parent, "--json", out, "--scratch", scratch)
    run(monkeypatch, *options, "--arms", tagger=tagger)
    figures = json.loads(out.read_text())
    assert figures["auroc_within"] == figures["auroc_pooled"] == 1
    assert figures["kept_most"] == 1  # of a half with two nouns
    assert figures["let_through"] == 0
    assert figures["seconds_per_picture"] > 0
    assert "gribblefrotz" in capsys.readouterr().out
    arms = {(arm["arm"], arm["kind"]): arm for arm in figures["arms"]}
    assert len(arms) == 6
    assert all(arm["auroc_pooled"] == 1 for arm in arms.values())
    calls = tagger.calls
    run(monkeypatch, *options, tagger=tagger)
    assert tagger.calls == calls + 1  # to time it: what it said is known


def test_a_changed_photograph_is_tagged_anew(table: Path) -> None:
    tagger, path = ColourTagger(), table.parent / "0.png"
    before = cached_tags(tagger, [path], table.parent / "scratch")
    Image.new("RGB", (9, 9), (2, 0, 0)).save(path)
    after = cached_tags(tagger, [path], table.parent / "scratch")
    assert (int(before.concepts[0, 0]), int(after.concepts[0, 0])) == (0, 2)


def test_scores_are_relative_to_what_is_usual() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(6, 5), dim=-1)
    names, facts = vectors[:4], vectors[4:]
    tags = Tags(torch.tensor([[0, 1]]), torch.tensor([[0.6, 0.3]]))
    drawn = Candidates(torch.tensor([[0, 1]]), torch.ones(1, 2).bool(), torch.tensor([[False, True]]))
    material = Material([], tags, drawn, names, {}, facts)
    layer = OutlierLayer(5, 5, num_components=4, joint="identity", family=Spherical(kappa=15.0)).eval()
    weights = torch.tensor([[0.6, 0.3]]) ** 0.4
    out = layer(facts[None], context=names[None, :2], context_mask=weights / weights.sum())
    usual = -torch.logsumexp(15 * facts @ names.T, -1) + torch.tensor(4.0).log()
    torch.testing.assert_close(gate.scores_as_they_come(material)[0], out.score[0] - usual)


def test_candidates_of_others_hold_of_no_pictured_noun() -> None:
    nouns = ["wheelchair", "chair", "pizza"]
    with FactStore.open() as store:
        facts = facts_of(nouns, store)
    every = [(noun, fact) for noun, own in facts.items() for fact in own]
    drawn = drawn_candidates(nouns, facts, seed=0)
    for row, noun in enumerate(nouns):
        owners = [every[index][0] for index in drawn.facts[row][drawn.mask[row] & drawn.outlier[row]]]
        assert set(owners) == ({"pizza"} if noun != "pizza" else {"wheelchair", "chair"})
        own = [every[index][0] for index in drawn.facts[row][drawn.mask[row] & ~drawn.outlier[row]]]
        assert set(own) == {noun}


def test_tables_that_do_not_fit_are_refused(table: Path) -> None:
    bad = table.parent / "bad.csv"
    bad.write_text("picture,noun\n0.png,pizza\n")
    with pytest.raises(ValueError, match=r"must have the columns `image` and `noun`"):
        read_photographs(bad, table.parent)
    bad.write_text("image,label\nnone.png,pizza\n")
    with pytest.raises(FileNotFoundError, match=r"none.png, which .* names, is not there"):
        read_photographs(bad, table.parent)
    bad.write_text("image,label\n0.png,pizza\n")
    with pytest.raises(ValueError, match=r"at least two nouns"):
        gate.prepared(bad, table.parent, ColourTagger(), encode, table.parent)


def test_without_photographs_it_is_skipped_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gate, "DEFAULT_DATA", tmp_path)
    run(monkeypatch)
    assert capsys.readouterr().out.startswith("Skipped: no photographs lie in")
