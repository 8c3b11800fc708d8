"""What every solver is: a frozen record of options with two hooks, `init` and `advance`.

A solver sees each iterate and its image as (rows, n) matrices, and says where to evaluate next. All state of a row sits
in that row of the `Memory`, so that `vkood.solve.loop` can drop rows that have stopped without affecting the others.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, fields, replace
from typing import Any

from jaxtyping import Bool
from torch import Tensor

from vkood.fields import Real, Whole, require_rules, ruled


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The state that a solver keeps between two evaluations; every array has the rows as its first axis."""

    recoverable: Bool[Tensor, " rows"] | None = None
    """Rows whose iterate was extrapolated: should the map fail there, they go back to a plain one."""

    def take(self, rows: Tensor) -> Memory:
        """Keep only the given rows."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        tensors: dict[str, Any] = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **{name: value[rows] for name, value in tensors.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Solver(abc.ABC):
    """Options that every solver has.

    Attributes:
        tolerance: A row has converged when `|F(z) - z| <= tolerance * (|F(z)| + floor)`.
        max_steps: Max number of evaluations of the map for each row.
        floor: Size below which a row's norm counts as zero, so that a fixed point at the origin can be
            reached.
    """

    tolerance: float = ruled(1e-5, Real(0))
    max_steps: int = ruled(100, Whole())
    floor: float = ruled(1e-6, Real(0, above=True))

    def __post_init__(self) -> None:
        """Check the options."""
        require_rules(self)

    @abc.abstractmethod
    def init(self, start: Tensor) -> Memory:
        """The memory before the first evaluation, at the states `start` (rows, n)."""

    @abc.abstractmethod
    def advance(
        self, iterate: Tensor, image: Tensor, residual: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """Where to evaluate the map next, given iterates, images (rows, n) and relative residuals (rows,)."""
