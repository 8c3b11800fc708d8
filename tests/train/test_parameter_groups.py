"""Which parameters are decayed, and how fast each role learns."""

import pytest
import torch
from torch import nn

from support import tiny_models
from vkood.models import VkoodForVisualQuestionAnswering
from vkood.train.parameter_groups import parameter_groups


def test_parameter_groups():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Conv2d(1, 2, 3), nn.Linear(4, 2))
    model.temperature = nn.Parameter(torch.tensor(1.0))
    model[3].requires_grad_(False)
    decayed, kept = parameter_groups(model, learning_rate=1e-3, weight_decay=0.3)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.3, 0.0)
    assert decayed["lr"] == kept["lr"] == 1e-3
    assert {id(p) for p in decayed["params"]} == {id(model[0].weight), id(model[2].weight)}
    assert {id(p) for p in kept["params"]} == {
        id(p) for p in (model[0].bias, model[1].weight, model[1].bias, model[2].bias, model.temperature)
    }


@pytest.mark.parametrize("factors", [(5.0, 50.0), (1.0, 1.0)])
def test_roles_learn_at_their_rates(factors):
    """As METER's groups: towers and token types, co-attention with projections and poolers, heads."""
    model = VkoodForVisualQuestionAnswering(tiny_models.tiny_config())
    fusion, head = factors
    groups = parameter_groups(
        model, learning_rate=1e-3, weight_decay=0.01, fusion_factor=fusion, head_factor=head
    )
    rates = {id(part): group["lr"] / 1e-3 for group in groups for part in group["params"]}
    assert len(rates) == sum(1 for _ in model.parameters())
    for name, rate in (
        ("vkood.image_tower.encoder.embedder.embedder.convolution.weight", 1.0),
        ("vkood.text_tower.encoder.embeddings.word_embeddings.weight", 1.0),
        ("vkood.token_types.weight", 1.0),
        ("vkood.image_projection.weight", fusion),
        ("vkood.pooling.text.weight", fusion),
        ("vkood.fusion.text_layers.0.cross_attention.key.weight", fusion),
        ("vkood.outlier_layer.gate.threshold", fusion),
        ("answer_head.3.bias", head),
    ):
        assert rates[id(dict(model.named_parameters())[name])] == pytest.approx(rate), name
