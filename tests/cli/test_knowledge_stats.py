"""`vkood knowledge stats`: what is in a store."""

import json
import sqlite3

import pytest
from typer.testing import CliRunner

from vkood.cli import app
from vkood.knowledge import Fact, build_store
from vkood.knowledge.sources.batches import FactSource, SourceInfo


@pytest.fixture
def path(tmp_path):
    facts = [
        Fact("fire hydrant", "IsA", "thing"),
        Fact("lemon", "IsA", "fruit"),
        Fact("lemon", "HasA", "peel"),
    ]
    build_store(tmp_path / "facts.db", [FactSource(facts, SourceInfo("Our [own]", "CC0"))], date="2026-01-02")
    return tmp_path / "facts.db"


def run(*arguments):
    return CliRunner().invoke(app, ["knowledge", "stats", *map(str, arguments)])


def test_table(path):
    result = run("--store", path, "--verify")
    assert result.exit_code == 0, result.output
    for shown in ("Our [own]", "CC0", "2026-01-02", "IsA", "HasA", "as it was written"):
        assert shown in result.stdout
    assert "as it was written" not in run("--store", path).stdout


def test_json(path):
    record = json.loads(run("--store", path, "--json").stdout)
    assert (record["num_facts"], record["num_subjects"], record["longest_entry"]) == (3, 2, 2)
    assert record["relations"] == {"HasA": 1, "IsA": 2}
    assert record["sources"] == [{"name": "Our [own]", "licence": "CC0", "rebuild": "", "num_facts": 3}]
    assert (record["size"], record["verified"]) == (path.stat().st_size, False)
    assert json.loads(run("--store", path, "--json", "--verify").stdout)["verified"] is True


def test_the_store_that_comes_along():
    record = json.loads(run("--json").stdout)
    assert record["num_facts"] > 100_000
    assert record["size"] <= 12_000_000


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("UPDATE fact SET thousandths = 5", "is damaged: its facts were altered"),
        ("UPDATE header SET value = '9' WHERE name = 'num_facts'", "is damaged: its header was altered"),
        ("PRAGMA user_version = 0", "must have schema version 1, but has 0"),
        ("PRAGMA application_id = 0", "is not a fact store"),
    ],
)
def test_altered(path, statement, complaint):
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    result = run("--store", path, "--verify")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("vkood: ")
    assert complaint in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_truncated(path):
    path.write_bytes(path.read_bytes()[:-100])
    assert "is damaged: it must have" in run("--store", path).stderr


def test_no_store(tmp_path):
    result = run("--store", tmp_path / "none.db")
    assert (result.exit_code, result.stderr) == (
        2,
        f"vkood: There is no fact store at '{tmp_path / 'none.db'}'.\n",
    )
