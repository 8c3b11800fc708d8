"""Families of covariance: what each keeps of the data, and how densities and M-steps follow from it.

Diagonal and spherical densities are linear in the features [x*x, x, 1], so that an EM step is two batched
matrix products. Tied and full ones whiten by Cholesky factors.

Legend: B sets, M tokens, K components, D dimensions, P features.
"""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from vkood.mixture.params import Mixture, Prior

_LOG_TWO_PI = math.log(2 * math.pi)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Expected sufficient statistics of weighted sets: all that an M-step needs to know of the data.

    Attributes:
        count: (sets, components) expected tokens of each component.
        first: (sets, components, dim) their sum.
        second: Their sum of squares, as far as the family needs it: (sets, components, dim) for `Diagonal`,
            (sets, components) of squared lengths for `Spherical`, (sets, components, dim, dim) for `Full`,
            and (sets, dim, dim) over all components for `Tied`.
    """

    count: Tensor
    first: Tensor
    second: Tensor


@dataclass(frozen=True, slots=True)
class Covariance(abc.ABC):
    """A family of covariances."""

    @abc.abstractmethod
    def features(self, tokens: Float[Tensor, "sets tokens dim"]) -> Float[Tensor, "sets tokens features"]:
        """What the family needs of each token, computed once for a whole fit."""

    def log_joint(self, features: Tensor, mixture: Mixture) -> Float[Tensor, "sets tokens components"]:
        """The logarithm of weight times density, of each token under each component."""
        constant = torch.logsumexp(mixture.log_weight, -1) + 0.5 * mixture.mean.shape[-1] * _LOG_TWO_PI
        return self.log_affinity(features, mixture) - constant[:, None, None]

    @abc.abstractmethod
    def log_affinity(self, features: Tensor, mixture: Mixture) -> Float[Tensor, "sets tokens components"]:
        """`log_joint` up to a constant for each set: all that responsibilities need."""

    @abc.abstractmethod
    def mahalanobis(
        self, tokens: Float[Tensor, "sets tokens dim"], mixture: Mixture
    ) -> Float[Tensor, "sets tokens components"]:
        """Squared Mahalanobis distance of each token to each component."""

    @abc.abstractmethod
    def statistics(
        self, features: Tensor, responsibilities: Float[Tensor, "sets tokens components"]
    ) -> Statistics:
        """Sufficient statistics under the given responsibilities (token weights multiplied in)."""

    @abc.abstractmethod
    def log_scale(self, statistics: Statistics, mean: Tensor, prior: Prior) -> Tensor:
        """The M-step for the covariances, given the new means; in the coordinates of `Mixture.log_scale`."""

    @abc.abstractmethod
    def log_determinant(self, mixture: Mixture) -> Float[Tensor, "#sets #components"]:
        """Logarithm of the determinant of each component's covariance."""

    @abc.abstractmethod
    def precision_trace(self, mixture: Mixture) -> Float[Tensor, "#sets #components"]:
        """Trace of the inverse of each component's covariance."""

    @abc.abstractmethod
    def uniform(self, variance: Tensor, mean: Tensor) -> Tensor:
        """The coordinates of `variance` (sets,) times the identity, for components with `mean`."""

    def dense(self, mixture: Mixture) -> Float[Tensor, "sets components dim dim"]:
        """Covariance matrices, for looking at."""
        identity = torch.eye(mixture.mean.shape[-1], dtype=mixture.mean.dtype, device=mixture.mean.device)
        root = self._root(mixture, identity)
        return (root @ root.mT).expand(*mixture.mean.shape, mixture.mean.shape[-1])

    @abc.abstractmethod
    def _root(self, mixture: Mixture, identity: Tensor) -> Tensor:
        """A matrix root of each covariance."""


@dataclass(frozen=True, slots=True)
class _Quadratic(Covariance):
    """Families whose log density is linear in the features [squares, x, 1]."""

    @abc.abstractmethod
    def _squares(self, tokens: Tensor) -> Tensor:
        """The square terms among the features."""

    @abc.abstractmethod
    def _precision(self, mixture: Mixture) -> Tensor:
        """What multiplies the square terms, and broadcasts against the means."""

    @override
    def features(self, tokens: Tensor) -> Tensor:
        return torch.cat([self._squares(tokens), tokens, torch.ones_like(tokens[..., :1])], dim=-1)

    @override
    def log_affinity(self, features: Tensor, mixture: Mixture) -> Tensor:
        constant = torch.add(mixture.log_weight, self.log_determinant(mixture), alpha=-0.5)
        affinity = torch.bmm(self._coefficients(mixture, constant), features.mT)  # (B, K, M)
        return affinity.mT

    @override
    def mahalanobis(self, tokens: Tensor, mixture: Mixture) -> Tensor:
        coefficients = self._coefficients(mixture, torch.zeros_like(mixture.log_weight))
        return -2 * torch.matmul(self.features(tokens), coefficients.mT)

    def _coefficients(self, mixture: Mixture, constant: Tensor) -> Tensor:
        """(B, K, P): of -mahalanobis / 2 + constant."""
        precision = self._precision(mixture)
        linear = precision * mixture.mean
        offset = torch.add(constant, (linear * mixture.mean).sum(-1), alpha=-0.5)
        return torch.cat([-0.5 * precision, linear, offset[..., None]], dim=-1)

    @override
    def statistics(self, features: Tensor, responsibilities: Tensor) -> Statistics:
        sums = torch.bmm(responsibilities.mT, features)  # (B, K, P)
        squares = sums.shape[-1] - 1 - self._dim(features)
        second, first, count = sums.split([squares, sums.shape[-1] - 1 - squares, 1], dim=-1)
        return Statistics(count=count[..., 0], first=first, second=self._folded(second))

    @abc.abstractmethod
    def _dim(self, features: Tensor) -> int:
        """D, told from the features."""

    @abc.abstractmethod
    def _folded(self, second: Tensor) -> Tensor:
        """The sums of the square terms, in the shape of `Statistics.second`."""


@dataclass(frozen=True, slots=True)
class Diagonal(_Quadratic):
    """A variance for each component and dimension."""

    @override
    def _squares(self, tokens: Tensor) -> Tensor:
        return tokens.square()

    @override
    def _precision(self, mixture: Mixture) -> Tensor:
        return torch.exp(-mixture.log_scale)

    @override
    def _dim(self, features: Tensor) -> int:
        return features.shape[-1] // 2

    @override
    def _folded(self, second: Tensor) -> Tensor:
        return second

    @override
    def log_scale(self, statistics: Statistics, mean: Tensor, prior: Prior) -> Tensor:
        count = statistics.count[..., None]
        beyond = torch.addcmul(statistics.first, count, mean, value=-1)  # what of the sum is not count * mean
        scatter = torch.addcmul(statistics.second, mean, beyond + statistics.first, value=-1).clamp_min(0)
        shift = mean - prior.means(mean.shape[-1], mean)
        pulled = torch.addcmul(scatter, prior.mean_strengths(mean)[..., None] * shift, shift)
        floor = prior.variance_strength * prior.variance
        return torch.log((pulled + floor) / (count + prior.variance_strength))

    @override
    def log_determinant(self, mixture: Mixture) -> Tensor:
        return mixture.log_scale.sum(-1)

    @override
    def precision_trace(self, mixture: Mixture) -> Tensor:
        return torch.exp(-mixture.log_scale).sum(-1)

    @override
    def uniform(self, variance: Tensor, mean: Tensor) -> Tensor:
        return variance.log()[:, None, None].expand_as(mean)

    @override
    def _root(self, mixture: Mixture, identity: Tensor) -> Tensor:
        return torch.exp(0.5 * mixture.log_scale)[..., None] * identity


@dataclass(frozen=True, slots=True)
class Spherical(_Quadratic):
    """One variance for each component."""

    @override
    def _squares(self, tokens: Tensor) -> Tensor:
        return tokens.square().sum(-1, keepdim=True)

    @override
    def _precision(self, mixture: Mixture) -> Tensor:
        return torch.exp(-mixture.log_scale)[..., None]

    @override
    def _dim(self, features: Tensor) -> int:
        return features.shape[-1] - 2

    @override
    def _folded(self, second: Tensor) -> Tensor:
        return second[..., 0]

    @override
    def log_scale(self, statistics: Statistics, mean: Tensor, prior: Prior) -> Tensor:
        dim = mean.shape[-1]
        spread = (mean * (2 * statistics.first - statistics.count[..., None] * mean)).sum(-1)
        scatter = (statistics.second - spread).clamp_min(0)
        pull = prior.mean_strengths(mean) * (mean - prior.means(dim, mean)).square().sum(-1)
        floor = dim * prior.variance_strength * prior.variance
        return torch.log((floor + scatter + pull) / (dim * (statistics.count + prior.variance_strength)))

    @override
    def log_determinant(self, mixture: Mixture) -> Tensor:
        return mixture.mean.shape[-1] * mixture.log_scale

    @override
    def precision_trace(self, mixture: Mixture) -> Tensor:
        return mixture.mean.shape[-1] * torch.exp(-mixture.log_scale)

    @override
    def uniform(self, variance: Tensor, mean: Tensor) -> Tensor:
        return variance.log()[:, None].expand_as(mean[..., 0])

    @override
    def _root(self, mixture: Mixture, identity: Tensor) -> Tensor:
        return torch.exp(0.5 * mixture.log_scale)[..., None, None] * identity


@dataclass(frozen=True, slots=True)
class _Cholesky(Covariance):
    """Families that keep Cholesky factors."""

    @override
    def features(self, tokens: Tensor) -> Tensor:
        return tokens

    @override
    def log_affinity(self, features: Tensor, mixture: Mixture) -> Tensor:
        constant = mixture.log_weight - 0.5 * self.log_determinant(mixture)
        return constant[:, None] - 0.5 * self.mahalanobis(features, mixture)

    @override
    def log_determinant(self, mixture: Mixture) -> Tensor:
        determinant = 2 * mixture.log_scale.diagonal(dim1=-2, dim2=-1).sum(-1)
        return determinant if determinant.dim() == 2 else determinant[:, None]

    @override
    def precision_trace(self, mixture: Mixture) -> Tensor:
        dim = mixture.mean.shape[-1]
        identity = torch.eye(dim, dtype=mixture.mean.dtype, device=mixture.mean.device)
        inverse = torch.linalg.solve_triangular(_factor(mixture.log_scale), identity, upper=False)
        trace = inverse.square().sum((-2, -1))
        return trace if trace.dim() == 2 else trace[:, None]

    @override
    def _root(self, mixture: Mixture, identity: Tensor) -> Tensor:
        root = _factor(mixture.log_scale)
        return root if root.dim() == 4 else root[:, None]


@dataclass(frozen=True, slots=True)
class Full(_Cholesky):
    """A covariance matrix for each component."""

    @override
    def mahalanobis(self, tokens: Tensor, mixture: Mixture) -> Tensor:
        difference = tokens[:, None] - mixture.mean[:, :, None]  # (B, K, M, D)
        whitened = torch.linalg.solve_triangular(_factor(mixture.log_scale), difference.mT, upper=False)
        return whitened.square().sum(-2).mT

    @override
    def statistics(self, features: Tensor, responsibilities: Tensor) -> Statistics:
        shares = responsibilities.mT[..., None]  # (B, K, M, 1)
        return Statistics(
            count=responsibilities.sum(1),
            first=torch.bmm(responsibilities.mT, features),
            second=torch.matmul((shares * features[:, None]).mT, features[:, None]),
        )

    @override
    def log_scale(self, statistics: Statistics, mean: Tensor, prior: Prior) -> Tensor:
        count = statistics.count[..., None, None]
        scatter = statistics.second - _between(statistics, mean)
        shift = mean - prior.means(mean.shape[-1], mean)
        pull = prior.mean_strengths(mean)[..., None, None] * _outer(shift)
        return _log_factor((_ridge(prior, mean) + scatter + pull) / (count + prior.variance_strength))

    @override
    def uniform(self, variance: Tensor, mean: Tensor) -> Tensor:
        dim = mean.shape[-1]
        flat = 0.5 * variance.log()[:, None, None].expand_as(mean)
        return torch.diag_embed(flat).reshape(*mean.shape, dim)


@dataclass(frozen=True, slots=True)
class Tied(_Cholesky):
    """One covariance matrix for all components of a set."""

    @override
    def mahalanobis(self, tokens: Tensor, mixture: Mixture) -> Tensor:
        factor = _factor(mixture.log_scale)
        white = torch.linalg.solve_triangular(factor, tokens.mT, upper=False)  # (B, D, M)
        centres = torch.linalg.solve_triangular(factor, mixture.mean.mT, upper=False)  # (B, D, K)
        squares = white.square().sum(1)[..., None] + centres.square().sum(1)[:, None]
        return squares - 2 * torch.matmul(white.mT, centres)

    @override
    def statistics(self, features: Tensor, responsibilities: Tensor) -> Statistics:
        weighted = responsibilities.sum(-1, keepdim=True) * features
        return Statistics(
            count=responsibilities.sum(1),
            first=torch.bmm(responsibilities.mT, features),
            second=torch.bmm(weighted.mT, features),
        )

    @override
    def log_scale(self, statistics: Statistics, mean: Tensor, prior: Prior) -> Tensor:
        count = statistics.count.sum(-1)[:, None, None]
        scatter = statistics.second - _between(statistics, mean).sum(1)
        shift = mean - prior.means(mean.shape[-1], mean)
        pull = (prior.mean_strengths(mean)[..., None, None] * _outer(shift)).sum(1)
        return _log_factor((_ridge(prior, mean) + scatter + pull) / (count + prior.variance_strength))

    @override
    def uniform(self, variance: Tensor, mean: Tensor) -> Tensor:
        return torch.diag_embed(0.5 * variance.log()[:, None].expand(len(mean), mean.shape[-1]))


def _factor(log_scale: Tensor) -> Tensor:
    """Lower Cholesky factors from their coordinates."""
    diagonal = torch.diag_embed(log_scale.diagonal(dim1=-2, dim2=-1).exp())
    return log_scale.tril(-1) + diagonal


def _log_factor(covariance: Tensor) -> Tensor:
    """Coordinates of the Cholesky factors; NaN where there is none, so that this row fails alone."""
    factor, failed = torch.linalg.cholesky_ex(covariance)
    diagonal = factor.diagonal(dim1=-2, dim2=-1).log()
    coordinates = factor.tril(-1) + torch.diag_embed(diagonal)
    return torch.where((failed > 0)[..., None, None], torch.nan, coordinates)


def _between(statistics: Statistics, mean: Tensor) -> Tensor:
    """What to take from the second moments to have the scatter around `mean`, (B, K, D, D)."""
    cross = statistics.first[..., None] * mean[..., None, :]
    return cross + cross.mT - statistics.count[..., None, None] * _outer(mean)


def _outer(vectors: Tensor) -> Tensor:
    return vectors[..., None] * vectors[..., None, :]


def _ridge(prior: Prior, like: Tensor) -> Tensor:
    identity = torch.eye(like.shape[-1], dtype=like.dtype, device=like.device)
    return prior.variance_strength * prior.variance * identity
