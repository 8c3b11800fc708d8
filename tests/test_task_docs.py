"""Every command line of docs/tasks.md is carried out: small ones in full, those with pretrained towers as a dry run."""

import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vkood.cli import app
from vkood.data.tiny import write_tiny

DOCS = Path(__file__).parents[1] / "docs"
FEW = ("num_gpus=0", "optimisation.steps=1", "data.evaluate_limit=4")


def commands(name):
    lines = (DOCS / name).read_text().splitlines()
    return [line.strip() for line in lines if line.startswith("    vkood ")]


@pytest.mark.slow
def test_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = commands("tasks.md")
    assert len(found) > 20
    write_tiny("vqav2", "raw/vqav2")
    picture = next(Path("raw/vqav2/val2014").iterdir())
    for command in found:
        words = shlex.split(command.replace("PICTURE", str(picture)))[1:]
        if words[0] == "train" and "--dry-run" not in words:
            words += FEW if "tiny" in words else ["--dry-run"]
        if words[:2] == ["evaluate", "runs/vqa/best"]:
            shutil.copytree("runs/first", "runs/vqa")
        if words[0] == "evaluate" and "--predictions" not in words:
            words += ["--limit", "36"]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, (command, result.output, result.exception)


def test_the_papers_commands_are_those_that_are_tested():
    text = (DOCS / "reproduction.md").read_text()
    from recipes import test_published as published

    for command in (published.PRETRAIN, published.FINE_TUNE, published.TEST):
        assert f"    python vkood_vilt/train_vilt.py {command}\n" in text
