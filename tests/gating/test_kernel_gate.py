"""The kernel gate against scikit-learn's kernel density, and at its edges."""

import math

import numpy
import pytest
import torch
from sklearn.neighbors import KernelDensity

from support.sets import normal
from vkood.gating import KernelGate


@pytest.fixture
def layer() -> KernelGate:
    torch.manual_seed(1)
    return KernelGate(6, 5, 4, bandwidth=0.7)


def test_score_is_a_weighted_kernel_density(layer):
    candidates, context = normal(2, 3, 6).float(), normal(2, 9, 5, seed=1).float()
    weights = torch.rand(2, 9, generator=torch.Generator().manual_seed(2))
    score = layer(candidates, context, context_mask=weights).score
    with torch.no_grad():
        joint, tokens = layer.joint.candidates(candidates, None), layer.joint.context(context, None)
    torch.testing.assert_close(
        tokens.square().sum(-1), torch.full((2, 9), 4.0)
    )  # on the sphere of radius sqrt(dim)
    for row in range(2):
        density = KernelDensity(bandwidth=math.sqrt(0.7)).fit(
            tokens[row].numpy(), sample_weight=weights[row].numpy()
        )
        numpy.testing.assert_allclose(
            score[row].detach(), -density.score_samples(joint[row].numpy()) / 4, rtol=1e-4
        )


def test_masked_tokens_and_candidates_are_absent_whatever_they_hold(layer):
    candidates, context = normal(2, 4, 6).float(), normal(2, 9, 5, seed=1).float()
    candidate_mask, context_mask = (
        torch.tensor([[True, True, False, True]] * 2),
        torch.tensor([[True] * 7 + [False] * 2] * 2),
    )
    plain = layer(candidates[:, [0, 1, 3]], context[:, :7])
    candidates[:, 2], context[:, 7:] = torch.nan, torch.inf
    candidates.requires_grad_()
    context.requires_grad_()
    out = layer(candidates, context, candidate_mask=candidate_mask, context_mask=context_mask)
    torch.testing.assert_close(out.gate[:, [0, 1, 3]], plain.gate)
    torch.testing.assert_close(out.log_gate.exp(), out.gate)
    assert out.gate[:, 2].tolist() == [0.0, 0.0]
    assert out.log_gate[:, 2].tolist() == [-torch.inf] * 2
    assert out.score[:, 2].tolist() == [torch.inf] * 2
    (out.gate.sum() + out.log_gate[:, [0, 1, 3]].sum()).backward()
    for gradient in [parameter.grad for parameter in layer.parameters()] + [candidates.grad, context.grad]:
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("tokens", [0, 3])
def test_rows_without_context_are_masked_out_without_gradient(layer, tokens):
    candidates, context = normal(2, 4, 6).float(), normal(2, tokens, 5, seed=1).float()
    mask = torch.zeros(2, tokens)
    mask[0] = 1.0  # row 1 has none; nor has row 0 if there are no tokens at all
    out = layer(candidates, context, context_mask=mask)
    empty = slice(0 if tokens == 0 else 1, 2)
    assert (out.gate[empty] == 0).all()
    assert (out.log_gate[empty] == -torch.inf).all()
    assert (out.score[empty] == torch.inf).all()
    (out.gate.sum() + out.log_gate.masked_fill(out.log_gate == -torch.inf, 0.0).sum()).backward()
    for parameter in layer.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


def test_gradients_reach_the_weights_and_the_bandwidth(layer):
    weights = torch.full((2, 9), 0.5, requires_grad=True)
    layer(
        normal(2, 4, 6).float(), normal(2, 9, 5, seed=1).float(), context_mask=weights
    ).log_gate.sum().backward()
    assert (weights.grad != 0).all()
    assert layer.log_bandwidth.grad != 0
    assert layer.gate.threshold.grad != 0


def test_errors_name_the_argument(unchecked):
    with pytest.raises(ValueError, match="`bandwidth`"):
        KernelGate(6, 5, bandwidth=0.0)
    with pytest.raises(ValueError, match="`gate` must be one of soft, hard, straight_through; got 'half'"):
        KernelGate(6, 5, gate="half")  # pyright: ignore[reportArgumentType] (wrong on purpose)
    with pytest.raises(ValueError, match=r"`context` must be \(batch, items, 5\)"):
        KernelGate(6, 5)(torch.zeros(1, 2, 6), torch.zeros(1, 2, 6))


@torch.no_grad()
def test_weights_of_any_size_are_shares():
    layer = KernelGate(6, 5, 4)
    facts, image = normal(3, 4, 6), normal(3, 9, 5)
    weights = torch.rand(3, 9)
    expected = layer(facts, image, context_mask=weights).score
    for scale in (1e-30, 3e38):
        torch.testing.assert_close(layer(facts, image, context_mask=weights * scale).score, expected)
    with pytest.raises(ValueError, match="`context_mask` must hold finite weights"):
        layer(facts, image, context_mask=weights * torch.inf)
