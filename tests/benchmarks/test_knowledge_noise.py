"""The benchmark's own arms, rows and records."""

from __future__ import annotations

import pytest
import torch
from benchmarks.knowledge_noise.arms import DotProductGate, NoFitGradient
from benchmarks.knowledge_noise.questions import Corruption
from benchmarks.knowledge_noise.records import Records
from torch.testing import assert_close

from vkood.gating import OutlierLayer


def test_a_dot_product_gate_judges_rows_and_facts_one_by_one():
    layer = DotProductGate(6, 5, 8)
    facts, context = torch.randn(3, 4, 6), torch.randn(3, 7, 5)
    mask = torch.tensor([[True] * 4, [True, True, False, False], [False] * 4])
    out = layer(facts, context=context, candidate_mask=mask)
    assert out.gate[~mask].eq(0).all()
    assert out.score[~mask].isinf().all()
    alone = layer(facts[1:2, :2], context=context[1:2])
    assert_close(out.score[1:2, :2], alone.score)
    assert out.gate[mask].gt(0.9).all()


def test_without_a_gradient_through_the_fit_none_reaches_the_context():
    layer = OutlierLayer(6, 5, 8, num_components=2, gradient=NoFitGradient())
    same = OutlierLayer(6, 5, 8, num_components=2)
    same.load_state_dict(layer.state_dict())
    facts, context = torch.randn(3, 4, 6), torch.randn(3, 7, 5)
    out = layer(facts, context=context)
    assert_close(out.gate, same(facts, context=context).gate, atol=0, rtol=0)
    out.gate.sum().backward()
    context_projection = layer.joint.context_projection
    assert context_projection is not None
    assert context_projection.weight.grad is None
    assert layer.joint.candidate_projection.weight.grad.abs().max() > 0


@pytest.mark.parametrize("by", ["noise", "foreign"])
def test_a_corruption_replaces_its_share_of_each_image(by):
    images = torch.randn(5, 12, 3)
    corrupted = Corruption(torch.randn(9, 12, 3), 1 / 3, by, seed=0)(images)
    assert (corrupted != images).any(-1).sum(1).tolist() == [4] * 5


def test_records_are_found_again(tmp_path):
    path = tmp_path / "folder" / "runs.jsonl"
    Records(path).add({"arm": "a", "seed": 0, "value": 0.5})
    Records(path).add({"arm": "a", "seed": 1, "value": 0.7})
    assert [record["value"] for record in Records(path).find(arm="a")] == [0.5, 0.7]
    assert Records(path).find(arm="a", seed=1)[0]["value"] == 0.7
    assert not Records(path).find(arm="b")
