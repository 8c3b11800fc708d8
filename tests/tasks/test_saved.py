"""A saved model comes back whole, or not at all."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from support.tiny_vqa import save_tiny, tiny_tokenizer
from vkood.data import KNOWLEDGE_ENTITIES, easy_vqa_answers, joint_answers
from vkood.tasks import load_vqa_model
from vkood.tasks.saved import answer_ids


@pytest.fixture
def folder(tmp_path):
    return save_tiny(tmp_path / "model")


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_it_comes_back(folder):
    model, tokenizer = load_vqa_model(folder, answers=KNOWLEDGE_ENTITIES)
    saved = load_file(folder / "model.safetensors")
    assert not model.training
    assert model.state_dict().keys() >= saved.keys()
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in saved.items())
    assert tokenizer.get_vocab() == tiny_tokenizer().get_vocab()
    assert answer_ids(model.config) == {answer: index for index, answer in enumerate(joint_answers())}


def test_answers_that_the_model_lacks(tmp_path):
    folder = save_tiny(tmp_path, easy_vqa_answers())
    load_vqa_model(folder, answers=easy_vqa_answers())
    with pytest.raises(ValueError, match="lacks 64 of the 64 answers of this task, such as 'kite'"):
        load_vqa_model(folder, answers=KNOWLEDGE_ENTITIES)


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
        load_vqa_model(folder, answers=[])


def test_weights_of_other_shapes(folder):
    change_config(folder, fact_dim=12)
    with pytest.raises(ValueError, match=r"weights in .* (damaged|do not fit)"):
        load_vqa_model(folder, answers=[])


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
        load_vqa_model(folder, answers=[])


def test_cut_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"weights in .* are missing or damaged"):
        load_vqa_model(folder, answers=[])
    path.unlink()
    with pytest.raises(ValueError, match=r"weights in .* are missing or damaged"):
        load_vqa_model(folder, answers=[])


def test_a_damaged_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer in .* is missing or damaged"):
        load_vqa_model(folder, answers=[])


def test_a_tokenizer_from_elsewhere(tmp_path):
    folder = save_tiny(tmp_path)
    tokenizer = tiny_tokenizer().__class__(
        vocab=tiny_tokenizer().get_vocab() | {"new": len(tiny_tokenizer())}
    )
    tokenizer.save_pretrained(folder)
    with pytest.raises(ValueError, match=r"tokenizer in .* tokens, but the model knows"):
        load_vqa_model(folder, answers=[])
