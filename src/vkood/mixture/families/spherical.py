"""Mixtures of von Mises-Fisher components, for vectors of which only the direction counts.

Every token x is a direction on the sphere of D dimensions. A component has the density C(kappa) exp(kappa <mu, x>),
with one concentration kappa for all. A mixture of one component scores by the cosine to the weighted mean direction;
one with a component for every token is a kernel density. No variance is estimated, which a few stray tokens would
widen.

**The map.** With weights w_m, responsibilities r and the prior's alpha (`concentration`), strength s and mean m0,
|m0| <= 1:

    E:  r_mk = softmax_k(log pi_k + kappa <mu_k, x_m>)
    M:  t_k  = sum_m w_m r_mk x_m + s m0_k
        mu_k = t_k / sqrt(|t_k|^2 + s^2 (1 - |m0_k|^2)),    pi_k proportional to alpha + sum_m w_m r_mk

**Why it is EM.** Lift the sphere by one dimension: tokens are (x, 0), the prior mean is the direction
(m0, sqrt(1 - |m0|^2)), means are (mu, sqrt(1 - |mu|^2)). The maximum of kappa <T, (mu, .)> over directions, with
T = (t, s sqrt(1 - |m0|^2)), is T / |T| (Banerjee et al., JMLR 2005), of which mu is the first part. So the map is exact
MAP-EM of von Mises-Fisher components on the lifted sphere, and climbs

    sum_m w_m log sum_k pi_k exp(kappa <mu_k, x_m>) + alpha sum_k log pi_k
        + kappa s sum_k (<m0_k, mu_k> + sqrt((1 - |m0_k|^2) (1 - |mu_k|^2))).

A set without tokens has mu = m0; one whose tokens cancel has mu = 0, the uniform density, with gradients of at most
1 / s.

**Background.** A share of the tokens may be expected anywhere, from the uniform density: one more component, which
stays as it is. The others' densities over the uniform one are exp(kappa <mu, x> - A(kappa)), where A(kappa) is the
logarithm of the mean of exp(kappa <mu, x>) over the sphere; so its logit is log(share / (1 - share)) + A(kappa).

Legend: B sets, M tokens, N candidates, K components, D dimensions.
"""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from vkood.fields import Real, require_fields
from vkood.mixture.families.base import Family, FixedPointProblem, Parameters, UsualScores
from vkood.mixture.params import Mixture, Prior
from vkood.mixture.start import densest_tokens
from vkood.solve.eager import looks_at_values

MIN_KAPPA, MAX_KAPPA = 1e-3, 1000.0
_KAPPA = Real(MIN_KAPPA, MAX_KAPPA)
_SHARE = Real(0, 0.99)

# Terms of the series of A(kappa): the largest is near kappa / 2, and the sum is complete well before this.
_TERMS = 1024

# |t|^2 is at least this, so that tokens that cancel a prior mean of length 1 exactly leave gradients finite.
_LEAST_SQUARE = 1e-12


@dataclass(frozen=True, slots=True)
class Spherical(Family):
    """Von Mises-Fisher components with one concentration (Banerjee, Dhillon, Ghosh, Sra, JMLR 2005).

    Tokens and candidates may have any length: their directions count. A vector of zeros has no direction, and counts in
    the weights of the components alone.

    Attributes:
        kappa: The concentration of all components, 0.001 to 1000: how narrow they are. A number, or a tensor with one
            element or (sets,), which gradients reach; one of a GPU, or that a graph computes, is taken as it is.
        background: Share of the tokens that the fit expects anywhere on the sphere, 0 to 0.99, and takes no part of.

    Raises:
        ValueError: A number is out of its range, or `kappa` is a tensor of another kind.

    Example:
        >>> import torch
        >>> from vkood.mixture import fit_mixture
        >>> tokens = torch.tensor([[[1.0, 0.1], [2.0, -0.2], [0.0, 3.0]]])
        >>> mixture, _ = fit_mixture(tokens, num_components=1, family=Spherical(kappa=10.0))
        >>> [round(coordinate, 2) for coordinate in mixture.mean[0, 0].tolist()]
        [0.89, 0.45]
    """

    kappa: float | Tensor = 10.0
    background: float = 0.0

    def __post_init__(self) -> None:
        """Check the options."""
        if torch.compiler.is_compiling():
            return  # of a family that was checked when it was made
        if not isinstance(self.kappa, Tensor):
            require_fields({"kappa": self.kappa}, {"kappa": _KAPPA})
        elif not (self.kappa.is_floating_point() and self.kappa.dim() <= 1):
            raise ValueError(
                "`kappa` must be a number, or a tensor of floating point with one element or one for each set; "
                f"got {self.kappa.dtype} of shape {tuple(self.kappa.shape)}."
            )
        elif (
            self.kappa.grad_fn is None
            and looks_at_values(self.kappa)
            and not bool(((self.kappa >= MIN_KAPPA) & (self.kappa <= MAX_KAPPA)).all())
        ):
            raise ValueError(
                f"`kappa` must be finite numbers from {MIN_KAPPA:g} to {MAX_KAPPA:g}; got "
                f"{self.kappa.detach().flatten()[:4].tolist()}. Learn its logarithm: `log_kappa.exp()` is positive."
            )
        require_fields({"background": self.background}, {"background": _SHARE})

    @override
    def problem(
        self, tokens: Tensor, weights: Tensor | None, prior: Prior, num_components: int, start: Tensor | None
    ) -> FixedPointProblem:
        sets = len(tokens)
        if weights is None:
            weights = tokens.new_ones(tokens.shape[:2])
        else:
            weights = weights.to(tokens.dtype)
            tokens = torch.where((weights > 0)[..., None], tokens, 0.0)  # padding may hold anything
        near = prior.of_sets(sets, tokens)
        kappa = torch.as_tensor(self.kappa, dtype=tokens.dtype, device=tokens.device).reshape(-1, 1)
        kappa = kappa.expand(sets, 1)
        operands = (
            directions(tokens),
            weights,
            at_most_unit(near.mean),
            near.mean_strength,
            near.concentration,
            kappa,
        )

        def mixture(value: Parameters) -> Mixture:
            log_weight, mean = value
            return Mixture(log_weight=torch.log_softmax(log_weight, -1), mean=mean, log_scale=-kappa.log())

        if num_components == 1 and not self.background:
            nothing = tokens.new_zeros(sets, 1), tokens.new_zeros(sets, 1, tokens.shape[-1])
            return FixedPointProblem(start=nothing, operands=operands, mixture=mixture, constant=True)
        if start is None:
            with torch.no_grad():
                start = densest_tokens(operands[0], weights, num_components, kappa)
        first = tokens.new_zeros(sets, num_components), at_most_unit(start)
        return FixedPointProblem(start=first, operands=operands, mixture=mixture)

    @override
    def step(self, value: Parameters, *operands: Tensor) -> Parameters:
        log_weight, mean = value
        tokens, weights, prior_mean, strength, concentration, kappa = operands
        if mean.shape[1] == 1 and not self.background:
            shares = weights[..., None]
        else:
            shares = weights[..., None] * self._responsibilities(log_weight, mean, tokens, kappa)
        counted = shares.sum(1) + concentration
        total = torch.matmul(shares.mT, tokens) + strength[..., None] * prior_mean
        lifted = strength.square() * (1 - prior_mean.square().sum(-1)).clamp_min(0)
        square = (total.square().sum(-1) + lifted).clamp_min(_LEAST_SQUARE)
        return torch.log(counted / counted.sum(-1, keepdim=True)), total * square.rsqrt()[..., None]

    @override
    def log_joint(
        self, tokens: Float[Tensor, "sets tokens dim"], mixture: Mixture
    ) -> Float[Tensor, "sets tokens components"]:
        """The logarithm of weight times density, of each token under each component.

        Densities are per area of the sphere, as scipy's `vonmises_fisher` has them, for means of length 1. A mean that
        is shorter, of few tokens or tokens that cancel, keeps the constant of kappa: its density sums to less than 1.
        """
        kappa, dim = torch.exp(-mixture.log_scale), tokens.shape[-1]
        log_area = math.log(2) + 0.5 * dim * math.log(math.pi) - math.lgamma(0.5 * dim)
        constant = log_mean_exponential(kappa, dim) + log_area
        return self._log_affinity(tokens, mixture) - constant[..., None]

    @override
    def mahalanobis(
        self, tokens: Float[Tensor, "sets tokens dim"], mixture: Mixture
    ) -> Float[Tensor, "sets tokens components"]:
        """Kappa |x - mu|^2, for means of length 1; a density is exp(-mahalanobis / 2) up to a constant."""
        kappa = torch.exp(-mixture.log_scale)[..., None]
        return 2 * kappa * (1 - torch.matmul(directions(tokens), mixture.mean.mT))

    @override
    def score(
        self, tokens: Float[Tensor, "sets tokens dim"], mixture: Mixture
    ) -> Float[Tensor, "sets tokens"]:
        """-log sum_k pi_k exp(kappa <mu_k, x>), from -kappa to kappa; near 0 for a random direction.

        That is the negative log density but for a constant, since all components share kappa.
        """
        if mixture.mean.shape[1] == 1:
            return -torch.matmul(
                directions(tokens), (torch.exp(-mixture.log_scale)[..., None] * mixture.mean).mT
            )[..., 0]
        return -torch.logsumexp(self._log_affinity(tokens, mixture), dim=-1)

    @override
    def usual_scores(self, dim: int, prior: Prior) -> UsualScores:
        kappa = float(self.kappa.mean()) if isinstance(self.kappa, Tensor) else self.kappa
        return UsualScores(distance=2 * kappa, score=0.0, temperature=1.0, nats=1.0)

    def background_logit(self, kappa: Float[Tensor, "sets 1"], dim: int) -> Float[Tensor, "sets 1"]:
        """The logit of the background in the E-step, for a share above 0."""
        return math.log(self.background / (1 - self.background)) + log_mean_exponential(kappa, dim)

    def _responsibilities(self, log_weight: Tensor, mean: Tensor, tokens: Tensor, kappa: Tensor) -> Tensor:
        affinity = torch.matmul(tokens, (kappa[..., None] * mean).mT) + log_weight[:, None]
        if not self.background:
            return torch.softmax(affinity, -1)
        uniform = self.background_logit(kappa, tokens.shape[-1])
        affinity = torch.cat([affinity, uniform[:, None].expand(-1, affinity.shape[1], -1)], dim=-1)
        return torch.softmax(affinity, -1)[..., :-1]

    def _log_affinity(self, tokens: Tensor, mixture: Mixture) -> Tensor:
        """`log_joint` without its constant."""
        kappa = torch.exp(-mixture.log_scale)[..., None]
        log_weight = torch.log_softmax(mixture.log_weight, -1)
        return torch.matmul(directions(tokens), (kappa * mixture.mean).mT) + log_weight[:, None]


def directions(vectors: Float[Tensor, "*axes dim"]) -> Float[Tensor, "*axes dim"]:
    """The vectors at length 1; zeros stay zeros, with a gradient of zero."""
    # by the largest coordinate first, since squares of what single precision holds are beyond its range
    largest = vectors.detach().abs().amax(-1, keepdim=True) if vectors.shape[-1] else vectors
    scaled = vectors / torch.where(largest > 0, largest, 1.0)
    length = torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)
    return scaled / torch.where(length > 0, length, torch.inf)


def log_mean_exponential(kappa: Tensor, dim: int) -> Tensor:
    """A(kappa), the logarithm of the mean of exp(kappa <mu, x>) over directions x in `dim` dimensions.

    From its power series, the hypergeometric function 0F1(; dim / 2; kappa^2 / 4) (Mardia, Jupp 2000, section 9.3), in
    float64.
    """
    index = torch.arange(_TERMS, dtype=torch.float64, device=kappa.device)
    half = 0.5 * dim
    log_terms = -torch.lgamma(index + 1) - torch.lgamma(index + half) + math.lgamma(half)
    series = 2 * index * torch.log(0.5 * kappa.double())[..., None] + log_terms
    return torch.logsumexp(series, -1).to(kappa.dtype)


def at_most_unit(means: Float[Tensor, "*axes dim"]) -> Float[Tensor, "*axes dim"]:
    """Means longer than 1 as directions; shorter ones as they are."""
    length = torch.linalg.vector_norm(means, dim=-1, keepdim=True)
    return means / length.clamp_min(1.0)
