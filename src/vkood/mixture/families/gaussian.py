"""Gaussian mixtures: their covariances, densities, and the steps of MAP-EM on batches of weighted sets.

A family is a kind of covariance: what it keeps of the data, and how densities and M-steps follow from it. Everything is
computed from differences to each component's mean, never from squares of the coordinates: with clusters a thousand of
their widths apart, those would leave single precision no digit of a distance.

Legend: B sets, M tokens, K components, D dimensions; r responsibilities, w token weights.
"""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from vkood.mixture.families.base import Family, FixedPointProblem, Parameters, UsualScores
from vkood.mixture.params import Mixture, Prior, SetPrior
from vkood.mixture.start import farthest_tokens, weighted_centre

_LOG_TWO_PI = math.log(2 * math.pi)

# Differences (sets x components x tokens x dimensions) computed at once: what is larger than the cache of a CPU takes
# many times as long.
_IN_CACHE = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Expected sufficient statistics of weighted sets: all that an M-step needs.

    Attributes:
        origin: (sets or 1, components or 1, dim) the point of each component from which tokens are measured, a
            constant. The M-step does not depend on it, but its rounding does: the nearer to the mean, the better.
        count: (sets, components) expected tokens of each component.
        first: (sets, components, dim) the sum of their differences to the origin.
        second: The sum of squares of these differences, as far as the family needs it: (sets, components, dim) for
            `Diagonal`, (sets, components) of squared lengths for `Isotropic`, (sets, components, dim, dim) for
            `Full`, and (sets, dim, dim) over all components for `Tied`.
    """

    origin: Tensor
    count: Tensor
    first: Tensor
    second: Tensor


@dataclass(frozen=True, slots=True)
class Covariance(Family):
    """Gaussian components with one kind of covariance."""

    @override
    def problem(
        self, tokens: Tensor, weights: Tensor | None, prior: Prior, num_components: int, start: Tensor | None
    ) -> FixedPointProblem:
        tokens, weights, units = _standardized(tokens, weights, prior)
        near = prior.of_sets(len(tokens), tokens).seen_from(units.centre).in_units(units.length)
        if start is None:
            means = farthest_tokens(tokens, weights, num_components)
        else:
            means = (start - units.centre) / units.length[:, None, None]
        first = starting_mixture(tokens, weights, means, self, near)

        def mixture(value: Parameters) -> Mixture:
            log_weight, mean, log_scale = value
            return Mixture(
                log_weight=torch.log_softmax(log_weight, -1),
                mean=mean * units.length[:, None, None] + units.centre,
                log_scale=self.stretched(log_scale, units.length),
            )

        return FixedPointProblem(start=first.parameters, operands=(tokens, weights, *near), mixture=mixture)

    @override
    def step(self, value: Parameters, *operands: Tensor) -> Parameters:
        tokens, weights, *prior = operands
        statistics = expectation(tokens, weights, Mixture.of(value), self)
        return maximization(statistics, self, SetPrior(*prior)).parameters

    @override
    def log_joint(
        self, tokens: Float[Tensor, "sets tokens dim"], mixture: Mixture
    ) -> Float[Tensor, "sets tokens components"]:
        """The logarithm of weight times density, of each token under each component."""
        constant = torch.logsumexp(mixture.log_weight, -1) + 0.5 * mixture.mean.shape[-1] * _LOG_TWO_PI
        return self.log_affinity(tokens, mixture) - constant[:, None, None]

    @override
    def usual_scores(self, dim: int, prior: Prior) -> UsualScores:
        # two random points of the sphere of radius sqrt(dim), on which a layer's vectors lie, are sqrt(2 dim) apart
        distance = 2 * dim / prior.variance
        score = 0.5 * (math.log(2 * math.pi * prior.variance) + distance / dim)
        # a gate moves with the density's logarithm over sqrt(dim)
        return UsualScores(distance=distance, score=score, temperature=dim**0.5, nats=dim)

    def log_affinity(
        self, tokens: Float[Tensor, "sets tokens dim"], mixture: Mixture
    ) -> Float[Tensor, "sets tokens components"]:
        """`log_joint` up to a constant for each set: all that responsibilities need."""
        peak = torch.add(mixture.log_weight, self.log_determinant(mixture), alpha=-0.5)
        return torch.add(peak[:, None], self.mahalanobis(tokens, mixture), alpha=-0.5)

    def statistics(
        self,
        tokens: Float[Tensor, "sets tokens dim"],
        responsibilities: Float[Tensor, "sets tokens components"],
        origin: Float[Tensor, "#sets #components dim"],
    ) -> Statistics:
        """Sufficient statistics under the given responsibilities (token weights multiplied in)."""
        origin = origin.detach()
        difference = _differences(tokens, origin.expand(-1, responsibilities.shape[-1], -1))
        shares = responsibilities.mT  # (B, K, M)
        first = torch.matmul(shares[:, :, None], difference)[:, :, 0]
        return Statistics(
            origin=origin, count=shares.sum(-1), first=first, second=self._second(shares, difference)
        )

    @abc.abstractmethod
    def _second(
        self,
        shares: Float[Tensor, "sets components tokens"],
        difference: Float[Tensor, "sets components tokens dim"],
    ) -> Tensor:
        """`Statistics.second`."""

    @abc.abstractmethod
    def log_scale(self, statistics: Statistics, shift: Tensor, prior: SetPrior) -> Tensor:
        """The M-step for the covariances, in the coordinates of `Mixture.log_scale`.

        Args:
            statistics: The statistics.
            shift: (sets, components, dim) the new means, and
            prior: the prior's means, measured from the origin of the statistics.
        """

    @abc.abstractmethod
    def log_determinant(self, mixture: Mixture) -> Float[Tensor, "#sets #components"]:
        """Logarithm of the determinant of each component's covariance."""

    @abc.abstractmethod
    def precision_trace(self, mixture: Mixture) -> Float[Tensor, "#sets #components"]:
        """Trace of the inverse of each component's covariance."""

    @abc.abstractmethod
    def uniform(self, variance: Tensor, mean: Tensor) -> Tensor:
        """The coordinates of `variance` (sets,) times the identity, for components with `mean`."""

    @abc.abstractmethod
    def stretched(self, log_scale: Tensor, unit: Float[Tensor, " sets"]) -> Tensor:
        """The coordinates of the same covariances where what was of length 1 is of length `unit`."""

    def dense(self, mixture: Mixture) -> Float[Tensor, "sets components dim dim"]:
        """Dense covariance matrices, for inspection."""
        identity = torch.eye(mixture.mean.shape[-1], dtype=mixture.mean.dtype, device=mixture.mean.device)
        root = self._root(mixture, identity)
        return (root @ root.mT).expand(*mixture.mean.shape, mixture.mean.shape[-1])

    @abc.abstractmethod
    def _root(self, mixture: Mixture, identity: Tensor) -> Tensor:
        """A matrix root of each covariance."""


@dataclass(frozen=True, slots=True)
class Diagonal(Covariance):
    """A variance for each component and dimension."""

    @override
    def mahalanobis(self, tokens: Tensor, mixture: Mixture) -> Tensor:
        narrowness = torch.exp(-0.5 * mixture.log_scale)[:, :, None]
        return (_differences(tokens, mixture.mean) * narrowness).square().sum(-1).mT

    @override
    def _second(self, shares: Tensor, difference: Tensor) -> Tensor:
        return torch.matmul(shares[:, :, None], difference.square())[:, :, 0]

    @override
    def log_scale(self, statistics: Statistics, shift: Tensor, prior: SetPrior) -> Tensor:
        count = statistics.count[..., None]
        beyond = torch.addcmul(2 * statistics.first, count, shift, value=-1)
        scatter = torch.addcmul(statistics.second, shift, beyond, value=-1).clamp_min(0)
        pull = prior.mean_strength[..., None] * (shift - prior.mean).square()
        return torch.log(
            (scatter + pull + prior.floor[..., None]) / (count + prior.variance_strength[..., None])
        )

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
    def stretched(self, log_scale: Tensor, unit: Tensor) -> Tensor:
        return log_scale + 2 * unit.log()[:, None, None]

    @override
    def _root(self, mixture: Mixture, identity: Tensor) -> Tensor:
        return torch.exp(0.5 * mixture.log_scale)[..., None] * identity


@dataclass(frozen=True, slots=True)
class Isotropic(Covariance):
    """One variance for each component."""

    @override
    def mahalanobis(self, tokens: Tensor, mixture: Mixture) -> Tensor:
        narrowness = torch.exp(-0.5 * mixture.log_scale)[:, :, None, None]
        return (_differences(tokens, mixture.mean) * narrowness).square().sum(-1).mT

    @override
    def _second(self, shares: Tensor, difference: Tensor) -> Tensor:
        return (shares * difference.square().sum(-1)).sum(-1)

    @override
    def log_scale(self, statistics: Statistics, shift: Tensor, prior: SetPrior) -> Tensor:
        dim = shift.shape[-1]
        beyond = torch.addcmul(2 * statistics.first, statistics.count[..., None], shift, value=-1)
        scatter = (statistics.second - (shift * beyond).sum(-1)).clamp_min(0)
        pull = prior.mean_strength * (shift - prior.mean).square().sum(-1)
        return torch.log(
            ((scatter + pull) / dim + prior.floor) / (statistics.count + prior.variance_strength)
        )

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
    def stretched(self, log_scale: Tensor, unit: Tensor) -> Tensor:
        return log_scale + 2 * unit.log()[:, None]

    @override
    def _root(self, mixture: Mixture, identity: Tensor) -> Tensor:
        return torch.exp(0.5 * mixture.log_scale)[..., None, None] * identity


@dataclass(frozen=True, slots=True)
class _Cholesky(Covariance):
    """Families that keep Cholesky factors.

    They are fitted and scored in float64: beside tokens that spread a thousand times as far as the prior's bandwidth,
    in fewer dimensions than there are, single precision would leave no positive definite matrix.
    """

    @override
    def working_dtype(self, dtype: torch.dtype) -> torch.dtype:
        return torch.float64

    @override
    def mahalanobis(self, tokens: Tensor, mixture: Mixture) -> Tensor:
        difference = _differences(tokens, mixture.mean)  # (B, K, M, D)
        factor = self._root(mixture, difference)
        return torch.linalg.solve_triangular(factor, difference.mT, upper=False).square().sum(-2).mT

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
    def stretched(self, log_scale: Tensor, unit: Tensor) -> Tensor:
        unit = unit.reshape(-1, *[1] * (log_scale.dim() - 1))
        longer = torch.diag_embed(unit.log()[..., 0].expand(log_scale.shape[:-1]))
        return log_scale.tril(-1) * unit + torch.diag_embed(log_scale.diagonal(dim1=-2, dim2=-1)) + longer

    @override
    def _root(self, mixture: Mixture, identity: Tensor) -> Tensor:
        root = _factor(mixture.log_scale)
        return root if root.dim() == 4 else root[:, None]


@dataclass(frozen=True, slots=True)
class Full(_Cholesky):
    """A covariance matrix for each component."""

    @override
    def _second(self, shares: Tensor, difference: Tensor) -> Tensor:
        return torch.matmul((shares[..., None] * difference).mT, difference)

    @override
    def log_scale(self, statistics: Statistics, shift: Tensor, prior: SetPrior) -> Tensor:
        beyond = (statistics.count + prior.variance_strength)[..., None, None]
        scatter = statistics.second - _moved(statistics, shift)
        return _log_factor((_ridge(prior, shift) + scatter + _pull(prior, shift)) / beyond)

    @override
    def uniform(self, variance: Tensor, mean: Tensor) -> Tensor:
        dim = mean.shape[-1]
        flat = 0.5 * variance.log()[:, None, None].expand_as(mean)
        return torch.diag_embed(flat).reshape(*mean.shape, dim)


@dataclass(frozen=True, slots=True)
class Tied(_Cholesky):
    """One covariance matrix for all components of a set."""

    @override
    def _second(self, shares: Tensor, difference: Tensor) -> Tensor:
        weighted = (shares[..., None] * difference).flatten(1, 2)
        return torch.bmm(weighted.mT, difference.reshape(weighted.shape))

    @override
    def log_scale(self, statistics: Statistics, shift: Tensor, prior: SetPrior) -> Tensor:
        beyond = (statistics.count.sum(-1, keepdim=True) + prior.variance_strength)[..., None]
        scatter = statistics.second - _moved(statistics, shift).sum(1)
        pull = _pull(prior, shift).sum(1)
        return _log_factor((_ridge(prior, shift)[:, 0] + scatter + pull) / beyond)

    @override
    def uniform(self, variance: Tensor, mean: Tensor) -> Tensor:
        return torch.diag_embed(0.5 * variance.log()[:, None].expand(len(mean), mean.shape[-1]))


def expectation(
    tokens: Float[Tensor, "sets tokens dim"],
    weights: Float[Tensor, "sets tokens"],
    mixture: Mixture,
    covariance: Covariance,
    origin: Float[Tensor, "#sets #components dim"] | None = None,
) -> Statistics:
    """The E-step: sufficient statistics under r_mk = w_m softmax_k(log pi_k + log N(c_m; mu_k, Sigma_k)).

    They are taken around `origin`; by default around the means of the mixture.
    """
    at_once = max(1, _IN_CACHE // max(1, mixture.mean.numel()))
    if torch.compiler.is_compiling() or tokens.device.type != "cpu" or tokens.shape[1] <= at_once:
        return _expectation(tokens, weights, mixture, covariance, origin)
    parts = [
        _expectation(*block, mixture, covariance, origin)
        for block in zip(tokens.split(at_once, dim=1), weights.split(at_once, dim=1), strict=True)
    ]
    return Statistics(
        origin=parts[0].origin,
        count=_sum([part.count for part in parts]),
        first=_sum([part.first for part in parts]),
        second=_sum([part.second for part in parts]),
    )


def _sum(tensors: list[Tensor]) -> Tensor:
    return torch.stack(tensors).sum(0)


def _expectation(
    tokens: Tensor, weights: Tensor, mixture: Mixture, covariance: Covariance, origin: Tensor | None
) -> Statistics:
    # Tokens lie next to each other in memory: a softmax over the few components is then many times faster.
    shares = torch.softmax(covariance.log_affinity(tokens, mixture).mT, dim=1)  # (B, K, M)
    weighted = (shares * weights[:, None]).mT
    return covariance.statistics(tokens, weighted, mixture.mean if origin is None else origin)


def maximization(statistics: Statistics, covariance: Covariance, prior: SetPrior) -> Mixture:
    """The M-step under the prior.

    With N_k the expected count, s_k the sum and S_k the scatter of a component's tokens around its new mean:

        pi_k    proportional to  alpha + N_k
        mu_k    = (kappa m0 + s_k) / (kappa + N_k)
        Sigma_k = (nu v0 I + S_k + kappa (mu_k - m0)(mu_k - m0)^T) / (nu + N_k)

    alpha, kappa, v0 and nu are the prior's `concentration`, `mean_strength`, `variance` and
    `variance_strength`. The kappa term of Sigma makes the step the exact maximum, so that EM never lowers the
    objective.
    """
    count, first = statistics.count, statistics.first
    near = prior.seen_from(statistics.origin)
    shift = torch.addcmul(first, near.mean_strength[..., None], near.mean)
    shift = shift / (near.mean_strength + count)[..., None]
    counted = count + near.concentration
    return Mixture(
        log_weight=torch.log(counted / counted.sum(-1, keepdim=True)),
        mean=statistics.origin + shift,
        log_scale=covariance.log_scale(statistics, shift, near),
    )


@torch.no_grad()
def starting_mixture(
    tokens: Float[Tensor, "sets tokens dim"],
    weights: Float[Tensor, "sets tokens"],
    means: Float[Tensor, "sets components dim"],
    covariance: Covariance,
    prior: SetPrior,
) -> Mixture:
    """Equal weights, the given means, and round components as wide as the whole set is around the origin."""
    total = weights.sum(1)
    scatter = (weights * tokens.square().sum(-1)).sum(1) / max(1, tokens.shape[-1])
    variance = (scatter + prior.floor[:, 0]) / (total + prior.variance_strength[:, 0])
    return Mixture(
        log_weight=means.new_zeros(means.shape[:2]), mean=means, log_scale=covariance.uniform(variance, means)
    )


class _Units(NamedTuple):
    """Origin and unit of the tokens of each set; constants."""

    centre: Tensor  # (B, 1, D)
    length: Tensor  # (B,)


def _standardized(tokens: Tensor, weights: Tensor | None, prior: Prior) -> tuple[Tensor, Tensor, _Units]:
    """Tokens around their own centre, in units of their spread, and their weights.

    So a set loses no digits to its offset, squares stay within range, and it converges alike wherever it lies and
    however wide it is. The fit is the same for any units, since the prior is measured by them too. They are powers of
    two, which round nothing, and at least the prior's bandwidth, so that usual sets keep their numbers.
    """
    if weights is None:
        weights = tokens.new_ones(tokens.shape[:2])
        centre = tokens.detach().sum(1, keepdim=True) / max(1, tokens.shape[1])
        tokens = tokens - centre
        counted = tokens.detach()
    else:
        weights = weights.to(tokens.dtype)
        weights = torch.where(weights == 0, 0.0, weights)  # a masked token has no gradient to its weight
        counts = (weights > 0)[..., None]
        centre = weighted_centre(torch.where(counts, tokens, 0.0), weights)
        tokens = torch.where(counts, tokens - centre, 0.0)  # padding may hold anything, NaN included
        counted = tokens.detach() * weights.detach().sqrt()[..., None]
    # in float64, since squares of what single precision holds are beyond its range
    norm = torch.linalg.vector_norm(counted, dim=(1, 2), dtype=torch.float64)
    total = (weights.detach().sum(1) * tokens.shape[2]).clamp_min(torch.finfo(weights.dtype).tiny)
    spread = (norm / total.sqrt()).to(tokens.dtype).clamp_min(math.sqrt(prior.variance))
    mantissa, _ = torch.frexp(spread)  # from 0.5 to 1
    length = torch.where(torch.isfinite(spread), spread / (2 * mantissa), 1.0)
    return tokens / length[:, None, None], weights, _Units(centre, length)


def _differences(tokens: Tensor, means: Tensor) -> Float[Tensor, "sets components tokens dim"]:
    return tokens[:, None] - means[:, :, None]


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


def _moved(statistics: Statistics, shift: Tensor) -> Tensor:
    """What to take from the second moments around the origin to have those around the new means, (B, K, D, D)."""
    cross = statistics.first[..., None] * shift[..., None, :]
    return cross + cross.mT - statistics.count[..., None, None] * _outer(shift)


def _pull(prior: SetPrior, shift: Tensor) -> Tensor:
    return prior.mean_strength[..., None, None] * _outer(shift - prior.mean)


def _outer(vectors: Tensor) -> Tensor:
    return vectors[..., None] * vectors[..., None, :]


def _ridge(prior: SetPrior, like: Tensor) -> Float[Tensor, "sets 1 dim dim"]:
    return prior.floor[..., None, None] * torch.eye(like.shape[-1], dtype=like.dtype, device=like.device)
