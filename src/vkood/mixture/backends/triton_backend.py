"""Spherical and diagonal mixtures on a GPU, where the cost is that of launches: a kernel for a whole fit, by Triton.

A program has one set from its start to its fixed point, in single precision, and takes plain steps of EM, whatever
the solver: its tolerance, floor and maximum of steps count, and a set that uses them up has its last iterate. The host
waits for nothing, so no value is checked: a set that is not finite has the status `NOT_FINITE`, and no gradient.
"""

# Operators have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vkood.mixture.backends.torch_backend import TorchBackend
from vkood.mixture.backends.triton_diagonal_operators import DiagonalFit, DiagonalProblem, fit_diagonal
from vkood.mixture.backends.triton_launch import INTERPRETED, fits_in_program
from vkood.mixture.backends.triton_spherical_operators import (
    SphericalFit,
    SphericalProblem,
    fit_spherical,
    gate_spherical,
)
from vkood.mixture.families.base import Family, Parameters
from vkood.mixture.families.spherical import Spherical, at_most_unit, directions
from vkood.mixture.params import Mixture, Prior
from vkood.mixture.scores import in_working_precision
from vkood.mixture.start import densest_tokens
from vkood.solve import Gradient, LastIterate, Solution, Solver, fixed_point
from vkood.solve.loop import Outcome


@dataclass(frozen=True, slots=True)
class TritonBackend:
    """Kernels for whole fits, and for spherical scores.

    Gradients other than `LastIterate` pass through the family's own step.
    """

    name: Literal["triton"] = "triton"

    @property
    def interpreted(self) -> bool:
        """Whether kernels run on the CPU, under TRITON_INTERPRET=1."""
        return INTERPRETED

    def solve(
        self,
        start: Parameters,
        operands: tuple[Tensor, ...],
        family: Family,
        solver: Solver,
        gradient: Gradient,
    ) -> Solution[Parameters]:
        """The fixed point of `family.step`; torch's, where a set's mixture is too large for a program."""
        _, components, dim = start[1].shape
        if not fits_in_program(components, dim):
            return TorchBackend().solve(start, operands, family, solver, gradient)
        solve = _solve_spherical if isinstance(family, Spherical) else _solve_diagonal
        if type(gradient) is LastIterate:
            return solve(start, operands, family, solver)

        def loop(state: Tensor, operands_of_rows: tuple[Tensor, ...], solver: Solver) -> Outcome:
            solution = solve(_unflattened(state, start), operands_of_rows, family, solver)
            return Outcome(
                best=torch.cat([part.flatten(1) for part in solution.value], dim=1),
                residual=solution.residual,
                status=solution.status,
                steps=solution.steps,
                trace=solution.trace,
            )

        solution = fixed_point(
            family.step, start, operands=operands, loop=loop, solver=solver, gradient=gradient
        )
        return replace(solution, backend=self.name)

    def score(self, candidates: Tensor, mixture: Mixture, family: Family) -> Tensor:
        """`Family.score`; torch's for diagonal mixtures, and for those too large for a program."""
        if not (isinstance(family, Spherical) and fits_in_program(*mixture.mean.shape[1:])):
            return TorchBackend().score(candidates, mixture, family)
        precise, exact, dtype = in_working_precision(candidates, mixture, family)
        log_weight = torch.log_softmax(exact.log_weight, -1)
        kappa = torch.exp(-exact.log_scale)
        *_, score = gate_spherical(precise, None, kappa, log_weight, exact.mean, None, None)
        return score.to(dtype)

    def fit(
        self,
        tokens: Float[Tensor, "sets tokens dim"],
        weights: Float[Tensor, "sets tokens"] | Bool[Tensor, "sets tokens"] | None,
        family: Spherical,
        prior: Prior,
        num_components: int,
        start: Float[Tensor, "#sets components dim"] | Float[Tensor, "components dim"] | None,
        solver: Solver,
    ) -> Solution[Parameters]:
        """What `fit_mixture` gives with `LastIterate`, from vectors of any length and precision, as one operator.

        Args:
            tokens: The vectors; those without weight may hold anything.
            weights: How much each counts; all 1 if None.
            family: The family, whose `kappa` gradients reach.
            prior: The prior.
            num_components: Components of each mixture.
            start: Means to start from; if None, dense tokens, which takes some operators more.
            solver: Its tolerance, floor and maximum of steps count.
        """
        sets, _, dim = tokens.shape
        like = tokens.new_empty(sets, 0, dim, dtype=torch.float32)
        kappa = _kappa(family, like)
        of_sets = kappa.reshape(-1, 1).expand(sets, 1)
        tensors = prior.of_sets(sets, like) if prior.has_tensors else None
        closed = num_components == 1 and not family.background
        if closed:
            start = None
        elif start is None:
            start = _dense_start(tokens, weights, num_components, of_sets)
        problem = SphericalProblem(
            tokens=tokens,
            weights=weights,
            kappa=kappa,
            uniform=family.background_logit(of_sets, dim) if family.background else None,
            prior_mean=None if tensors is None else at_most_unit(tensors.mean),
            strength=None if tensors is None else tensors.mean_strength,
            concentration=None,
            strength_of_all=0.0 if tensors is not None else float(prior.mean_strength),
            concentration_of_all=prior.concentration,
            components=num_components,
            normalize=True,
        )
        if start is not None:
            start = at_most_unit(start.float()).expand(sets, num_components, dim)
        steps = 1 if closed else solver.max_steps
        fit = SphericalFit(*fit_spherical(*problem, start, solver.tolerance, solver.floor, steps))
        return _solution(fit, (fit.log_weight, fit.mean, fit.log_scale))

    def gates(
        self,
        candidates: Float[Tensor, "sets candidates dim"],
        mask: Bool[Tensor, "sets candidates"] | None,
        mixture: Mixture,
        family: Spherical,
        threshold: Float[Tensor, " 1"] | None,
        log_temperature: Float[Tensor, " 1"] | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """log_gate, gate and score (B, N) of vectors of any length and precision, as one operator.

        Args:
            candidates: The vectors; those that are masked may hold anything, and their gates are closed.
            mask: Which there are; all if None.
            mixture: What `fit` gave.
            family: The family of the fit, whose `kappa` gradients reach.
            threshold: Score of a gate that is half open; without, only scores are computed.
            log_temperature: Logarithm of how steep gates are there.
        """
        kappa = _kappa(family, mixture.mean)
        log_gate, gate, score = gate_spherical(
            candidates, mask, kappa, mixture.log_weight, mixture.mean, threshold, log_temperature
        )
        return log_gate, gate, score


def _kappa(family: Spherical, like: Tensor) -> Tensor:
    """(1,) for all sets, or (B, 1)."""
    kappa = torch.as_tensor(family.kappa, dtype=like.dtype, device=like.device)
    return kappa.reshape(1) if kappa.numel() == 1 else kappa.reshape(-1, 1)


@torch.no_grad()
def _dense_start(tokens: Tensor, weights: Tensor | None, num_components: int, kappa: Tensor) -> Tensor:
    """The start of `Spherical.problem`."""
    if weights is None:
        weights = tokens.new_ones(tokens.shape[:2])
    counted = torch.where((weights > 0)[..., None], tokens.float(), 0.0)
    return densest_tokens(directions(counted), weights.float(), num_components, kappa)


def _solve_spherical(
    start: Parameters, operands: tuple[Tensor, ...], family: Family, solver: Solver
) -> Solution[Parameters]:
    assert isinstance(family, Spherical)
    tokens, weights, prior_mean, strength, concentration, kappa = operands
    problem = SphericalProblem(
        tokens=tokens,
        weights=weights,
        kappa=kappa,
        uniform=family.background_logit(kappa, tokens.shape[-1]) if family.background else None,
        prior_mean=prior_mean,
        strength=strength,
        concentration=concentration,
        strength_of_all=0.0,
        concentration_of_all=0.0,
        components=start[1].shape[1],
        normalize=False,
    )
    fit = SphericalFit(*fit_spherical(*problem, start[1], solver.tolerance, solver.floor, solver.max_steps))
    return _solution(fit, (fit.log_weight, fit.mean))


def _solve_diagonal(
    start: Parameters, operands: tuple[Tensor, ...], family: Family, solver: Solver
) -> Solution[Parameters]:
    del family  # there is one
    problem = DiagonalProblem(*operands)
    fit = DiagonalFit(*fit_diagonal(*problem, *start, solver.tolerance, solver.floor, solver.max_steps))
    return _solution(fit, (fit.log_weight, fit.mean, fit.log_scale))


def _solution(fit: SphericalFit | DiagonalFit, value: Parameters) -> Solution[Parameters]:
    return Solution(
        value=value,
        status=fit.status,
        steps=fit.steps,
        residual=fit.residual,
        trace=fit.trace,
        backend="triton",
    )


def _unflattened(state: Tensor, like: Parameters) -> Parameters:
    """Parameters of the shapes of `like` from states (B, n), in which they are side by side."""
    parts = state.split([part[0].numel() for part in like], dim=1)
    return tuple(
        part.reshape(len(state), *shaped.shape[1:]) for part, shaped in zip(parts, like, strict=True)
    )
