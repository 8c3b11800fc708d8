"""Gates: soft, hard and straight-through, and their calibration."""

import pytest
import torch

from support.sets import batch, layer_of, name, normal
from vkood.gating import KernelGate, OutlierLayer
from vkood.gating.gate import Gate, GateOutput
from vkood.mixture import Diagonal, Spherical

each_score = pytest.mark.parametrize("score", ["negative_log_density", "gem", "mahalanobis"])


@pytest.mark.parametrize("mode", ["hard", "straight_through"])
def test_hard_gates_are_0_or_1_and_masked_ones_0(mode):
    soft, layer, (facts, image) = layer_of(), layer_of(gate=mode), batch(candidates=12)
    middle = float(soft(facts, context=image).score.detach().median())
    soft.gate.threshold.data.fill_(middle)
    layer.gate.threshold.data.fill_(middle)
    mask = torch.ones(3, 12, dtype=torch.bool)
    mask[:, ::3] = False
    smooth, out = (each(facts, context=image, candidate_mask=mask) for each in (soft, layer))
    assert set(out.gate.flatten().tolist()) == {0.0, 1.0}
    assert torch.equal(out.gate == 1, smooth.gate >= 0.5)
    assert torch.equal(out.log_gate, out.gate.log())
    assert (out.gate[~mask] == 0).all()
    if mode == "hard":
        assert not out.gate.requires_grad and not out.log_gate.requires_grad
        return
    weights = normal(3, 12, seed=6).float()
    expected = torch.autograd.grad((weights * smooth.gate).sum(), list(soft.parameters()), retain_graph=True)
    for left, right in zip(
        torch.autograd.grad((weights * out.gate).sum(), list(layer.parameters()), retain_graph=True),
        expected,
        strict=True,
    ):
        torch.testing.assert_close(left, right)
    opened = out.gate == 1
    expected = torch.autograd.grad((weights * smooth.log_gate)[opened].sum(), list(soft.parameters()))
    for left, right in zip(
        torch.autograd.grad((weights * out.log_gate)[opened].sum(), list(layer.parameters())),
        expected,
        strict=True,
    ):
        torch.testing.assert_close(left, right)


def test_adding_the_log_gate_to_attention_makes_closed_gates_absent():
    gate = Gate(threshold=0.0, temperature=1.0, mode="hard")
    log_gate, _ = gate(torch.tensor([[-1.0, 3.0, -0.5]]))
    logits, values = normal(1, 3).float(), normal(1, 3, 2).float()
    with_gate = torch.softmax(logits + log_gate, -1) @ values
    without = torch.softmax(logits[:, [0, 2]], -1) @ values[:, [0, 2]]
    torch.testing.assert_close(with_gate, without)


@each_score
@pytest.mark.parametrize("family", [Spherical(), Diagonal()], ids=name)
def test_gates_start_open_without_being_stuck(score, family):
    """On features without structure, by the default threshold and temperature."""
    torch.manual_seed(0)
    layer = OutlierLayer(64, 64, family=family, score=score)
    gate = layer(torch.randn(8, 20, 64), context=torch.randn(8, 20, 64)).gate
    assert 0.8 < gate.mean() < 0.999
    assert ((gate > 0.1) & (gate < 0.99999)).all()


def test_gates_may_be_hard_in_eval_alone():
    layer, (facts, image) = layer_of(inference="hard"), batch(candidates=12)
    soft = layer(facts, context=image)
    assert ((soft.gate > 0) & (soft.gate < 1)).all()
    hard = layer.eval()(facts, context=image)
    torch.testing.assert_close(hard.gate, (soft.gate >= 0.5).float())
    assert layer.gate.mode == "soft"
    assert layer_of(gate="hard", inference="soft").eval()(facts, context=image).gate.unique().numel() > 2


def test_what_is_printed_is_one_line():
    layer, (facts, image) = layer_of(), batch(candidates=12)
    mask = torch.ones(3, 12, dtype=torch.bool)
    mask[:, ::3] = False
    out = layer(facts, context=image, candidate_mask=mask)
    opened = int((out.gate >= 0.5).sum())
    sets, components, dim = out.mixture.mean.shape
    assert (
        repr(out)
        == str(out)
        == (
            f"GateOutput(gate=(3, 12) float32, candidates=24, at_least_half_open={opened}, mixture=({sets} sets, "
            f"{components} components, {dim} dimensions), converged={int(out.solution.converged.sum())} of 3, "
            f"backend={out.backend})"
        )
    )
    kernel = KernelGate(facts.shape[-1], image.shape[-1])(facts, context=image)
    assert "mixture" not in repr(kernel)
    with torch.device("meta"):
        shapes = GateOutput(log_gate=torch.empty(2, 3), gate=torch.empty(2, 3), score=torch.empty(2, 3))
    assert repr(shapes) == "GateOutput(gate=(2, 3) float32)"
