"""A saved model comes back whole, or not at all."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from support.tiny_vqa import save_tiny, tiny_tokenizer
from vkood.data import joint_answers
from vkood.models.loading import load_config, load_model, load_tokenizer


@pytest.fixture
def folder(tmp_path):
    return save_tiny(tmp_path / "model")


def load(folder):
    """The model and its tokenizer."""
    tokenizer = load_tokenizer(folder, config=load_config(folder))
    return load_model(folder), tokenizer


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_it_comes_back(folder):
    model, tokenizer = load(folder)
    saved = load_file(folder / "model.safetensors")
    assert not model.training
    assert model.state_dict().keys() >= saved.keys()
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in saved.items())
    assert tokenizer.get_vocab() == tiny_tokenizer().get_vocab()
    assert model.config.id2label == dict(enumerate(joint_answers()))


@pytest.mark.parametrize(
    "changes",
    [
        {"gate": {"kind": "other"}},
        {"gate": {"unheard_of": 1}},
        {"hidden_size": 17},
        {"hidden_size": "wide"},
        {"text_config": {"model_type": "unheard_of"}},
        {"text_config": 3},
        {"id2label": {"zero": "kite"}},
    ],
)
def test_a_damaged_configuration(folder, changes):
    change_config(folder, **changes)
    with pytest.raises(ValueError, match=r"configuration of the model in .* is damaged"):
        load(folder)


def test_weights_of_other_shapes(folder):
    change_config(folder, fact_dim=12)
    with pytest.raises(ValueError, match=r"weights in .* (damaged|do not fit)"):
        load(folder)


@pytest.mark.parametrize(
    ("drop", "add", "says"), [(True, False, "they lack 1 "), (False, True, "beyond .* 1 ")]
)
def test_weights_that_are_missing_or_left_over(folder, drop, add, says):
    weights = load_file(folder / "model.safetensors")
    if drop:
        del weights["answer_head.0.weight"]
    if add:
        weights["unheard_of.weight"] = torch.ones(1)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"do not fit its config.json.*{says}"):
        load(folder)


def test_cut_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"weights in .* are missing or damaged"):
        load(folder)
    path.unlink()
    with pytest.raises(ValueError, match=r"weights in .* are missing or damaged"):
        load(folder)


def test_a_damaged_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer in .* is missing or damaged"):
        load(folder)
