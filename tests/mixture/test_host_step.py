"""The step of small fits, in NumPy and compiled, is the map that torch has, with the same gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vkood.mixture import Diagonal, Full, Mixture, Prior, Spherical, em_step, host
from vkood.mixture.host import fits_host
from vkood.mixture.host_step import HostStep


@pytest.fixture(params=["in NumPy", "compiled"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to take a step."""
    if request.param == "compiled":
        pytest.importorskip("numba", reason="the extra `fast` is not installed")
    else:
        monkeypatch.setattr(host, "compiled", lambda: None)
    return request.param


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def torch_step(given: list[torch.Tensor], components: int) -> torch.Tensor:
    state, tokens, weights, mean, strength = given
    step = HostStep(num_components=components, prior=Prior())
    log_weight, means, log_scale = step.unpacked(state)
    prior = Prior(concentration=0.7, variance=0.4, variance_strength=1.5, mean=mean, mean_strength=strength)
    mixture = Mixture(log_weight=log_weight, mean=means, log_scale=log_scale)
    return step.packed(em_step(tokens, weights, mixture, Diagonal(), prior))


def step_on_host(given: list[torch.Tensor], components: int) -> torch.Tensor:
    state, tokens, weights, mean, strength = given
    prior = Prior(concentration=0.7, variance=0.4, variance_strength=1.5)
    step = HostStep(num_components=components, prior=prior)
    (made,) = step.differentiable((state,), tokens, weights, mean, strength)
    operands = [operand.detach().numpy() for operand in (tokens, weights, mean, strength)]
    plain = torch.from_numpy(step(state.detach().numpy(), *step.prepared(*operands)))
    if host.compiled() is None:
        assert torch.equal(plain, made)
    else:
        loose = 1e-4 if made.dtype == torch.float32 else 1e-10
        torch.testing.assert_close(plain, made.detach(), rtol=loose, atol=loose)
    return made


@pytest.mark.parametrize("per_component", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("sets", "tokens", "dim", "components"), [(3, 7, 4, 2), (1, 1, 1, 1), (2, 0, 3, 2), (0, 4, 3, 2)]
)
@pytest.mark.usefixtures("way")
def test_agrees_with_torch_in_values_and_gradients(sets, tokens, dim, components, dtype, per_component):
    own = components if per_component else 1
    given = [
        drawn(sets, components * (1 + 2 * dim), seed=0),
        3 * drawn(sets, tokens, dim, seed=1),
        drawn(sets, tokens, seed=2).clamp_min(0),
        drawn(sets, own, dim, seed=3),
        drawn(sets, own, seed=4).square() + 0.1,
    ]
    arriving = drawn(sets, components * (1 + 2 * dim), seed=5).to(dtype)
    found = []
    for step in (step_on_host, torch_step):
        leaves = [tensor.to(dtype).requires_grad_() for tensor in given]
        made = step(leaves, components)
        found.append([made, *torch.autograd.grad(made, leaves, arriving)])
    loose = 1e-4 if dtype == torch.float32 else 1e-10
    for ours, usual in zip(*found, strict=True):
        torch.testing.assert_close(ours, usual, rtol=loose, atol=loose)


@pytest.mark.usefixtures("way")
def test_the_gradient_is_that_of_finite_differences():
    given = [
        drawn(2, 14, seed=0), drawn(2, 5, 3, seed=1), drawn(2, 5, seed=2).square(), drawn(2, 1, 3, seed=3),
        drawn(2, 2, seed=4).square() + 0.1,
    ]  # fmt: skip
    leaves = [tensor.requires_grad_() for tensor in given]
    assert torch.autograd.gradcheck(lambda *inputs: step_on_host(list(inputs), 2), leaves)


@pytest.mark.usefixtures("way")
def test_tokens_of_weight_zero_have_no_part():
    given = [drawn(2, 14, seed=0), drawn(2, 6, 3, seed=1), torch.ones(2, 6).double(), drawn(2, 1, 3, seed=3)]
    given = [tensor.requires_grad_() for tensor in (*given, torch.ones(2, 1).double())]
    arriving = drawn(2, 14, seed=5)
    found = []
    for shown in (4, 6):
        leaves = [tensor.detach().clone().requires_grad_() for tensor in given]
        leaves[2].data[:, 4:] = 0
        made = step_on_host([leaves[0], leaves[1][:, :shown], leaves[2][:, :shown], *leaves[3:]], 2)
        gradients = torch.autograd.grad(made, leaves, arriving)
        found.append([made, *(gradients[i] for i in (0, 1, 3, 4))])
    for fewer, more in zip(*found, strict=True):
        torch.testing.assert_close(fewer, more)


@pytest.mark.usefixtures("way")
def test_the_state_is_left_as_it_was():
    state = drawn(2, 14, seed=0)
    before = state.clone()
    others = [drawn(2, 5, 3, seed=1), torch.ones(2, 5).double(), drawn(2, 1, 3, seed=3), torch.ones(2, 1)]
    step_on_host([state, *others], 2)
    assert torch.equal(state, before)


@pytest.mark.usefixtures("way")
def test_rows_that_are_not_finite_stay_to_themselves():
    data = drawn(2, 5, 3, seed=0)
    data[0, 2, 1] = torch.nan
    step = HostStep(num_components=2, prior=Prior())
    given = (
        drawn(2, 14, seed=1).numpy(),
        data.numpy(),
        np.ones((2, 5)),
        np.zeros((2, 1, 3)),
        np.ones((2, 1)),
    )
    following, *kept = step.following(*given)
    assert np.isnan(following[0]).any()
    assert np.isfinite(following[1]).all()
    gradients = step.gradient(np.ones((2, 14)), given, (following, *kept))
    assert all(np.isfinite(gradient[1]).all() for gradient in gradients)


def test_other_families_and_large_sets_keep_the_usual_step():
    small = torch.zeros(1, 4, 3)
    assert fits_host(small, 2, Diagonal())
    assert not fits_host(small, 2, Full())
    assert not fits_host(small, 2, Spherical())
    assert not fits_host(torch.zeros(()).expand(64, 1024, 128), 2, Diagonal())
