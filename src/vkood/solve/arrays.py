"""What the loop and the solvers do to states: on tensors, and on NumPy arrays, whose calls cost a third as much.

Where no graph is needed and a state is small, the calls are what a step costs. Legend: B rows, n numbers of state.
"""

# What NumPy returns of arrays of any type, and torch of some methods, is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

HostArray = NDArray[Any]
"""What is one number per row, and whole states where they are solved on the host."""

Array = TypeVar("Array", Tensor, HostArray)
"""Tensors, or NumPy arrays: a solve uses one of the two throughout."""


def row_norms(states: Array) -> Array:
    """The Euclidean norm of every row, (B, n) to (B,)."""
    if isinstance(states, Tensor):
        return torch.linalg.vector_norm(states, dim=1)
    return np.sqrt(np.einsum("bn,bn->b", states, states))


def where(mask: Array, first: Array, second: Array) -> Array:
    """`first` where the mask holds, else `second`; all of shapes that broadcast."""
    of_kind: Any = torch.where if isinstance(mask, Tensor) else np.where
    return of_kind(mask, first, second)


def minimum(first: Array, second: Array) -> Array:
    """The smaller of two, element by element."""
    of_kind: Any = torch.minimum if isinstance(first, Tensor) else np.minimum
    return of_kind(first, second)


def at_least(values: Array, least: float) -> Array:
    """`values`, none smaller than `least`; NaN stays."""
    return values.clamp_min(least) if isinstance(values, Tensor) else np.maximum(values, least)


def full_rows(states: Array, value: float) -> Array:
    """One `value` for each row of `states`, of their kind, (B,)."""
    if isinstance(states, Tensor):
        return states.new_full((len(states),), value)
    return np.full(len(states), value, states.dtype)


def smallest_normal(states: Tensor | HostArray) -> float:
    """The smallest positive number of full precision of the states' type."""
    if isinstance(states, Tensor):
        return torch.finfo(states.dtype).tiny
    return float(np.finfo(states.dtype).tiny)


def select(values: Array, rows: HostArray) -> Array:
    """The given rows, by their numbers."""
    if isinstance(values, Tensor):
        return values[torch.from_numpy(rows).to(values.device)]
    return values.take(rows, axis=0)  # copies whole rows, which indexing does not


def joined(parts: Sequence[Array]) -> Array:
    """All rows of the parts, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    of_kind: Any = torch.cat if isinstance(parts[0], Tensor) else np.concatenate
    return of_kind(list(parts))


def without_graph(values: Array) -> Array:
    """The values as constants."""
    return values.detach() if isinstance(values, Tensor) else values


def on_host(values: Tensor | HostArray) -> HostArray:
    """The values for bookkeeping, without a graph."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values


@overload
def matching(values: HostArray, like: Tensor) -> Tensor: ...
@overload
def matching(values: HostArray, like: HostArray) -> HostArray: ...
def matching(values: HostArray, like: Tensor | HostArray) -> Tensor | HostArray:
    """Values of the bookkeeping, as the kind that `like` is, and where it is."""
    return torch.from_numpy(values).to(like.device) if isinstance(like, Tensor) else values
