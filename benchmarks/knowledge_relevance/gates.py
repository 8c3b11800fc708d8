"""The gates that the benchmark compares with `OutlierLayer`; all have its face.

Legend: B contexts, N candidates, T tokens, D features, J dimensions of the joint space.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from vkood.gating import Gate, GateOutput, KernelGate, OutlierLayer
from vkood.gating.joint_space import JointSpace

from .ambiguous_words import Contexts


class JointGate(nn.Module):
    """A gate in a joint space; a larger score = more outlying.

    Args:
        dim: Width of candidates and tokens.
        joint_dim: Width of the joint space.
    """

    def __init__(self, dim: int, joint_dim: int) -> None:
        super().__init__()
        self.joint = JointSpace(dim, dim, joint_dim)
        self.gate = Gate(threshold=0.0, temperature=1.0)

    @override
    def forward(self, candidates: Tensor, context: Tensor, *, context_mask: Tensor) -> GateOutput:
        """Score and gate the candidates."""
        score = self.scored(candidates, context, context_mask)
        log_gate, gate = self.gate(score)
        return GateOutput(log_gate=log_gate, gate=gate, score=score)

    def scored(self, candidates: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """(B, N) scores."""
        raise NotImplementedError


class CosineGate(JointGate):
    """The cosine of a candidate and the whole context, which is the mean of its tokens."""

    @override
    def scored(self, candidates: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        mean = (context * mask[..., None]).sum(1, keepdim=True) / mask.sum(1)[:, None, None]
        whole = self.joint.context(functional.normalize(mean, dim=-1), None)  # (B, 1, J)
        return -(self.joint.candidates(candidates, None) * whole).sum(-1) / self.joint.joint_dim


class NearestTokensGate(JointGate):
    """The mean cosine of a candidate and the tokens that are nearest to it."""

    def __init__(self, dim: int, joint_dim: int, neighbours: int) -> None:
        super().__init__(dim, joint_dim)
        self.neighbours = neighbours

    @override
    def scored(self, candidates: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        tokens = self.joint.context(context, mask)
        cosine = torch.bmm(self.joint.candidates(candidates, None), tokens.mT) / self.joint.joint_dim
        nearest = cosine.masked_fill(~mask[:, None], -2.0).topk(self.neighbours, dim=-1).values
        return -nearest.mean(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mahalanobis:
    """The Mahalanobis distance of a candidate from the mean of the context, both of length 1.

    Args:
        ridge: Times the mean variance is added to the covariance.
        precision: (D, D) the inverse covariance for all contexts; None for that of each context's own tokens.
    """

    ridge: float
    precision: Tensor | None = None

    def fitted(self, contexts: Contexts) -> Mahalanobis:
        """The same with the covariance of all tokens of these contexts around the means of their own."""
        tokens, means = _centred(contexts)
        spread = (tokens - means[:, None])[contexts.mask]
        return Mahalanobis(ridge=self.ridge, precision=self._inverse(spread))

    def scores(self, contexts: Contexts) -> Tensor:
        """(B, N) scores."""
        tokens, means = _centred(contexts)
        away = contexts.candidates - means[:, None]
        if self.precision is not None:
            return ((away @ self.precision) * away).sum(-1)
        rows = []
        for row, mask in enumerate(contexts.mask):
            precision = self._inverse(tokens[row, mask] - means[row])
            rows.append(((away[row] @ precision) * away[row]).sum(-1))
        return torch.stack(rows)

    def _inverse(self, spread: Tensor) -> Tensor:
        covariance = spread.T @ spread / len(spread)
        ridge = self.ridge * covariance.diagonal().mean()
        return torch.linalg.inv(covariance + ridge * torch.eye(len(covariance)))


def _centred(contexts: Contexts) -> tuple[Tensor, Tensor]:
    """Tokens, scaled so that their mean has the length 1 of a fact's vector; and that mean."""
    counts = contexts.mask.sum(1)
    means = (contexts.tokens * contexts.mask[..., None]).sum(1) / counts[:, None]
    length = means.norm(dim=-1)
    return contexts.tokens / length[:, None, None], means / length[:, None]


Trainable = JointGate | KernelGate | OutlierLayer


def start_alike(gate: Trainable) -> None:
    """Let candidates and tokens start in the encoder's own space, where they can be compared."""
    for projection in (gate.joint.candidate_projection, gate.joint.context_projection):
        assert projection is not None
        nn.init.eye_(projection.weight)
        nn.init.zeros_(projection.bias)


def start_gate(gate: Trainable, scores: Tensor) -> None:
    """Put the threshold amid the scores, and let the temperature fit their spread."""
    with torch.no_grad():
        gate.gate.threshold.copy_(scores.median())
        gate.gate.log_temperature.copy_(-scores.std().log())


def margin(gate: Trainable, score: Tensor) -> Tensor:
    """The log odds of the gate being open."""
    return gate.gate.log_temperature.exp() * (gate.gate.threshold - score)
