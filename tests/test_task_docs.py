"""Every command line of the tasks' pages is carried out: with small new towers in the place of pretrained ones."""

import html
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vkood.cli import app
from vkood.data.tiny import write_tiny

DOCS = Path(__file__).parents[1] / "docs"
FEW = ("num_gpus=0", "optimisation.steps=1", "data.evaluate_limit=4")


def pages():
    """The page of all tasks, and those that it links to, in its order."""
    first = DOCS / "tasks.md"
    return [first, *(DOCS / name for name in re.findall(r"\]\((tasks/[\w-]+\.md)\)", first.read_text()))]


def commands(page):
    return [line.strip() for line in page.read_text().splitlines() if line.startswith("    vkood ")]


def test_every_page_is_linked():
    assert {*pages()} == {DOCS / "tasks.md", *(DOCS / "tasks").iterdir()}


def small(words):
    """A training as small as can be: new small towers, one step; that of a file we have not, a dry run."""
    if "--dry-run" in words or any(word.endswith(".pth") for word in words):
        return [*words, *(["--dry-run"] if "--dry-run" not in words else [])]
    left = [word for word in words if word not in ("clip16", "text-roberta", "tiny")]
    if words[1].startswith("easy-vqa"):  # small as it is
        return [*left, *FEW]
    return [*left[:2], "tiny", *left[2:], *FEW]


def test_there_are_commands():
    assert sum(len(commands(page)) for page in pages()) > 30


def groups():
    """Pages whose commands begin with each other's runs, and every other page by itself."""
    chain = [page for page in pages() if page.stem in ("pretraining", "vqa", "okvqa", "nlvr2")]
    return [chain, *([page] for page in pages() if page not in chain)]


@pytest.mark.slow
@pytest.mark.parametrize("group", groups(), ids=lambda group: group[-1].stem)
def test_commands(group, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = {"visual-genome": "vg", "conceptual-captions": "cc"}
    for name in (
        "vqav2",
        "okvqa",
        "nlvr2",
        "coco",
        "flickr30k",
        "visual-genome",
        "sbu",
        "conceptual-captions",
    ):
        write_tiny(name, f"raw/{folders.get(name, name)}")
    picture = next(Path("raw/vqav2/val2014").iterdir())
    for command in (command for page in group for command in commands(page)):
        words = shlex.split(command.replace("PICTURE", str(picture)))[1:]
        if words[0] == "train":
            words = small(words)
        if words[0] == "evaluate" and "--predictions" not in words:
            words += ["--limit", "36"]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, (command, result.output, result.exception)


def test_the_papers_commands_are_those_that_are_tested():
    text = (DOCS / "reproduction.md").read_text()
    from recipes import test_published as published

    for command in (published.PRETRAIN, published.FINE_TUNE, published.TEST):
        assert f"    python vkood_vilt/train_vilt.py {command}\n" in text


def test_a_task_of_ones_own(tmp_path, monkeypatch, capsys):
    """The page's commands and its example, from a table of captions to a prediction."""
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "adding-a-task.md").read_text()
    scope = {"__name__": "caption_matching"}
    for block in re.findall(r"^```python\n(.*?)^```|^    vkood (.*?)$", text, flags=re.DOTALL | re.MULTILINE):
        code, command = block
        if code:
            exec(compile(code, "docs/adding-a-task.md", "exec"), scope)
            continue
        picture = next(Path("raw").rglob("*.png"), "PICTURE")
        result = CliRunner().invoke(app, shlex.split(command.replace("PICTURE", str(picture))))
        assert result.exit_code == 0, (command, result.output, result.exception)
    assert "{'captions_val': {'accuracy': " in capsys.readouterr().out
    report = html.unescape(Path("runs/matching/report.html").read_text())
    assert report.count("The caption is the picture's own: yes.") == 6
    assert len(Path("results/captions_val.jsonl").read_text().splitlines()) > 3
    assert re.search(r"[\d.]+  (yes|no)", result.output)
