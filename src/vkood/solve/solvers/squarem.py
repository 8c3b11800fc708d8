"""Squared extrapolation (SQUAREM), every row by itself."""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from vkood.fields import Real, ruled
from vkood.solve.solvers.base import Memory, Solver


@dataclass(frozen=True, slots=True, kw_only=True)
class _SquaremMemory(Memory):
    phase: int  # how many plain evaluations this cycle has seen; all rows march together
    base: Tensor  # (B, n) the cycle's first iterate
    fallback: Tensor  # (B, n) the plain iterate to return to if the extrapolation is worse
    before: Tensor  # (B,) residual before the extrapolation
    longest: Tensor  # (B,) how far the row may extrapolate
    longer: Tensor  # (B,) how far it may once the last jump has paid off

    def following(
        self, phase: int, base: Tensor | None = None, longest: Tensor | None = None
    ) -> _SquaremMemory:
        """The memory of another phase, with no row extrapolated."""
        return _SquaremMemory(  # `dataclasses.replace` takes as long as an operation on the states
            phase=phase,
            base=self.base if base is None else base,
            fallback=self.fallback,
            before=self.before,
            longest=self.longest if longest is None else longest,
            longer=self.longer,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Squarem(Solver):
    """Squared extrapolation, scheme S3 of Varadhan and Roland (2008), made for EM.

    A cycle takes two plain steps r = F(z) - z, v = F(F(z)) - F(z) - r, jumps to z + 2ar + a^2 v with a = |r|
    / |v|, and takes one plain step from there. A row whose residual grew in the jump returns to F(F(z)).

    Attributes:
        longest: Largest length a of a row's first jump; it is doubled twice whenever it was reached and paid
            off, and halved twice whenever the jump was refused.
        growth: A jump is refused when it makes the residual larger than this multiple of the one before.
    """

    longest: float = ruled(8.0, Real(1))
    growth: float = ruled(10.0, Real(0, above=True))

    @override
    def init(self, start: Tensor) -> _SquaremMemory:
        longest = start.new_full((len(start),), self.longest)
        return _SquaremMemory(
            phase=0,
            base=start,
            fallback=start,
            before=torch.zeros_like(longest),
            longest=longest,
            longer=longest,
        )

    @override
    def advance(
        self, iterate: Tensor, image: Tensor, residual: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        assert isinstance(memory, _SquaremMemory)
        if memory.phase == 0:
            return image, memory.following(phase=1, base=iterate)
        if memory.phase == 1:
            return self._jump(iterate, image, residual, memory)
        accepted = residual <= self.growth * memory.before  # false for NaN
        if bool(accepted.all()):  # spares the usual case the copies
            return image, memory.following(phase=0, longest=memory.longer)
        following = torch.where(accepted[:, None], image, memory.fallback)
        longest = torch.where(accepted, memory.longer, (memory.longest / 4).clamp_min(1.0))
        return following, memory.following(phase=0, longest=longest)

    def _jump(
        self, iterate: Tensor, image: Tensor, residual: Tensor, memory: _SquaremMemory
    ) -> tuple[Tensor, _SquaremMemory]:
        first = iterate - memory.base
        bend = image - iterate - first
        with torch.no_grad():
            bent = torch.linalg.vector_norm(bend, dim=1).clamp_min(torch.finfo(bend.dtype).tiny)
            length = torch.linalg.vector_norm(first, dim=1) / bent
            along = torch.minimum(length.clamp_min(1.0), memory.longest)[:, None]
        # should this overflow, then the residual there will have it refused
        target = memory.base + along * (2 * first + along * bend)
        return target, _SquaremMemory(
            phase=2,
            recoverable=residual == residual,  # all but NaN, with which no row goes on
            base=memory.base,
            fallback=image,
            before=residual,
            longest=memory.longest,
            longer=torch.where(length >= memory.longest, 4 * memory.longest, memory.longest),
        )
