"""Numba's log density is that of torch, with the same gradients."""

from __future__ import annotations

import pytest
import torch

from vkood.mixture import Diagonal, Mixture, choose_backend, log_density

pytest.importorskip("numba", reason="the extra `fast` is not installed")


def drawn(sets: int, candidates: int, dim: int, components: int) -> list[torch.Tensor]:
    """Candidates, log_weight, mean and log_scale, as leaves."""
    generator = torch.Generator().manual_seed(0)
    shapes = (
        (sets, candidates, dim),
        (sets, components),
        (sets, components, dim),
        (sets, components, dim),
    )
    return [
        torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes
    ]


def numba_density(candidates: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
    score = choose_backend(candidates, backend="numba").score(candidates, Mixture.of(parameters), Diagonal())
    return -score * candidates.shape[-1]


SHAPES = [(3, 7, 4, 2), (1, 1, 1, 1), (2, 5, 3, 4), (2, 0, 3, 2), (0, 4, 3, 2)]


@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_torch_in_values_and_gradients(shape):
    leaves = drawn(*shape)
    arriving = torch.randn(shape[:2], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    density = numba_density(*leaves)
    expected = log_density(leaves[0], Mixture.of(tuple(leaves[1:])), Diagonal())
    torch.testing.assert_close(density, expected)
    gradients = (torch.autograd.grad(output, leaves, arriving) for output in (density, expected))
    for ours, usual in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, usual)


def test_the_gradient_is_that_of_finite_differences():
    assert torch.autograd.gradcheck(numba_density, drawn(2, 5, 3, 2))


def test_single_precision_far_from_the_origin():
    """Where squares would drown the distances."""
    candidates, log_weight, mean, log_scale = (tensor.detach() for tensor in drawn(3, 7, 4, 2))
    exact = numba_density(candidates, log_weight, mean, log_scale)
    moved = (tensor.float() for tensor in (candidates + 1024, log_weight, mean + 1024, log_scale))
    torch.testing.assert_close(numba_density(*moved).double(), exact, rtol=1e-3, atol=1e-3)


def test_a_row_that_is_not_finite_stays_to_itself():
    leaves = drawn(3, 7, 4, 2)
    whole = torch.autograd.grad(numba_density(*leaves).sum(), leaves)
    with torch.no_grad():
        leaves[0][1, 2], leaves[2][1, 0] = torch.inf, torch.nan
    broken = torch.autograd.grad(numba_density(*leaves).sum(), leaves)
    for before, after in zip(whole, broken, strict=True):
        assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert broken[2][1].isnan().any()


def test_a_far_candidate_has_a_density_and_gradients():
    leaves = drawn(1, 1, 4, 3)
    with torch.no_grad():
        leaves[0] *= 1e6
    density = numba_density(*leaves)
    assert torch.isfinite(density).all()
    assert all(torch.isfinite(gradient).all() for gradient in torch.autograd.grad(density.sum(), leaves))


def test_only_what_needs_a_gradient_has_one():
    candidates, *parameters = (tensor.detach() for tensor in drawn(2, 5, 3, 2))
    mean = parameters[1].requires_grad_()
    density = numba_density(candidates, *parameters)
    (gradient,) = torch.autograd.grad(density.sum(), [mean])
    assert gradient.abs().sum() > 0
    assert not numba_density(candidates, *(tensor.detach() for tensor in parameters)).requires_grad
