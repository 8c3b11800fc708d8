"""The reference, for GPUs and wherever no faster back end applies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from vkood.mixture.families.base import Family, Parameters
from vkood.mixture.params import Mixture
from vkood.mixture.scores import in_working_precision
from vkood.solve import Gradient, Solution, Solver, fixed_point


@dataclass(frozen=True, slots=True)
class TorchBackend:
    """The family's own step, in the loop of `vkood.solve`."""

    name: Literal["torch"] = "torch"

    def solve(
        self,
        start: Parameters,
        operands: tuple[Tensor, ...],
        family: Family,
        solver: Solver,
        gradient: Gradient,
    ) -> Solution[Parameters]:
        """The fixed point of `family.step`."""
        return fixed_point(family.step, start, operands=operands, solver=solver, gradient=gradient)

    def score(self, candidates: Tensor, mixture: Mixture, family: Family) -> Tensor:
        """The family's own score."""
        precise, exact, dtype = in_working_precision(candidates, mixture, family)
        return family.score(precise, exact).to(dtype)
