"""Plain iteration."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from typing_extensions import override

from vkood.fields import Real, ruled
from vkood.solve.solvers.base import Memory, Solver


@dataclass(frozen=True, slots=True, kw_only=True)
class Picard(Solver):
    """Plain iteration z <- (1 - damping) F(z) + damping z.

    Attributes:
        damping: Share of the old iterate that is kept, in [0, 1). Positive values calm maps that oscillate.
    """

    damping: float = ruled(0.0, Real(0, 1, below=True))

    @override
    def init(self, start: Tensor) -> Memory:
        return Memory()

    @override
    def advance(
        self, iterate: Tensor, image: Tensor, residual: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        return (image + self.damping * (iterate - image) if self.damping else image), memory
