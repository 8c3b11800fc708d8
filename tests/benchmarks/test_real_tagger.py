"""The benchmark of the tagger: what counts as a hit, and how well probabilities are calibrated."""

import json
import sys
from pathlib import Path

import pytest
import torch
from benchmarks.real import tagger as benchmark
from benchmarks.real.labelled_photographs import Photograph
from PIL import Image

from vkood import ConceptTagger, PictureConcepts
from vkood.knowledge import FactStore
from vkood.pipelines.concept_tagger import ClassConcepts, Cut


def shown(*concepts: tuple[str, float]) -> PictureConcepts:
    return PictureConcepts(names=(), concepts=concepts)


def test_the_noun_narrow_hypernyms_and_any_are_counted_apart():
    kinds = {"emu": ["flightless bird", "bird", "animal"]}
    photographs = [Photograph(Path("x"), "emu", "test")] * 4
    pictures = [
        shown(("emu", 0.9)),
        shown(("bird", 0.9)),
        shown(("animal", 0.9)),
        shown(*((f"thing {number}", 0.5) for number in range(10)), ("emu", 0.4)),  # only the eleventh
    ]
    figures, of_nouns = benchmark.shares_of_hits(photographs, pictures, kinds)
    assert (figures["noun"], figures["noun_or_narrow_hypernym"], figures["noun_or_hypernym"]) == (
        0.25,
        0.5,
        0.75,
    )
    assert of_nouns == {"emu": 0.75}


def test_calibrated_probabilities_have_no_error_and_others_have():
    truths = [frozenset(["a"]), frozenset(["a"]), frozenset(["a"]), frozenset(["b"])]
    calibrated = [shown(("a", 0.75))] * 4
    assert benchmark.calibration_error(calibrated, ["a"], truths) == pytest.approx(0)
    assert benchmark.calibration_error([shown(("a", 0.25))] * 4, ["a"], truths) == pytest.approx(0.5)


def test_hypernyms_are_of_the_pictured_sense_or_of_the_store():
    with FactStore.open() as store:
        kinds = benchmark.hypernyms(["emu", "spoon"], store)
    assert kinds["emu"][-1] == "animal"
    assert kinds["spoon"]


class RedClassifier:
    """Sees the class whose number is a picture's red."""

    exclusive, temperature, fingerprint = True, 1.0, "red"
    classes = (
        ClassConcepts("emu", ("bird",), ("animal",)),
        ClassConcepts("piano", ("grand piano",), ("piano",)),
    )

    def __call__(self, pictures):
        reds = [int(picture.getpixel((0, 0))[0]) for picture in pictures]
        return 2 * torch.nn.functional.one_hot(torch.tensor(reds), 2).float()


def test_the_command_writes_its_figures(tmp_path, monkeypatch):
    lines = ["image,noun,split"]
    for number in range(12):
        wrong = number >= 10
        Image.new("RGB", (4, 4), (number % 2 ^ wrong, 0, 0)).save(tmp_path / f"{number}.png")
        lines.append(
            f"{number}.png,{('emu', 'grand piano')[number % 2]},{('train', 'test')[number % 3 == 0]}"
        )
    labels, out = tmp_path / "labels.csv", tmp_path / "out.json"
    labels.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(
        sys, "argv", ["tagger", "--labels", str(labels), "--images", str(tmp_path), "--json", str(out)]
    )
    benchmark.main(ConceptTagger.from_classifier(RedClassifier(), cut=Cut(mass=0.5)))
    figures = json.loads(out.read_text())
    assert figures["noun"] == pytest.approx(5 / 12)
    assert figures["noun_or_hypernym"] == pytest.approx(10 / 12)
    assert 0 < figures["fitted_temperature"] < 10
    assert set(figures["of_nouns"]) == {"emu", "grand piano"}


def test_without_photographs_it_is_skipped_with_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "DEFAULT_DATA", tmp_path)
    monkeypatch.setattr(sys, "argv", ["tagger"])
    benchmark.main()
    assert "Skipped: no photographs lie in" in capsys.readouterr().out
