"""The implicit differentiable outlier layer of VK-OOD (Wang, Medya, Ravi, NeurIPS 2023).

It fits a mixture to the context of each sample inside the forward pass, scores the candidates under
it, and gates out those that do not belong. Legend: B sets, N candidates, M context tokens, K components, D
joint dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from types import NoneType
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from typing_extensions import override

from vkood.fields import Choice, Real, Whole, require_fields, require_kind
from vkood.gating.calibration import Calibration
from vkood.gating.gate import BEGINNING_RULES, Gate, GateMode, GateOutput, open_threshold
from vkood.gating.joint_space import JointName, JointSpace
from vkood.gating.population import PopulationMixture
from vkood.mixture.backends import BACKEND_RULE, BackendName, choose_backend, fused_by_kernels
from vkood.mixture.families.base import Family
from vkood.mixture.families.gaussian import Covariance, Diagonal
from vkood.mixture.families.spherical import MAX_KAPPA, MIN_KAPPA, Spherical
from vkood.mixture.fit import DEFAULT_SOLVER, fit_mixture, require_method
from vkood.mixture.params import Mixture, Prior
from vkood.mixture.scores import gem, mahalanobis
from vkood.solve import Gradient, LastIterate, Solver
from vkood.solve.eager import looks_at_values
from vkood.solve.precision import full_precision

# Where a learnt concentration stays, so far within its range that rounding leaves it there.
_LOG_KAPPA = math.log(MIN_KAPPA) + 1e-6, math.log(MAX_KAPPA) - 1e-6
ScoreName = Literal["negative_log_density", "gem", "mahalanobis"]
_DISTANCES: dict[ScoreName, Callable[[Tensor, Mixture, Family], Tensor]] = {
    "gem": gem,
    "mahalanobis": mahalanobis,
}


class OutlierLayer(nn.Module):
    """Gate candidates by their density under a mixture fitted to the context of their own sample.

    Both are brought into a joint space; the mixture is fitted to the context tokens by MAP-EM, solved to its fixed
    point row by row; the candidates' scores under it become gates. Nothing in a row's output depends on other rows.

    By default the mixture is one von Mises-Fisher component, whose fixed point is a formula; README's Results say
    where other options do as well. With `joint="identity"` the layer works untrained, on vectors of one encoder.

    Called without a context, the layer is in population mode, even if it has a `context_dim`: it scores
    candidates under one running mixture of all candidates that it has seen in training (learnt by online EM,
    frozen in eval, summed over ranks). This needs a Gaussian family.

    On a CPU, with the extra `fast`, diagonal fits and their scores are computed by Numba, and have first derivatives
    only; `vkood.mixture.choose_backend` says what computes, and `backend` forces it.

    Args:
        candidate_dim: Width of the candidates.
        context_dim: Width of the context tokens; None for a layer that is used in population mode only.
        joint_dim: Width of the joint space; 64 if None, or `candidate_dim` where `joint` is "identity".
        num_components: Components of each mixture.
        joint: How both come into the joint space: by a projection each, "separate"; by one for both, "shared", if they
            have one width; or as they are, "identity".
        family: `Spherical`, whose `kappa` is learnt from the given one, for vectors whose direction counts (the
            default); or Gaussians with the covariance `Diagonal` (the default without a `context_dim`), `Isotropic`,
            `Tied` or `Full`.
        prior: The weak prior that makes every fit well defined; its `variance` is the bandwidth of Gaussians.
        solver: How EM is iterated; squared extrapolation to 1e-4 by default.
        gradient: How gradients pass through the fit; `LastIterate()` by default.
        score: "negative_log_density", "gem" or "mahalanobis"; larger = more outlying. The first is per dimension for
            Gaussians, and up to its constant for `Spherical`: for one component -kappa times the cosine.
        gate: "soft", "hard" or "straight_through".
        inference: The same in eval, None for no change; "hard" suits a threshold that was calibrated.
        threshold: Score at which gates are half open, to begin with. By default gates begin open: that of a random
            direction is 0.95. (Half open, they close before a model has learnt to read facts.)
        temperature: Steepness of the gate, to begin with, in units of the score. By default a gate moves with the
            logarithm of the density, for Gaussians divided by sqrt(joint_dim).
        backend: "torch", "numba" or "triton", for fits and scores; None to choose for each call.

    Raises:
        TypeError: An option is of the wrong type.
        ValueError: A number or a name is out of range, or the widths do not fit `joint`.

    Example:
        >>> import torch
        >>> layer = OutlierLayer(candidate_dim=384, context_dim=768, joint_dim=64)
        >>> facts, image_tokens = torch.randn(2, 5, 384), torch.randn(2, 197, 768)
        >>> fact_mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
        >>> out = layer(facts, context=image_tokens, candidate_mask=fact_mask)
        >>> out.gate.shape, out.gate[1, 3:].tolist()
        (torch.Size([2, 5]), [0.0, 0.0])
    """

    def __init__(
        self,
        candidate_dim: int,
        context_dim: int | None,
        joint_dim: int | None = None,
        num_components: int = 1,
        *,
        joint: JointName = "separate",
        family: Family | None = None,
        prior: Prior | None = None,
        solver: Solver | None = None,
        gradient: Gradient | None = None,
        score: ScoreName = "negative_log_density",
        gate: GateMode = "soft",
        inference: GateMode | None = None,
        threshold: float | None = None,
        temperature: float | None = None,
        backend: BackendName | None = None,
    ) -> None:
        super().__init__()
        require_fields(
            {"score": score, "num_components": num_components, "backend": backend},
            {"score": Choice(get_args(ScoreName)), "num_components": Whole(), "backend": BACKEND_RULE},
        )
        require_method(family, prior, solver, gradient)
        self.num_components = num_components
        if context_dim is None and isinstance(family, Spherical):
            raise ValueError(
                "a layer without a `context_dim` is used in population mode, which a `Spherical` family does not have; "
                "give the width of your context, or a Gaussian family, say `Diagonal()`."
            )
        family = family or (Diagonal() if context_dim is None else Spherical())
        self.log_kappa = _log_kappa(family)
        self._family = replace(family, kappa=1.0) if isinstance(family, Spherical) else family
        self.backend: BackendName | None = backend
        self.prior = prior or Prior()
        self.solver = solver or DEFAULT_SOLVER
        self.gradient = gradient or LastIterate()
        self.score: ScoreName = score
        self.joint = JointSpace(
            candidate_dim, context_dim, joint_dim, joint=joint, on_sphere=not isinstance(family, Spherical)
        )
        self.population = (
            PopulationMixture(num_components, self.joint.joint_dim, family, self.prior)
            if isinstance(family, Covariance)
            else None
        )
        usual, steepness = self._usual_score(family)
        require_fields({"temperature": temperature, "threshold": threshold}, BEGINNING_RULES)
        temperature = steepness if temperature is None else temperature
        self.gate = Gate(
            threshold=open_threshold(usual, temperature) if threshold is None else threshold,
            temperature=temperature,
            mode=gate,
            inference=inference,
        )

    @property
    def family(self) -> Family:
        """The family of mixtures; a spherical one with the concentration that is learnt, within its range."""
        if self.log_kappa is None:
            return self._family
        log_kappa = self.log_kappa.float()
        # The gradient is that of what is not clamped, so that what leaves the range finds back.
        log_kappa = log_kappa + (log_kappa.clamp(*_LOG_KAPPA) - log_kappa).detach()
        return replace(self._family, kappa=log_kappa.exp())

    @override
    def forward(
        self,
        candidates: Float[Tensor, "batch candidates candidate_dim"],
        context: Float[Tensor, "batch tokens context_dim"] | None = None,
        *,
        candidate_mask: Bool[Tensor, "batch candidates"] | None = None,
        context_mask: Bool[Tensor, "batch tokens"] | Float[Tensor, "batch tokens"] | None = None,
        prior_mean: Float[Tensor, "batch joint"] | Float[Tensor, "batch components joint"] | None = None,
        prior_strength: Float[Tensor, " batch"] | Float[Tensor, "batch components"] | None = None,
        start: Float[Tensor, "components joint"] | Float[Tensor, "batch components joint"] | None = None,
    ) -> GateOutput:
        """Score and gate the candidates.

        Args:
            candidates: (batch, candidates, candidate_dim) vectors to judge, say facts.
            context: (batch, tokens, context_dim) what they should belong to, say image tokens; None for
                population mode.
            candidate_mask: (batch, candidates) True where there is a candidate. All, if None.
            context_mask: (batch, tokens) boolean, or weights of at least 0 that say how much each token
                counts in the fit; gradients reach the weights.
            prior_mean: (batch, joint_dim) or (batch, components, joint_dim): where the prior expects the
                components, in the joint space; gradients reach it. By default the `prior`'s.
            prior_strength: (batch,) or (batch, components): how many tokens that expectation counts as.
            start: Means in the joint space from which EM starts; by default tokens far apart.

        Returns:
            Gates, scores, the fitted mixture, and how each row's fit went.

        Raises:
            ValueError: A shape does not fit, a feature that is not masked is NaN or infinite, a weight is
                negative, or a prior strength is not positive.
        """
        fused = context is not None and self._is_fused(candidates)
        joint = self.joint.candidates(candidates, candidate_mask, raw=fused)
        self._check_fit(len(candidates), context, prior_mean, prior_strength, start)
        if context is not None and fused:
            prior = self._steered(prior_mean, prior_strength)
            return self._fused(joint, context, candidate_mask, context_mask, prior, start)
        with full_precision(candidates.device):
            if context is None:
                mixture, solution = self._population(joint, candidate_mask), None
            else:
                mixture, solution = fit_mixture(
                    self.joint.context(context, context_mask),
                    None if context_mask is None else context_mask.float(),
                    num_components=self.num_components,
                    family=self.family,
                    prior=self._steered(prior_mean, prior_strength),
                    start=start,
                    solver=self.solver,
                    gradient=self.gradient,
                    backend=self.backend,
                )
            score = self.score_of(joint, mixture)
            log_gate, gate = self.gate(score, candidate_mask)
        if candidate_mask is not None:
            score = score.masked_fill(~candidate_mask, torch.inf)
        return GateOutput(log_gate=log_gate, gate=gate, score=score, mixture=mixture, solution=solution)

    def _is_fused(self, candidates: Tensor) -> bool:
        """Whether kernels compute everything between the projections and the gates."""
        require_kind("candidates", candidates, Tensor)
        if self.score != "negative_log_density" or not isinstance(self._family, Spherical):
            return False
        exact = self.num_components == 1 and not self._family.background  # whatever the rule for gradients
        if not (exact or type(self.gradient) is LastIterate):
            return False
        dtype = self.joint.precision or candidates.dtype
        return fused_by_kernels(
            str(candidates.device), dtype, self.num_components, self.joint.joint_dim, self.backend
        )

    def _fused(
        self,
        joint: Tensor,
        context: Tensor,
        candidate_mask: Tensor | None,
        context_mask: Tensor | None,
        prior: Prior,
        start: Tensor | None,
    ) -> GateOutput:
        """The same, by an operator for the fit and an operator for the gates."""
        from vkood.mixture.backends.triton_backend import TritonBackend

        kernels, family = TritonBackend(), self.family
        assert isinstance(family, Spherical)
        tokens = self.joint.context(context, context_mask, raw=True)
        with full_precision(joint.device):
            solution = kernels.fit(
                tokens, context_mask, family, prior, self.num_components, start, self.solver
            )
            mixture = Mixture.of(solution.value)
            soft = self.gate.current_mode == "soft"
            log_gate, gate, score = kernels.gates(
                joint,
                candidate_mask,
                mixture,
                family,
                self.gate.threshold if soft else None,
                self.gate.log_temperature if soft else None,
            )
            if not soft:
                # absent candidates score infinity, of which no gradient could be taken
                present = score if candidate_mask is None else score.masked_fill(~candidate_mask, 0.0)
                log_gate, gate = self.gate(present, candidate_mask)
        return GateOutput(log_gate=log_gate, gate=gate, score=score, mixture=mixture, solution=solution)

    def calibrate(self, scores: Float[Tensor, "*axes"], keep_rate: float = 0.95) -> Calibration:
        """Set the threshold so that the given share of further candidates that belong is kept.

        Split-conformal, with a promise for finite samples: P(keep a candidate that belongs) >= keep_rate, if they are
        exchangeable with those whose scores are given.

        Args:
            scores: Held-out scores that this layer gave to candidates that belong, of any shape; infinite ones do not
                count.
            keep_rate: The share to keep, in (0, 1].

        Returns:
            The calibration, whose `report` says what it does to further candidates.

        Raises:
            ValueError: A score is NaN, or there is no finite one.

        Warns:
            CalibrationWarning: There are too few scores for the promise.
        """
        return self.gate.calibrate(scores, keep_rate)

    def score_of(
        self, joint: Float[Tensor, "batch items joint"], mixture: Mixture
    ) -> Float[Tensor, "batch items"]:
        """How outlying vectors of the joint space are under fitted mixtures, or one mixture for all rows."""
        if len(mixture.mean) != len(joint):
            return self.score_of(joint.flatten(0, 1)[None], mixture).view(joint.shape[:2])
        family = self.family
        if self.score != "negative_log_density":
            return _DISTANCES[self.score](joint, mixture, family)
        # a compiler traces torch, whatever the fit runs on
        backend = "torch" if torch.compiler.is_compiling() else self.backend
        return choose_backend(joint, family, backend).score(joint, mixture, family)

    def _population(self, joint: Tensor, mask: Tensor | None) -> Mixture:
        """The running mixture, (1, K, D), after the candidates have been taken in if training."""
        if self.population is None:
            raise ValueError(
                f"a layer of the family {self.family} has no population mode; pass a `context`, or make it with a "
                "Gaussian family, say `Diagonal()`."
            )
        if not self.training:
            return self.population.mixture()
        tokens = joint.flatten(0, 1)[None]
        weights = tokens.new_ones(tokens.shape[:2]) if mask is None else mask.flatten()[None].to(tokens.dtype)
        return self.population.update(tokens, weights)

    def _check_fit(
        self,
        batch: int,
        context: Tensor | None,
        prior_mean: Tensor | None,
        prior_strength: Tensor | None,
        start: Tensor | None,
    ) -> None:
        for name, value in (
            ("context", context),
            ("prior_mean", prior_mean),
            ("prior_strength", prior_strength),
            ("start", start),
        ):
            require_kind(name, value, (Tensor, NoneType))
        if context is not None and len(context) != batch:
            raise ValueError(
                f"`context` must have the batch size of `candidates`, {batch}; got {tuple(context.shape)}."
            )
        each, dim = (batch, self.num_components), (self.joint.joint_dim,)
        for name, value, shapes in (
            ("prior_mean", prior_mean, ((batch, *dim), (*each, *dim))),
            ("prior_strength", prior_strength, ((batch,), each)),
            ("start", start, ((*each[1:], *dim), (*each, *dim))),
        ):
            if value is not None and tuple(value.shape) not in shapes:
                raise ValueError(
                    f"`{name}` must have the shape {shapes[0]} or {shapes[1]}; got {tuple(value.shape)}."
                )
        if prior_strength is None or not looks_at_values(prior_strength):
            return
        if not bool(((prior_strength > 0) & (prior_strength < torch.inf)).all()):
            raise ValueError(
                "`prior_strength` must be positive and finite, so that every set has a fit; some is not."
            )

    def _steered(self, mean: Tensor | None, strength: Tensor | None) -> Prior:
        changes = {
            name: value.float()
            for name, value in (("mean", mean), ("mean_strength", strength))
            if value is not None
        }
        return replace(self.prior, **changes) if changes else self.prior

    def _usual_score(self, family: Family) -> tuple[float, float]:
        """The score of a random direction under a component of the prior's width, and a temperature."""
        usual = family.usual_scores(self.joint.joint_dim, self.prior)
        if self.score == "mahalanobis":
            return usual.distance, 0.5 * usual.temperature / usual.nats
        if self.score == "gem":
            return 0.5 * usual.distance - math.log(self.num_components), usual.temperature / usual.nats
        return usual.score, usual.temperature


def _log_kappa(family: Family) -> nn.Parameter | None:
    """The logarithm of a spherical family's concentration, as a parameter with an axis, as those of `Gate`."""
    if not isinstance(family, Spherical):
        return None
    require_fields({"the family's kappa": family.kappa}, {"the family's kappa": Real()})  # no tensor
    return nn.Parameter(torch.tensor([math.log(family.kappa)]))
