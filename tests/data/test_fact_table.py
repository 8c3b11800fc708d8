"""The vectors of facts: each sentence once, padded into batches, and kept in files."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from vkood.data import FactTable

FACTS = ("The kite is teal.", "The mug is red.", "A lemon is sour.")


def vectors(sentences):
    """A stand-in for a text encoder: a sentence's vector depends on its text alone."""
    return torch.tensor([[len(text), ord(text[4]), ord(text[-2])] for text in sentences], dtype=torch.float32)


@pytest.fixture
def table():
    return FactTable.build(FACTS, vectors)


def test_each_sentence_is_encoded_once():
    calls = []

    def encode(texts):
        calls.append(list(texts))
        return vectors(texts)

    table = FactTable.build([*FACTS, *FACTS], encode)
    table.extend([FACTS[0], "A fox digs.", "A fox digs."], encode)
    table.extend(FACTS, encode)
    assert calls == [list(FACTS), ["A fox digs."]]
    assert table.sentences == (*FACTS, "A fox digs.")
    assert len(table) == 4
    assert "A fox digs." in table
    assert "A fox" not in table
    assert table.ids(["A fox digs.", FACTS[0]]).tolist() == [3, 0]
    assert torch.equal(table.features, vectors(table.sentences))


def test_features_do_not_hold_a_graph():
    table = FactTable.build(FACTS, lambda texts: vectors(texts).requires_grad_())
    assert not table.features.requires_grad


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.sampled_from(FACTS), max_size=5), min_size=1, max_size=4))
def test_padding(facts):
    features, mask = FactTable.build(FACTS, vectors).padded(facts)
    assert features.shape == (len(facts), max(map(len, facts)), 3)
    assert mask.sum(dim=1).tolist() == [len(row) for row in facts]
    for row, vector, real in zip(facts, features, mask, strict=True):
        assert torch.equal(vector[: len(row)], vectors(row) if row else torch.empty(0, 3))
        assert not vector[len(row) :].any()
        assert real[: len(row)].all()


def test_no_ids(table):
    assert table.ids([]).shape == (0,)


def test_refusals(table):
    with pytest.raises(ValueError, match="at least one sentence"):
        FactTable.build([], vectors)
    with pytest.raises(ValueError, match=r"`encode` must return"):
        FactTable.build(FACTS, lambda texts: torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"`features` must be \(1, 3\).*got \(1, 4\)"):
        table.extend(["New one."], lambda texts: torch.zeros(1, 4))
    with pytest.raises(ValueError, match="must all differ"):
        FactTable(["Same.", "Same."], torch.zeros(2, 3))
    with pytest.raises(ValueError, match="no vector for 'Unheard of"):
        table.ids(["Unheard of."])
    assert table.sentences == FACTS


def test_a_file_keeps_all(tmp_path):
    sentences = [*FACTS, 'Quotes " and \n breaks, ünïcode: 日本.']
    table = FactTable.build(sentences, vectors)
    path = tmp_path / "facts.safetensors"
    table.save(path, encoder="vectors")
    again = FactTable.load(path, encoder="vectors")
    assert again.sentences == tuple(sentences)
    assert torch.equal(again.features, table.features)
    again.extend(["New one."], vectors)
    again.save(path, encoder="vectors")
    assert FactTable.load(path, encoder="vectors").sentences == (*sentences, "New one.")
    assert [file.name for file in tmp_path.iterdir()] == ["facts.safetensors"]


def test_the_file_names_its_encoder(table, tmp_path):
    path = tmp_path / "facts.safetensors"
    table.save(path, encoder="MiniLM")
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["encoder"] == "MiniLM"
    with pytest.raises(ValueError, match="encoder 'BERT'; they come from 'MiniLM'"):
        FactTable.load(path, encoder="BERT")


def test_a_failed_save_leaves_the_old_file(table, tmp_path):
    path = tmp_path / "facts.safetensors"
    table.save(path, encoder="vectors")
    before = path.read_bytes()
    with pytest.raises(TypeError):
        table.save(path, encoder=None)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["facts.safetensors"]


GOOD = {"features": torch.ones(2, 3)}
HEADER = {"encoder": "vectors", "sentences": json.dumps(["a", "b"])}


@pytest.mark.parametrize(
    ("tensors", "header"),
    [
        ({"other": torch.ones(2, 3)}, HEADER),
        (GOOD, {"encoder": "vectors"}),
        (GOOD, {"sentences": HEADER["sentences"]}),
        (GOOD, {**HEADER, "sentences": "["}),
        (GOOD, {**HEADER, "sentences": '{"a": 1}'}),
        (GOOD, {**HEADER, "sentences": "[1, 2]"}),
        (GOOD, {**HEADER, "sentences": '["a"]'}),
        (GOOD, {**HEADER, "sentences": '["a", "a"]'}),
        ({"features": torch.full((2, 3), torch.nan)}, HEADER),
        ({"features": torch.ones(2, 3, dtype=torch.long)}, HEADER),
        ({"features": torch.ones(6)}, HEADER),
    ],
)
def test_damaged_files(tensors, header, tmp_path):
    save_file(tensors, tmp_path / "facts.safetensors", metadata=header)
    with pytest.raises(ValueError, match=r"facts\.safetensors' is (damaged|not a fact table)"):
        FactTable.load(tmp_path / "facts.safetensors", encoder="vectors")


@pytest.mark.parametrize("content", [b"", b"no table", bytes(100)])
def test_files_that_are_no_tables(content, tmp_path):
    (tmp_path / "facts").write_bytes(content)
    with pytest.raises(ValueError, match="is not a fact table"):
        FactTable.load(tmp_path / "facts", encoder="vectors")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no fact table at"):
        FactTable.load(tmp_path / "facts", encoder="vectors")
    with pytest.raises(ValueError, match="must be a regular file, but is a folder"):
        FactTable.load(tmp_path, encoder="vectors")
