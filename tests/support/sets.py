"""Weighted sets of tokens for tests, tame and degenerate; mixtures and layers to go with them."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from vkood.gating import OutlierLayer
from vkood.mixture import Covariance, Diagonal, Full, Isotropic, Mixture, Prior, Spherical, Tied

FAMILIES: list[Covariance] = [Diagonal(), Isotropic(), Tied(), Full()]
NEEDS_NUMBA = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="the extra `fast` is not installed"
)
NEEDS_TRITON = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="the extra `gpu` is not installed"
)
each_backend = pytest.mark.parametrize("backend", ["torch", pytest.param("numba", marks=NEEDS_NUMBA)])
"""Every back end, forced."""
each_member = pytest.mark.parametrize(
    ("covariance", "backend"),
    [
        *(pytest.param(family, "torch", id=f"{type(family).__name__} torch") for family in FAMILIES),
        pytest.param(Diagonal(), "numba", marks=NEEDS_NUMBA, id="Diagonal numba"),
    ],
)
"""Every family with each of its back ends, forced."""


def name(value: object) -> str:
    """Of a family or an option, for the ids of tests."""
    return type(value).__name__


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random numbers that are always the same."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def clusters(sets: int = 3, each: int = 15, dim: int = 2, apart: float = 3.0, seed: int = 0) -> Tensor:
    """Sets of two groups of tokens, (sets, 2 * each, dim), with groups of different widths."""
    centres = torch.cat([torch.full((1, 1, dim), -apart / 2), torch.full((1, 1, dim), apart / 2)], 1).double()
    widths = torch.tensor([0.5, 1.0], dtype=torch.float64)
    tokens = normal(sets, 2, each, dim, seed=seed) * widths[:, None, None] + centres[:, :, None]
    return tokens.flatten(1, 2)


def random_mixture(
    covariance: Covariance, sets: int = 2, components: int = 3, dim: int = 3, seed: int = 0
) -> Mixture:
    """A mixture with nothing special about it, in the coordinates of its family."""
    shapes = {
        Diagonal: (sets, components, dim),
        Isotropic: (sets, components),
        Tied: (sets, dim, dim),
        Full: (sets, components, dim, dim),
    }
    scale = 0.4 * normal(*shapes[type(covariance)], seed=seed)
    return Mixture(
        log_weight=torch.log_softmax(normal(sets, components, seed=seed + 1), -1),
        mean=normal(sets, components, dim, seed=seed + 2),
        log_scale=scale.tril() if isinstance(covariance, (Tied, Full)) else scale,
    )


def permuted(mixture: Mixture, order: list[int], covariance: Covariance) -> Mixture:
    """The same mixture with its components in another order."""
    return Mixture(
        log_weight=mixture.log_weight[:, order],
        mean=mixture.mean[:, order],
        log_scale=mixture.log_scale if isinstance(covariance, Tied) else mixture.log_scale[:, order],
    )


def numbers(mixture: Mixture) -> list[Tensor]:
    """Its tensors."""
    return [mixture.log_weight, mixture.mean, mixture.log_scale]


PRIOR = Prior(
    mean=torch.tensor([0.3, -0.2], dtype=torch.float64),
    mean_strength=0.5,
    variance=0.7,
    variance_strength=2.0,
)
"""A prior of which no number is a default."""


@st.composite
def weighted_sets(draw) -> tuple[Tensor, Tensor]:
    """Tokens (1, M, 2) and weights (1, M): few or none, many duplicates, weights of 0 among them."""
    count = draw(st.integers(0, 7))
    values = st.one_of(st.integers(-3, 3).map(float), st.floats(-5, 5))
    tokens = draw(st.lists(st.tuples(values, values), min_size=count, max_size=count))
    weights = draw(st.lists(st.sampled_from([0.0, 1e-6, 0.3, 1.0, 40.0]), min_size=count, max_size=count))
    return (
        torch.tensor(tokens, dtype=torch.float64).reshape(1, count, 2),
        torch.tensor(weights, dtype=torch.float64).reshape(1, count),
    )


each_layer = pytest.mark.parametrize(
    ("covariance", "backend"),
    [*each_member.args[1], pytest.param(Spherical(kappa=4.0), "torch", id="Spherical torch")],
)
"""The same with von Mises-Fisher components."""


def layer_of(**options) -> OutlierLayer:
    """A small layer with always the same weights: candidates are 6 wide, context 5, the joint space 4.

    It fits two Gaussians unless the options say otherwise.
    """
    torch.manual_seed(1)
    return OutlierLayer(6, 5, 4, **({"family": Diagonal(), "num_components": 2} | options))


def batch(candidates: int = 4, tokens: int = 9, rows: int = 3) -> tuple[Tensor, Tensor]:
    """Candidates and context for it."""
    return normal(rows, candidates, 6, seed=1).float(), normal(rows, tokens, 5, seed=2).float()
