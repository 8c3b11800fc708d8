"""The processes of a job: the rank of this one, and values gathered from all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar("T")


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if _several() else 0


def world_size() -> int:
    """The number of processes."""
    return dist.get_world_size() if _several() else 1


def gathered(value: T) -> list[T]:
    """The value of each process, in the order of their numbers; every process gets all of them."""
    if not _several():
        return [value]
    values: list[T] = [value] * world_size()
    dist.all_gather_object(values, value)
    return values


def merged(own: T) -> T:
    """An accumulator with what those of all processes have counted."""
    total: Any
    total, *others = gathered(own)
    for other in others:
        total.merge(other)
    return total


def own_share(items: Sequence[T]) -> list[T]:
    """Every n-th item of n processes, beginning with the process's number."""
    return list(items[rank() :: world_size()])


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()
