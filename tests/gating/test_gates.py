"""Gates: soft, hard and straight-through, and their calibration."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    scores=st.lists(st.floats(-1e6, 1e6, width=32) | st.just(torch.inf), min_size=1, max_size=60),
    keep_rate=st.floats(0.01, 1.0),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_calibration_keeps_exactly_the_rate(scores, keep_rate, dtype):
    given_ = torch.tensor(scores, dtype=dtype)
    given_ = given_ + (0.1 if dtype == torch.float64 else 0.0)  # not representable in single precision
    finite = torch.isfinite(given_)
    gate = Gate(threshold=0.0, temperature=1.0, mode="hard")
    if not bool(finite.any()):
        with pytest.raises(ValueError, match="`scores` must hold at least one finite score"):
            gate.calibrate(given_, keep_rate)
        return
    gate.calibrate(given_, keep_rate)
    kept = gate(given_[None])[1][0].bool() & finite
    needed = max(1, math.ceil(keep_rate * int(finite.sum()) - 1e-9))
    assert int(kept.sum()) >= needed
    strictly = int((given_[finite] < given_[kept].max()).sum())
    assert strictly < needed  # no more than ties make unavoidable


@pytest.mark.parametrize(
    "make", [layer_of, lambda: KernelGate(6, 5, 4)], ids=["outlier layer", "kernel gate"]
)
def test_a_calibrated_layer_keeps_the_rate_of_what_it_was_calibrated_on(make):
    layer, (facts, image) = make(), batch(candidates=20, rows=10)
    mask = torch.ones(10, 20, dtype=torch.bool)
    mask[:, 15:] = False
    layer.calibrate(layer(facts, context=image, candidate_mask=mask).score, keep_rate=0.9)
    gate = layer(facts, context=image, candidate_mask=mask).gate
    assert int((gate >= 0.5).sum()) == 135
    layer.calibrate(layer(facts, context=image, candidate_mask=mask).score)  # 0.95 by default
    assert int((layer(facts, context=image, candidate_mask=mask).gate >= 0.5).sum()) == 143


@each_score
@pytest.mark.parametrize("family", [Spherical(), Diagonal()], ids=name)
def test_gates_start_open_without_being_stuck(score, family):
    """On features without structure, by the default threshold and temperature."""
    torch.manual_seed(0)
    layer = OutlierLayer(64, 64, family=family, score=score)
    gate = layer(torch.randn(8, 20, 64), context=torch.randn(8, 20, 64)).gate
    assert 0.8 < gate.mean() < 0.999
    assert ((gate > 0.1) & (gate < 0.99999)).all()


@pytest.mark.parametrize(
    ("scores", "keep_rate", "words"),
    [
        (torch.zeros(0), 0.9, "`scores` must hold at least one finite score"),
        (torch.full((3,), torch.nan), 0.9, "`scores` must be numbers"),
        (torch.zeros(3), 0.0, "`keep_rate`"),
    ],
)
def test_errors_of_calibration_name_the_argument(scores, keep_rate, words):
    with pytest.raises(ValueError, match=words):
        layer_of().calibrate(scores, keep_rate)


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
