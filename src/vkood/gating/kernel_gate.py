"""The baseline to compare a mixture with: a kernel density over all context tokens, without any fit.

Legend: B sets, N candidates, M context tokens, D joint dimensions.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from typing_extensions import override

from vkood.fields import Real, Whole, require_fields, require_kind
from vkood.gating.calibration import Calibration
from vkood.gating.gate import BEGINNING_RULES, Gate, GateMode, GateOutput, open_threshold
from vkood.gating.joint_space import JointSpace
from vkood.solve.precision import full_precision


class KernelGate(nn.Module):
    """Gate candidates by a Gaussian kernel density of the context: log-sum-exp over all context tokens.

    It has the face of `OutlierLayer`, but fits nothing: its cost and memory grow with candidates times
    tokens, and its score is the negative log density per dimension under one kernel of variance `bandwidth`
    for each token.

    Args:
        candidate_dim: Width of the candidates.
        context_dim: Width of the context tokens.
        joint_dim: Width of the joint space.
        bandwidth: Variance of the kernels, to begin with; learned on a logarithmic scale.
        gate: "soft", "hard" or "straight_through".
        inference: The same in eval, None for no change; "hard" suits a threshold that was calibrated.
        threshold: Score at which gates are half open, to begin with. By default that of a random direction is
            0.95 open.
        temperature: Steepness of the gate, to begin with. By default sqrt(joint_dim), as in `OutlierLayer`.

    Example:
        >>> import torch
        >>> layer = KernelGate(candidate_dim=384, context_dim=768)
        >>> layer(torch.randn(2, 5, 384), context=torch.randn(2, 197, 768)).gate.shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        candidate_dim: int,
        context_dim: int,
        joint_dim: int = 64,
        *,
        bandwidth: float = 1.0,
        gate: GateMode = "soft",
        inference: GateMode | None = None,
        threshold: float | None = None,
        temperature: float | None = None,
    ) -> None:
        super().__init__()
        require_fields(
            {"bandwidth": bandwidth, "context_dim": context_dim, "joint_dim": joint_dim},
            {"bandwidth": Real(1e-30, 1e30), "context_dim": Whole(), "joint_dim": Whole()},
        )
        self.joint = JointSpace(candidate_dim, context_dim, joint_dim)
        self.log_bandwidth = nn.Parameter(torch.tensor(math.log(bandwidth)))
        usual = 0.5 * math.log(2 * math.pi * bandwidth) + 1 / bandwidth  # as for `OutlierLayer`
        require_fields({"temperature": temperature, "threshold": threshold}, BEGINNING_RULES)
        temperature = math.sqrt(joint_dim) if temperature is None else temperature
        self.gate = Gate(
            threshold=open_threshold(usual, temperature) if threshold is None else threshold,
            temperature=temperature,
            mode=gate,
            inference=inference,
        )

    @override
    def forward(
        self,
        candidates: Float[Tensor, "batch candidates candidate_dim"],
        context: Float[Tensor, "batch tokens context_dim"],
        *,
        candidate_mask: Bool[Tensor, "batch candidates"] | None = None,
        context_mask: Bool[Tensor, "batch tokens"] | Float[Tensor, "batch tokens"] | None = None,
    ) -> GateOutput:
        """Score and gate the candidates; arguments and errors as for `OutlierLayer`.

        A row without any context (no token of positive weight) has no density: all its candidates are masked
        out.
        """
        joint = self.joint.candidates(candidates, candidate_mask)
        require_kind("context", context, Tensor)
        if len(context) != len(candidates):
            raise ValueError(
                f"`context` must have the batch size of `candidates`, {len(candidates)}; "
                f"got {tuple(context.shape)}."
            )
        tokens = self.joint.context(context, context_mask)
        weights = tokens.new_ones(tokens.shape[:2]) if context_mask is None else context_mask.float()
        # in units of the largest, which change no share: the sum of what single precision holds may be beyond it
        largest = (
            weights.detach().amax(1, keepdim=True) if weights.shape[1] else weights.new_zeros(len(weights), 1)
        )
        weights = weights / torch.where(largest > 0, largest, 1.0)
        mask = (weights.sum(1) > 0)[:, None].expand(joint.shape[:2])
        mask = mask if candidate_mask is None else mask & candidate_mask
        with full_precision(candidates.device):
            # masked scores must be finite for the gate, whose backward would else meet 0 * infinity
            score = self._score(joint, tokens, weights).masked_fill(~mask, 0.0)
            log_gate, gate = self.gate(score, mask)
        return GateOutput(log_gate=log_gate, gate=gate, score=score.masked_fill(~mask, torch.inf))

    def calibrate(self, scores: Float[Tensor, "*axes"], keep_rate: float = 0.95) -> Calibration:
        """Set the threshold so that the given share of further candidates that belong is kept; as `OutlierLayer`'s."""
        return self.gate.calibrate(scores, keep_rate)

    def _score(self, joint: Tensor, tokens: Tensor, weights: Tensor) -> Tensor:
        dim = joint.shape[-1]
        log_bandwidth = self.log_bandwidth.float()
        squares = joint.square().sum(-1)[..., None] + tokens.square().sum(-1)[:, None]
        # On a sphere of squared radius D this cancels to some eps D of 2 D, 1e-5 at 64 dimensions: nothing to a
        # bandwidth above 1e-3. Differences would need N x M x D numbers.
        distance = squares - 2 * torch.bmm(joint, tokens.mT)  # (B, N, M)
        exponent = -0.5 * distance / log_bandwidth.exp()
        shares = weights / weights.sum(1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
        # not log(0) for weights of 0: its gradient is NaN; the lowest number keeps the token out as well
        log_shares = (
            torch.where(shares > 0, shares, 1.0).log().masked_fill(shares <= 0, torch.finfo(shares.dtype).min)
        )
        log_density = torch.logsumexp(exponent + log_shares[:, None], dim=-1)
        return -log_density / dim + 0.5 * (math.log(2 * math.pi) + log_bandwidth)
