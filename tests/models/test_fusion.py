"""Attention of the fusion, against torch's own."""

import pytest
import torch

from vkood.models.fusion import Attention, present_facts, without_closed

WIDTH, HEADS = 16, 4


def case(dropout: float) -> tuple[Attention, torch.Tensor, torch.Tensor, torch.Tensor]:
    """An attention, what attends, what is attended to, and a bias that hides the last two keys."""
    torch.manual_seed(0)
    bias = torch.zeros(3, 7)
    bias[:, -2:] = -torch.inf
    bias[:, 0] = -0.5
    return Attention(WIDTH, HEADS, dropout, 1e-5), torch.randn(3, 5, WIDTH), torch.randn(3, 7, WIDTH), bias


def by_torch(attention: Attention, states: torch.Tensor, source: torch.Tensor, bias: torch.Tensor):
    """The same by `torch.nn.MultiheadAttention`."""
    parts = (attention.query, attention.key, attention.value)
    reference = torch.nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        reference.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    reference.out_proj = attention.output
    mask = bias[:, None].expand(-1, states.shape[1], -1).repeat_interleave(HEADS, dim=0)
    return attention.norm(states + reference(states, source, source, attn_mask=mask)[0])


# Of so small a share nothing is dropped, but the way is that of dropout.
@pytest.mark.parametrize(("dropout", "training"), [(0.0, True), (1e-12, True), (0.1, False)])
def test_every_way_is_the_same_attention(dropout: float, training: bool):
    attention, *inputs = case(dropout)
    attention.train(training)
    expected = by_torch(attention, *inputs)
    torch.testing.assert_close(attention(*inputs), expected)
    weights: list[torch.Tensor] = []
    torch.testing.assert_close(attention(*inputs, attentions=weights), expected)
    assert (weights[0][..., -2:] == 0).all()
    torch.testing.assert_close(weights[0].sum(-1), torch.ones(3, HEADS, 5))


def test_dropout_drops_in_training_alone():
    attention, *inputs = case(0.5)
    assert not torch.equal(attention(*inputs), attention(*inputs))
    attention.eval()
    assert torch.equal(attention(*inputs), attention(*inputs))


@pytest.mark.parametrize("training", [True, False])
def test_padding_alone_is_finite_with_its_gradients(training: bool):
    attention, states, source, bias = case(0.1)
    attention.train(training)
    bias[1] = -torch.inf
    states.requires_grad_()
    actual = attention(states, source, bias)
    actual.square().sum().backward()
    assert actual.isfinite().all()
    assert states.grad is not None and states.grad.isfinite().all()


def test_closed_facts_are_left_out_and_the_others_keep_their_order():
    facts = torch.arange(8.0).view(2, 4, 1)
    bias = torch.tensor([[0.0, -torch.inf, -0.5, -torch.inf], [-torch.inf, -torch.inf, -torch.inf, -2.0]])
    kept, kept_bias = without_closed(facts, bias)
    assert kept[0, :, 0].tolist() == [0.0, 2.0]
    assert kept_bias[0].tolist() == [0.0, -0.5]
    assert (kept[1, 0, 0], kept_bias[1].tolist()) == (7.0, [-2.0, -torch.inf])
    assert without_closed(facts, torch.zeros(2, 4))[0] is facts
    assert without_closed(facts, torch.full((2, 4), -torch.inf))[0].shape == (2, 0, 1)
    assert without_closed(facts[:0], bias[:0])[0].shape == (0, 0, 1)


def test_padding_becomes_zeros_and_facts_stay():
    facts = torch.randn(2, 3, 4)
    facts[1, 2] = torch.nan
    mask = torch.tensor([[True, True, True], [True, True, False]])
    present = present_facts(facts, mask)
    assert present is not None
    assert torch.equal(present[0], facts.nan_to_num(0.0))
    assert torch.equal(present[1], mask)
    whole = present_facts(facts[:1], None)
    assert whole is not None
    assert whole[1].all()


def test_without_facts_there_are_none():
    assert present_facts(None, None) is None
    assert present_facts(torch.empty(2, 0, 4), torch.empty(2, 0, dtype=torch.bool)) is None


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(2, 3), r"torch.bool of shape \(2, 3\), as `fact_features` are; got torch.float32"),
        (torch.ones(2, 3, dtype=torch.long), r"torch.bool of shape \(2, 3\).*; got torch.int64"),
        (
            torch.ones(2, 1, dtype=torch.bool),
            r"torch.bool of shape \(2, 3\).*; got torch.bool of shape \(2, 1\)",
        ),
    ],
)
def test_masks_that_do_not_go_with_the_facts_are_refused(mask, message):
    with pytest.raises(ValueError, match=f"`fact_mask` must be {message}"):
        present_facts(torch.randn(2, 3, 4), mask)


def test_a_mask_alone_is_refused():
    with pytest.raises(ValueError, match="`fact_mask` must come with `fact_features`"):
        present_facts(None, torch.ones(2, 3, dtype=torch.bool))
