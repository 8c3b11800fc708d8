"""What commands write to: never in the place of what they read, nor of what is another's."""

import os
import shutil

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from support.command_line import refusal
from support.tiny_vqa import save_tiny
from vkood.cli import app
from vkood.cli.inputs import require_output_file, require_output_folder, require_output_page, require_writable
from vkood.data.tiny import write_tiny


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(name="photo")
def _photo(tmp_path):
    Image.new("RGB", (20, 10), "brown").save(tmp_path / "chair.jpg")
    return tmp_path / "chair.jpg"


def pages_that_are_refused(photo):
    """Outputs with what is said of them; `photo` is what is read."""
    folder = photo.parent
    (folder / "notes.txt").write_text("mine")
    (folder / "notes.html").write_text("mine")
    (folder / "linked.html").symlink_to(photo)
    os.link(photo, folder / "hard.html")
    os.mkfifo(folder / "pipe.html")
    yield photo, "another file than what is read"
    yield folder / "." / "linked.html", "another file than what is read"
    yield folder / "hard.html", "another file than what is read"
    yield folder / "notes.txt", "ends in .html or .htm"
    yield folder / "new.pdf", "ends in .html or .htm"
    yield folder / "notes.html", "holds something else"
    yield folder / "pipe.html", "must be a regular file"


@pytest.mark.parametrize("command", ["explain", "predict"])
def test_a_page_takes_the_place_of_nothing_but_a_page(photo, tmp_path_factory, command, monkeypatch):
    monkeypatch.setattr("vkood.models.loading.load_model", lambda *_: pytest.fail("loaded before the check"))
    model = save_tiny(tmp_path_factory.mktemp("saved") / "model")
    before = photo.read_bytes()
    arguments = [photo] if command == "explain" else [model, "--image", photo, "--text", "Is it?"]
    for output, reason in pages_that_are_refused(photo):
        assert reason in refusal(run(command, *arguments, "--output", output)), output
    assert photo.read_bytes() == before
    assert (photo.parent / "notes.txt").read_text() == (photo.parent / "notes.html").read_text() == "mine"


def test_earlier_pages_and_new_ones_are_fine(tmp_path):
    (tmp_path / "page.html").write_text("\n<!DOCTYPE html><p>old")
    (tmp_path / "empty.htm").touch()
    for name in ("page.html", "empty.htm", "NEW.HTML"):
        require_output_page(tmp_path / name, [tmp_path / "chair.jpg"])
    assert not (tmp_path / "NEW.HTML").exists()


def test_files_that_cannot_be_written(tmp_path, monkeypatch):
    with pytest.raises(typer.Exit):
        require_output_file(tmp_path)
    with pytest.raises(typer.Exit):
        require_output_file(tmp_path / "none" / "a.db")
    monkeypatch.setattr("os.access", lambda *_: False)
    for check in (require_output_file, require_writable):
        with pytest.raises(typer.Exit):
            check(tmp_path / "new")


def test_folders_of_runs_models_and_tables_are_not_written_to(tmp_path, photo):
    """Every command that writes a folder refuses them, and leaves no folder of its own."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.yaml").touch()
    model = save_tiny(tmp_path / "model")
    raw = write_tiny("own-captions", tmp_path / "raw", num_images=2)
    prepare = ("data", "prepare", "own", "--file", raw / "captions.jsonl", "--root", raw / "images")
    tables = tmp_path / "tables"
    assert run(*prepare, "--facts", "none", "--output", tables).exit_code == 0
    for folder, what in ((tmp_path / "run", "a training run"), (model, "a model"), (tables, "tables")):
        before = sorted(folder.iterdir())
        for command in (
            *([] if folder == tables else [(*prepare, "--facts", "none")]),
            ("demo",),
            ("demo", "--train"),
            ("data", "tiny", "sbu"),
            ("knowledge", "encode"),
            ("evaluate", model, "--data", tables),
        ):
            assert f"is that of {what}" in refusal(run(*command, "--output", folder)), command
        assert sorted(folder.iterdir()) == before
    train = ("train", "pretrain", "tiny", f"data.folder={tables}")
    for words in (("evaluate_only=true", f"model.checkpoint={model}"), ()):
        assert "has tables" in refusal(run(*train, f"output={tables}", *words))
    assert run(*prepare, "--facts", "none", "--output", tables).exit_code == 0
    require_output_folder(tmp_path / "some" / "where")
    assert not (tmp_path / "some").exists()


def test_a_preparation_that_is_refused_leaves_no_folder(tmp_path):
    raw = write_tiny("own-captions", tmp_path / "raw", num_images=2)
    (raw / "captions.jsonl").write_text('{"image": "none.png", "caption": "a cat"}\n')
    arguments = ("--file", raw / "captions.jsonl", "--root", raw / "images", "--facts", "none")
    output = ("--output", tmp_path / "new" / "tables")
    refusal(run("data", "prepare", "own", *arguments, *output))
    refusal(run("data", "prepare", "nlvr2", "--root", tmp_path / "none", *output))
    assert not (tmp_path / "new").exists()


def test_synthetic_data_are_written_over_no_other_files(tmp_path):
    assert run("data", "tiny", "sbu", "--output", tmp_path / "raw", "--num-images", 2).exit_code == 0
    assert run("data", "tiny", "nlvr2", "--output", tmp_path / "raw", "--num-images", 2).exit_code == 0
    (tmp_path / "raw" / "SYNTHETIC.txt").unlink()
    assert "such as 'dev'" in refusal(run("data", "tiny", "sbu", "--output", tmp_path / "raw"))


def test_a_demo_replaces_only_a_demo(tmp_path):
    (tmp_path / "results.json").write_text("mine")
    assert "'results.json' that is not of an earlier demo" in refusal(
        run("demo", "--train", "--output", tmp_path)
    )
    (tmp_path / "photographs.json").write_text("mine")
    assert "'photographs.json' that is not of" in refusal(run("demo", "--output", tmp_path))


def test_a_run_says_where_its_model_is(tmp_path, photo):
    """All commands that take a model, and Python."""
    from vkood.models.loading import LoadingError, load_model

    shutil.move(save_tiny(tmp_path / "model"), tmp_path / "run" / "best")
    hint = f"Did you mean {str(tmp_path / 'run' / 'best')!r}?"
    folder, text = tmp_path / "run", ("--text", "Is it?")
    (tmp_path / "tables").mkdir()
    for command in (
        ("predict", folder, "--image", photo, *text),
        ("explain", photo, "--model", folder, *text),
        ("app", "--model", folder),
        ("evaluate", folder, "--data", tmp_path / "tables"),
        ("evaluate", folder, "--data", "easy-vqa"),
    ):
        assert hint in refusal(run(*command)), command
    with pytest.raises(LoadingError, match="Did you mean"):
        load_model(folder)


def test_a_blank_text_is_refused(photo):
    for text in ("", " \n"):
        assert "--text must be a question or other text, or not be given" in refusal(
            run("explain", photo, "--text", text)
        )
