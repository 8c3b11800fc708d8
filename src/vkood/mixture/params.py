"""The parameters of a batch of mixtures, and of the prior that keeps them well defined.

Legend: B sets, K components, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import NoneType
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from vkood.fields import Real, require_fields, require_kind, require_rules, ruled

STRENGTH, VARIANCE = Real(1e-12, 1e12), Real(1e-24, 1e24)
"""Ranges of a prior's strengths and of its variance, whose products single precision holds."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Mixture:
    """One mixture per set, in coordinates without constraints, so that solvers may extrapolate them.

    Attributes:
        log_weight: (sets, components) logarithms of the weights; they count up to a constant in each set.
        mean: (sets, components, dim).
        log_scale: The covariances in the coordinates of their family: log variances, (sets, components, dim)
            for `Diagonal` and (sets, components) for `Isotropic`; lower Cholesky factors with the logarithm
            of the diagonal, (sets, components, dim, dim) for `Full` and (sets, dim, dim) for `Tied`. For
            `Spherical` the logarithm of 1 / kappa, (sets, 1).
    """

    log_weight: Float[Tensor, "sets components"]
    mean: Float[Tensor, "sets components dim"]
    log_scale: Float[Tensor, "sets ..."]

    @classmethod
    def of(cls, parameters: tuple[Tensor, ...]) -> Mixture:
        """The mixture of these `parameters`."""
        log_weight, mean, log_scale = parameters
        return cls(log_weight=log_weight, mean=mean, log_scale=log_scale)

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """log_weight, mean and log_scale."""
        return self.log_weight, self.mean, self.log_scale

    @override
    def __repr__(self) -> str:
        """Sizes, on one line."""
        sets, components, dim = self.mean.shape
        kind = str(self.mean.dtype).removeprefix("torch.")
        return f"Mixture({sets} sets, {components} components, {dim} dimensions, {kind})"

    def moved(self, by: Float[Tensor, "#sets #components dim"]) -> Mixture:
        """The same mixture with its means moved."""
        return Mixture(log_weight=self.log_weight, mean=self.mean + by, log_scale=self.log_scale)

    def to(self, dtype: torch.dtype) -> Mixture:
        """The same mixture in another precision."""
        return Mixture.of(tuple(part.to(dtype) for part in self.parameters))

    def detach(self) -> Mixture:
        """The same numbers without a graph."""
        return Mixture.of(tuple(part.detach() for part in self.parameters))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """A weak conjugate prior, counted in pseudo-tokens, that makes the fit of every set well defined.

    With no tokens at all the fit returns the prior itself: equal weights, `mean`, and `variance` times the
    identity.

    Attributes:
        concentration: Tokens added to each component's count (Dirichlet parameter minus 1).
        mean_strength: Tokens with which `mean` pulls at each component's mean; a number, or a tensor (sets,)
            or (sets, components), which gradients reach.
        variance: The variance that an empty component has: the bandwidth of the density. Too narrow, and
            gradients vanish far from the tokens.
        variance_strength: Tokens with which `variance` counts in each component's covariance.
        mean: The mean that an empty component has: zeros if None, else (dim,), (sets, dim) or (sets,
            components, dim). In the joint space of an `OutlierLayer`, where vectors lie around the origin,
            zeros are the natural choice.
    """

    concentration: float = ruled(1.0, STRENGTH)
    mean_strength: float | Tensor = field(default=0.1, compare=False)
    variance: float = ruled(1.0, VARIANCE)
    variance_strength: float = ruled(1.0, STRENGTH)
    mean: Tensor | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Check the options."""
        if torch.compiler.is_compiling():
            return  # of a prior that was checked when it was made
        require_rules(self)
        if not isinstance(self.mean_strength, Tensor):
            require_fields({"mean_strength": self.mean_strength}, {"mean_strength": STRENGTH})
        require_kind("mean", self.mean, (Tensor, NoneType))
        for name, value, axes in (
            ("mean", self.mean, (1, 2, 3)),
            ("mean_strength", self.mean_strength, (0, 1, 2)),
        ):
            if isinstance(value, Tensor) and not (value.is_floating_point() and value.dim() in axes):
                raise ValueError(
                    f"the prior's `{name}` must be of floating point and have {axes[0]} to {axes[-1]} axes; "
                    f"got {value.dtype} of shape {tuple(value.shape)}."
                )

    @property
    def has_tensors(self) -> bool:
        """Whether its mean or the mean's strength are tensors, which may differ from set to set."""
        return self.mean is not None or isinstance(self.mean_strength, Tensor)

    def of_sets(self, sets: int, like: Tensor) -> SetPrior:
        """The same as tensors, of the type and width (dim) of `like`."""

        def column(value: float) -> Tensor:
            return like.new_full((sets, 1), value)

        mean = like.new_zeros(like.shape[-1]) if self.mean is None else self.mean.to(like.dtype)
        mean = mean[:, None] if mean.dim() == 2 else mean
        strength = torch.as_tensor(self.mean_strength, dtype=like.dtype, device=like.device)
        strength = strength[:, None] if strength.dim() == 1 else strength
        return SetPrior(
            mean=mean.expand(sets, mean.shape[-2] if mean.dim() > 1 else 1, -1),
            mean_strength=strength.expand(sets, strength.shape[-1] if strength.dim() else 1),
            concentration=column(self.concentration),
            variance_strength=column(self.variance_strength),
            floor=column(self.variance_strength * self.variance),
        )


class SetPrior(NamedTuple):
    """A `Prior` as tensors: what the steps of EM take, so that each set can be fitted in units of its own."""

    mean: Float[Tensor, "sets #components dim"]
    mean_strength: Float[Tensor, "sets #components"]
    concentration: Float[Tensor, "sets 1"]
    variance_strength: Float[Tensor, "sets 1"]
    floor: Float[Tensor, "sets 1"]
    """`variance_strength * variance`: what is added to each scatter."""

    def seen_from(self, origin: Float[Tensor, "#sets #components dim"]) -> SetPrior:
        """The same prior, its means measured from `origin`."""
        return self._replace(mean=self.mean - origin)

    def in_units(self, length: Float[Tensor, " sets"]) -> SetPrior:
        """The same prior where `length` is the unit of lengths."""
        return self._replace(
            mean=self.mean / length[:, None, None], floor=self.floor / length[:, None] / length[:, None]
        )
