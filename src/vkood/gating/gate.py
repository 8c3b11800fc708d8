"""From scores to gates: what every layer of this room has in common.

Legend: B sets, N candidates, M context tokens, D joint dimensions.
"""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from dataclasses import dataclass
from types import NoneType
from typing import Literal, NoReturn, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from vkood.fields import Choice, Optional, Real, Whole, require_fields, require_kind
from vkood.mixture.params import Mixture
from vkood.solve import Solution

GateMode = Literal["soft", "hard", "straight_through"]

_WIDTH = Whole(1, 1_000_000)
_MAX_SIZE = 1e30  # of a threshold or temperature, in the range of single precision


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
        """What computed the fit, "torch" or "numba"; None where nothing was solved."""
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

    def __init__(self, *, threshold: float, temperature: float, mode: GateMode = "soft") -> None:
        super().__init__()
        require_fields(
            {"gate": mode, "threshold": threshold, "temperature": temperature},
            {
                "gate": Choice(get_args(GateMode)),
                "threshold": Real(-_MAX_SIZE, _MAX_SIZE),
                "temperature": Real(1 / _MAX_SIZE, _MAX_SIZE),
            },
        )
        self.mode: GateMode = mode
        # With an axis, since FSDP shards no parameter without one.
        self.threshold = nn.Parameter(torch.tensor([float(threshold)]))
        self.log_temperature = nn.Parameter(torch.tensor([math.log(temperature)]))

    @override
    def forward(
        self, score: Float[Tensor, "batch candidates"], mask: Bool[Tensor, "batch candidates"] | None = None
    ) -> tuple[Float[Tensor, "batch candidates"], Float[Tensor, "batch candidates"]]:
        """The logarithm of the gate, and the gate."""
        margin = self.log_temperature.float().exp() * (self.threshold.float() - score)
        log_gate, gate = functional.logsigmoid(margin), torch.sigmoid(margin)
        if mask is not None:
            log_gate, gate = log_gate.masked_fill(~mask, -torch.inf), gate.masked_fill(~mask, 0.0)
        if self.mode == "soft":
            return log_gate, gate
        open_ = margin.detach() >= 0 if mask is None else mask & (margin.detach() >= 0)
        hard = open_.to(gate.dtype)
        if self.mode == "hard":
            return hard.log(), hard
        passed = torch.where(open_, log_gate - log_gate.detach(), -torch.inf)
        return passed, hard + (gate - gate.detach())

    @torch.no_grad()
    def calibrate(self, scores: Tensor, keep_rate: float = 0.95) -> None:
        """Set the threshold so that this share of the given scores stays at or under it.

        Args:
            scores: Scores of candidates that belong, of any shape; infinite ones (masked candidates) do not
                count.
            keep_rate: The share to keep, in (0, 1].
        """
        require_kind("scores", scores, Tensor)
        require_fields({"keep_rate": keep_rate}, {"keep_rate": Real(0, 1, above=True)})
        if bool(scores.isnan().any()):
            raise ValueError(
                "`scores` must be numbers; some are NaN. Look at the features that they came from."
            )
        finite = scores[torch.isfinite(scores)]
        if finite.numel() == 0:
            raise ValueError(
                "`scores` must hold at least one finite score of a candidate that belongs; got none."
            )
        # kthvalue, since torch.quantile refuses more than 16 million scores
        rank = max(1, math.ceil(keep_rate * finite.numel() - 1e-9))
        limit = finite.kthvalue(rank).values
        threshold = limit.to(self.threshold.dtype)
        if bool(threshold < limit):  # rounded to under the score that it must keep
            threshold = threshold.nextafter(torch.full_like(threshold, torch.inf))
        self.threshold.copy_(threshold)

    @override
    def extra_repr(self) -> str:
        return f"mode={self.mode!r}"


class JointSpace(nn.Module):
    """Learned projections of candidates and context onto one sphere of radius sqrt(joint_dim).

    On that sphere every dimension has a second moment of 1, so that the density of a mixture is on the same
    scale whatever the towers and widths. (Raw features of several hundred dimensions would make every density
    underflow.)
    """

    def __init__(self, candidate_dim: int, context_dim: int | None, joint_dim: int) -> None:
        super().__init__()
        require_fields(
            {"candidate_dim": candidate_dim, "context_dim": context_dim, "joint_dim": joint_dim},
            {"candidate_dim": _WIDTH, "context_dim": Optional(_WIDTH), "joint_dim": _WIDTH},
        )
        self.joint_dim = joint_dim
        self.candidate_projection = nn.Linear(candidate_dim, joint_dim)
        self.context_projection = None if context_dim is None else nn.Linear(context_dim, joint_dim)

    def candidates(self, candidates: Tensor, mask: Tensor | None) -> Float[Tensor, "batch candidates joint"]:
        """Candidates in the joint space; masked ones at the origin, whatever they held."""
        _check_shapes("candidates", candidates, self.candidate_projection.in_features, mask, "candidate_mask")
        return self._onto_sphere("candidates", self.candidate_projection, candidates, mask)

    def context(self, context: Tensor, mask: Tensor | None) -> Float[Tensor, "batch tokens joint"]:
        """Context tokens in the joint space; those of weight 0 at the origin, whatever they held."""
        if self.context_projection is None:
            raise ValueError(
                "`context` was given to a layer made with `context_dim=None`; "
                "make it with the width of your context."
            )
        _check_shapes("context", context, self.context_projection.in_features, mask, "context_mask")
        return self._onto_sphere("context", self.context_projection, context, mask)

    def _onto_sphere(
        self, name: str, projection: nn.Linear, features: Tensor, mask: Tensor | None
    ) -> Float[Tensor, "batch items joint"]:
        compiling = torch.compiler.is_compiling()  # looking at values would break the graph
        if mask is None:
            joint = self._directions(projection, features)
        elif compiling:
            kept = (mask > 0)[..., None]
            return torch.where(kept, self._directions(projection, torch.where(kept, features, 0.0)), 0.0)
        else:  # what is masked costs nothing, and may hold anything
            kept = (mask.flatten() > 0).nonzero()[:, 0]
            directions = self._directions(projection, features.flatten(0, 1).index_select(0, kept))
            joint = directions.new_zeros(mask.numel(), self.joint_dim).index_copy(0, kept, directions)
            joint = joint.view(*mask.shape, self.joint_dim)
        # A sum is finite only if all its terms are; looking at each takes forty times as long.
        if not (compiling or math.isfinite(float(joint.detach().sum()))):
            _raise_not_finite(name, features, mask)
        return joint

    def _directions(self, projection: nn.Linear, features: Tensor) -> Tensor:
        projected = projection(features.to(projection.weight.dtype)).float()
        return functional.normalize(projected, dim=-1) * math.sqrt(self.joint_dim)


def _check_shapes(name: str, features: Tensor, width: int, mask: Tensor | None, mask_name: str) -> None:
    require_kind(name, features, Tensor)
    require_kind(mask_name, mask, (Tensor, NoneType))
    if features.dim() != 3 or features.shape[-1] != width:
        raise ValueError(
            f"`{name}` must be (batch, items, {width}); got {tuple(features.shape)}."
            + (f" Add an axis: `{name}[None]` for one set." if features.dim() == 2 else "")
        )
    if mask is None:
        return
    if mask.shape != features.shape[:2]:
        raise ValueError(
            f"`{mask_name}` must be (batch, items) = {tuple(features.shape[:2])}; got {tuple(mask.shape)}."
        )
    if name == "candidates" and mask.dtype != torch.bool:
        raise ValueError(
            f"`{mask_name}` must be boolean; got {mask.dtype}. Convert it: `{mask_name}.bool()`."
        )
    if torch.compiler.is_compiling() or mask.dtype == torch.bool:
        return  # looking at values would break the graph
    if not bool((mask >= 0).all()):
        raise ValueError(f"`{mask_name}` must hold weights of at least 0; some are negative or NaN.")


def _raise_not_finite(name: str, features: Tensor, mask: Tensor | None) -> NoReturn:
    finite = torch.isfinite(features).all(-1)
    if mask is not None:
        finite = finite | ~(mask > 0)
    if bool(finite.all()):
        raise ValueError(
            f"`{name}` is finite, but its projection into the joint space is not: its numbers are too large, up to "
            f"{float(features.abs().max()):.3g}, or the projection's weights are not finite."
        )
    row, item = (~finite).nonzero()[0].tolist()
    raise ValueError(
        f"`{name}` must have finite numbers wherever nothing is masked; NaN or infinity comes first at row {row}, item "
        f"{item}. Mask that item out with `{'candidate' if name == 'candidates' else name}_mask`, "
        "or look at what computed it."
    )
