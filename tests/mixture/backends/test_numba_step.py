"""Numba's step of EM is torch's, with the same gradients."""

from __future__ import annotations

import pytest
import torch

from vkood.mixture import Diagonal

pytest.importorskip("numba", reason="the extra `fast` is not installed")
from vkood.mixture.backends.numba_backend import differentiable_step, pack, unpack


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def all_operands(operands: list[torch.Tensor]) -> list[torch.Tensor]:
    """Tokens, weights, and the prior's mean and strength, with the rest of a prior."""
    column = operands[0].new_ones(len(operands[0]), 1)
    return [*operands, 0.7 * column, 1.5 * column, 0.6 * column]


def torch_step(inputs: list[torch.Tensor], components: int) -> torch.Tensor:
    state, *operands = inputs
    return pack(Diagonal().step(unpack(state, components), *all_operands(operands)))


def numba_step(inputs: list[torch.Tensor], components: int) -> torch.Tensor:
    del components
    state, *operands = inputs
    return differentiable_step(state, *all_operands(operands))


@pytest.mark.parametrize("per_component", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("sets", "tokens", "dim", "components"), [(3, 7, 4, 2), (1, 1, 1, 1), (2, 0, 3, 2), (0, 4, 3, 2)]
)
def test_agrees_with_torch_in_values_and_gradients(sets, tokens, dim, components, dtype, per_component):
    own = components if per_component else 1
    inputs = [
        drawn(sets, components * (1 + 2 * dim), seed=0),
        3 * drawn(sets, tokens, dim, seed=1),
        drawn(sets, tokens, seed=2).clamp_min(0),
        drawn(sets, own, dim, seed=3),
        drawn(sets, own, seed=4).square() + 0.1,
    ]
    arriving = drawn(sets, components * (1 + 2 * dim), seed=5).to(dtype)
    results = []
    for step in (numba_step, torch_step):
        leaves = [tensor.to(dtype).requires_grad_() for tensor in inputs]
        image = step(leaves, components)
        results.append([image, *torch.autograd.grad(image, leaves, arriving)])
    loose = 1e-4 if dtype == torch.float32 else 1e-10
    for ours, usual in zip(*results, strict=True):
        torch.testing.assert_close(ours, usual, rtol=loose, atol=loose)


def test_the_gradient_is_that_of_finite_differences():
    inputs = [
        drawn(2, 14, seed=0),
        drawn(2, 5, 3, seed=1),
        drawn(2, 5, seed=2).square(),
        drawn(2, 1, 3, seed=3),
        drawn(2, 2, seed=4).square() + 0.1,
    ]
    leaves = [tensor.requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(lambda *inputs: numba_step(list(inputs), 2), leaves)


def test_tokens_of_weight_zero_have_no_part():
    inputs = [drawn(2, 14, seed=0), drawn(2, 6, 3, seed=1), torch.ones(2, 6).double(), drawn(2, 1, 3, seed=3)]
    inputs = [tensor.requires_grad_() for tensor in (*inputs, torch.ones(2, 1).double())]
    arriving = drawn(2, 14, seed=5)
    results = []
    for shown in (4, 6):
        leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
        leaves[2].data[:, 4:] = 0
        image = numba_step([leaves[0], leaves[1][:, :shown], leaves[2][:, :shown], *leaves[3:]], 2)
        gradients = torch.autograd.grad(image, leaves, arriving)
        results.append([image, *(gradients[i] for i in (0, 1, 3, 4))])
    for fewer, more in zip(*results, strict=True):
        torch.testing.assert_close(fewer, more)


def test_the_state_is_left_as_it_was():
    state = drawn(2, 14, seed=0)
    before = state.clone()
    others = [
        drawn(2, 5, 3, seed=1),
        torch.ones(2, 5).double(),
        drawn(2, 1, 3, seed=3),
        torch.ones(2, 1).double(),
    ]
    numba_step([state, *others], 2)
    assert torch.equal(state, before)


def test_rows_that_are_not_finite_stay_to_themselves():
    data = drawn(2, 5, 3, seed=0)
    data[0, 2, 1] = torch.nan
    ones = torch.ones(2, 5).double()
    inputs = [drawn(2, 14, seed=1), data, ones, torch.zeros(2, 1, 3).double(), ones[:, :1]]
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    following = numba_step(leaves, 2)
    assert following[0].isnan().any()
    assert following[1].isfinite().all()
    gradients = torch.autograd.grad(following, leaves, torch.ones(2, 14).double())
    assert all(gradient[1].isfinite().all() for gradient in gradients)
