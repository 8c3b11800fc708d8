"""`vkood knowledge build`: stores from the command line, or one sentence that says why not."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from support.command_line import refusal
from support.synthetic_dump import assertion
from vkood.cli import app
from vkood.knowledge import FactStore
from vkood.knowledge.building.spool import Spool

PROGRAM = "from vkood.cli import main; main()"


def run(*arguments):
    return CliRunner().invoke(app, ["knowledge", "build", *map(str, arguments)])


def refused(*arguments):
    """Run a command that has to be refused; returns the sentence."""
    return refusal(run(*arguments))


@pytest.fixture
def dump(tmp_path):
    path = tmp_path / "dump.csv"
    lines = [assertion(f"/c/en/cat_{number}", weight=1 + number % 2) for number in range(200)]
    path.write_text("".join([*lines, "bad\n", assertion("/c/fr/chat", end="/c/fr/animal")]))
    return path


@pytest.fixture
def output(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "facts.db"


def test_conceptnet(dump, output):
    result = run("conceptnet", dump, "--output", output)
    assert result.exit_code == 0, result.output
    for shown in ("202", "200", "1"):
        assert shown in result.stdout
    assert (
        result.stderr
        == "Unreadable: dump.csv, line 201: it must have 5 columns separated by tabs, but has 1\n"
    )
    with FactStore.open(output) as store:
        assert len(store) == 200
    assert os.listdir(output.parent) == ["facts.db"]


def test_a_build_as_json(dump, output):
    record = json.loads(run("conceptnet", dump, "--output", output, "--json").stdout)
    assert record["num_facts"] == 200
    assert (record["sources"][0]["num_lines"], record["sources"][0]["num_unreadable"]) == (202, 1)
    assert record["size"] == output.stat().st_size


def test_options(dump, output):
    result = run("conceptnet", dump, "--output", output, "--min-weight", 2, "--relations", "IsA, UsedFor")
    assert result.exit_code == 0, result.output
    with FactStore.open(output) as store:
        assert len(store) == 100
        rebuild = store.header.sources[0].rebuild
    assert rebuild == "conceptnet dump.csv --min-weight 2 --relations IsA,UsedFor"
    assert run("conceptnet", dump, "--output", output, "--language", "fr").exit_code == 0
    with FactStore.open(output) as store:
        assert [fact.subject for fact in store.facts()] == ["chat"]


def test_several_sources(dump, output, tmp_path):
    (tmp_path / "ours.csv").write_text("subject,relation,object\nlemon,IsA,fruit\n")
    assert run("conceptnet", dump, "--output", output).exit_code == 0
    result = run(
        "table", tmp_path / "ours.csv", "--output", output, "--append", "--licence", "CC0", "--name", "Ours"
    )
    assert result.exit_code == 0, result.output
    with FactStore.open(output) as store:
        assert len(store) == 201
        assert store.lookup(["lemon"])["lemon"][0].source == "Ours"
        assert [source.name for source in store.header.sources] == ["ConceptNet", "Ours"]
    assert run("table", tmp_path / "ours.csv", "--output", output).exit_code == 0
    with FactStore.open(output) as store:
        assert len(store) == 1


def test_unknown_relations(output, tmp_path):
    table = tmp_path / "ours.csv"
    table.write_text("subject,relation,object\nfish,NotCapableOf,walk\nfish,Eats,worm\n")
    assert "Unknown relations: Eats 1; `unknown_relations` (--unknown-relations)" in refused(
        "table", table, "--output", output
    )
    assert "no file of relations" in refused(
        "table", table, "--output", output, "--unknown-relations", "drop"
    )
    result = run("table", table, "--output", output, "--unknown-relations", "skip")
    assert (result.exit_code, result.stderr) == (0, "Unknown relations: Eats 1\n")
    (tmp_path / "relations.csv").write_text("Eats,Desires\n")
    result = run("table", table, "--output", output, "--unknown-relations", tmp_path / "relations.csv")
    assert (result.exit_code, result.stderr) == (0, "")
    with FactStore.open(output) as store:
        assert [fact.sentence for fact in store.facts()] == ["a fish wants a worm.", "a fish cannot walk."]


def test_wordnet(output, tmp_path):
    folder = tmp_path / "dict"
    folder.mkdir()
    (folder / "data.noun").write_text("00000010 03 n 02 dog 0 hound 0 000 | a pet\n")
    (folder / "index.noun").write_text("dog n 1 0 1 0 00000010\nhound n 1 0 1 0 00000010\n")
    (folder / "data.adj").write_text("")
    result = run("wordnet", folder, "--output", output)
    assert result.exit_code == 0, result.output
    with FactStore.open(output) as store:
        assert len(store) == 2
    assert "DICT_FOLDER" not in refused("wordnet", tmp_path, "--output", output)
    assert "`parts_of_speech` must be of" in refused(
        "wordnet", folder, "--output", output, "--words", "nouns"
    )


def test_wrong_arguments(dump, output, tmp_path):
    assert "there is no file" in refused("conceptnet", tmp_path / "none", "--output", output)
    assert "is a folder" in refused("conceptnet", tmp_path, "--output", output)
    assert "There is no table" in refused("table", tmp_path / "none.csv", "--output", output)
    assert "There is no folder" in refused("wordnet", tmp_path / "none", "--output", output)
    assert "a folder that exists" in refused("conceptnet", dump, "--output", tmp_path / "none" / "a.db")
    assert "must be a file" in refused("conceptnet", dump, "--output", tmp_path)
    assert "Did you mean 'UsedFor'" in refused(
        "conceptnet", dump, "--output", output, "--relations", "UsdFor"
    )
    assert "code of a language" in refused("conceptnet", dump, "--output", output, "--language", "English")
    assert "`min_weight`" in refused("conceptnet", dump, "--output", output, "--min-weight", -1)
    assert "no facts are left" in refused("conceptnet", dump, "--output", output, "--min-weight", 5)
    assert "ends in .csv" in refused("table", dump.rename(tmp_path / "dump"), "--output", output)
    assert not output.exists()


def test_too_many_unreadable_lines(dump, output):
    dump.write_text(dump.read_text() + "bad\nbad\n")
    sentence = refused("conceptnet", dump, "--output", output)
    assert "ConceptNet: 3 of 204 lines cannot be read, more than 1%; nothing was written" in sentence
    assert "line 201: it must have 5 columns" in sentence
    assert os.listdir(output.parent) == []


def test_append_to_another_file(dump, output):
    output.write_text("mine")
    assert "is not a fact store" in refused("conceptnet", dump, "--output", output, "--append")
    assert output.read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(dump, output):
    output.parent.chmod(0o555)
    try:
        assert "can be written to" in refused("conceptnet", dump, "--output", output)
    finally:
        output.parent.chmod(0o755)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (sqlite3.OperationalError("database or disk is full"), "database or disk is full"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "readonly database"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
@pytest.mark.parametrize("earlier", [False, True])
def test_failures(dump, output, monkeypatch, error, message, earlier):
    if earlier:
        assert run("conceptnet", dump, "--output", output).exit_code == 0
    before = output.read_bytes() if earlier else None

    def fail(self):
        raise error

    monkeypatch.setattr(Spool, "facts", fail)
    result = run("conceptnet", dump, "--output", output)
    assert result.exit_code == (130 if message == "interrupted" else 2)
    (sentence,) = result.stderr.splitlines()
    assert message in sentence
    assert ("the store that was there is unchanged" if earlier else "nothing was written") in sentence
    if message == "interrupted":
        assert "Run the same command again" in sentence
    assert os.listdir(output.parent) == (["facts.db"] if earlier else [])
    assert before is None or output.read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(output, tmp_path, number):
    dump = tmp_path / "long.csv"
    dump.write_text("".join(assertion(f"/c/en/cat_{number}") for number in range(2000)) * 500)
    arguments = ["knowledge", "build", "conceptnet", str(dump), "--output", str(output)]
    # A shell starts what runs in the background deaf to SIGINT, and its children inherit that.
    on_interrupt = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", on_interrupt + PROGRAM, *arguments], stderr=subprocess.PIPE, text=True
    )
    while not os.listdir(output.parent):  # it has not begun
        time.sleep(0.02)
    process.send_signal(number)
    _, output_text = process.communicate(timeout=600)
    assert process.returncode == 130
    assert output_text == (
        "vkood: interrupted; nothing was written. Run the same command again: it starts from the beginning.\n"
    )
    assert os.listdir(output.parent) == []


@pytest.mark.parametrize("command", ["conceptnet", "wordnet", "table"])
def test_help(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "--output" in result.stdout
