"""Weights are found wherever training programs put them, and what is not found is named."""

from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from support.foreign_files import BLIP_CONFIGS, METER_TEXT, blip_state, meter_content, meter_state, saved
from vkood.models.convert import CheckpointError, CheckpointReport, load_checkpoint


def blip(path) -> tuple[Any, CheckpointReport]:
    return load_checkpoint(path, **BLIP_CONFIGS)


def under(prefix, state=None):
    return {prefix + name: part for name, part in (state or blip_state()).items()}


@pytest.mark.parametrize(
    "content",
    [
        lambda: dict(blip_state()),
        lambda: {"model": under("module.")},
        lambda: {"model": under("_orig_mod.")},
        lambda: {"state_dict": under("model.")},
        lambda: {"state_dict": under("module.model._orig_mod.")},
        lambda: {"state_dict": under("_forward_module.")},
        lambda: {"module": dict(blip_state()), "ds_version": "0.9", "dp_world_size": 1},
        lambda: {"model_state_dict": dict(blip_state()), "optimizer_state_dict": {}},
        lambda: {
            "model": {
                name.replace("blocks.", "blocks._orig_mod."): part for name, part in blip_state().items()
            }
        },
    ],
)
def test_wrappers(tmp_path, content):
    model, report = blip(saved(tmp_path / "a.pth", content()))
    assert report.notes == ()
    expected, _ = blip(saved(tmp_path / "b.pth", {"model": dict(blip_state())}))
    for name, part in expected.state_dict().items():
        assert torch.equal(part, model.state_dict()[name]), name


def test_safetensors(tmp_path):
    state = {name: part.clone() for name, part in blip_state().items()}
    for name in (tmp_path / "a.safetensors", tmp_path / "a.pth"):
        save_file(under("module.", state), name)
        model, _ = blip(name)
        assert torch.equal(model.blip.image_tower.post_layernorm.bias, state["visual_encoder.norm.bias"])
    meter = {name: part.clone() for name, part in meter_state().items()}
    save_file(meter, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="does not tell how many attention heads its fusion"):
        load_checkpoint(tmp_path / "a.safetensors", METER_TEXT)


def test_averages_over_training(tmp_path):
    plain, averaged = blip_state(), {name: part.clone() for name, part in blip_state().items()}
    averaged["visual_encoder.norm.bias"] += 1
    for content, note, taken in (
        ({"model": plain, "model_ema": averaged}, "'model_ema', is not taken", plain),
        ({"ema_state_dict": averaged}, "an average over training", averaged),
        ({"state_dict": under("model.", plain) | under("model_ema.", averaged)}, "are not taken", plain),
        ({"state_dict": under("ema.", averaged)}, "has no others", averaged),
        ({"state_dict": dict(plain) | under("ema_model.", averaged)}, "are not taken", plain),
    ):
        model, report = blip(saved(tmp_path / "a.pth", content))
        assert note in report.notes[0]
        bias = model.blip.image_tower.post_layernorm.bias
        assert torch.equal(bias, taken["visual_encoder.norm.bias"])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            lambda: {"model": under("backbone.")},
            r"begin with 'backbone\.', which is not known as a wrapper's",
        ),
        (lambda: {"model": under("module.") | under("model.")}, r"several models.* 'model\.' and 'module\.'"),
        (
            lambda: {"model": under("module.") | {"extra.weight": torch.ones(1)}},
            r"but 'extra\.weight' does not",
        ),
        (lambda: {"model": dict(blip_state()) | under("_orig_mod.")}, "has weights twice"),
        (lambda: {"model": dict(blip_state()) | {"epoch": 3}}, "must be named tensors; 'epoch' is a int"),
        (
            lambda: {"optimizer_state_dict": {"a": torch.ones(1)}},
            "holds the state of an optimizer and no weights",
        ),
        (
            lambda: {
                "module": {name: part[:0] if part.dim() else part for name, part in blip_state().items()}
            },
            "none of them empty",
        ),
        (
            lambda: {
                "state_dict": {
                    "text_embeddings.word_embeddings.weight": torch.ones(1),
                    "transformer.patch_embed.proj.weight": torch.ones(1),
                }
            },
            "it is of ViLT",
        ),
        (
            lambda: {
                "model": {
                    "visual_encoder.patch_embed.proj.weight": torch.ones(1),
                    "text_decoder.bert.embeddings.word_embeddings.weight": torch.ones(1),
                }
            },
            "for captions",
        ),
        (lambda: {"model": {"a": torch.ones(1)}}, "its weights have names like 'a'"),
        (lambda: {"vision_model.embeddings.patch_embedding.weight": torch.ones(1)}, "give the folder"),
        (lambda: {"model": {3: torch.ones(1)}}, "a name is not text"),
        (lambda: {"model": dict(blip_state()), "config": [1]}, "`config` must be named values; it is a list"),
    ],
)
def test_what_is_refused(tmp_path, content, problem):
    with pytest.raises(CheckpointError, match=problem) as caught:
        blip(saved(tmp_path / "a.pth", content()))
    assert len(str(caught.value).splitlines()) == 1


def test_hyper_parameters_of_a_class_of_their_own(tmp_path):
    """As Lightning's `AttributeDict`: a dictionary whose class is not installed."""

    class AttributeDict(dict):
        pass

    AttributeDict.__qualname__ = "AttributeDict"
    globals()["AttributeDict"] = AttributeDict
    content = meter_content(dict(meter_state()))
    content["hyper_parameters"] = AttributeDict(content["hyper_parameters"]["config"])
    path = saved(tmp_path / "a.ckpt", content)
    _, report = load_checkpoint(path, METER_TEXT)
    assert report.task == "vqa"
