"""Configurations refuse values of a wrong type, sign or size, and name the field."""

import pytest
from transformers import ViTConfig

from support.every_model import blip_config, two_stream_config
from vkood.models import BlipVkoodConfig, GateConfig, VkoodConfig


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("hidden_size", ["wide", -16, 0, 16.0, True, None, 10**9]),
        ("num_attention_heads", [0, -1, "two"]),
        ("num_fusion_layers", [0, -1, 10**9, None]),
        ("intermediate_size", [0, -4, "four", 10**12]),
        ("fact_dim", [0, -1, 2.5, "x"]),
        ("dropout", [-0.1, 1.5, float("nan"), "none"]),
        ("layer_norm_eps", [-1, float("inf"), "small"]),
        ("initializer_range", [-0.02, float("nan"), None]),
        ("pooling", ["sum", None, 3]),
        ("clip_layers", ["most", 2]),
        ("num_images", [0, -1, 10**6]),
        ("match_loss_weight", [-1, float("inf")]),
        ("steer_fusion", ["yes", 1]),
        ("output_states", [None, "no"]),
        ("num_labels", [-1, 10**12]),
        ("id2label", [["a"], {"zero": "a"}, {0: 1}, {-1: "a"}]),
        ("gate", [3, ["soft"], {"kind": "other"}, {"unheard_of": 1}, {"joint_dim": 0}]),
        ("image_config", [3, "vit", {"model_type": "unheard_of"}, {"model_type": 3}]),
        ("text_config", [[], {"model_type": "bert", "hidden_size": "wide"}, {"vocab_size": 10**12}]),
    ],
)
def test_fields_of_two_streams(field, values):
    for value in values:
        with pytest.raises(ValueError, match=rf"`{field}[.\w]*` (must|cannot)|`{field}`: `\w+` must"):
            two_stream_config(**{field: value})


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("adapter_size", [0, -1, "narrow"]),
        ("encode_token_id", [-1, 50, 1.5]),
        ("queue_size", [0, -1, 10**12]),
        ("momentum", [-0.1, 2, "slow"]),
        ("alpha", [-1, float("nan")]),
        ("merge_from", [-1, "half"]),
        ("max_answers_read", [0, None]),
        ("vision_config", [3, {"model_type": "vit"}, {"image_size": 100_000}, {"num_hidden_layers": 10**9}]),
        ("text_config", [3, {"model_type": "bert"}, {"num_attention_heads": 0}]),
        ("gate", [{"steering": "weights"}]),
    ],
)
def test_fields_of_blip(field, values):
    for value in values:
        with pytest.raises(ValueError, match=rf"`{field}[.\w]*` must|the gate's `steering` must"):
            blip_config(**{field: value})


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("joint_dim", [0, -1, 1.5, "x", 10**12]),
        ("num_components", [0, "two"]),
        ("variance", [0, -1, float("inf"), 1e30]),
        ("concentration", [0.0, "x", 1e20]),
        ("mean_strength", [-0.1, None, 1e-20]),
        ("threshold", [float("nan"), "half", 1e40]),
        ("temperature", [0, -1.0, 1e40]),
    ],
)
def test_fields_of_the_gate(field, values):
    for value in values:
        with pytest.raises(ValueError, match=f"`{field}` must be"):
            GateConfig(**{field: value})


def test_sizes_of_a_tower_that_is_a_configuration_already():
    with pytest.raises(ValueError, match=r"`image_config.image_size` must be a whole number from 1 to 4,096"):
        VkoodConfig(image_config=ViTConfig(image_size=100_000))


def test_the_nearest_option_is_offered():
    with pytest.raises(ValueError, match=r"got `num_component`; did you mean `num_components`\?"):
        BlipVkoodConfig(gate={"num_component": 3})


def test_answers_are_numbered_from_0():
    with pytest.raises(ValueError, match="`id2label` must number the answers from 0 on"):
        VkoodConfig(id2label={1: "a", 2: "b"})
    with pytest.raises(ValueError, match="`num_labels` must be that of `id2label`, 1; got 3"):
        VkoodConfig(id2label={0: "a"}, num_labels=3)
