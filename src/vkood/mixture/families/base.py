"""What a family of mixtures is to the fit, the back ends, the scores and the layer: all that they ask of one.

A new family is a frozen dataclass in a module of its own here; nothing else names it.

Legend: B sets, M tokens, K components, D dimensions.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vkood.mixture.params import Mixture, Prior

Parameters = tuple[Tensor, ...]
"""log_weight, mean and log_scale of a `Mixture`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPointProblem:
    """The fit of a batch of sets as a fixed point of `Family.step`.

    Attributes:
        start: The parameters to start from, each with a leading axis for the sets.
        operands: What the step takes besides them, each with a leading axis for the sets; the tokens come first.
        mixture: From parameters, in the units of the problem, to mixtures in those of the tokens.
        constant: Whether the step gives the fixed point whatever it is given, so that one step solves the problem.
    """

    start: Parameters
    operands: tuple[Tensor, ...]
    mixture: Callable[[Parameters], Mixture]
    constant: bool = False


class UsualScores(NamedTuple):
    """How a random direction scores under a component that is centred on another, and what scores are measured in."""

    distance: float
    """Its squared distance, as `Family.mahalanobis` has it."""
    score: float
    """Its `Family.score`."""
    temperature: float
    """How steep a gate on `Family.score` is to begin with."""
    nats: float
    """How far the negative log density moves while the score moves by 1."""


@dataclass(frozen=True, slots=True)
class Family(abc.ABC):
    """A family of mixtures."""

    def working_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """The precision in which tokens of type `dtype` are fitted and scored."""
        return torch.promote_types(dtype, torch.float32)

    @abc.abstractmethod
    def problem(
        self,
        tokens: Float[Tensor, "sets tokens dim"],
        weights: Float[Tensor, "sets tokens"] | None,
        prior: Prior,
        num_components: int,
        start: Float[Tensor, "sets components dim"] | None,
    ) -> FixedPointProblem:
        """The fit of these tokens, in `working_dtype`, as a fixed point.

        Args:
            tokens: The tokens.
            weights: How much each counts; all 1 if None.
            prior: The prior.
            num_components: Components of each mixture.
            start: Means to start from; the family's own if None.
        """

    @abc.abstractmethod
    def step(self, value: Parameters, *operands: Tensor) -> Parameters:
        """One step of EM, given the operands of the problem."""

    @abc.abstractmethod
    def log_joint(
        self, tokens: Float[Tensor, "sets tokens dim"], mixture: Mixture
    ) -> Float[Tensor, "sets tokens components"]:
        """The logarithm of weight times density, of each token under each component."""

    @abc.abstractmethod
    def mahalanobis(
        self, tokens: Float[Tensor, "sets tokens dim"], mixture: Mixture
    ) -> Float[Tensor, "sets tokens components"]:
        """Squared distance of each token to each component, in units of the component's width."""

    def score(
        self, tokens: Float[Tensor, "sets tokens dim"], mixture: Mixture
    ) -> Float[Tensor, "sets tokens"]:
        """How outlying each token is: the negative log density, per dimension unless the family says otherwise."""
        return -torch.logsumexp(self.log_joint(tokens, mixture), dim=-1) / tokens.shape[-1]

    @abc.abstractmethod
    def usual_scores(self, dim: int, prior: Prior) -> UsualScores:
        """The scores that a gate begins with, for components as wide as the prior has them."""
