"""Gates learn from the attention behind them.

The loss of an answer closes only those gates that it has to. Where the attention prefers circles to triangles, a fact
about a triangle does no harm beside a picture of a circle, so nothing closes its gate: every answer is right, and the
gate says nothing. So a reader teaches its filter (as Izacard and Grave, ICLR 2021, teach a retriever): what the answer
attends to should be open, and all else shut.

With p the share of the attention to facts that a fact gets, a constant here, and m the attention to all facts of its
text, a text adds

    m sum_i (-p_i log g_i - UNATTENDED (1 - p_i) log(1 - g_i))

and all texts' sum is divided by that of m times the number of facts.
"""

# What some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vkood.models.fusion import LayerAttentions

FREE_SHARE = 0.25
"""The share of the steps without this loss: an attention that has learnt nothing yet has nothing to teach."""
UNATTENDED = 0.25
"""Weight of facts that are not attended to. Less than 1, since a fact that agrees with its picture may not be what the
text asks for: the gate of one that is asked for by half the texts goes to 1 / (1 + UNATTENDED), that is, 0.8."""
_LEAST, _MOST = 1e-30, 1 - 2**-24  # of a gate, so that logarithms are finite


def attention_to_facts(
    attentions: Sequence[LayerAttentions], num_facts: int, num_texts: int
) -> Float[Tensor, "texts facts"]:
    """How much the first token, from which answers are read, attends to each fact: the mean over heads and layers.

    Args:
        attentions: Those of a two-stream model's layers, whose last keys are the facts.
        num_facts: Number of facts of each text, absent ones among them.
        num_texts: Number of texts; with several images each, the mean over these.
    """
    first = torch.stack([layer.text_to_text[:, :, 0].mean(1) for layer in attentions]).mean(0)
    return first[:, first.shape[1] - num_facts :].unflatten(0, (num_texts, -1)).mean(1)


def gate_loss(
    gate: Float[Tensor, "texts facts"],
    attention: Float[Tensor, "texts facts"],
    mask: Bool[Tensor, "texts facts"],
) -> Float[Tensor, ""]:
    """How far soft gates are from what the attention looks at; gradients reach the gates alone.

    Args:
        gate: From 0 to 1.
        attention: At least 0, and at most 1 in sum.
        mask: True where there is a fact.

    Returns:
        At least 0; 0 without facts, and where no fact is attended to. A gate that rounds to 0 or 1 has no gradient.

    Example:
        >>> gate, attention = torch.tensor([[0.9, 0.9]]), torch.tensor([[0.5, 0.0]])
        >>> round(gate_loss(gate, attention, torch.ones(1, 2, dtype=torch.bool)).item(), 2)  # the second is to shut
        0.34
    """
    with torch.no_grad():
        attention = attention.float().masked_fill(~mask, 0.0)
        mass = attention.sum(1, keepdim=True)
        share = attention / mass.clamp_min(_LEAST)
        total = (mass * mask).sum().clamp_min(_LEAST)
    kept = gate.float().masked_fill(~mask, 0.5).clamp(_LEAST, _MOST)
    each = -share * kept.log() - UNATTENDED * (1 - share) * torch.log1p(-kept)
    return (mass * each).masked_fill(~mask, 0.0).sum() / total


def weight_at(full: float, progress: float) -> float:
    """The loss's weight at a point of the training: nothing at first, then rising linearly to all of it at the end.

    Args:
        full: The weight at the end.
        progress: The share of the steps that is done.

    Example:
        >>> [round(weight_at(0.1, progress), 3) for progress in (0.2, 0.625, 1.0)]
        [0.0, 0.05, 0.1]
    """
    return full * max(0.0, progress - FREE_SHARE) / (1 - FREE_SHARE)
