"""EM against scikit-learn and numerical optimisation; monotone, and well defined for any set."""

import dataclasses

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.mixture import GaussianMixture

from support.sets import (
    FAMILIES,
    PRIOR,
    clusters,
    each_backend,
    each_member,
    name,
    normal,
    numbers,
    permuted,
    random_mixture,
    weighted_sets,
)
from vkood.mixture import (
    Diagonal,
    Mixture,
    Prior,
    em_step,
    farthest_tokens,
    fit_mixture,
    log_density,
    map_objective,
    negative_log_density,
)
from vkood.solve import Anderson, Picard, Squarem, Status

each_family = pytest.mark.parametrize("covariance", FAMILIES, ids=name)
some_family = st.sampled_from(FAMILIES)
# Not Anderson, whose way to the fixed point depends on the last bit, and with it the optimum that it finds.
TIGHT = Squarem(tolerance=1e-11, max_steps=2000)
often = settings(deadline=None, max_examples=60, derandomize=True)


def same(first: Mixture, second: Mixture, *, rtol=1e-7, atol=1e-7):
    for left, right in zip(numbers(first), numbers(second), strict=True):
        torch.testing.assert_close(left, right, rtol=rtol, atol=atol)


# -- steps -----------------------------------------------------------------------------------------


@often
@given(
    weighted_sets(),
    some_family,
    st.integers(1, 4),
    st.integers(0, 50),
    st.floats(0.05, 5),
    st.floats(0.05, 5),
)
def test_em_never_lowers_the_map_objective(weighted, covariance, components, seed, variance, strength):
    tokens, weights = weighted
    prior = Prior(
        concentration=0.3, mean_strength=0.2, variance=variance, variance_strength=strength, mean=PRIOR.mean
    )
    mixture = random_mixture(covariance, sets=1, components=components, dim=2, seed=seed)
    before = map_objective(tokens, weights, mixture, covariance, prior)
    for _ in range(12):
        mixture = em_step(tokens, weights, mixture, covariance, prior)
        after = map_objective(tokens, weights, mixture, covariance, prior)
        assert torch.isfinite(after).all()
        assert (after >= before - 1e-9 * (1 + before.abs())).all()
        before = after


@each_family
def test_the_m_step_is_the_maximum_for_one_component(covariance):
    """With one component the E-step is trivial: one step must reach what a numerical optimiser finds."""
    tokens, weights = (
        normal(1, 6, 2, seed=1),
        torch.rand(1, 6, generator=torch.Generator().manual_seed(2)).double(),
    )
    start = random_mixture(covariance, sets=1, components=1, dim=2)
    step = em_step(tokens, weights, start, covariance, PRIOR)
    shape = start.log_scale.shape
    triangle = (
        torch.ones(shape).tril().bool() if shape[-2:] == (2, 2) else torch.ones(shape, dtype=torch.bool)
    )

    def loss(vector: numpy.ndarray):
        parameters = torch.tensor(vector, requires_grad=True)
        log_scale = torch.zeros(shape, dtype=torch.float64).masked_scatter(triangle, parameters[2:])
        mixture = Mixture(log_weight=start.log_weight, mean=parameters[:2].view(1, 1, 2), log_scale=log_scale)
        value = -map_objective(tokens, weights, mixture, covariance, PRIOR).sum()
        return value.item(), torch.autograd.grad(value, parameters)[0].numpy()

    begin = numpy.zeros(2 + int(triangle.sum()))
    best = torch.tensor(minimize(loss, begin, jac=True, method="BFGS", options={"gtol": 1e-9}).x)
    torch.testing.assert_close(step.mean.flatten(), best[:2], rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(step.log_scale[triangle], best[2:], rtol=1e-6, atol=1e-7)


@each_member
def test_a_fit_is_a_stationary_point_of_the_map_objective(covariance, backend):
    tokens = clusters()
    weights = torch.rand(3, 30, generator=torch.Generator().manual_seed(2)).double()
    mixture, solution = fit_mixture(
        tokens, weights, num_components=3, family=covariance, backend=backend, prior=PRIOR, solver=TIGHT
    )
    solution.require_convergence()
    parameters = [tensor.detach().requires_grad_() for tensor in numbers(mixture)]
    fitted = Mixture(log_weight=parameters[0], mean=parameters[1], log_scale=parameters[2])
    value = map_objective(tokens, weights, fitted, covariance, PRIOR).sum()
    for gradient in torch.autograd.grad(value, parameters):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-6)
    torch.testing.assert_close(mixture.log_weight.exp().sum(-1), torch.ones(3).double())
    assert [tensor.shape for tensor in solution.value] == [tensor.shape for tensor in numbers(mixture)]
    for fixed, tensor in zip(solution.value, numbers(mixture), strict=True):
        assert torch.equal(fixed, tensor)


# -- against scikit-learn --------------------------------------------------------------------------


@each_member
def test_without_a_prior_worth_speaking_of_it_is_the_mixture_of_scikit_learn(covariance, backend):
    tokens = clusters(sets=2, each=40)
    starts = torch.tensor([[-1.0, -1.0], [1.0, 1.0]]).double()
    prior = Prior(concentration=1e-9, mean_strength=1e-9, variance=1.0, variance_strength=1e-9)
    mixture, solution = fit_mixture(
        tokens, family=covariance, backend=backend, prior=prior, start=starts, solver=TIGHT
    )
    solution.require_convergence()
    kind = {"Diagonal": "diag", "Isotropic": "spherical", "Tied": "tied", "Full": "full"}[name(covariance)]
    for row in range(2):
        theirs = GaussianMixture(
            2, covariance_type=kind, means_init=starts.numpy(), tol=1e-13, max_iter=5000, reg_covar=0.0
        )
        theirs.fit(tokens[row].numpy())
        ours = log_density(tokens, mixture, covariance)[row]
        numpy.testing.assert_allclose(ours.mean().item(), theirs.score(tokens[row].numpy()), rtol=1e-8)
        numpy.testing.assert_allclose(
            mixture.mean[row].numpy(), numpy.asarray(theirs.means_), rtol=1e-4, atol=1e-4
        )
        numpy.testing.assert_allclose(
            mixture.log_weight[row].exp().numpy(), numpy.asarray(theirs.weights_), rtol=1e-4
        )


# -- weights, order, place -------------------------------------------------------------------------


@each_member
def test_whole_weights_are_repeated_tokens(covariance, backend):
    tokens, weights = clusters(each=6), torch.tensor([1.0, 3.0, 2.0] * 4).double().expand(3, 12)
    options = {
        "family": covariance,
        "backend": backend,
        "prior": PRIOR,
        "solver": TIGHT,
        "start": normal(2, 2, seed=5),
    }
    weighted, _ = fit_mixture(tokens, weights, **options)
    repeated, _ = fit_mixture(tokens.repeat_interleave(weights[0].long(), 1), **options)
    same(weighted, repeated)


@each_member
def test_masked_tokens_are_absent_whatever_they_hold(covariance, backend):
    tokens = clusters(each=6)
    mask = torch.tensor([True, False, True, True] * 3).expand(3, 12)
    for filling in (0.0, 1e30, torch.nan, torch.inf):
        filled = torch.where(mask[..., None], tokens, filling).requires_grad_()
        mixture, solution = fit_mixture(
            filled, mask, num_components=3, family=covariance, backend=backend, solver=TIGHT
        )
        solution.require_convergence()
        absent, _ = fit_mixture(
            tokens[:, mask[0]], num_components=3, family=covariance, backend=backend, solver=TIGHT
        )
        same(mixture, absent)
        gradient = torch.autograd.grad([tensor.sum() for tensor in numbers(mixture)], filled)[0]
        assert (gradient[~mask] == 0).all()
        assert torch.isfinite(gradient).all()
        assert (gradient[mask] != 0).any()


@often
@given(weighted_sets(), some_family, st.integers(1, 4), st.randoms(use_true_random=False), st.integers(0, 3))
def test_the_order_of_tokens_and_padding_do_not_matter(weighted, covariance, components, random, padding):
    """From given starts, since tokens that are equally far apart may tie."""
    tokens, weights = weighted
    order = list(range(tokens.shape[1] + padding))
    random.shuffle(order)
    padded = torch.cat([tokens, torch.full((1, padding, 2), torch.nan).double()], 1)[:, order]
    padded_weights = torch.cat([weights, torch.zeros(1, padding).double()], 1)[:, order]
    options = {
        "num_components": components,
        "family": covariance,
        "prior": PRIOR,
        "solver": Picard(max_steps=20),
        "start": normal(components, 2),
    }
    plain, _ = fit_mixture(tokens, weights, **options)
    shuffled, _ = fit_mixture(padded, padded_weights, **options)
    same(plain, shuffled, rtol=1e-6, atol=1e-6)


@each_member
def test_the_default_start_does_not_depend_on_the_order(covariance, backend):
    tokens = torch.cat([clusters(each=8), normal(3, 4, 2, seed=4)], 1)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    plain, _ = fit_mixture(tokens, num_components=3, family=covariance, backend=backend, solver=TIGHT)
    shuffled, _ = fit_mixture(
        tokens[:, order], num_components=3, family=covariance, backend=backend, solver=TIGHT
    )
    same(plain, shuffled)
    few = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]]]).double()  # fewer than components
    for order in ([1, 2, 0], [2, 1, 0]):
        torch.testing.assert_close(
            farthest_tokens(few[:, order], torch.ones(1, 3).double(), 5),
            farthest_tokens(few, torch.ones(1, 3).double(), 5),
        )


@each_member
def test_permuted_starts_permute_the_components(covariance, backend):
    tokens, start, order = clusters(), normal(3, 2, seed=5), [2, 0, 1]
    options = {"num_components": 3, "family": covariance, "backend": backend, "prior": PRIOR, "solver": TIGHT}
    plain, _ = fit_mixture(tokens, start=start, **options)
    other, _ = fit_mixture(tokens, start=start[order], **options)
    same(permuted(plain, order, covariance), other)


@each_member
def test_rows_are_fitted_by_themselves(covariance, backend):
    tokens = torch.cat(
        [
            clusters(),
            normal(3, 30, 2, seed=6),
            torch.full((1, 30, 2), torch.nan).double(),
            torch.zeros(1, 30, 2).double(),
        ]
    )
    options = {"num_components": 3, "family": covariance, "backend": backend, "solver": TIGHT}
    whole, solution = fit_mixture(tokens, **options)
    assert solution.status.tolist() == [0] * 6 + [Status.NOT_FINITE, 0]
    for rows in ([7, 3, 1], [6, 0], [5]):
        part_mixture, part = fit_mixture(tokens[rows], **options)
        assert part.status.tolist() == solution.status[rows].tolist()
        for left, right in zip(numbers(part_mixture), numbers(whole), strict=True):
            torch.testing.assert_close(left, right[rows], rtol=1e-6, atol=1e-6, equal_nan=True)


@each_member
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_moving_everything_moves_the_fit(covariance, backend, dtype):
    """At an offset of 1000 with a spread of 0.1, single precision keeps what it can: three digits."""
    tokens, offset = 0.1 * clusters(), torch.tensor([1000.0, -700.0]).double()
    prior = Prior(mean=torch.tensor([0.03, -0.02]).double(), variance=0.01)
    options = {"num_components": 2, "family": covariance, "backend": backend}
    plain, solution = fit_mixture(
        tokens, prior=prior, solver=Anderson(tolerance=1e-6, max_steps=500), **options
    )
    there = dataclasses.replace(prior, mean=(prior.mean + offset).to(dtype))
    moved, other = fit_mixture(
        (tokens + offset).to(dtype), prior=there, solver=Anderson(tolerance=1e-6, max_steps=500), **options
    )
    assert solution.converged.all()
    assert other.converged.all()
    loose = 1e-6 if dtype == torch.float64 else 5e-3
    torch.testing.assert_close(moved.mean.double() - offset, plain.mean, rtol=0, atol=0.1 * loose)
    torch.testing.assert_close(
        covariance.dense(moved).double(), covariance.dense(plain), rtol=loose, atol=1e-2 * loose
    )
    torch.testing.assert_close(moved.log_weight.double(), plain.log_weight, rtol=0, atol=loose)
    scores = negative_log_density((tokens + offset).to(dtype), moved, covariance).double()
    torch.testing.assert_close(
        scores, negative_log_density(tokens, plain, covariance), rtol=0, atol=10 * loose
    )


# -- every set is well defined ---------------------------------------------------------------------


@each_member
@pytest.mark.parametrize("components", [1, 3])
def test_nothing_to_fit_gives_the_prior(covariance, backend, components):
    for tokens, weights in (
        (torch.zeros(2, 0, 2).double(), None),
        (normal(2, 5, 2), torch.zeros(2, 5).double()),
        (torch.full((2, 5, 2), torch.nan).double(), torch.zeros(2, 5, dtype=torch.bool)),
    ):
        mixture, solution = fit_mixture(
            tokens, weights, num_components=components, family=covariance, backend=backend, prior=PRIOR
        )
        assert solution.converged.all()
        torch.testing.assert_close(mixture.mean, PRIOR.mean.expand(2, components, 2))
        torch.testing.assert_close(
            mixture.log_weight.exp(), torch.full((2, components), 1 / components).double()
        )
        torch.testing.assert_close(
            covariance.dense(mixture), (0.7 * torch.eye(2).double()).expand(2, components, 2, 2)
        )


@often
@given(
    weighted_sets(),
    some_family,
    st.integers(1, 5),
    st.sampled_from([Anderson, Squarem, Picard]),
    st.sampled_from([1e-3, 1.0]),
)
def test_every_set_has_a_finite_fit_with_finite_gradients(weighted, covariance, components, solver, variance):
    tokens, weights = (tensor.clone().requires_grad_() for tensor in weighted)
    single = tokens.float(), weights.float()
    mixture, solution = fit_mixture(
        *single,
        num_components=components,
        family=covariance,
        prior=Prior(variance=variance),
        solver=solver(max_steps=30, tolerance=1e-4),
    )
    assert Status.NOT_FINITE not in solution.status
    for tensor in numbers(mixture):
        assert torch.isfinite(tensor).all()
    probe = torch.tensor([[[0.0, 0.0], [50.0, -50.0]]])
    for gradient in torch.autograd.grad(
        negative_log_density(probe, mixture, covariance).sum(), [tokens, weights]
    ):
        assert torch.isfinite(gradient).all()


@each_member
def test_a_thousand_copies_of_one_token(covariance, backend):
    token = torch.tensor([2.0, -1.0])
    mixture, solution = fit_mixture(
        token.expand(1, 1000, 2), num_components=2, family=covariance, backend=backend
    )
    assert solution.converged.all()
    torch.testing.assert_close(mixture.mean[0].mean(0), token, rtol=0, atol=2e-2)
    spread = covariance.dense(mixture)[0].diagonal(dim1=-2, dim2=-1)
    assert (spread > 0).all()
    assert spread.amin() < 2e-2
    near, far = negative_log_density(torch.stack([token, -token])[None], mixture, covariance)[0]
    assert near < 0 < far


@each_member
def test_one_token_is_a_compromise_with_the_prior(covariance, backend):
    token = torch.tensor([[[4.0, 0.0]]]).double()
    assert PRIOR.mean is not None
    mixture, solution = fit_mixture(
        token, num_components=1, family=covariance, backend=backend, prior=PRIOR, solver=TIGHT
    )
    assert solution.converged.all()
    torch.testing.assert_close(mixture.mean[0, 0], (token[0, 0] + 0.5 * PRIOR.mean) / 1.5)


@each_backend
def test_two_clusters_are_found(backend):
    mixture, solution = fit_mixture(
        clusters(each=200, apart=8.0), prior=Prior(mean_strength=1e-3), solver=TIGHT
    )
    solution.require_convergence()
    order = mixture.mean[..., 0].argsort(1)
    means = mixture.mean.gather(1, order[..., None].expand_as(mixture.mean))
    expected = torch.tensor([[-4.0, -4.0], [4.0, 4.0]]).double().expand(3, 2, 2)
    torch.testing.assert_close(means, expected, rtol=0, atol=0.25)
    deviations = (0.5 * mixture.log_scale).exp().gather(1, order[..., None].expand_as(mixture.mean))
    torch.testing.assert_close(deviations[:, 0], torch.full((3, 2), 0.5).double(), rtol=0.15, atol=0)
    torch.testing.assert_close(deviations[:, 1], torch.full((3, 2), 1.0).double(), rtol=0.15, atol=0)


@each_member
@pytest.mark.parametrize("solver", [Picard, Anderson, Squarem])
def test_all_solvers_find_the_same_mixture(covariance, backend, solver):
    tokens = clusters()
    mixture, solution = fit_mixture(
        tokens, family=covariance, backend=backend, solver=solver(tolerance=1e-10, max_steps=3000)
    )
    solution.require_convergence()
    same(
        mixture,
        fit_mixture(tokens, family=covariance, backend=backend, solver=TIGHT)[0],
        rtol=1e-6,
        atol=1e-6,
    )


@each_member
def test_half_precision_and_autocast_are_fitted_in_single_precision(covariance, backend):
    tokens = clusters().to(torch.bfloat16)
    expected, _ = fit_mixture(tokens.float(), family=covariance, backend=backend)
    for cast in (tokens, tokens.float()):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixture, solution = fit_mixture(cast, family=covariance, backend=backend)
        assert solution.converged.all()
        assert mixture.mean.dtype == torch.float32
        same(mixture, expected, rtol=1e-5, atol=1e-5)


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument():
    tokens = torch.zeros(2, 5, 3)
    for call, words in (
        (lambda: fit_mixture(tokens[0]), r"`tokens` must be \(sets, tokens, dim\); got \(5, 3\)"),
        (
            lambda: fit_mixture(tokens, torch.ones(2, 4)),
            r"`weights` must be \(sets, tokens\) = \(2, 5\); got \(2, 4\)",
        ),
        (lambda: fit_mixture(tokens, -torch.ones(2, 5)), "`weights` must be at least 0"),
        (lambda: fit_mixture(tokens, num_components=0), "`num_components`"),
        (
            lambda: fit_mixture(tokens, prior=Prior(mean=torch.zeros(4))),
            "`mean` must have the tokens' 3 dimensions",
        ),
        (
            lambda: fit_mixture(tokens, start=torch.zeros(3, 3)),
            r"`start` must be \(components, dim\) = \(2, 3\)",
        ),
        (lambda: Prior(variance=0.0), "`variance`"),
        (lambda: Prior(concentration=-1.0), "`concentration`"),
        (lambda: Prior(variance_strength=0.0), "`variance_strength`"),
        (lambda: Prior(mean_strength=0.0), "`mean_strength`"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    assert Diagonal() == Diagonal()


def test_a_mixture_is_shown_on_one_line():
    mixture, _ = fit_mixture(clusters().float())
    assert repr(mixture) == "Mixture(3 sets, 2 components, 2 dimensions, float32)"
