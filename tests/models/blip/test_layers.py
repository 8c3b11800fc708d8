"""BLIP's layers of ours, against those of `transformers`."""

import pytest
import torch
from transformers import BlipVisionConfig
from transformers.models.blip.modeling_blip import BlipAttention, BlipEncoderLayer

from vkood.models.blip.layers import VisionAttention, VisionLayer

CONFIG = BlipVisionConfig(hidden_size=16, num_attention_heads=4, intermediate_size=32, attention_dropout=0.3)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(VisionAttention, BlipAttention), (VisionLayer, BlipEncoderLayer)]
)
def test_parts_of_the_image_tower_have_the_numbers_and_gradients_of_transformers(ours, theirs):
    torch.manual_seed(0)
    mine, reference = ours(CONFIG).eval(), theirs(CONFIG).eval()
    mine.load_state_dict(reference.state_dict())
    states, arriving = torch.randn(2, 7, 16), torch.randn(2, 7, 16)
    actual = []
    for part in (mine, reference):
        inputs = states.clone().requires_grad_()
        out = part(inputs)
        out = out[0] if isinstance(out, tuple) else out
        out.backward(arriving)
        actual.append(
            [out, inputs.grad, *(parameter.grad for _, parameter in sorted(part.named_parameters()))]
        )
    torch.testing.assert_close(actual[0], actual[1])


def test_the_image_towers_attention_drops_in_training_alone():
    torch.manual_seed(0)
    attention, states = VisionAttention(CONFIG), torch.randn(2, 7, 16)
    assert not torch.equal(attention(states)[0], attention(states)[0])
    attention.eval()
    assert torch.equal(attention(states)[0], attention(states)[0])
