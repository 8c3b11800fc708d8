"""`vkood knowledge encode`: each fact of a store is encoded once, and wrong input is refused in one sentence."""

import functools
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from support.command_line import refusal
from support.hashed_tower import HashedTower, hashed
from vkood import models
from vkood.cli import app
from vkood.cli.knowledge.encode import ENCODER
from vkood.knowledge import Fact, FactEncoder, build_store
from vkood.pipelines import encoding

FACTS = [
    Fact("umbrella", "UsedFor", "keeping dry"),
    Fact("lemon", "HasProperty", "sour"),
    Fact("wheel", "PartOf", "bicycle", 2.0),
]


def run(*arguments):
    return CliRunner().invoke(app, ["knowledge", "encode", *map(str, arguments)])


def refused(*arguments):
    """Run a command that has to be refused; returns the sentence."""
    return refusal(run(*arguments))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "facts.db"
    build_store(path, [FACTS])
    return path


@pytest.fixture
def towers(monkeypatch):
    """The encoders that the command loads, replaced; with the folder that each was to come from."""
    loaded = []

    def load(folder, *, batch_size):
        tower = HashedTower()
        loaded.append((folder, batch_size, tower))
        return tower

    monkeypatch.setattr(models, "SentenceEncoder", load)
    return loaded


def test_facts_are_encoded_once(store, towers, tmp_path):
    output = tmp_path / "new" / "vectors"
    result = run("--store", store, "--output", output, "--batch-size", 2)
    assert result.exit_code == 0, result.output
    assert "3 facts; 3 new sentences encoded" in result.stdout
    folder, batch_size, tower = towers[0]
    assert (folder / "config.json").is_file()
    assert batch_size == 2
    assert [len(batch) for batch in tower.batches] == [2, 1]
    result = run("--store", store, "--output", output, "--verify")
    assert "3 facts; 0 new sentences encoded" in result.stdout
    assert towers[1][2].batches == []
    np.testing.assert_array_equal(
        FactEncoder(towers[1][2], output).encode(FACTS), hashed([fact.sentence for fact in FACTS])
    )


def test_the_result_as_json(store, towers, tmp_path):
    record = json.loads(run("--store", store, "--output", tmp_path, "--json").stdout)
    assert (record["num_facts"], record["num_encoded"], record["num_sentences"]) == (3, 3, 3)
    assert record["folder"].startswith(str(tmp_path))


def test_the_encoder_by_default_is_the_one_of_the_demo():
    assert ENCODER == encoding.FACT_ENCODER


def test_an_interrupted_run_goes_on(store, monkeypatch, tmp_path):
    class Interrupted(HashedTower):
        def __call__(self, sentences, /):
            if len(self.batches) == 2:
                raise KeyboardInterrupt
            return super().__call__(sentences)

    monkeypatch.setattr(models, "SentenceEncoder", lambda folder, *, batch_size: Interrupted())
    arguments = ("--store", store, "--output", tmp_path, "--batch-size", 1)
    result = run(*arguments)
    assert result.exit_code == 130
    assert "interrupted; what was encoded is kept" in result.stderr
    assert "3 facts; 1 new sentences encoded" in run(*arguments).stdout


def test_altered_vectors(store, towers, tmp_path):
    assert run("--store", store, "--output", tmp_path).exit_code == 0
    (vectors,) = tmp_path.glob("*/vectors.f32")
    content = bytearray(vectors.read_bytes())
    content[7] ^= 8
    vectors.write_bytes(content)
    assert "is not as it was written" in refused("--store", store, "--output", tmp_path, "--verify")
    vectors.write_bytes(content[:-2])
    assert "is shorter than the 3 rows" in refused("--store", store, "--output", tmp_path)


def test_a_full_disk(store, towers, tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert "No space left on device" in refused("--store", store, "--output", tmp_path)


class TestRefusals:
    def test_no_store(self, tmp_path):
        says = refused("--store", tmp_path / "none.db", "--output", tmp_path / "out")
        assert "There is no fact store at" in says
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("size", [0, -1, 10**6])
    def test_batch_size(self, store, tmp_path, size):
        says = refused("--store", store, "--output", tmp_path, "--batch-size", size)
        assert "--batch-size must be a number from 1 to 65,536" in says

    def test_output_is_a_file(self, store):
        assert "--output must be a folder" in refused("--store", store, "--output", store)

    @pytest.mark.parametrize(
        ("encoder", "says"),
        [
            ("nobody/no-such-encoder", "no model of this name on this machine"),
            ("no such folder", "no encoder on the hub can have this name"),
            ("./no/such/folder/at/all", "no encoder on the hub can have this name"),
            ("", "--encoder must be a folder or a name; got an empty one"),
        ],
    )
    def test_encoder(self, store, tmp_path, encoder, says):
        assert says in refused("--store", store, "--output", tmp_path, "--encoder", encoder)

    def test_encoders_folder(self, store, tmp_path):
        call = functools.partial(refused, "--store", store, "--output", tmp_path / "out", "--encoder")
        assert "is a file" in call(store)
        assert "has no config.json" in call(tmp_path)
        (tmp_path / "config.json").write_text("{")
        assert "cannot be loaded: " in call(tmp_path)
