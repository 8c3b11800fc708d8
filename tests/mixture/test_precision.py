"""What single precision loses, and what it must not: wide gaps, scales, offsets, weights, half precision."""

from __future__ import annotations

import math

import pytest
import torch

from support.sets import FAMILIES, each_backend, each_member, name, normal, numbers, random_mixture
from vkood.mixture import (
    Full,
    Prior,
    em_step,
    fit_mixture,
    gem,
    log_density,
    mahalanobis,
    map_objective,
    negative_log_density,
    responsibilities,
)
from vkood.mixture.families.gaussian import expectation
from vkood.solve import Squarem, Status

each_family = pytest.mark.parametrize("covariance", FAMILIES, ids=name)
WEAK = Prior(mean_strength=1e-3)


def far_apart(gap: float) -> torch.Tensor:
    """Three clusters of width 1 in each of two sets, `gap` apart, in single precision."""
    centres = gap * torch.tensor([[0.0, 0, 0, 0], [1, 0, 0, -1], [0, 1, -1, 0]])
    noise = normal(2, 3, 12, 4, dtype=torch.float32)
    return (noise + centres[:, None]).flatten(1, 2)


@each_member
@pytest.mark.parametrize("gap", [1e3, 1e4, 1e6])
def test_clusters_far_apart_keep_their_digits(covariance, backend, gap):
    """Measured from the middle, the smallest gap lost three digits of a density, and the largest was off by 4,000."""
    tokens = far_apart(gap)
    mixture, solution = fit_mixture(tokens, num_components=3, family=covariance, backend=backend, prior=WEAK)
    assert solution.converged.all()
    exact, wide = mixture.to(torch.float64), tokens.double()
    for score in (negative_log_density, gem, mahalanobis, log_density):
        actual, expected = score(tokens, mixture, covariance), score(wide, exact, covariance)
        torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-5)
    step = em_step(tokens, torch.ones(2, 36), mixture, covariance, WEAK)
    expected = em_step(wide, torch.ones(2, 36).double(), exact, covariance, WEAK)
    torch.testing.assert_close(step.log_scale.double(), expected.log_scale, rtol=1e-5, atol=1e-5)
    in_double, _ = fit_mixture(wide, num_components=3, family=covariance, backend=backend, prior=WEAK)
    # means that far away are themselves rounded, by 0.03 at the largest gap
    rounding = 1e-3 + 1e-7 * gap
    densities = negative_log_density(wide, in_double, covariance)
    actual = negative_log_density(tokens, mixture, covariance).double()
    torch.testing.assert_close(actual, densities, rtol=0, atol=rounding)


@each_member
@pytest.mark.parametrize(("gap", "units"), [(1e6, 1.0), (1.0, 1e-6), (1e3, 1e6)])
def test_a_fit_that_says_it_converged_did(covariance, backend, gap, units):
    """When motion was judged beside the size of the means, a start a million widths apart counted as converged."""
    tokens = units * far_apart(gap).double()
    prior = Prior(variance=units**2, mean_strength=1e-3)
    options = {"num_components": 3, "family": covariance, "backend": backend, "prior": prior}
    mixture, solution = fit_mixture(tokens, **options)
    best, _ = fit_mixture(tokens, solver=Squarem(tolerance=1e-12, max_steps=1000), **options)
    assert solution.converged.all()
    apart = map_objective(tokens, torch.ones(2, 36).double(), best, covariance, prior) - map_objective(
        tokens, torch.ones(2, 36).double(), mixture, covariance, prior
    )
    assert (apart.abs() < 1e-2).all()


@each_member
@pytest.mark.parametrize(("scale", "offset"), [(1e5, 0.0), (1e6, 1e6), (1.0, 1e6), (1e-6, 1e5), (1e6, 0.0)])
def test_finite_sets_have_finite_fits_and_gradients(covariance, backend, scale, offset):
    for count, dim, components in ((1, 3, 2), (5, 12, 3), (25, 4, 4)):
        drawn = normal(2, count, dim, seed=count, dtype=torch.float32)
        tokens = (scale * drawn + offset * normal(dim, seed=1).float()).requires_grad_()
        weights = torch.rand(2, count, generator=torch.Generator().manual_seed(0)).requires_grad_()
        mixture, solution = fit_mixture(
            tokens, weights, num_components=components, family=covariance, backend=backend
        )
        assert Status.NOT_FINITE not in solution.status
        score = negative_log_density(tokens.detach(), mixture, covariance)
        assert score.isfinite().all()
        for gradient in torch.autograd.grad(score.sum(), [tokens, weights]):
            assert gradient.isfinite().all()


@each_backend
def test_numbers_as_large_as_single_precision_holds(backend):
    drawn, wide, weak = normal(2, 12, 4, dtype=torch.float32), 1e30, 1e-12
    prior = Prior(variance=1e24, mean_strength=weak)
    mixture, solution = fit_mixture(wide * drawn, backend=backend, num_components=1, prior=prior)
    small, expected = fit_mixture(
        drawn, backend=backend, num_components=1, prior=Prior(variance=1e-12, mean_strength=weak)
    )
    assert solution.converged.all()
    assert solution.steps.tolist() == expected.steps.tolist()
    torch.testing.assert_close(mixture.mean / wide, small.mean)
    torch.testing.assert_close(mixture.log_scale - 60 * math.log(10), small.log_scale, rtol=1e-4, atol=1e-4)


@each_member
@pytest.mark.parametrize(("dtype", "heavy"), [(torch.float32, 1e11), (torch.float16, 5e4)])
@pytest.mark.parametrize("alone", [True, False])
def test_heavy_weights_have_finite_gradients(covariance, backend, dtype, heavy, alone):
    tokens, candidates = (normal(2, 8, 3, seed=seed).to(dtype).requires_grad_() for seed in (0, 1))
    weights = torch.rand(2, 8, generator=torch.Generator().manual_seed(0))
    weights = torch.where(torch.arange(8) == 0, heavy, weights) if alone else weights * heavy / 8
    weights.requires_grad_()
    mixture, solution = fit_mixture(tokens, weights, family=covariance, backend=backend)
    assert Status.NOT_FINITE not in solution.status
    score = negative_log_density(candidates, mixture, covariance)
    for gradient in torch.autograd.grad(score.mean(), [tokens, weights, candidates]):
        assert gradient.isfinite().all()


@pytest.mark.usefixtures("unchecked")
def test_weights_beside_which_nothing_is_left_of_the_prior_are_refused():
    for dtype, heavy in ((torch.float32, 1e13), (torch.float16, 1e6), (torch.float32, torch.inf)):
        with pytest.raises(ValueError, match=r"`weights` must sum to at most 1e\+(12|05) in a set of torch"):
            fit_mixture(torch.zeros(2, 3, 2, dtype=dtype), torch.full((2, 3), heavy))
    with pytest.raises(ValueError, match="`weights` must be at least 0; some are negative or NaN"):
        fit_mixture(torch.zeros(1, 2, 2), torch.tensor([[1.0, torch.nan]]))


def test_what_even_float64_cannot_factorise_fails_by_row():
    wide = torch.zeros(2, 3, 5)
    wide[0, 0], wide[1, 0] = 1e12, 1.0
    _, solution = fit_mixture(wide, family=Full(), prior=WEAK)
    assert solution.status.tolist() == [Status.NOT_FINITE, Status.CONVERGED]


@each_member
def test_all_functions_keep_single_precision_under_autocast_and_in_half(covariance, backend):
    tokens = far_apart(3.0)
    weights = torch.ones(2, 36)
    mixture, _ = fit_mixture(tokens, num_components=3, family=covariance, backend=backend)
    calls = {
        "responsibilities": lambda x, m: responsibilities(x, m, covariance),
        "em_step": lambda x, m: torch.cat(
            [part.flatten() for part in numbers(em_step(x, weights, m, covariance, Prior()))]
        ),
        "map_objective": lambda x, m: map_objective(x, weights, m, covariance, Prior()),
        "log_density": lambda x, m: log_density(x, m, covariance),
        "gem": lambda x, m: gem(x, m, covariance),
        "mahalanobis": lambda x, m: mahalanobis(x, m, covariance),
    }
    for call in calls.values():
        expected = call(tokens, mixture)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(call(tokens, mixture), expected)
        for half in (torch.float16, torch.bfloat16):
            rounded = mixture.to(half)
            result = call(tokens.to(half), rounded)
            assert result.dtype == torch.float32
            torch.testing.assert_close(
                result, call(tokens.to(half).float(), rounded.to(torch.float32)), rtol=1e-5, atol=1e-5
            )


@each_family
def test_large_sets_are_taken_in_blocks_without_a_difference(covariance):
    """Sets of 100,000 tokens, which take two blocks, against their halves, which take one each."""
    tokens, weights = normal(2, 100_000, 3).requires_grad_(), normal(2, 100_000, seed=1).abs()
    mixture = random_mixture(covariance)
    whole = expectation(tokens, weights, mixture, covariance)
    halves = [
        expectation(*half, mixture, covariance)
        for half in zip(tokens.chunk(2, dim=1), weights.chunk(2, dim=1), strict=True)
    ]
    for part in ("count", "first", "second"):
        actual, expected = getattr(whole, part), sum(getattr(half, part) for half in halves)
        torch.testing.assert_close(actual, expected)
        gradients = [
            torch.autograd.grad(total.sum(), tokens, retain_graph=True) for total in (actual, expected)
        ]
        torch.testing.assert_close(*gradients)
