"""Densities, distances and scores against SciPy, and what must hold of any of them."""

import numpy
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from support.sets import FAMILIES, name, normal, permuted, random_mixture
from vkood.mixture import Mixture, gem, log_density, mahalanobis, negative_log_density

each_family = pytest.mark.parametrize("covariance", FAMILIES, ids=name)
SCORES = [negative_log_density, gem, mahalanobis]
each_score = pytest.mark.parametrize("score", SCORES, ids=lambda score: score.__name__)


def scipy_log_densities(points, mixture: Mixture, covariance) -> numpy.ndarray:
    """(sets, points, components) logarithms of weight times density."""
    dense = covariance.dense(mixture).numpy()
    return numpy.array(
        [
            [
                log_weight.item()
                + multivariate_normal(mean.numpy(), dense[row, k]).logpdf(points[row].numpy())
                for k, (log_weight, mean) in enumerate(
                    zip(mixture.log_weight[row], mixture.mean[row], strict=True)
                )
            ]
            for row in range(len(points))
        ]
    ).swapaxes(1, 2)


@each_family
def test_log_density_is_that_of_scipy(covariance):
    mixture, points = random_mixture(covariance), 3 * normal(2, 6, 3, seed=9)
    expected = logsumexp(scipy_log_densities(points, mixture, covariance), axis=-1)
    numpy.testing.assert_allclose(log_density(points, mixture, covariance).numpy(), expected, rtol=1e-9)
    numpy.testing.assert_allclose(
        negative_log_density(points, mixture, covariance).numpy(), numpy.negative(expected) / 3, rtol=1e-9
    )
    joint = covariance.log_joint(points, mixture)
    numpy.testing.assert_allclose(joint.numpy(), scipy_log_densities(points, mixture, covariance), rtol=1e-9)


@each_family
def test_distances_are_those_of_the_dense_covariances(covariance):
    mixture, points = random_mixture(covariance), 3 * normal(2, 6, 3, seed=9)
    difference = points[:, :, None] - mixture.mean[:, None]  # (B, N, K, D)
    inverse = torch.linalg.inv(covariance.dense(mixture))
    expected = torch.einsum("bnkd,bkde,bnke->bnk", difference, inverse, difference)
    torch.testing.assert_close(covariance.mahalanobis(points, mixture), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        mahalanobis(points, mixture, covariance), expected.amin(-1), rtol=1e-9, atol=1e-9
    )
    torch.testing.assert_close(
        gem(points, mixture, covariance), -torch.exp(-0.5 * expected).sum(-1).log(), rtol=1e-9, atol=1e-9
    )


@each_family
def test_determinant_and_trace_are_those_of_the_dense_covariances(covariance):
    mixture = random_mixture(covariance)
    dense = covariance.dense(mixture)
    assert dense.shape == (2, 3, 3, 3)
    torch.testing.assert_close(
        covariance.log_determinant(mixture).expand(2, 3), torch.linalg.slogdet(dense).logabsdet
    )
    trace = torch.linalg.inv(dense).diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(covariance.precision_trace(mixture).expand(2, 3), trace)


@each_family
def test_uniform_covariances_are_multiples_of_the_identity(covariance):
    variance, mean = torch.tensor([0.5, 4.0], dtype=torch.float64), normal(2, 3, 4)
    log_scale = covariance.uniform(variance, mean)
    dense = covariance.dense(Mixture(log_weight=torch.zeros(2, 3).double(), mean=mean, log_scale=log_scale))
    torch.testing.assert_close(
        dense, (variance[:, None, None, None] * torch.eye(4).double()).expand(2, 3, 4, 4)
    )


@each_score
@each_family
def test_larger_is_more_outlying_everywhere(covariance, score):
    """Along any ray that leaves the component of a mixture of one, and far away for a mixture of several."""
    steps = torch.linspace(0, 8, 30).double()[None, :, None]
    single = random_mixture(covariance, components=1)
    for seed in range(5):
        direction = normal(2, 1, 3, seed=seed)
        scores = score(single.mean + steps * direction, single, covariance)
        assert (scores.diff(dim=1) > 0).all()
        several = random_mixture(covariance)
        scores = score((20 + steps) * direction / direction.norm(dim=-1, keepdim=True), several, covariance)
        assert (scores.diff(dim=1) > 0).all()
        at_means = score(several.mean, several, covariance)
        assert (scores.amin(1) > at_means.amax(1)).all()


@each_score
@each_family
def test_scores_do_not_depend_on_the_order_of_components_or_candidates(covariance, score):
    mixture, points = random_mixture(covariance), normal(2, 6, 3, seed=9)
    expected = score(points, mixture, covariance)
    torch.testing.assert_close(score(points, permuted(mixture, [2, 0, 1], covariance), covariance), expected)
    torch.testing.assert_close(score(points.flip(1), mixture, covariance), expected.flip(1))
    torch.testing.assert_close(score(points[:, :1], mixture, covariance), expected[:, :1])
    assert score(points[:, :0], mixture, covariance).shape == (2, 0)


@each_score
@each_family
def test_scores_do_not_feel_a_common_offset_in_single_precision(covariance, score):
    """Vectors near 1000 with a spread near 0.1: their squares alone would eat up all digits."""
    mixture, points = random_mixture(covariance), 2 * normal(2, 6, 3, seed=9)
    small = Mixture(log_weight=mixture.log_weight, mean=0.1 * mixture.mean, log_scale=mixture.log_scale)
    if covariance in FAMILIES[:2]:
        small = Mixture(log_weight=small.log_weight, mean=small.mean, log_scale=small.log_scale - 4.6)
    else:
        small = Mixture(
            log_weight=small.log_weight,
            mean=small.mean,
            log_scale=0.1 * small.log_scale.tril(-1)
            + torch.diag_embed(small.log_scale.diagonal(dim1=-2, dim2=-1) - 2.3),
        )
    expected = score(0.1 * points, small, covariance)
    moved = Mixture(
        log_weight=small.log_weight.float(),
        mean=(small.mean + 1000).float(),
        log_scale=small.log_scale.float(),
    )
    got = score((0.1 * points + 1000).float(), moved, covariance)
    torch.testing.assert_close(got.double(), expected, rtol=2e-2, atol=2e-2)


@each_score
@each_family
def test_scores_under_autocast_are_in_single_precision(covariance, score):
    mixture = random_mixture(covariance)
    single = Mixture(**{key: getattr(mixture, key).float() for key in ("log_weight", "mean", "log_scale")})
    points = normal(2, 6, 3, seed=9).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = score(points, single, covariance)
    torch.testing.assert_close(got, score(points, single, covariance))


@each_score
@each_family
def test_gradients_of_scores_agree_with_finite_differences(covariance, score):
    mixture, points = random_mixture(covariance, sets=1), normal(1, 4, 3, seed=9)
    inputs = [
        tensor.requires_grad_() for tensor in (points, mixture.log_weight, mixture.mean, mixture.log_scale)
    ]

    def function(points, log_weight, mean, log_scale):
        return score(points, Mixture(log_weight=log_weight, mean=mean, log_scale=log_scale), covariance)

    assert torch.autograd.gradcheck(function, inputs)


@each_family
def test_distances_are_never_negative(covariance):
    mixture = random_mixture(covariance)
    single = Mixture(**{key: getattr(mixture, key).float() for key in ("log_weight", "mean", "log_scale")})
    near = single.mean.repeat_interleave(50, 1) + 1e-5 * normal(2, 150, 3).float()
    assert (mahalanobis(near, single, covariance) >= 0).all()
