"""Steering by texts: what it reaches, what it leaves as it is; and image tokens computed beforehand."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from support.tiny_models import tiny_batch, tiny_config
from vkood.gating.conditioning import TextSteering
from vkood.models import VkoodForVisualQuestionAnswering

STEERINGS = (
    ("mixture", "weights"),
    ("mixture", "prior"),
    ("mixture", "weights_and_prior"),
    ("kernel", "weights"),
)


def steered(
    kind: str = "mixture", steering: str = "none", **changes: object
) -> VkoodForVisualQuestionAnswering:
    gate = {"kind": kind, "joint_dim": 8, "threshold": 2.5, "temperature": 2.0, "steering": steering}
    torch.manual_seed(0)
    return VkoodForVisualQuestionAnswering(tiny_config(gate=gate, **changes)).eval()


@pytest.mark.parametrize(("kind", "steering"), STEERINGS)
@torch.no_grad()
def test_the_question_moves_the_scores(kind, steering):
    model = steered(kind, steering)
    batch = tiny_batch()
    reworded = batch | {"input_ids": (batch["input_ids"] + 7) % 50 * batch["attention_mask"]}
    mask = batch["fact_mask"]
    moved = (model(**batch).fact_score - model(**reworded).fact_score)[mask].abs()
    assert moved.max() > 1e-3
    plain = steered(kind)
    assert_close(plain(**batch).fact_score, plain(**reworded).fact_score, atol=0, rtol=0)


@pytest.mark.parametrize(("kind", "steering"), STEERINGS)
@torch.no_grad()
def test_several_steering_texts_for_an_image_are_as_one_by_one(kind, steering):
    model = steered(kind, steering)
    groups = [tiny_batch(), tiny_batch()]
    images = groups[0]["pixel_values"]
    stacked = {
        name: torch.stack([group[name] for group in groups], dim=1)
        for name in groups[0]
        if name != "pixel_values"
    }
    output = model(pixel_values=images, **stacked)
    for place, group in enumerate(groups):
        single = model(**(group | {"pixel_values": images}))
        assert_close(output.logits[:, place], single.logits, atol=1e-5, rtol=1e-5)
        assert_close(output.fact_score[:, place], single.fact_score, atol=1e-5, rtol=1e-5)
    assert output.solve_status is None if kind == "kernel" else output.solve_status.shape == (3, 2)


@torch.no_grad()
def test_weights_in_the_fusion_keep_ignored_tokens_out_of_the_answer():
    model = steered("mixture", "weights", steer_fusion=True)
    batch = {name: value for name, value in tiny_batch().items() if not name.startswith("fact")}
    tokens = torch.randn(3, 8, 16)
    del batch["pixel_values"]
    steering = model.vkood.steering
    steering.key.weight.zero_()
    steering.key.weight[0, 0] = 1.0  # weigh by the first feature
    steering.query.weight.zero_()
    steering.query.bias.copy_(torch.eye(8)[0])
    tokens[:, 4:, 0] = -1e4
    other = tokens.clone()
    other[:, 4:, 1:] = 9.0
    assert_close(model(**batch, image_features=tokens).logits, model(**batch, image_features=other).logits)
    few = model(**batch, image_features=tokens[:, :4]).logits
    assert_close(model(**batch, image_features=tokens).logits, few, atol=1e-5, rtol=1e-5)


def test_questions_without_facts_teach_weights_that_act_in_the_fusion():
    model = steered("kernel", "weights", steer_fusion=True)
    batch = {name: value for name, value in tiny_batch().items() if not name.startswith("fact")}
    model(**batch, labels=torch.tensor([0, 1, 2])).loss.backward()
    assert bool(model.vkood.steering.query.weight.grad.any())


@pytest.mark.parametrize(("kind", "steering"), STEERINGS)
@torch.no_grad()
def test_padding_of_a_text_steers_nothing(kind, steering):
    model = steered(kind, steering)
    batch = tiny_batch()
    padded = batch | {
        "input_ids": torch.cat([batch["input_ids"], torch.full((3, 4), 7)], dim=1),
        "attention_mask": torch.cat([batch["attention_mask"], torch.zeros(3, 4, dtype=torch.long)], dim=1),
    }
    assert_close(model(**padded).fact_score, model(**batch).fact_score, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("kind", "steering"), STEERINGS)
def test_gradients_reach_all_that_steers(kind, steering):
    model = steered(kind, steering)
    model(**tiny_batch(), labels=torch.tensor([0, 1, 2])).loss.backward()
    actual = {name: parameter.grad for name, parameter in model.vkood.steering.named_parameters()}
    assert all(gradient is not None for gradient in actual.values())
    assert all(bool(gradient.any()) for name, gradient in actual.items() if name != "key.bias")


@torch.no_grad()
def test_weights_are_one_on_average_and_follow_the_definition():
    steering = TextSteering(6, 5, 4, 2, "weights_and_prior")
    tokens, image = torch.randn(3, 7, 6), torch.randn(3, 9, 5)
    mask = (torch.arange(7) < torch.tensor([7, 4, 1])[:, None]).long()
    actual = steering(tokens, mask, image)
    assert steering.key is not None
    assert steering.query is not None
    for row, length in enumerate((7, 4, 1)):
        text = tokens[row, :length].mean(0)
        affinity = steering.key(image[row]) @ steering.query(text) / 2
        assert_close(actual.weights[row], 9 * affinity.softmax(0))
    assert_close(actual.weights.mean(1), torch.ones(3))
    assert_close(actual.prior_mean.norm(dim=-1), torch.full((3, 2), 2.0))


def test_without_steering_there_is_nothing_to_steer():
    model = steered()
    assert model.vkood.steering is None
    assert not [name for name in model.state_dict() if "steering" in name]


def test_a_steered_model_is_saved_and_loaded(tmp_path):
    model = steered("mixture", "weights_and_prior")
    model.save_pretrained(tmp_path)
    loaded = VkoodForVisualQuestionAnswering.from_pretrained(tmp_path)
    batch = tiny_batch()
    assert_close(loaded(**batch).logits, model(**batch).logits, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"steering": "wheel"}, "`steering` must be one of none, weights"),
        ({"kind": "kernel", "steering": "prior"}, "`steering` of a kernel gate must be"),
    ],
)
def test_steering_that_cannot_be_is_refused(gate, message):
    with pytest.raises(ValueError, match=message):
        tiny_config(gate=gate)


def test_a_fusion_is_steered_by_weights_only():
    with pytest.raises(ValueError, match="`steer_fusion` needs a gate whose `steering` has weights"):
        tiny_config(gate={"steering": "prior"}, steer_fusion=True)


@torch.no_grad()
def test_image_tokens_may_be_computed_beforehand():
    model = steered()
    batch = tiny_batch()
    without = {name: value for name, value in batch.items() if name != "pixel_values"}
    tokens = model.vkood.image_tower(batch["pixel_values"])
    expected, output = model(**batch), model(**without, image_features=tokens)
    assert_close(output.logits, expected.logits, atol=0, rtol=0)
    assert_close(output.fact_score, expected.fact_score, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "exactly one of `pixel_values` and `image_features` must be given; got neither"),
        (
            {"pixel_values": torch.zeros(3, 3, 32, 32), "image_features": torch.zeros(3, 4, 16)},
            "got both",
        ),
        ({"image_features": torch.zeros(3, 4, 5)}, r"must be \(batch, tokens, 16\)"),
    ],
)
def test_pixels_or_tokens_must_be_given(changes, message):
    batch = {name: value for name, value in tiny_batch().items() if name != "pixel_values"}
    with pytest.raises(ValueError, match=message):
        steered()(**batch, **changes)
