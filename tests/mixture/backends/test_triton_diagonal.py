"""Triton's kernels for diagonal Gaussians, interpreted on the CPU, against torch: values and gradients."""

from __future__ import annotations

import pytest
import torch

from support.sets import clusters, normal, numbers
from vkood.mixture import Prior, fit_mixture
from vkood.solve import Gradient, Implicit, LastIterate, Picard, Status

pytest.importorskip("triton", reason="the extra `gpu` is not installed")

STEPS = Picard(tolerance=1e-5, max_steps=4)


def fitted(
    backend: str, sizes: tuple[int, int, int, int], per_component: bool, rule: Gradient
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Parameters and steps of a fit, and its gradients to tokens, weights, and the prior's mean and strength."""
    sets, size, dim, components = sizes
    own = components if per_component else 1
    leaves = [
        (normal(sets, size, dim, seed=1) + 3 * (normal(sets, size, 1, seed=9) > 0)).float(),
        normal(sets, size, seed=2).clamp_min(0).float(),
        0.3 * normal(sets, own, dim, seed=3).float(),
        normal(sets, own, seed=4).square().float() + 0.2,
    ]
    tokens, weights, mean, strength = (leaf.requires_grad_() for leaf in leaves)
    mixture, solution = fit_mixture(
        tokens,
        weights,
        num_components=components,
        prior=Prior(
            concentration=0.7, mean=mean, mean_strength=strength, variance=0.4, variance_strength=1.5
        ),
        start=normal(components, dim, seed=5).float(),
        solver=STEPS,
        gradient=rule,
        backend=backend,
    )
    assert solution.backend == backend
    parts = numbers(mixture)
    value = sum(
        ((i + 1) * part.sin() * torch.arange(part.numel()).reshape(part.shape)).sum()
        for i, part in enumerate(parts)
    )
    return [*(part.detach() for part in parts), solution.steps], list(
        torch.autograd.grad(value, [tokens, weights, mean, strength])
    )


@pytest.mark.parametrize("per_component", [True, False])
@pytest.mark.parametrize(
    "sizes", [(2, 9, 5, 3), (1, 70, 64, 2), (2, 9, 3, 1), (2, 0, 3, 2), (2, 1, 3, 2), (1, 9, 4, 17)], ids=str
)
def test_values_and_gradients_are_those_of_torch(sizes, per_component):
    results = [fitted(backend, sizes, per_component, LastIterate()) for backend in ("triton", "torch")]
    for part in (0, 1):
        for actual, expected in zip(results[0][part], results[1][part], strict=True):
            size = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
            torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5 * size)


def test_other_rules_pass_through_the_step_of_torch():
    actual, expected = (
        fitted(backend, (2, 9, 5, 2), False, Implicit(tolerance=1e-4))[1] for backend in ("triton", "torch")
    )
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-2 * float(theirs.abs().max()))


@pytest.mark.filterwarnings(
    "ignore:All-NaN slice:RuntimeWarning"
)  # of the interpreter, which computes by NumPy
def test_a_set_that_is_not_finite_is_alone():
    tokens = clusters(dim=3).float()
    tokens[1, 4] = torch.nan
    tokens.requires_grad_()
    mixture, solution = fit_mixture(tokens, solver=STEPS, backend="triton")
    assert [int(status) == Status.NOT_FINITE for status in solution.status] == [False, True, False]
    gradient = torch.autograd.grad(mixture.mean[[0, 2]].sin().sum(), tokens)[0]
    assert gradient[[0, 2]].isfinite().all()
