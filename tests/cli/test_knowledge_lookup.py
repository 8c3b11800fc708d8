"""`vkood knowledge lookup`: a text's scene and facts, drawn or as JSON; and what it says to wrong input."""

import json

import pytest
from typer.testing import CliRunner

from support.command_line import refusal
from vkood.cli import app
from vkood.knowledge import Fact, build_store


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    facts = [
        Fact("umbrella", "UsedFor", "keep dry", 2.0, "ours"),
        Fact("umbrella", "HasA", "handle", 1.0, "ours"),
        Fact("fire hydrant", "HasProperty", "[red]", 1.0, "ours"),
        Fact("hat", "IsA", "clothing", 1.0, "ours"),
    ]
    path = tmp_path_factory.mktemp("store") / "facts.db"
    build_store(path, [facts])
    return path


def run(*arguments):
    return CliRunner().invoke(app, ["knowledge", "lookup", *map(str, arguments)])


def refused(*arguments):
    return refusal(run(*arguments))


def test_tree(path):
    result = run("a man without a hat holding a red umbrella", "--store", path, "--limit", 1)
    assert result.exit_code == 0, result.output
    for shown in ("hold umbrella", "is red", "an umbrella is used for keeping dry.", "absent", "(34-42)"):
        assert shown in result.stdout
    assert "handle" not in result.stdout
    assert "clothing" not in result.stdout


def test_json(path):
    record = json.loads(run("Two umbrellas near a fire hydrant", "--store", path, "--json").stdout)
    assert [concept["entry"] for concept in record["concepts"]] == ["umbrella", "fire hydrant"]
    assert record["concepts"][0]["text"] == "umbrellas"
    first = record["facts"][0]
    assert (first["sentence"], first["concepts"]) == ("a fire hydrant is [red].", ["fire hydrant"])
    assert first["relevance"] > record["facts"][-1]["relevance"]
    assert "'fire hydrant' in the text" in first["why"]
    assert record["scene_graph"]["relations"][0]["name"] == "near"


def test_the_default_store():
    result = run("a fire hydrant")
    assert result.exit_code == 0, result.output
    assert "a fire hydrant is" in result.stdout


def test_marks_of_the_drawing_are_shown_as_they_are(path):
    assert "a fire hydrant is [red]." in run("a [bold]fire hydrant[/bold]", "--store", path).stdout


@pytest.mark.parametrize(
    "text", ["nothing known", "日本の猫", "a\0b", "\ud800 x", "x" * 90_000, "x y " * 200]
)
def test_texts_without_known_things(path, text):
    result = run(text, "--store", path)
    assert result.exit_code == 0, result.output
    assert "knows nothing" in result.stdout
    assert run(text, "--store", path, "--json").exit_code == 0


def test_a_sentence_too_long_for_a_graph_still_has_facts(path):
    result = run("umbrella and " * 200, "--store", path)
    assert result.exit_code == 0
    assert "250 words" in " ".join(result.stdout.split())
    assert "used for keeping dry" in result.stdout


@pytest.mark.parametrize("text", ["", "   ", "😀", "\0", "?!"])
def test_no_words(path, text):
    assert "TEXT must have at least one word" in refused(text, "--store", path)


def test_refusals(path, tmp_path):
    assert "at most 100,000 characters; got 1,200,000" in refused("a dog " * 200_000, "--store", path)
    assert "--limit must be a number from 1" in refused("a dog", "--limit", 0)
    assert "no fact store" in refused("a dog", "--store", tmp_path / "none.db").lower()
    (tmp_path / "text.db").write_text("no store")
    refused("a dog", "--store", tmp_path / "text.db")
