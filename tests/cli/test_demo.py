"""`vkood demo`: what it refuses, what it calls, and what it says at the end."""

import pytest
from PIL import Image
from typer.testing import CliRunner

import vkood.demo.photographs
import vkood.demo.run
from vkood.cli import app
from vkood.knowledge import LinkedFact
from vkood.reporting.photo_explanation import JudgedFact, PhotoExplanation

ARMS = ("no_facts", "unfiltered", "filtered")
FLOODS = {"irrelevant": ("0", "3", "12", "48", "150"), "contradicting": ("6", "12", "24", "48")}
RESULTS = {
    "seconds": 12.0,
    "num_questions": {"easy_vqa": 9673, "knowledge": 888},
    "easy_vqa": {"accuracy": 0.97, "by_arm": dict.fromkeys(ARMS, 0.97)},
    "knowledge": {
        arm: {kind: dict.fromkeys(numbers, 0.125) for kind, numbers in FLOODS.items()} for arm in ARMS
    },
    "quick": True,
    "filter": {
        kind: {number: {"auroc": 0.987, "fpr95": 0.031} for number in numbers}
        for kind, numbers in FLOODS.items()
    },
}


@pytest.fixture
def calls(monkeypatch):
    recorded = []

    def stub(output, seed, quick, console):
        recorded.append((output, seed, quick))
        return RESULTS

    monkeypatch.setattr(vkood.demo.run, "run_demo", stub)
    return recorded


def run(*arguments):
    return CliRunner().invoke(app, ["demo", *map(str, arguments)])


def train(*arguments):
    return run("--train", *arguments)


def refused(*arguments):
    result = train(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr


@pytest.fixture
def photographs(monkeypatch):
    """Where the photographs' demonstration writes to."""
    folders = []
    fact = JudgedFact(fact=LinkedFact("a cat purrs."), score=-3.0, margin=2.6, reason="fits tabby cat (90%)")

    def stub(output):
        folders.append(output)
        options = {"text": "Is it?", "picture": Image.new("RGB", (8, 8)), "concepts": (("cat", 0.97),)}
        return [PhotoExplanation(name="data/cat.png", kept=(fact,), dropped=(), threshold=-0.4, **options)]

    monkeypatch.setattr(vkood.demo.photographs, "explain_photographs", stub)
    return folders


def test_photographs(photographs, calls, tmp_path):
    result = run("--output", tmp_path / "new" / "out")
    assert result.exit_code == 0, result.output
    assert photographs == [tmp_path / "new" / "out"]
    assert calls == []
    for name in ("photographs.html", "photographs.json"):
        assert str(tmp_path / "new" / "out" / name) in result.stdout.replace("\n", "")
    for part in (
        "cat.png",
        "cat 97%",
        "kept 1",
        "a cat purrs.",
        "+2.60",
        "vkood explain",
        "vkood demo --train",
    ):
        assert part in result.stdout


def test_options_of_training_need_it(photographs, calls, tmp_path):
    for options in (["--quick"], ["--seed", 3]):
        result = run("--output", tmp_path, *options)
        assert result.exit_code == 2
        assert f"{options[0]} needs --train" in result.stderr
    assert photographs == calls == []


def test_photographs_need_packages(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr("vkood.cli.demo.PHOTO_PACKAGES", ("json", "no_such_package"))
    result = run("--output", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no_such_package" in result.stderr
    assert photographs == []


def test_it_runs_and_tells(calls, tmp_path):
    result = train("--output", tmp_path / "new" / "out", "--seed", 3, "--quick")
    assert result.exit_code == 0, result.output
    assert calls == [(tmp_path / "new" / "out", 3, True)]
    for name in ("report.html", "results.json", "model"):
        assert str(tmp_path / "new" / "out" / name) in result.stdout.replace("\n", "")
    assert "0.970" in result.stdout
    assert "0.987 (0.031)" in result.stdout
    assert "quick run" in result.stdout


def test_defaults(calls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train().exit_code == 0
    assert [(str(output), seed, quick) for output, seed, quick in calls] == [("vkood-demo", 0, False)]
    assert list((tmp_path / "vkood-demo").iterdir()) == []


def test_files_of_others_stay(calls, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert train("--output", tmp_path).exit_code == 0
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_output_is_a_file(calls, tmp_path):
    (tmp_path / "file").write_text("")
    assert "--output must be a folder, but" in refused("--output", tmp_path / "file")
    assert "--output must be in a folder to write to" in refused("--output", tmp_path / "file" / "below")
    assert calls == []


def test_output_cannot_be_written(calls, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "--output must be in a folder to write to" in refused("--output", tmp_path / "new")
    assert calls == []


def test_seeds_are_not_negative(calls, tmp_path):
    assert "--seed must be a number from 0" in refused("--output", tmp_path, "--seed", -1)
    assert calls == []


def test_missing_packages(calls, tmp_path, monkeypatch):
    monkeypatch.setattr("vkood.cli.demo.PACKAGES", ("json", "no_such_package"))
    assert 'install them with `pip install -e ".[demo]"`' in refused("--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert calls == []


def test_a_full_disk(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vkood.demo.run, "run_demo", full)
    assert "No space left on device" in refused("--output", tmp_path)
