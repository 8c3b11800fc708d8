"""Numba's loop takes the steps of `vkood.solve`'s, row by row."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vkood.mixture import Diagonal
from vkood.solve import Squarem, Status
from vkood.solve.loop import Outcome, iterate

pytest.importorskip("numba", reason="the extra `fast` is not installed")
from vkood.mixture.backends.numba_backend import pack, unpack
from vkood.mixture.backends.numba_em import solve_squarem


class Problem:
    """Overlapping sets to be fitted, with weights of which some are 0."""

    def __init__(self, sets: int, tokens: int, dim: int, components: int, *, priors: int = 1) -> None:
        random = np.random.default_rng(0)
        centres = random.normal(size=(sets, components, dim)) * 1.5
        chosen = random.integers(components, size=(sets, tokens))
        self.tokens = np.take_along_axis(centres, chosen[..., None], 1) + random.normal(
            size=(sets, tokens, dim)
        )
        self.weights = random.choice([0.0, 0.3, 1.0, 2.0], size=(sets, tokens))
        self.prior_mean = random.normal(size=(sets, priors, dim))
        self.strength = random.uniform(0.1, 1, size=(sets, priors))
        self.start = random.normal(size=(sets, components * (1 + 2 * dim))) / 2
        self.components = components

    def inputs(self, dtype: torch.dtype) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Start and operands; what the prior says besides its means: 0.7, 1.5, and 1.5 times 0.4."""
        start, *operands = (
            torch.from_numpy(array).to(dtype)
            for array in (self.start, self.tokens, self.weights, self.prior_mean, self.strength)
        )
        column = start.new_ones(len(start), 1)
        return start, (*operands, 0.7 * column, 1.5 * column, 0.6 * column)

    def compiled(self, solver: Squarem, dtype: torch.dtype = torch.float64) -> Outcome:
        """What the compiled loop finds."""
        return solve_squarem(*self.inputs(dtype), solver)

    def in_torch(self, solver: Squarem) -> Outcome:
        """What the loop of the solvers finds with the step of torch."""

        def step(state: torch.Tensor, *operands: torch.Tensor) -> torch.Tensor:
            return pack(Diagonal().step(unpack(state, self.components), *operands))

        return iterate(step, *self.inputs(torch.float64), solver)


def assert_same(actual: Outcome, expected: Outcome, loose: float) -> None:
    for name in ("status", "steps"):
        torch.testing.assert_close(getattr(actual, name), getattr(expected, name))
    for name in ("best", "residual", "trace"):
        torch.testing.assert_close(
            getattr(actual, name), getattr(expected, name), rtol=loose, atol=loose, equal_nan=True
        )


SOLVERS = {
    "usual": Squarem(tolerance=1e-6),
    "out of steps": Squarem(tolerance=1e-12, max_steps=7),
    "timid, beyond the first columns of a trace": Squarem(longest=1.0, tolerance=1e-11),
    "many jumps refused": Squarem(longest=64.0, growth=1e-2, tolerance=1e-8, max_steps=300),
}


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("priors", [1, 3])
def test_takes_the_steps_of_the_usual_loop(name, priors):
    problem = Problem(9, 20, 5, 3, priors=priors)
    actual, expected = (way(SOLVERS[name]) for way in (problem.compiled, problem.in_torch))
    assert_same(actual, expected, 1e-7)
    assert actual.steps.max() > 6


def test_the_cases_above_meet_every_end():
    problem = Problem(9, 20, 5, 3)
    assert (problem.compiled(SOLVERS["usual"]).status == Status.CONVERGED).all()
    assert problem.compiled(SOLVERS["timid, beyond the first columns of a trace"]).steps.max() > 32
    assert (problem.compiled(SOLVERS["out of steps"]).status == Status.OUT_OF_STEPS).any()
    plain = problem.compiled(Squarem(longest=64.0, growth=1e9, tolerance=1e-8, max_steps=300))
    assert not torch.equal(plain.steps, problem.compiled(SOLVERS["many jumps refused"]).steps)


@pytest.mark.parametrize(
    ("sets", "tokens", "dim", "components"), [(4, 12, 3, 1), (1, 1, 1, 1), (2, 0, 3, 2), (2, 3, 2, 5)]
)
def test_degenerate_sets(sets, tokens, dim, components):
    problem = Problem(sets, tokens, dim, components)
    assert_same(problem.compiled(Squarem()), problem.in_torch(Squarem()), 1e-7)


def test_no_sets():
    outcome = Problem(0, 4, 3, 2).compiled(Squarem())
    assert outcome.best.shape == (0, 14)
    assert len(outcome.steps) == len(outcome.status) == len(outcome.residual) == len(outcome.trace) == 0


def test_single_precision_finds_the_same():
    problem = Problem(9, 20, 5, 3)
    outcome = problem.compiled(Squarem(tolerance=1e-4), torch.float32)
    assert outcome.best.dtype == outcome.residual.dtype == torch.float32
    assert (outcome.status == Status.CONVERGED).all()
    exact = problem.compiled(Squarem(tolerance=1e-10, max_steps=1000))
    torch.testing.assert_close(outcome.best.double(), exact.best, rtol=0, atol=2e-2)


def test_sets_that_are_not_finite_stay_to_themselves():
    problem = Problem(5, 20, 4, 2)
    whole = problem.compiled(Squarem())
    problem.tokens[1, 3, 2], problem.weights[1, 3] = np.nan, 1
    problem.start[3] = np.inf
    broken, expected = problem.compiled(Squarem()), problem.in_torch(Squarem())
    assert_same(broken, expected, 1e-7)
    assert broken.status.tolist() == [0, int(Status.NOT_FINITE), 0, int(Status.NOT_FINITE), 0]
    others = [0, 2, 4]
    assert torch.equal(broken.best[others], whole.best[others])


def test_a_set_is_the_same_alone_to_the_last_bit():
    problem = Problem(5, 20, 4, 2)
    whole = problem.compiled(Squarem(), torch.float32)
    for name in ("tokens", "weights", "prior_mean", "strength", "start"):
        setattr(problem, name, getattr(problem, name)[3:4])
    assert torch.equal(problem.compiled(Squarem(), torch.float32).best[0], whole.best[3])
