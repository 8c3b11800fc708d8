"""The space in which candidates and context meet.

Legend: B sets, N candidates, M context tokens, D joint dimensions.
"""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from types import NoneType
from typing import Any, Literal, NoReturn, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vkood.fields import Choice, Optional, Whole, require_fields, require_kind
from vkood.solve.eager import looks_at_values

JointName = Literal["separate", "shared", "identity"]

_WIDTH = Whole(1, 1_000_000)
JOINT_DIM = 64
"""Width of a joint space of which none is given."""


class JointSpace(nn.Module):
    """Projections of candidates and context into one space, in which all vectors have one length.

    On the sphere of radius sqrt(joint_dim) every dimension has a second moment of 1, so that the density of a Gaussian
    mixture is on the same scale whatever the towers and widths. (Raw features of several hundred dimensions would make
    every density underflow.)

    Args:
        candidate_dim: Width of the candidates.
        context_dim: Width of the context tokens, None if there are none.
        joint_dim: Width of the space; 64 if None, or that of the candidates where they are taken as they are.
        joint: A "separate" projection each is learnt, a "shared" one, or none: "identity", for vectors of one encoder.
        on_sphere: Whether vectors are brought to the length sqrt(joint_dim); else they keep the length they have.

    Raises:
        ValueError: A width is out of range, or those of candidates, context and space differ where they must not.
    """

    def __init__(
        self,
        candidate_dim: int,
        context_dim: int | None,
        joint_dim: int | None = None,
        *,
        joint: JointName = "separate",
        on_sphere: bool = True,
    ) -> None:
        super().__init__()
        require_fields(
            {
                "candidate_dim": candidate_dim,
                "context_dim": context_dim,
                "joint_dim": joint_dim,
                "joint": joint,
            },
            {
                "candidate_dim": _WIDTH,
                "context_dim": Optional(_WIDTH),
                "joint_dim": Optional(_WIDTH),
                "joint": Choice(get_args(JointName)),
            },
        )
        if joint != "separate" and context_dim not in (None, candidate_dim):
            raise ValueError(
                f"`context_dim` must be `candidate_dim`, {candidate_dim}, where `joint` is {joint!r}; got "
                f"{context_dim}. "
                'Encode both with one encoder, or learn a projection each: `joint="separate"`.'
            )
        if joint == "identity":
            if joint_dim not in (None, candidate_dim):
                raise ValueError(
                    f'`joint_dim` must be None or `candidate_dim`, {candidate_dim}, where `joint` is "identity"; '
                    f"got {joint_dim}."
                )
            joint_dim = candidate_dim
        self.joint_dim = joint_dim or JOINT_DIM
        self.on_sphere = on_sphere
        self._widths = candidate_dim, context_dim
        projects = joint != "identity"
        self.candidate_projection = nn.Linear(candidate_dim, self.joint_dim) if projects else None
        if joint == "separate":
            self.context_projection = None if context_dim is None else nn.Linear(context_dim, self.joint_dim)
        else:
            self.context_projection = None  # a shared one is saved once
        self._shares = joint == "shared"

    def candidates(
        self, candidates: Tensor, mask: Tensor | None, *, raw: bool = False
    ) -> Float[Tensor, "batch candidates joint"]:
        """Candidates in the joint space; masked ones at the origin, whatever they held.

        With `raw` they are as the projection gives them, of any length and in its precision, and masked ones are
        anything: for kernels, which see to all that.
        """
        _check_shapes("candidates", candidates, self._widths[0], mask, "candidate_mask")
        project = self._raw if raw else self._projected
        return project("candidates", self.candidate_projection, candidates, mask)

    def context(
        self, context: Tensor, mask: Tensor | None, *, raw: bool = False
    ) -> Float[Tensor, "batch tokens joint"]:
        """Context tokens in the joint space; those of weight 0 at the origin, whatever they held.

        `raw` as for candidates.
        """
        width = self._widths[1]
        if width is None:
            raise ValueError(
                "`context` was given to a layer made with `context_dim=None`; "
                "make it with the width of your context."
            )
        _check_shapes("context", context, width, mask, "context_mask")
        project = self._raw if raw else self._projected
        return project("context", self._of_context, context, mask)

    @property
    def _of_context(self) -> nn.Linear | None:
        return self.candidate_projection if self._shares else self.context_projection

    @property
    def precision(self) -> torch.dtype | None:
        """That of the projections; None where vectors are taken as they are."""
        return None if self.candidate_projection is None else self.candidate_projection.weight.dtype

    def _raw(self, name: str, projection: nn.Linear | None, features: Tensor, mask: Tensor | None) -> Tensor:
        del name  # no value is looked at
        if projection is None:
            return features
        if mask is not None:
            kept: Tensor = _Kept.apply(features, mask if mask.dtype == torch.bool else mask > 0)  # pyright: ignore[reportAssignmentType] (untyped in torch)
            features = kept
        return projection(features.to(projection.weight.dtype))

    def _projected(
        self, name: str, projection: nn.Linear | None, features: Tensor, mask: Tensor | None
    ) -> Float[Tensor, "batch items joint"]:
        looks = looks_at_values(features)
        if mask is None:
            joint = self._directions(projection, features)
        elif not looks:
            kept = (mask > 0)[..., None]
            return torch.where(kept, self._directions(projection, torch.where(kept, features, 0.0)), 0.0)
        else:  # what is masked costs nothing, and may hold anything
            kept = (mask.flatten() > 0).nonzero()[:, 0]
            directions = self._directions(projection, features.flatten(0, 1).index_select(0, kept))
            joint = directions.new_zeros(mask.numel(), self.joint_dim).index_copy(0, kept, directions)
            joint = joint.view(*mask.shape, self.joint_dim)
        # A sum is finite only if all its terms are; looking at each takes forty times as long.
        if looks and not math.isfinite(float(joint.detach().sum())):
            _raise_not_finite(name, features, mask)
        return joint

    def _directions(self, projection: nn.Linear | None, features: Tensor) -> Tensor:
        if projection is not None:
            features = projection(features.to(projection.weight.dtype))
        features = features.float()
        return (
            functional.normalize(features, dim=-1) * math.sqrt(self.joint_dim) if self.on_sphere else features
        )


class _Kept(torch.autograd.Function):
    """Features with zeros in place of those that are masked, so that no 0 * NaN comes up in a projection's backward.

    The gradient of those that are masked is zero already.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, mask: Tensor) -> Tensor:
        del ctx
        return torch.where(mask[..., None], features, 0.0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride] (torch passes as many as forward returns)
        del ctx
        return gradient, None


def _check_shapes(name: str, features: Tensor, width: int, mask: Tensor | None, mask_name: str) -> None:
    require_kind(name, features, Tensor)
    require_kind(mask_name, mask, (Tensor, NoneType))
    if features.is_complex():
        raise ValueError(f"`{name}` must be real numbers; got {features.dtype}.")
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
    if mask.is_complex():
        raise ValueError(f"`{mask_name}` must hold real numbers; got {mask.dtype}.")
    if (
        looks_at_values(mask)
        and mask.dtype != torch.bool
        and not bool(((mask >= 0) & (mask < torch.inf)).all())
    ):
        raise ValueError(
            f"`{mask_name}` must hold finite weights of at least 0; some are negative, infinite or NaN."
        )


def _raise_not_finite(name: str, features: Tensor, mask: Tensor | None) -> NoReturn:
    finite = torch.isfinite(features).all(-1)
    if mask is not None:
        finite = finite | ~(mask > 0)
    if bool(finite.all()):
        raise ValueError(
            f"`{name}` is finite, but its projection into the joint space is not: its numbers are too large, up to "
            f"{float(features.detach().abs().max()):.3g}, or the projection's weights are not finite."
        )
    row, item = (~finite).nonzero()[0].tolist()
    raise ValueError(
        f"`{name}` must have finite numbers wherever nothing is masked; NaN or infinity comes first at row {row}, item "
        f"{item}. Mask that item out with `{'candidate' if name == 'candidates' else name}_mask`, "
        "or look at what computed it."
    )
