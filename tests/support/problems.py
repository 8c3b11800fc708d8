"""Maps with known fixed points, four rows each, in float64: for tests of every solver and gradient.

The fixed points are worked out here without our solvers: in closed form, by bisection, or because the map was
made around them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy.optimize import brentq
from torch import Tensor

Value = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A batched map with its fixed point; `map(value, *operands)` treats every row by itself."""

    name: str
    map: Callable[..., Value]
    start: Value
    operands: tuple[Tensor, ...]
    fixed: Value
    steps: int = 200
    """A budget in which plain iteration reaches a residual of 1e-11."""
    error: float = 1e-9
    """How far the value may be from the fixed point when the residual is 1e-11."""

    def at(self, dtype: torch.dtype) -> Problem:
        """The same problem in another precision."""
        return Problem(
            name=self.name,
            map=self.map,
            start=_each(lambda tensor: tensor.to(dtype), self.start),
            operands=tuple(operand.to(dtype) for operand in self.operands),
            fixed=_each(lambda tensor: tensor.to(dtype), self.fixed),
            steps=self.steps,
            error=self.error,
        )

    def rows(self, index: list[int]) -> Problem:
        """Some rows of it, in the order given."""
        return Problem(
            name=self.name,
            map=self.map,
            start=_each(lambda tensor: tensor[index], self.start),
            operands=tuple(operand[index] for operand in self.operands),
            fixed=_each(lambda tensor: tensor[index], self.fixed),
            steps=self.steps,
            error=self.error,
        )


def parts(value: Value) -> tuple[Tensor, ...]:
    """The tensors of a value, whether it is one or several."""
    return value if isinstance(value, tuple) else (value,)


def _each(change: Callable[[Tensor], Tensor], value: Value) -> Value:
    return tuple(change(part) for part in value) if isinstance(value, tuple) else change(value)


def _random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def affine(state: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Z -> A z + b, row by row."""
    return (matrix @ state[..., None])[..., 0] + shift


def _affine_problem(name: str, matrix: Tensor, *, seed: int, **bounds: float) -> Problem:
    shift = _random(*matrix.shape[:2], seed=seed)
    identity = torch.eye(matrix.shape[1], dtype=torch.float64)
    return Problem(
        name=name,
        map=affine,
        start=torch.zeros_like(shift),
        operands=(matrix, shift),
        fixed=torch.linalg.solve(identity - matrix, shift),
        **bounds,  # pyright: ignore[reportArgumentType] (steps and error only)
    )


def linear() -> Problem:
    """Contractions of norm 0.3 to 0.8, not symmetric."""
    matrix = _random(4, 5, 5, seed=0)
    norms = torch.tensor([0.3, 0.5, 0.7, 0.8], dtype=torch.float64)
    return _affine_problem(
        "linear", matrix / torch.linalg.matrix_norm(matrix, 2)[:, None, None] * norms[:, None, None], seed=1
    )


def slow() -> Problem:
    """Contractions with spectral radius 0.99, on which plain iteration takes thousands of steps."""
    rates = torch.tensor([0.99, 0.9, 0.5, 0.3, 0.1], dtype=torch.float64)
    basis = torch.linalg.qr(_random(4, 5, 5, seed=2)).Q
    return _affine_problem("slow", basis @ torch.diag(rates) @ basis.mT, seed=3, steps=4000, error=1e-7)


def rank_one() -> Problem:
    """Z -> u (v . z) + b: every residual points along u, so that Anderson systems are singular."""
    left, right = _random(4, 6, seed=4), _random(4, 6, seed=5)
    product = (left * right).sum(1)
    right = right * (torch.tensor([0.9, -0.9, 0.5, 0.1], dtype=torch.float64) / product)[:, None]
    return _affine_problem("rank one", left[:, :, None] * right[:, None], seed=6, steps=400, error=1e-8)


def constant() -> Problem:
    """A map that ignores its argument: the second residual is exactly zero."""
    target = _random(4, 3, seed=7)
    return Problem(
        name="constant",
        map=lambda state, goal: goal + 0 * state,
        start=torch.ones_like(target),
        operands=(target,),
        fixed=target,
    )


def at_rest() -> Problem:
    """A contraction started at its fixed point."""
    moving = linear()
    fixed = moving.fixed
    for _ in range(200):
        fixed = moving.map(fixed, *moving.operands)
    return Problem(name="at rest", map=moving.map, start=fixed, operands=moving.operands, fixed=fixed)


def zero() -> Problem:
    """Z -> sin(c z) with c < 1: the fixed point is zero, where a relative residual alone would never fall."""
    factor = torch.tensor([[0.2], [-0.4], [0.5], [-0.6]], dtype=torch.float64).expand(4, 3)
    return Problem(
        name="zero",
        map=lambda state, c: torch.sin(c * state),
        start=torch.ones(4, 3, dtype=torch.float64),
        operands=(factor.clone(),),
        fixed=torch.zeros(4, 3, dtype=torch.float64),
    )


def cosine() -> Problem:
    """Z -> cos(c z)."""
    factor = torch.tensor([0.3, 0.7, 1.0, 1.2], dtype=torch.float64)  # a batch axis and no other
    fixed = torch.tensor(
        [
            brentq(
                lambda z, c=c: torch.cos(c * torch.tensor(z, dtype=torch.float64)).item() - z,
                0,
                2,
                xtol=1e-15,
            )
            for c in factor
        ],
        dtype=torch.float64,
    )
    return Problem(
        name="cosine",
        map=lambda state, c: torch.cos(c * state),
        start=torch.zeros(4, dtype=torch.float64),
        operands=(factor,),
        fixed=fixed,
        steps=500,
    )


def root() -> Problem:
    """The Babylonian square root, whose derivative vanishes at the fixed point."""
    square = torch.tensor([[1e-4, 2.0], [9.0, 0.5], [1e4, 1.0], [3.0, 7.0]], dtype=torch.float64)
    return Problem(
        name="root",
        map=lambda state, s: (state + s / state) / 2,
        start=torch.ones_like(square),
        operands=(square,),
        fixed=square.sqrt(),
    )


def coupled() -> Problem:
    """A state of two tensors of different ranks that pull at each other, made around a known fixed point."""
    here, there = _random(4, 2, seed=8), _random(4, 3, 2, seed=9)

    def pull(value: tuple[Tensor, Tensor], here: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        first, second = value
        return (
            here + 0.5 * (torch.sin(second.mean(1)) - torch.sin(there.mean(1))),
            there + 0.6 * (torch.tanh(first) - torch.tanh(here))[:, None] * torch.sigmoid(there),
        )

    start = (torch.zeros_like(here), torch.zeros_like(there))
    return Problem(name="coupled", map=pull, start=start, operands=(here, there), fixed=(here, there))


CONTRACTIONS = [
    problem() for problem in (linear, slow, rank_one, constant, at_rest, zero, cosine, root, coupled)
]
"""Problems that plain iteration solves."""


def tripling() -> Problem:
    """Z -> 3 z + 1, from which plain iteration runs away."""
    start = torch.tensor([[1.0], [-3.0], [20.0], [0.1]], dtype=torch.float64)
    return Problem(
        name="tripling",
        map=lambda state, shift: 3 * state + shift,
        start=start,
        operands=(torch.ones_like(start),),
        fixed=-0.5 * torch.ones_like(start),
    )


def rotation() -> Problem:
    """A quarter turn and a shift: plain iteration circles for ever."""
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64).expand(4, 2, 2)
    return _affine_problem("rotation", turn.clone(), seed=10)
