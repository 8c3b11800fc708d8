"""Gradients through a fit: to tokens, weights, prior mean and strength, for every family."""

import pytest
import torch
from torch.testing import assert_close

from support.sets import FAMILIES, NEEDS_NUMBA, clusters, each_backend, each_member, name, normal, numbers
from vkood.mixture import (
    Diagonal,
    Full,
    Isotropic,
    Prior,
    Spherical,
    Tied,
    em_step,
    fit_mixture,
    negative_log_density,
)
from vkood.solve import Anderson, Implicit, LastIterate, Neumann, Picard, Squarem, Unrolled

EXACT = Implicit(tolerance=1e-12, max_steps=500)
SOLVER = Squarem(tolerance=1e-13, max_steps=3000)
START = torch.tensor([[-1.0, -1.0], [1.0, 1.0]]).double()


def inputs():
    """One set of five tokens, with weights, a prior mean for each component, and strengths."""
    tokens = clusters(sets=1, each=3, seed=3)[:, :5].clone().requires_grad_()
    weights = (torch.rand(1, 5, generator=torch.Generator().manual_seed(1)).double() + 0.3).requires_grad_()
    prior_mean = normal(1, 2, 2, seed=7).requires_grad_()
    strength = torch.tensor([[0.4, 0.9]]).double().requires_grad_()
    return tokens, weights, prior_mean, strength


def fitted(covariance, backend, gradient, solver=SOLVER):
    def function(tokens, weights, prior_mean, strength):
        prior = Prior(mean=prior_mean, mean_strength=strength, variance=0.5)
        mixture, solution = fit_mixture(
            tokens,
            weights,
            family=covariance,
            prior=prior,
            start=START,
            solver=solver,
            gradient=gradient,
            backend=backend,
        )
        solution.require_convergence()
        return mixture

    return function


@pytest.mark.parametrize(
    ("covariance", "backend", "rule"),
    [
        *((family, "torch", EXACT) for family in FAMILIES),
        pytest.param(FAMILIES[0], "numba", EXACT, marks=NEEDS_NUMBA),
        (FAMILIES[3], "torch", Unrolled()),
    ],
    ids=name,
)
def test_exact_gradients_agree_with_finite_differences(covariance, backend, rule):
    fit = fitted(covariance, backend, rule)
    assert torch.autograd.gradcheck(
        lambda *arguments: tuple(numbers(fit(*arguments))), inputs(), atol=1e-5, rtol=1e-4, nondet_tol=1e-8
    )


@pytest.mark.parametrize("family", [Spherical(), Diagonal(), Isotropic(), Tied(), Full()], ids=name)
def test_one_component_has_one_gradient_by_all_rules(family):
    tokens = normal(2, 12, 3, seed=5) + 1.0

    def gradient(rule, family):
        leaf = tokens.clone().requires_grad_()
        mixture, _ = fit_mixture(leaf, family=family, num_components=1, solver=SOLVER, gradient=rule)
        return torch.autograd.grad(negative_log_density(tokens, mixture, family).sum(), leaf)[0]

    assert_close(gradient(LastIterate(), family), gradient(EXACT, family))
    if isinstance(
        family, Spherical
    ):  # tokens then belong to the component or to the background, as the fit has it
        stray = Spherical(background=0.2)
        assert not torch.allclose(gradient(LastIterate(), stray), gradient(EXACT, stray), rtol=1e-2)


@each_member
def test_the_last_iterate_is_one_em_step_from_the_constant_fixed_point(covariance, backend):
    arguments = inputs()
    through_fit = fitted(covariance, backend, LastIterate())(*arguments)
    prior = Prior(mean=arguments[2], mean_strength=arguments[3], variance=0.5)
    one_step = em_step(arguments[0], arguments[1], through_fit.detach(), covariance, prior)
    probe = normal(1, 5, 2, seed=8)
    actual = torch.autograd.grad(
        negative_log_density(probe, through_fit, covariance).square().sum(), arguments
    )
    expected = torch.autograd.grad(
        negative_log_density(probe, one_step, covariance).square().sum(), arguments
    )
    for left, right in zip(actual, expected, strict=True):
        assert right.abs().max() > 1e-4
        torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-9)


@each_member
def test_more_neumann_terms_come_closer_to_the_exact_gradient(covariance, backend):
    def gradient(rule):
        arguments, probe = inputs(), normal(1, 5, 2, seed=8)
        mixture = fitted(covariance, backend, rule)(*arguments)
        gradients = torch.autograd.grad(
            negative_log_density(probe, mixture, covariance).square().sum(), arguments
        )
        return torch.cat([part.flatten() for part in gradients])

    exact = gradient(EXACT)
    errors = [
        float((gradient(rule) - exact).norm())
        for rule in (LastIterate(), Neumann(terms=4), Neumann(terms=16))
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.2 * errors[0]


@each_backend
@pytest.mark.parametrize("solver", [Picard, Anderson, Squarem])
def test_the_gradient_does_not_depend_on_the_solver(solver, backend):
    gradients = []
    for each in (solver(tolerance=1e-12, max_steps=5000), SOLVER):
        arguments = inputs()
        mixture = fitted(FAMILIES[0], backend, EXACT, each)(*arguments)
        gradients.append(
            torch.autograd.grad([tensor.square().sum() for tensor in numbers(mixture)], arguments)
        )
    for left, right in zip(*gradients, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-8)


@each_member
def test_weights_of_zero_are_where_gradients_begin(covariance, backend):
    """A soft weight at exactly 0 has no gradient, since its token was masked; just above 0 it has one."""
    tokens, weights, *prior = inputs()
    for weight, reached in ((0.0, False), (1e-8, True)):
        leaf = weights.detach().clone()
        leaf[0, 3] = weight
        leaf.requires_grad_()
        mixture = fitted(covariance, backend, LastIterate())(tokens, leaf, *prior)
        gradient = torch.autograd.grad(mixture.mean.square().sum(), leaf)[0]
        assert torch.isfinite(gradient).all()
        assert bool(gradient[0, 3].abs() > 1e-6) == reached


@each_member
def test_gradients_do_not_feel_an_offset(covariance, backend):
    """Sets are fitted around their centre, which is held constant: that must not show in a gradient."""
    for rule in (LastIterate(), EXACT):
        gradients = []
        for offset in (0.0, 50.0):
            tokens, weights, prior_mean, strength = inputs()
            moved = fit_mixture(
                tokens + offset,
                weights,
                family=covariance,
                backend=backend,
                start=START + offset,
                solver=SOLVER,
                prior=Prior(mean=prior_mean + offset, mean_strength=strength, variance=0.5),
                gradient=rule,
            )[0]
            score = negative_log_density(normal(1, 5, 2, seed=8) + offset, moved, covariance).square().sum()
            gradients.append(torch.autograd.grad(score, (tokens, weights, prior_mean, strength)))
        for left, right in zip(*gradients, strict=True):
            torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-8)


@each_backend
def test_a_nan_set_leaves_the_gradients_of_the_others_alone(backend):
    tokens = torch.cat([clusters(sets=2), torch.full((1, 30, 2), torch.nan).double()]).requires_grad_()
    mixture, solution = fit_mixture(tokens, backend=backend, solver=SOLVER)
    assert solution.status.tolist() == [0, 0, 2]
    gradient = torch.autograd.grad(mixture.mean[:2].square().sum(), tokens)[0][:2]
    alone = tokens[:2].detach().requires_grad_()
    expected = torch.autograd.grad(
        fit_mixture(alone, backend=backend, solver=SOLVER)[0].mean.square().sum(), alone
    )[0]
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-9)
