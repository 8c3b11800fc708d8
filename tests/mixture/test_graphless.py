"""The NumPy step of small fits is the map that is differentiated."""

from __future__ import annotations

import pytest
import torch

from vkood.mixture import Diagonal, Full, Mixture, Prior, Spherical, em_step
from vkood.mixture.graphless import graphless_step


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("sets", "tokens", "dim", "components"), [(3, 7, 4, 2), (1, 1, 1, 1), (2, 0, 3, 2), (0, 4, 3, 2)]
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_agrees_with_the_differentiable_step(sets, tokens, dim, components, dtype):
    data = (3 * drawn(sets, tokens, dim, seed=0)).to(dtype)
    weights = drawn(sets, tokens, seed=1).clamp_min(0).to(dtype)
    prior = Prior(
        concentration=0.7, variance=0.4, variance_strength=1.5,
        mean=drawn(sets, 1, dim, seed=2).to(dtype),
        mean_strength=drawn(sets, components, seed=3).square().to(dtype) + 0.1,
    )  # fmt: skip
    mixture = Mixture(
        log_weight=drawn(sets, components, seed=4).to(dtype),
        mean=drawn(sets, components, dim, seed=5).to(dtype),
        log_scale=drawn(sets, components, dim, seed=6).to(dtype),
    )
    features = Diagonal().features(data)
    step = graphless_step(features, components, Diagonal(), prior)
    assert step is not None
    state = torch.cat([mixture.log_weight, mixture.mean.flatten(1), mixture.log_scale.flatten(1)], 1)
    given = state.clone()
    following = step(state, features, weights, prior.mean, prior.mean_strength)
    expected = em_step(data, weights, mixture, Diagonal(), prior)
    torch.testing.assert_close(
        following,
        torch.cat([expected.log_weight, expected.mean.flatten(1), expected.log_scale.flatten(1)], 1),
        rtol=1e-4 if dtype == torch.float32 else 1e-10, atol=1e-5 if dtype == torch.float32 else 1e-10,
    )  # fmt: skip
    assert torch.equal(state, given)  # left as it was


def test_rows_that_are_not_finite_stay_to_themselves():
    data = drawn(2, 5, 3, seed=0)
    data[0, 2, 1] = torch.nan
    features = Diagonal().features(data)
    step = graphless_step(features, 2, Diagonal(), Prior())
    assert step is not None
    following = step(
        drawn(2, 14, seed=1), features, torch.ones(2, 5).double(), torch.zeros(2, 1, 3).double(),
        torch.ones(2, 1).double(),
    )  # fmt: skip
    assert following[0].isnan().any()
    assert following[1].isfinite().all()


def test_other_families_and_large_sets_keep_the_usual_step():
    small = Diagonal().features(torch.zeros(1, 4, 3))
    assert graphless_step(small, 2, Full(), Prior()) is None
    assert graphless_step(small, 2, Spherical(), Prior()) is None
    assert graphless_step(torch.zeros(()).expand(64, 1024, 257), 2, Diagonal(), Prior()) is None
