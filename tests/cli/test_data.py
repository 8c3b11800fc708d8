"""`vkood data`: what is printed of rows, what is refused, and names that are markup."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from support import prepared
from support.command_line import refusal
from support.tiny_picture_models import save_classifier
from vkood.cli import app
from vkood.data.tiny import write_tiny


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return write_tiny("own-questions", tmp_path_factory.mktemp("raw") / "own", num_images=2)


def run(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def prepare_own(root, output, *more):
    file = root / "questions.csv"
    arguments = ("--file", file, "--root", root / "images", "--output", output, "--facts", "none")
    return run("prepare", "own", *arguments, *more)


def test_rows_are_counted(tmp_path, own):
    root = tmp_path / "raw"
    shutil.copytree(own, root)
    with (root / "questions.csv").open("a") as file:
        file.write(",,,\nnone.png,What?,red,val\n")
    assert "1 of 7 rows cannot be read" in refusal(prepare_own(root, tmp_path / "tables"))
    record = json.loads(prepare_own(root, tmp_path / "as json", "--max-bad", "0.5", "--json").stdout)
    assert (record["num_read"], record["num_left_out"], record["folder"]) == (
        14,
        1,
        str(tmp_path / "as json"),
    )
    result = prepare_own(root, tmp_path / "tables", "--max-bad", "0.5")
    assert result.exit_code == 0, result.output
    assert "14 entries of the files read: 12 kept, 1 left out, 1 skipped (empty rows)" in result.stdout
    assert "left out: questions.csv, row 15: There is no image at" in result.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--max-bad", "nan"), "`--max-bad`"),
        (("--max-bad", "-1"), "`--max-bad`"),
        (("--max-facts", "0"), "`--max-facts`"),
        (("--min-answers", "0"), "`--min-answers`"),
        (("--encoding", "utf-99"), "got 'utf-99'"),
        (("--encoding", "rot13"), "got 'rot13'"),
    ],
)
def test_options_out_of_range(tmp_path, own, options, says):
    assert says in refusal(prepare_own(own, tmp_path / "tables", *options))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--concepts", "all"), "--concepts must be tagger, captions or none; got 'all'"),
        (("--concepts", "captions"), "--captions must be a file of captions with --concepts captions"),
        (("--captions", "a.json"), "--captions must be a file of captions with --concepts captions"),
        (("--tagger", "clip"), "--tagger is for --concepts tagger"),
        (("--concepts", "tagger"), "--concepts tagger needs facts to look up; got --facts none"),
    ],
)
def test_options_of_concepts_that_do_not_fit(tmp_path, own, options, says):
    assert says in refusal(prepare_own(own, tmp_path / "tables", *options))


def test_a_tagger_brings_concepts_into_tables(tmp_path, own):
    from vkood.data.tables import find_tables

    folder = save_classifier(tmp_path / "model", ["umbrella", "violin"])
    more = ("--facts", "default", "--concepts", "tagger", "--tagger", folder)
    result = prepare_own(own, tmp_path / "tables", *more)
    assert result.exit_code == 0, result.output
    for table in find_tables(tmp_path / "tables", ["*"]):
        for row in table.scan(["concepts"]):
            assert {"umbrella", "violin"} & set(row["concepts"])
    captions = tmp_path / "captions.jsonl"
    captions.write_text('{"image_id": 0, "caption": "A violin."}\n')
    result = prepare_own(
        own, tmp_path / "described", "--facts", "default", "--concepts", "captions", "--captions", captions
    )
    assert result.exit_code == 0, result.output


def test_options_of_other_readers(tmp_path):
    root = prepared.raw("sbu")
    for option in (("--encoding", "latin-1"), ("--min-answers", "3")):
        result = run("prepare", "sbu", "--root", root, "--output", tmp_path, "--facts", "none", *option)
        assert "sbu takes no" in refusal(result)
        assert option[0] in refusal(result)
    assert "easy-vqa takes no" in refusal(
        run("prepare", "easy-vqa", "--output", tmp_path, "--facts", "none", "--min-answers", "3")
    )


@pytest.mark.parametrize("name", ["[b]x", "[link=a]y[", "[red]", "z[/b]"])
def test_names_that_are_markup(tmp_path, own, name):
    """They are shown as they are, and end nothing."""
    root = tmp_path / "raw"
    shutil.copytree(own, root)
    folder = tmp_path / name
    prepared_ = prepare_own(root, folder)
    assert prepared_.exit_code == 0, prepared_.output
    (folder / "questions_val.arrow").rename(folder / f"{name.replace('/', '')}.arrow")
    (folder / "questions.prepared.json").unlink()
    result = CliRunner().invoke(app, ["data", "check", str(folder)], env={"COLUMNS": "300"})
    assert result.exit_code == 0, result.output
    assert name in result.stdout
    assert name.replace("/", "") in result.stdout


def test_check_shows_no_control_characters(tmp_path):
    root = write_tiny("own-captions", tmp_path / "raw", num_images=2)
    shutil.copy(root / "images" / "train0.png", root / "images" / "a\x1b[2J.png")
    lines = [{"image": "a\x1b[2J.png", "caption": "a cat"}, {"image": "train0.png", "caption": "a dog"}]
    file = root / "captions.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in [*lines, lines[1] | {"split": "val"}]))
    arguments = ("--file", file, "--root", root / "images", "--output", tmp_path / "t", "--facts", "none")
    assert run("prepare", "own", *arguments).exit_code == 0
    result = run("check", tmp_path / "t")
    assert result.exit_code == 0, result.output
    assert "\x1b[2J" not in result.stdout
    assert json.loads(run("check", tmp_path / "t", "--json").stdout)[0]["sound"]


def test_damaged_tables(tmp_path):
    shutil.copytree(prepared.tables("sbu"), tmp_path / "t")
    path = tmp_path / "t" / "sbu_0.arrow"
    path.write_bytes(path.read_bytes()[:-50])
    assert "sbu_0.arrow" in refusal(run("check", tmp_path / "t"))


def test_data_sets_that_there_are_not(tmp_path):
    missing = refusal(run("prepare", "nlvr", "--output", tmp_path / "tables"))
    assert "there is no data set 'nlvr'; did you mean 'nlvr2'?" in missing
    missing = refusal(run("prepare", "xyz", "--root", tmp_path, "--output", tmp_path / "tables"))
    assert missing.endswith("easy-vqa-knowledge, own.")
