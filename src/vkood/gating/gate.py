"""From scores to gates: what every layer of this room has in common.

Legend: B sets, N candidates, M context tokens, D joint dimensions.
"""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from vkood.fields import Choice, Optional, Real, Rule, require_fields
from vkood.gating.calibration import Calibration
from vkood.mixture.params import Mixture
from vkood.solve import Solution

GateMode = Literal["soft", "hard", "straight_through"]

_MAX_SIZE = 1e30  # in the range of single precision
_RULES = {"threshold": Real(-_MAX_SIZE, _MAX_SIZE), "temperature": Real(1 / _MAX_SIZE, _MAX_SIZE)}
BEGINNING_RULES: dict[str, Rule] = {name: Optional(rule) for name, rule in _RULES.items()}
"""Of a threshold and a temperature to begin with; None for a layer's own."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class GateOutput:
    """What a gating layer says about each candidate.

    Attributes:
        log_gate: (batch, candidates) logarithm of `gate`, at most 0; add it to the attention logits of the
            candidates' tokens. Minus infinity for masked candidates and closed hard gates.
        gate: (batch, candidates) in [0, 1]; 0 for masked candidates.
        score: (batch, candidates); larger = more outlying. Infinite for masked candidates.
        mixture: The fitted mixture, None for layers that fit none.
        solution: How the fit went, row by row; None where nothing was solved.
    """

    log_gate: Float[Tensor, "batch candidates"]
    gate: Float[Tensor, "batch candidates"]
    score: Float[Tensor, "batch candidates"]
    mixture: Mixture | None = None
    solution: Solution[tuple[Tensor, ...]] | None = None

    @property
    def backend(self) -> str | None:
        """What computed the fit, "torch", "numba" or "triton"; None where nothing was solved."""
        return None if self.solution is None else self.solution.backend

    @override
    def __repr__(self) -> str:
        """Shapes and counts, on one line."""
        parts = [f"gate={tuple(self.gate.shape)} {str(self.gate.dtype).removeprefix('torch.')}"]
        known = not self.gate.is_meta
        if known:
            present = int((self.score < torch.inf).sum())
            half_open = int((self.gate >= 0.5).sum())
            parts += [f"candidates={present}", f"at_least_half_open={half_open}"]
        if self.mixture is not None:
            sets, components, dim = self.mixture.mean.shape
            parts.append(f"mixture=({sets} sets, {components} components, {dim} dimensions)")
        if self.solution is not None and known:
            parts.append(f"converged={int(self.solution.converged.sum())} of {len(self.solution.status)}")
            parts.append(f"backend={self.backend}")
        return f"{type(self).__name__}({', '.join(parts)})"


class Gate(nn.Module):
    """log g = logsigmoid(temperature * (threshold - score)).

    Args:
        threshold: The score at which the gate is half open, to begin with; learned, or set by `calibrate`.
        temperature: How steep the gate is there, to begin with; learned on a logarithmic scale.
        mode: "soft" gates; "hard" ones, which are 0 or 1 and pass no gradient; "straight_through" ones, which
            are 0 or 1 and pass the gradient of the soft gate. (A closed gate of either hard kind takes its
            candidate out of an attention altogether, and through `log_gate` no gradient can then reach it;
            through `gate` it does.)
    """

    def __init__(
        self,
        *,
        threshold: float,
        temperature: float,
        mode: GateMode = "soft",
        inference: GateMode | None = None,
    ) -> None:
        super().__init__()
        modes = Choice(get_args(GateMode))
        require_fields(
            {"gate": mode, "inference": inference, "threshold": threshold, "temperature": temperature},
            {"gate": modes, "inference": Optional(modes), **_RULES},
        )
        self.mode: GateMode = mode
        self.inference: GateMode | None = inference
        # With an axis, since FSDP shards no parameter without one.
        self.threshold = nn.Parameter(torch.tensor([float(threshold)]))
        self.log_temperature = nn.Parameter(torch.tensor([math.log(temperature)]))

    @property
    def current_mode(self) -> GateMode:
        """The mode in training, or that in eval."""
        return self.mode if self.training or self.inference is None else self.inference

    @override
    def forward(
        self, score: Float[Tensor, "batch candidates"], mask: Bool[Tensor, "batch candidates"] | None = None
    ) -> tuple[Float[Tensor, "batch candidates"], Float[Tensor, "batch candidates"]]:
        """The logarithm of the gate, and the gate."""
        margin = self.log_temperature.float().exp() * (self.threshold.float() - score)
        log_gate, gate = functional.logsigmoid(margin), torch.sigmoid(margin)
        if mask is not None:
            log_gate, gate = log_gate.masked_fill(~mask, -torch.inf), gate.masked_fill(~mask, 0.0)
        mode = self.current_mode
        if mode == "soft":
            return log_gate, gate
        open_ = margin.detach() >= 0 if mask is None else mask & (margin.detach() >= 0)
        hard = open_.to(gate.dtype)
        if mode == "hard":
            return hard.log(), hard
        passed = torch.where(open_, log_gate - log_gate.detach(), -torch.inf)
        return passed, hard + (gate - gate.detach())

    @torch.no_grad()
    def calibrate(self, scores: Float[Tensor, "*axes"], keep_rate: float = 0.95) -> Calibration:
        """Set the threshold so that the given share of further candidates that belong is kept.

        Split-conformal: see `vkood.gating.calibration`, whose `Calibration.of` has the arguments, errors and warnings.
        """
        calibration = Calibration.of(scores, keep_rate)
        limit = torch.tensor([calibration.threshold], dtype=torch.float64)
        threshold = limit.to(self.threshold.dtype)
        if bool(threshold < limit):  # rounded to under the score that it must keep
            threshold = threshold.nextafter(torch.full_like(threshold, torch.inf))
        self.threshold.copy_(threshold)
        return calibration

    @override
    def extra_repr(self) -> str:
        return f"mode={self.mode!r}, inference={self.inference!r}"


def open_threshold(score: float, temperature: float) -> float:
    """The threshold under which a candidate of this score has a gate of 0.95."""
    return score + 3.0 / temperature


def drops_closed(layer: nn.Module | None) -> bool:
    """Whether a layer's closed facts may be left out of what follows: in eval, if gates are 0 or 1."""
    if layer is None or layer.training or torch.compiler.is_compiling():
        return False
    gate = getattr(layer, "gate", None)
    return isinstance(gate, Gate) and gate.current_mode != "soft"
