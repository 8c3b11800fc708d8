"""`vkood data prepare` under Ctrl-C: it says what was kept and how to resume, and the tables come out the same."""

import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from support.tiny_picture_models import save_classifier
from vkood import progress
from vkood.cli import app
from vkood.data.tables import find_tables
from vkood.data.tiny import write_tiny

NUM_IMAGES = 256


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """The command's words, but for its output: pictures of one's own, and a tagger."""
    folder = tmp_path_factory.mktemp("interrupted")
    root = write_tiny("own-questions", folder / "own", num_images=NUM_IMAGES)
    model = save_classifier(folder / "model", ["umbrella", "violin"])
    command = ["data", "prepare", "own", "--file", root / "questions.csv", "--root", root / "images"]
    return [*command, "--concepts", "tagger", "--tagger", model]


def started(arguments, output, cache):
    """The command in a process of its own, which Ctrl-C reaches: a shell in the background has it ignored."""
    program = [
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)",
        "from vkood.__main__ import main; main()",
    ]
    return subprocess.Popen(
        [sys.executable, "-c", "\n".join(program), *map(str, arguments), "--output", str(output)],
        env=os.environ | {"VKOOD_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def errors_of(arguments, output):
    """What the command, carried out to its end, prints to the standard error."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--output", str(output)])
    assert result.exit_code == 0, result.output
    return result.stderr


def kept(cache):
    return {path.name: path.stat().st_mtime_ns for path in (cache / "concepts").glob("*/*/*.json")}


@pytest.mark.slow
def test_ctrl_c(tmp_path, monkeypatch, arguments):
    cache, tables = tmp_path / "cache", tmp_path / "tables"
    process = started(arguments, tables, cache)
    while not kept(cache):
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert output == ""
    assert errors == (  # and no bars of transformers, which loads the tagger
        "vkood: interrupted; no table was written or changed, but what the tagger said of pictures is kept. Run the "
        "same command again: it tags the other pictures only.\n"
    )
    assert not tables.exists()
    before = kept(cache)

    monkeypatch.setattr(progress, "REPORT_EVERY", 0.0)
    monkeypatch.setenv("VKOOD_CACHE", str(cache))
    lines = errors_of(arguments, tables).splitlines()
    after = kept(cache)
    pictures = {row["image"] for table in find_tables(tables, ["*"]) for row in table.scan(["image"])}
    assert len(before) < len(after) == len(pictures)
    assert {name: after[name] for name in before} == before  # taken as they were
    assert any(line.startswith("all tables: 256 of 512 rows, ") for line in lines)
    assert any(line.startswith("questions_val: 64 of 256 rows, ") and " left" in line for line in lines)

    monkeypatch.setenv("VKOOD_CACHE", str(tmp_path / "other cache"))
    errors_of(arguments, tmp_path / "unbroken")
    names = sorted(path.name for path in tables.iterdir())
    assert "questions_train.arrow" in names
    assert names == sorted(path.name for path in (tmp_path / "unbroken").iterdir())
    for name in names:
        assert (tables / name).read_bytes() == (tmp_path / "unbroken" / name).read_bytes()
