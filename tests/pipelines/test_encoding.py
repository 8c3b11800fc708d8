"""The encoder of facts is loaded only when there is something to encode."""

import json

import pytest

from vkood.models import towers
from vkood.pipelines import encoding
from vkood.pipelines.encoding import FACT_ENCODER, LazySentenceEncoder, sentence_encoder_folder


@pytest.fixture(name="loads")
def _loads(monkeypatch):
    """What is loaded, from here on."""
    folders = []
    load = towers.SentenceEncoder

    def counted(folder):
        folders.append(folder)
        return load(folder)

    monkeypatch.setattr(towers, "SentenceEncoder", counted)
    return folders


def test_width_and_fingerprint_are_remembered(tmp_path, loads):
    folder = sentence_encoder_folder(FACT_ENCODER)
    first = LazySentenceEncoder(folder, tmp_path)
    second = LazySentenceEncoder(folder, tmp_path)
    assert len(loads) == 1
    assert (second.width, second.fingerprint) == (first.width, first.fingerprint)
    assert first.fingerprint == towers.SentenceEncoder(folder).fingerprint
    assert second(["a dog barks."]).shape == (1, 384)
    assert len(loads) == 3


def test_another_file_is_another_encoder(tmp_path):
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    before = encoding._state(folder)
    assert encoding._state(folder) == before
    (folder / "config.json").write_text("{ }")
    assert encoding._state(folder) != before


def test_a_damaged_memory_is_replaced(tmp_path, loads):
    folder = sentence_encoder_folder(FACT_ENCODER)
    LazySentenceEncoder(folder, tmp_path)
    (memory,) = tmp_path.glob("encoder-*.json")
    memory.write_text("{")
    assert LazySentenceEncoder(folder, tmp_path).width == 384
    assert len(loads) == 2
    assert json.loads(memory.read_text())["width"] == 384
