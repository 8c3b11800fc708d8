"""Hostile names and texts in every command that prints them: shown as they are written, never acted on."""

import json
import shutil

import pytest
from rich.console import Console
from typer.testing import CliRunner

from support import prepared
from vkood.cli import app, evaluate_tables, inputs
from vkood.cli.output import plain, say, standard_output
from vkood.knowledge import Fact, build_store
from vkood.knowledge.sources.batches import FactSource, SourceInfo

MARKUP = "[/b][link=x]y[/] :smile:"
ESCAPES = "\x1b[2J\u202e\x9b0m"
SHOWN = r"\x1b[2J\u202e\x9b0m"


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert not set("\x1b\u202e\x9b") & set(result.output)
    return result


def test_data_check(tmp_path):
    folder = tmp_path / f"{MARKUP}{ESCAPES}"
    shutil.copytree(prepared.tables("sbu"), folder)
    (folder / "sbu.prepared.json").unlink()  # it names the tables
    for table in folder.glob("sbu_0.arrow"):
        table.rename(folder / f"[bold]{ESCAPES}.arrow")
    result = run("data", "check", folder)
    assert result.exit_code == 0, result.output
    assert f"{MARKUP}{SHOWN}" in " ".join(result.stdout.split())
    assert f"[bold]{SHOWN}" in result.stdout


def test_data_prepare(tmp_path):
    folder = tmp_path / f"{MARKUP}{ESCAPES}"
    images = prepared.raw("own-questions") / "images"
    (tmp_path / "mine.csv").write_text(
        f"image,question,answer\n{next(images.iterdir()).name},what?,red\n{MARKUP}{ESCAPES}.png,what?,red\n"
    )
    arguments = ("--file", tmp_path / "mine.csv", "--root", images, "--output", folder, "--max-bad", "1")
    result = run("data", "prepare", "own", "--facts", "none", *arguments)
    assert result.exit_code == 0, result.output
    assert f"{MARKUP}{SHOWN}" in result.stdout
    assert f"the tables are in {tmp_path}/{MARKUP}{SHOWN}" in result.stdout


def test_the_store_commands(tmp_path):
    path = tmp_path / f"{MARKUP}{ESCAPES}.db"
    path.parent.mkdir(parents=True)
    source = SourceInfo(f"name {MARKUP}{ESCAPES}", f"licence {MARKUP}{ESCAPES}")
    build_store(path, [FactSource([Fact("kite", "UsedFor", f"flying {MARKUP}")], source)])
    result = run("knowledge", "stats", "--store", path)
    assert result.exit_code == 0, result.output
    assert f"name {MARKUP}{SHOWN}" in result.stdout
    assert f"licence {MARKUP}{SHOWN}" in result.stdout
    assert f"{MARKUP}{SHOWN}.db" in result.stdout
    result = run("knowledge", "lookup", f"a kite {MARKUP}{ESCAPES}", "--store", path)
    assert result.exit_code == 0, result.output
    assert f"a kite {MARKUP}{SHOWN}" in result.stdout


def test_results_of_tables(capsys):
    results = {f"table {MARKUP}": {f"metric {ESCAPES}": 0.5}, f"none {MARKUP}{ESCAPES}": {}}
    evaluate_tables._print(results, as_json=True)
    assert json.loads(capsys.readouterr().out) == results
    evaluate_tables._print(results, as_json=False)
    shown = capsys.readouterr().out
    assert f"table {MARKUP}" in shown
    assert f"metric {SHOWN}" in shown
    assert f"none {MARKUP}{SHOWN}: no answers" in shown


def test_a_pipe_gets_whole_lines(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert standard_output().width >= 1_000
    monkeypatch.setenv("COLUMNS", "40")
    assert standard_output().width == 40


def test_refusals_and_lines(capsys):
    with pytest.raises(Exception):  # noqa: B017 - Typer's way out
        inputs.refuse(f"no {MARKUP}{ESCAPES}\nmore")
    say(f"line {MARKUP}{ESCAPES}\nmore")
    shown = capsys.readouterr()
    assert shown.err == f"vkood: no {MARKUP}{SHOWN} more\n"
    assert shown.out == f"line {MARKUP}{SHOWN}\\nmore\n"


def test_plain_takes_no_markup():
    console = Console(width=100, force_terminal=False)
    with console.capture() as captured:
        console.print(plain(f"{MARKUP}{ESCAPES}", "bold"))
    assert captured.get() == f"{MARKUP}{SHOWN}\n"


@pytest.mark.parametrize(
    "command", ["predict --image a --text b", "data check", "knowledge stats --store", "evaluate"]
)
def test_arguments_that_are_refused(command, tmp_path):
    result = run(*command.split(), tmp_path / f"{MARKUP}{ESCAPES}")
    assert result.exit_code == 2
    assert "Traceback" not in result.output
