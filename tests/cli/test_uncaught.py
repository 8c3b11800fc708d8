"""Whatever a command leaves uncaught: one sentence, the traceback in a file, an exit code."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from vkood.cli import app
from vkood.cli.published import train_blip, train_vilt
from vkood.cli.uncaught import DEBUG, answer_errors, interruptible
from vkood.files import write_text
from vkood.knowledge.embeddings.vector_cache import unwritable
from vkood.recipes.published import Translation
from vkood.train.run import RunError

PROGRAM = [sys.executable, "-m", "vkood"]


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Tracebacks go where the test can count them, and none is shown."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.delenv(DEBUG, raising=False)
    return folder


def answer(error, capsys):
    """The exit code, and the only line on the standard error."""
    with pytest.raises(SystemExit) as stop, answer_errors():
        raise error
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return stop.value.code, lines[0]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), "the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/a/b"), "the disk is full"),
        (
            RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
            "the disk is full",
        ),
        (OSError(errno.EROFS, "Read-only file system", "/a/b"), "choose a place that can be written to"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/a/b"),
            "'/a/b' cannot be read or written: permission",
        ),
        (OSError(errno.EMFILE, "Too many open files", "/a/b"), "raise the limit on open files"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "/a/b"), "choose a shorter name"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "broken pipe"),  # not that of the standard output
        (MemoryError(), "there is not enough memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            "not enough memory",
        ),
        (RecursionError("maximum recursion depth exceeded"), "nested too deep"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), "not valid Unicode"),
        (TypeError("an [/b] that\nis none"), "unexpected TypeError: an [/b] that."),
    ],
)
def test_errors_become_a_sentence(error, words, temporary, capsys):
    code, line = answer(error, capsys)
    assert code == 1
    assert line.startswith("vkood: ")
    assert words in line
    saved = re.search(r"The traceback is in (\S+);", line)
    assert saved is not None
    (file,) = temporary.iterdir()
    assert Path(saved[1]) == file
    assert type(error).__name__ in file.read_text()


def test_our_refusals_keep_their_words_and_code(temporary, capsys):
    assert answer(RunError("`a` must be b."), capsys) == (2, "vkood: `a` must be b.")
    assert answer(unwritable(Path("/a"), OSError("no")), capsys)[0] == 2
    assert not list(temporary.iterdir())


def test_a_sentence_ends(capsys):
    line = answer(RunError("`a` must be b; got " + "\x1b[31m" + "c" * 10**6 + "."), capsys)[1]
    assert line.startswith(r"vkood: `a` must be b; got \x1b[31mccc")
    assert line.endswith("ccc.")
    assert len(line) < 1_100


def test_a_thread_that_fails(monkeypatch, capsys):
    monkeypatch.setattr("threading.excepthook", None)
    with answer_errors():
        thread = Thread(target=lambda: {}["missing"])
        thread.start()
        thread.join()
    assert capsys.readouterr().err.startswith("vkood: unexpected KeyError: 'missing'.")


def test_a_full_disk_behind_another_error(capsys):
    error = ValueError("could not be saved")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device", "/a/b")
    assert "the disk is full" in answer(error, capsys)[1]


def test_interrupted(temporary, capsys):
    assert answer(KeyboardInterrupt(), capsys) == (130, "vkood: interrupted.")
    with pytest.raises(KeyboardInterrupt) as error, interruptible("all is kept"):
        raise KeyboardInterrupt
    assert answer(error.value, capsys) == (130, "vkood: interrupted; all is kept.")
    assert not list(temporary.iterdir())


def test_the_file_in_hand(tmp_path, capsys):
    with pytest.raises(UnicodeEncodeError) as error:
        write_text(tmp_path / "in hand.txt", "\udcff")
    line = answer(error.value, capsys)[1]
    assert str(tmp_path) in line
    assert "in hand.txt" in line


def test_debug_shows_the_traceback(monkeypatch, temporary, capsys):
    monkeypatch.setenv(DEBUG, "1")
    with pytest.raises(SystemExit), answer_errors():
        raise TypeError("no")
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last)" in shown
    assert shown.splitlines()[-1] == "vkood: unexpected TypeError: no."
    assert not list(temporary.iterdir())


def run(*words, **options):
    return subprocess.run([*PROGRAM, *words], capture_output=True, text=True, **options)


def printed(output, **environment):
    """A command that prints an accent."""
    program = "from vkood.cli.uncaught import answer_errors\nwith answer_errors(): print('caf\\xe9')"
    return subprocess.run(
        [sys.executable, "-c", program],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_a_full_disk_behind_the_output():
    with open("/dev/full", "w") as full:
        result = printed(full)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert "the disk is full" in result.stderr


def test_a_reader_that_has_gone():
    receiver, sender = os.pipe()
    os.close(receiver)
    with open(sender, "w") as output:
        result = printed(output)
    assert (result.returncode, result.stderr) == (1, "")


def test_an_output_without_accents():
    result = printed(subprocess.PIPE, PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stdout) == (0, "caf\\xe9\n")


def test_debug_is_an_option_of_the_program(tmp_path):
    """A refusal shows what was behind it."""
    result = run("--debug", "knowledge", "stats", "--store", str(tmp_path / "none.db"))
    assert result.returncode == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("vkood: ")


def test_home_is_expanded_in_options(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["data", "check", "~/none"])
    assert f"{tmp_path}/none" in result.stderr
    result = CliRunner().invoke(app, ["data", "tiny", "own-captions", "--num-images=2", "--output=~/new"])
    assert result.exit_code == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["new", "temporary"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (train_vilt, ["with", "data_root=/none", "num_gpus=0", "num_nodes=1", "task_finetune_vqa"]),
        (train_blip, ["--config", "/none.yaml"]),
    ],
)
def test_the_published_commands_answer_alike(command, words, temporary, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        command(words)
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("vkood: ")
    monkeypatch.setattr("vkood.cli.published.carry_out", lambda *arguments: {}["missing"])
    monkeypatch.setattr("vkood.cli.published.resolved", lambda *arguments: None)
    monkeypatch.setattr("vkood.cli.published.from_blip", lambda *arguments, **more: Translation(""))
    monkeypatch.setattr("vkood.cli.published.from_vilt", lambda *arguments: Translation(""))
    with pytest.raises(SystemExit) as stop:
        command(words)
    assert stop.value.code == 1
    assert "unexpected KeyError" in capsys.readouterr().err.splitlines()[-1]
