"""How gradients pass through a fixed point z* = F(z*; C): any rule goes with any solver.

With g the gradient that arrives at z* and J = dF/dz at z*, the exact rule hands u = (I - J^T)^-1 g to one
differentiable application of F (implicit function theorem). The rules differ in what they take for u. All but
`Unrolled` solve without a graph, so their memory does not grow with the number of steps.
"""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import abc
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from typing_extensions import override

from vkood.fields import Whole, require_rules, ruled
from vkood.solve.loop import FlatMap, Loop, Outcome, iterate
from vkood.solve.precision import full_precision
from vkood.solve.solution import Status
from vkood.solve.solvers import Anderson, Solver

_Pullback = Callable[[Tensor], Tensor]
"""v -> J^T v, row by row."""


class ConvergenceWarning(RuntimeWarning):
    """The linear system of an implicit gradient was not solved to its tolerance."""


@dataclass(frozen=True, slots=True)
class Gradient(abc.ABC):
    """A rule for the gradient of a fixed point."""

    def run(
        self,
        map: FlatMap,
        start: Tensor,
        operands: tuple[Tensor, ...],
        solver: Solver,
        loop: Loop | None = None,
    ) -> Outcome:
        """Solve from `start` (B, n), and let gradients pass through the best iterates."""
        with torch.no_grad():
            detached = tuple(operand.detach() for operand in operands)
            if loop is None:
                outcome = iterate(map, start.detach(), detached, solver)
            else:
                outcome = loop(start.detach(), detached, solver)
        if not torch.is_grad_enabled():
            return outcome
        return replace(outcome, best=self._attached(map, outcome, operands))

    def _attached(self, map: FlatMap, outcome: Outcome, operands: tuple[Tensor, ...]) -> Tensor:
        """The best iterates with a graph; rows that are not finite have none, so that no NaN reaches weights."""
        finite = outcome.status != Status.NOT_FINITE
        if bool(finite.all()):
            return self._through(map, outcome.best, operands)
        if not operands:  # the map takes all rows or none
            return torch.where(finite[:, None], self._through(map, outcome.best, ()), outcome.best)
        rows = finite.nonzero()[:, 0]
        if len(rows) == 0:
            return outcome.best
        passed = self._through(map, outcome.best[rows], tuple(operand[rows] for operand in operands))
        return outcome.best.index_copy(0, rows, passed)

    @abc.abstractmethod
    def _through(self, map: FlatMap, fixed: Tensor, operands: tuple[Tensor, ...]) -> Tensor:
        """The values of `fixed` (B, n), with a graph."""


@dataclass(frozen=True, slots=True)
class LastIterate(Gradient):
    """Backpropagate through one application of the map at the fixed point: u = g.

    The rule of VK-OOD (Wang, Medya, Ravi 2023), also known as Jacobian-free backpropagation (Fung et al.
    2022): cheap and stable, but biased, the more so the slower the map contracts.
    """

    @override
    def _through(self, map: FlatMap, fixed: Tensor, operands: tuple[Tensor, ...]) -> Tensor:
        return _with_gradient_of(map(fixed, *operands), fixed)


@dataclass(frozen=True, slots=True)
class _Corrected(Gradient):
    """Rules that turn g into a better u with products J^T v before one application of the map."""

    @override
    def _through(self, map: FlatMap, fixed: Tensor, operands: tuple[Tensor, ...]) -> Tensor:
        point = fixed.detach().requires_grad_()
        image = map(point, *operands)
        if not image.requires_grad:  # a constant
            return fixed
        corrected: Tensor = _CorrectGradient.apply(image, point, self)  # pyright: ignore[reportAssignmentType] (untyped in torch)
        return _with_gradient_of(corrected, fixed)

    @abc.abstractmethod
    def corrected(self, gradient: Tensor, pullback: _Pullback) -> Tensor:
        """The corrected gradient u (B, n) for the gradient g (B, n)."""


@dataclass(frozen=True, slots=True)
class Neumann(_Corrected):
    """The first terms of the Neumann series: u = sum over i < terms of (J^T)^i g.

    Attributes:
        terms: Number of terms; 1 is `LastIterate`.
    """

    terms: int = ruled(5, Whole())

    def __post_init__(self) -> None:
        """Check the options."""
        require_rules(self)

    @override
    def corrected(self, gradient: Tensor, pullback: _Pullback) -> Tensor:
        total = term = gradient
        for _ in range(self.terms - 1):
            term = pullback(term)
            total = total + term
        return total


@dataclass(frozen=True, slots=True)
class Implicit(_Corrected):
    """The implicit function theorem: u = g + J^T u, solved row by row with Anderson acceleration.

    A row that misses the tolerance keeps its best u, and a `ConvergenceWarning` says how far it came.

    Attributes:
        tolerance: Relative residual of the linear system.
        max_steps: Max number of products J^T v.
        history: Iterates that Anderson acceleration combines.
    """

    tolerance: float = 1e-5
    max_steps: int = 100
    history: int = 10

    def __post_init__(self) -> None:
        """Check the options."""
        self._solver()

    def _solver(self) -> Anderson:
        return Anderson(tolerance=self.tolerance, max_steps=self.max_steps, history=self.history, floor=1e-30)

    @override
    def corrected(self, gradient: Tensor, pullback: _Pullback) -> Tensor:
        def step(u: Tensor) -> Tensor:
            return gradient + pullback(u)

        outcome = iterate(step, gradient, (), self._solver())
        missed = (outcome.status != Status.CONVERGED) & (gradient != 0).any(1)  # a row without any keeps 0
        if bool(missed.any()):
            warnings.warn(
                f"Implicit gradient: {int(missed.sum())} of {len(missed)} rows missed the tolerance "
                f"{self.tolerance}; "
                f"the largest relative residual is {float(outcome.residual[missed].max()):.2g}. "
                "Allow more `max_steps` or `history`, or loosen `tolerance`.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return outcome.best


@dataclass(frozen=True, slots=True)
class Unrolled(Gradient):
    """Backpropagate through the loop itself, to its start as well; for tests and comparisons.

    Memory grows with the number of steps. Anderson's weights are differentiated too: they move far before the
    residuals that they multiply vanish. SQUAREM's step lengths are taken as constants. One application of the
    map follows the best iterate, so that a row that starts at its fixed point has gradients like any other.
    """

    @override
    def run(
        self,
        map: FlatMap,
        start: Tensor,
        operands: tuple[Tensor, ...],
        solver: Solver,
        loop: Loop | None = None,
    ) -> Outcome:
        if not torch.is_grad_enabled():
            return Gradient.run(self, map, start, operands, solver, loop)
        outcome = iterate(map, start, operands, solver)
        finite = outcome.status != Status.NOT_FINITE
        if operands and not bool(finite.all()):
            # again without the rows that failed: 0 * NaN is NaN in a backward
            rows = finite.nonzero()[:, 0]
            again = iterate(map, start[rows], tuple(operand[rows] for operand in operands), solver)
            outcome = replace(outcome, best=outcome.best.detach().index_copy(0, rows, again.best))
        return replace(outcome, best=self._attached(map, outcome, operands))

    @override
    def _through(self, map: FlatMap, fixed: Tensor, operands: tuple[Tensor, ...]) -> Tensor:
        return _with_gradient_of(map(fixed, *operands), fixed.detach())


class _CorrectGradient(torch.autograd.Function):
    """Identity whose backward applies a rule's correction."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, point: Tensor, rule: _Corrected) -> Tensor:
        ctx.image, ctx.point, ctx.rule = image, point, rule
        return image.view_as(image)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (torch passes as many as forward returns)
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor, None, None]:
        def pullback(vector: Tensor) -> Tensor:
            # materialised, since a map need not look at its value
            return torch.autograd.grad(
                ctx.image, ctx.point, vector, retain_graph=True, materialize_grads=True
            )[0]

        with full_precision(gradient.device):  # should backward be called under autocast
            return ctx.rule.corrected(gradient, pullback), None, None


def _with_gradient_of(image: Tensor, fixed: Tensor) -> Tensor:
    """Exactly the values of `fixed`, with the gradient of `image`."""
    return fixed + (image - image.detach()) if image.requires_grad else fixed
