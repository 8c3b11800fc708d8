"""Von Mises-Fisher mixtures: densities and steps against scipy, exact gradients, and sets of every kind."""

import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import ive
from scipy.stats import vonmises_fisher

from support.sets import clusters, name, normal, numbers, weighted_sets
from vkood.mixture import Mixture, Prior, Spherical, fit_mixture, log_density, mahalanobis, responsibilities
from vkood.mixture.families.spherical import directions, log_mean_exponential
from vkood.mixture.start import densest_tokens
from vkood.solve import Anderson, Implicit, LastIterate, Neumann, Picard, Squarem, Status, Unrolled

TIGHT = Squarem(tolerance=1e-13, max_steps=5000)
EXACT = Implicit(tolerance=1e-12, max_steps=500)


def on_sphere(*shape: int, seed: int = 0) -> torch.Tensor:
    return directions(normal(*shape, seed=seed))


def mixture_of(mean, kappa, log_weight=None) -> Mixture:
    log_weight = torch.zeros(mean.shape[:2], dtype=mean.dtype) if log_weight is None else log_weight
    return Mixture(
        log_weight=torch.log_softmax(log_weight, -1),
        mean=mean,
        log_scale=torch.full((len(mean), 1), -math.log(kappa), dtype=mean.dtype),
    )


def objective(tokens, weights, log_weight, mean, prior_mean, prior, kappa):
    """What the map climbs, as the module's docstring has it."""
    shares = torch.log_softmax(log_weight, -1)
    likelihood = torch.logsumexp(shares[:, None] + kappa * tokens @ mean.mT, -1)
    lifted = (1 - prior_mean.square().sum(-1)).clamp_min(0) * (1 - mean.square().sum(-1)).clamp_min(0)
    pull = kappa * prior.mean_strength * ((prior_mean * mean).sum(-1) + lifted.sqrt())
    return (weights * likelihood).sum(1) + (prior.concentration * shares + pull).sum(1)


# -- densities -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kappa", [0.05, 3.0, 40.0, 900.0])
@pytest.mark.parametrize("dim", [2, 3, 64])
def test_densities_are_those_of_scipy(dim, kappa):
    mean, points = on_sphere(1, 2, dim, seed=1), on_sphere(1, 7, dim, seed=2)
    mixture = mixture_of(mean, kappa, torch.tensor([[0.3, -0.4]]).double())
    parts = [vonmises_fisher(mean[0, k].numpy(), kappa).logpdf(points[0].numpy()) for k in range(2)]
    weighted = numpy.stack(parts, -1) + mixture.log_weight.numpy()
    expected = numpy.logaddexp.reduce(weighted, axis=-1)
    numpy.testing.assert_allclose(
        log_density(points, mixture, Spherical())[0].numpy(), expected, rtol=1e-9, atol=1e-9
    )
    numpy.testing.assert_allclose(
        responsibilities(points, mixture, Spherical())[0].numpy(),
        numpy.exp(weighted - expected[:, None]),
        rtol=1e-8,
    )


@pytest.mark.parametrize("dim", [2, 3, 64, 384])
def test_the_mean_exponential_is_a_bessel_function(dim):
    kappa = torch.tensor([0.01, 1.0, 20.0, 400.0, 1000.0], dtype=torch.float64)
    order, values = dim / 2 - 1, kappa.numpy()
    with numpy.errstate(divide="ignore"):  # of kappas so small that scipy has no digit of them
        bessel = numpy.log(ive(order, values)) + values
    expected = math.lgamma(order + 1) + order * numpy.log(2 / values) + bessel
    known = numpy.isfinite(expected)
    assert known.sum() >= 3
    actual = log_mean_exponential(kappa, dim).numpy()
    numpy.testing.assert_allclose(actual[known], expected[known], rtol=1e-9, atol=1e-9)
    assert (numpy.diff(actual) > 0).all()


def test_scores_are_the_density_but_for_a_constant_and_distances_go_with_the_density():
    mixture, points = mixture_of(on_sphere(2, 3, 5, seed=1), 7.0), normal(2, 6, 5, seed=2)
    score, density = Spherical().score(points, mixture), log_density(points, mixture, Spherical())
    assert (score + density).std() < 1e-12
    single = mixture_of(on_sphere(2, 1, 5, seed=3), 7.0)
    cosine = torch.cosine_similarity(points, single.mean, dim=-1)
    torch.testing.assert_close(Spherical().score(points, single), -7.0 * cosine)
    torch.testing.assert_close(mahalanobis(points, single, Spherical()), 14.0 * (1 - cosine))


# -- the map ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60, derandomize=True)
@given(weighted_sets(), st.integers(1, 4), st.integers(0, 50), st.floats(0.1, 50), st.floats(0, 1))
def test_em_never_lowers_the_objective(weighted, components, seed, kappa, certainty):
    tokens, weights = directions(weighted[0]), weighted[1]
    family = Spherical(kappa=kappa)
    prior = Prior(
        concentration=0.3, mean_strength=0.2, mean=certainty * on_sphere(1, components, 2, seed=seed)
    )
    problem = family.problem(*weighted, prior, components, on_sphere(1, components, 2, seed=seed + 1))
    value = normal(1, components, seed=seed), on_sphere(1, components, 2, seed=seed + 1)
    before = objective(tokens, weights, *value, prior.mean, prior, kappa)
    for _ in range(12):
        value = family.step(value, *problem.operands)
        after = objective(tokens, weights, *value, prior.mean, prior, kappa)
        assert torch.isfinite(after).all()
        # where a mean is as long as it can be, rounding leaves the root of what is lost
        assert (after >= before - 1e-6 * (1 + before.abs())).all()
        before = after


def test_the_m_step_is_the_maximum_that_scipy_finds():
    tokens, weights = (
        on_sphere(1, 6, 3, seed=1),
        torch.rand(1, 6, generator=torch.Generator().manual_seed(2)).double(),
    )
    prior = Prior(mean_strength=0.7, mean=0.6 * on_sphere(1, 1, 3, seed=3))
    fitted, solution = fit_mixture(
        tokens, weights, num_components=1, family=Spherical(kappa=4.0), prior=prior
    )

    def loss(vector):
        # an angle from the prior's place in the dimension that is added keeps means shorter than 1
        mean = torch.tensor(vector, dtype=torch.float64).view(1, 1, 3)
        mean = mean / torch.sqrt(1 + mean.square().sum(-1, keepdim=True))
        return -float(objective(tokens, weights, torch.zeros(1, 1).double(), mean, prior.mean, prior, 4.0))

    best = minimize(loss, numpy.zeros(3), method="BFGS", options={"gtol": 1e-9}).x
    best = best / math.sqrt(1 + best @ best)
    numpy.testing.assert_allclose(fitted.mean[0, 0].numpy(), best, atol=1e-5)
    assert solution.steps.tolist() == [1]


def test_one_component_is_the_direction_of_the_weighted_mean():
    tokens = normal(3, 9, 5)
    weights = torch.rand(3, 9, generator=torch.Generator().manual_seed(1)).double()
    mixture, solution = fit_mixture(
        tokens, weights, num_components=1, family=Spherical(), prior=Prior(mean_strength=1e-9)
    )
    mean = (weights[..., None] * torch.nn.functional.normalize(tokens, dim=-1)).sum(1)
    torch.testing.assert_close(mixture.mean[:, 0], torch.nn.functional.normalize(mean, dim=-1))
    assert solution.converged.all()
    assert (solution.residual == 0).all()


@pytest.mark.parametrize("solver", [Picard, Anderson, Squarem])
def test_every_solver_finds_the_same_stationary_point(solver):
    tokens = clusters(sets=4, dim=3, seed=5)
    options = {"num_components": 2, "family": Spherical(kappa=6.0, background=0.1)}
    best, solution = fit_mixture(tokens, solver=TIGHT, **options)
    assert solution.converged.all()
    other, solution = fit_mixture(tokens, solver=solver(tolerance=1e-11, max_steps=5000), **options)
    assert solution.converged.all()
    for left, right in zip(numbers(best), numbers(other), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-6)


# -- gradients -------------------------------------------------------------------------------------


def inputs(components: int):
    tokens = clusters(sets=1, each=3, seed=3)[:, :5].clone().requires_grad_()
    weights = (torch.rand(1, 5, generator=torch.Generator().manual_seed(1)).double() + 0.3).requires_grad_()
    prior_mean = (0.6 * on_sphere(1, components, 2, seed=7)).requires_grad_()
    strength = torch.full((1, components), 0.4).double().requires_grad_()
    kappa = torch.tensor([3.0]).double().requires_grad_()
    return tokens, weights, prior_mean, strength, kappa


def fitted(components, background, gradient, solver=TIGHT):
    def function(tokens, weights, prior_mean, strength, kappa):
        mixture, solution = fit_mixture(
            tokens,
            weights,
            num_components=components,
            family=Spherical(kappa=kappa, background=background),
            prior=Prior(mean=prior_mean, mean_strength=strength),
            start=torch.tensor([[-1.0, -1.0], [1.0, 0.7]]).double()[:components],
            solver=solver,
            gradient=gradient,
        )
        solution.require_convergence()
        return mixture

    return function


each_shape = pytest.mark.parametrize(("components", "background"), [(1, 0.0), (1, 0.2), (2, 0.0), (2, 0.2)])


@each_shape
@pytest.mark.parametrize("rule", [EXACT, Unrolled()], ids=name)
def test_exact_gradients_agree_with_finite_differences(components, background, rule):
    fit = fitted(components, background, rule)
    assert torch.autograd.gradcheck(
        lambda *arguments: tuple(numbers(fit(*arguments))),
        inputs(components),
        atol=1e-5,
        rtol=1e-4,
        nondet_tol=1e-8,
    )


@each_shape
def test_rules_go_from_one_step_at_the_constant_fixed_point_to_the_exact_gradient(components, background):
    probe = normal(1, 5, 2, seed=8)

    def gradient(rule):
        arguments = inputs(components)
        mixture = fitted(components, background, rule)(*arguments)
        score = log_density(probe, mixture, Spherical()).square().sum()
        return torch.cat([part.flatten() for part in torch.autograd.grad(score, arguments)])

    arguments = inputs(components)
    fixed = fitted(components, background, LastIterate())(*arguments).detach()
    family = Spherical(kappa=arguments[-1], background=background)
    problem = family.problem(
        *arguments[:2], Prior(mean=arguments[2], mean_strength=arguments[3]), components, fixed.mean
    )
    step = problem.mixture(family.step((fixed.log_weight, fixed.mean), *problem.operands))
    stepped = torch.autograd.grad(log_density(probe, step, Spherical()).square().sum(), arguments)
    torch.testing.assert_close(
        gradient(LastIterate()), torch.cat([part.flatten() for part in stepped]), rtol=1e-6, atol=1e-9
    )

    exact = gradient(EXACT)
    errors = [
        float((gradient(rule) - exact).norm())
        for rule in (LastIterate(), Neumann(terms=4), Neumann(terms=16))
    ]
    if components == 1 and not background:  # a step that does not depend on where it begins
        assert errors == [0.0, 0.0, 0.0]
    else:
        assert errors[0] > errors[1] > errors[2]


# -- sets of every kind ----------------------------------------------------------------------------


@settings(deadline=None, max_examples=60, derandomize=True)
@given(weighted_sets(), st.integers(1, 4), st.sampled_from([0.0, 0.3]))
def test_every_set_has_a_fit_and_finite_gradients(weighted, components, background):
    tokens, weights = (part.requires_grad_() for part in weighted)
    family = Spherical(kappa=20.0, background=background)
    mixture, solution = fit_mixture(tokens, weights, num_components=components, family=family)
    assert (solution.status != Status.NOT_FINITE).all()
    length = mixture.mean.norm(dim=-1)
    assert (length <= 1 + 1e-6).all()
    score = family.score(normal(1, 3, 2), mixture)
    assert (score.abs() <= 20.0 + 1e-6).all()
    for gradient in torch.autograd.grad(score.sum(), (tokens, weights), allow_unused=True):
        assert gradient is None or torch.isfinite(gradient).all()


def test_degenerate_sets_have_the_fits_that_their_tokens_allow():
    axis, kappa = torch.tensor([0.0, 1.0]).double(), 9.0
    family, options = Spherical(kappa=kappa), {"num_components": 1}
    for nothing in (torch.zeros(1, 0, 2), torch.zeros(1, 3, 2)):
        empty, _ = fit_mixture(nothing.double(), family=family, **options)
        assert (empty.mean == 0).all()  # the uniform density
        assert (family.score(normal(1, 4, 2), empty) == 0).all()
    known = Prior(mean=0.5 * axis, mean_strength=2.0)
    torch.testing.assert_close(
        fit_mixture(torch.zeros(1, 0, 2).double(), family=family, prior=known, **options)[0].mean[0, 0],
        0.5 * axis,
    )
    single, _ = fit_mixture(5.0 * axis[None, None], family=family, **options)
    torch.testing.assert_close(single.mean[0, 0], axis / math.sqrt(1 + 0.1**2))
    many, _ = fit_mixture(axis.expand(1, 50, 2), family=family, **options)
    weighted, _ = fit_mixture(axis[None, None], torch.tensor([[50.0]]), family=family, **options)
    torch.testing.assert_close(many.mean, weighted.mean)


def test_tokens_that_cancel_leave_the_uniform_density_with_bounded_gradients():
    tokens = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]], requires_grad=True)
    mixture, _ = fit_mixture(
        tokens, num_components=1, family=Spherical(kappa=9.0), prior=Prior(mean_strength=0.1)
    )
    assert (mixture.mean == 0).all()
    gradient = torch.autograd.grad(mixture.mean[0, 0, 1], tokens)[0]
    torch.testing.assert_close(gradient.abs().max(), torch.tensor(10.0))


@pytest.mark.parametrize("components", [1, 3])
def test_order_length_rotation_and_neighbours_do_not_matter(components):
    tokens = clusters(sets=3, dim=4, seed=2)
    family = Spherical(kappa=8.0)
    options = {"num_components": components, "family": family, "solver": TIGHT}
    probe = normal(3, 6, 4, seed=9)
    expected = family.score(probe, fit_mixture(tokens, **options)[0])
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    lengths = torch.rand(3, 30, 1, generator=torch.Generator().manual_seed(1)).double() + 0.1
    turn = torch.linalg.qr(normal(4, 4, seed=4)).Q
    for changed, target in (
        (tokens[:, order], probe),
        (tokens * lengths, probe * 3),
        (tokens @ turn, probe @ turn),
    ):
        torch.testing.assert_close(family.score(target, fit_mixture(changed, **options)[0]), expected)
    alone = family.score(probe[1:2], fit_mixture(tokens[1:2], **options)[0])
    torch.testing.assert_close(alone, expected[1:2])


@pytest.mark.parametrize("components", [1, 2])
def test_numbers_of_any_size_and_half_precision(components):
    tokens = clusters(sets=2, dim=4, seed=2)
    options = {"num_components": components, "family": Spherical(kappa=8.0)}
    expected = fit_mixture(tokens, **options)[0].mean.float()
    for factor in (1e30, 1e-30):
        huge, solution = fit_mixture((tokens * factor).float(), **options)
        assert solution.converged.all()
        torch.testing.assert_close(huge.mean, expected, rtol=1e-3, atol=1e-3)
    half, _ = fit_mixture(tokens.bfloat16(), **options)
    assert half.mean.dtype == torch.float32
    torch.testing.assert_close(half.mean, expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("components", [1, 2])
def test_masked_tokens_may_hold_anything_and_a_nan_set_fails_alone(components):
    tokens = clusters(sets=3, dim=2)
    padded = torch.cat([torch.full((3, 2, 2), torch.nan).double(), tokens], 1)
    mask = torch.tensor([[False] * 2 + [True] * 30] * 3)
    options = {"num_components": components, "family": Spherical(), "solver": TIGHT}
    expected = fit_mixture(tokens, **options)[0].mean
    torch.testing.assert_close(fit_mixture(padded, mask, **options)[0].mean, expected)
    tokens[2, 4] = torch.nan
    tokens.requires_grad_()
    mixture, solution = fit_mixture(tokens, **options)
    assert solution.status.tolist() == [0, 0, 2]
    gradient = torch.autograd.grad(mixture.mean[:2, :, 0].sum(), tokens)[0]
    assert torch.isfinite(gradient[:2]).all()
    assert (gradient[:2] != 0).any()


# -- starts and background -------------------------------------------------------------------------


def test_a_background_takes_stray_tokens_that_would_turn_the_mean():
    generator = torch.Generator().manual_seed(0)
    centre = directions(torch.ones(1, 1, 8).double())
    near = directions(centre + 0.2 * torch.randn(1, 20, 8, generator=generator).double())
    stray = directions(torch.randn(1, 12, 8, generator=generator).double() - 0.5 * centre)
    tokens = torch.cat([stray, near], 1)
    cosine = [
        float((fit_mixture(tokens, num_components=1, family=family)[0].mean * centre).sum())
        for family in (Spherical(kappa=15.0), Spherical(kappa=15.0, background=0.3))
    ]
    assert cosine[1] > 0.99
    assert cosine[0] < cosine[1] - 0.01


def test_starts_are_the_densest_tokens_not_the_stray_ones():
    groups = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).double()
    tokens = directions(groups.repeat_interleave(10, 0) + 0.05 * normal(20, 3))[None]
    stray = torch.tensor([[[0.0, 0.0, -1.0]]]).double()
    tokens = torch.cat([stray, tokens], 1)
    start = densest_tokens(tokens, torch.ones(1, 21).double(), 3, torch.tensor([[20.0]]).double())
    assert {int(index) for index in (start[0, :2] @ groups.T).argmax(1)} == {0, 1}
    torch.testing.assert_close(start[0, 2], stray[0, 0])
    weights = torch.ones(1, 21).double()
    weights[0, 1:11] = 0.0  # the first group is masked
    start = densest_tokens(tokens, weights, 1, torch.tensor([[20.0]]).double())
    assert float(start[0, 0] @ groups[1]) > 0.9
    assert densest_tokens(tokens[:, :0], weights[:, :0], 2, torch.tensor([[20.0]]).double()).shape == (
        1,
        2,
        3,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kappa": 0.0}, "`kappa` must be a finite number from 0.001 to 1000; got 0.0"),
        ({"kappa": 1e4}, "`kappa` must be a finite number from 0.001 to 1000; got 10000.0"),
        ({"kappa": torch.ones(2, 2)}, "`kappa` must be a number, or a tensor .* of shape \\(2, 2\\)"),
        *(
            ({"kappa": torch.tensor(values)}, "`kappa` must be finite numbers from 0.001 to 1000; got \\[")
            for values in (-1.0, [-1.0], [0.0], [2.0, math.nan], [5.0, math.inf], [1e4])
        ),
        ({"background": 1.0}, "`background` must be a finite number from 0 to 0.99; got 1.0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Spherical(**options)


def test_a_fit_with_a_concentration_at_either_end_of_its_range_is_finite():
    tokens = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
    for ends in (torch.tensor([1e-3, 1000.0]), torch.tensor(1e-3), 1000.0):
        mixture, solution = fit_mixture(tokens, num_components=2, family=Spherical(kappa=ends))
        assert torch.isfinite(mixture.mean).all()
        solution.require_convergence()
