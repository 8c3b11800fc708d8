"""Anderson acceleration, every row by itself.

Legend: B rows, n numbers of state in a row, m history.
"""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from typing_extensions import override

from vkood.fields import Real, Whole, ruled
from vkood.solve.solvers.base import Memory, Solver

# Iterates beyond which Anderson's small systems are no longer small.
_MAX_HISTORY = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _AndersonMemory(Memory):
    images: Tensor  # (B, m, n)
    differences: Tensor  # (B, m, n) F(z) - z, each of length 1
    sizes: Tensor  # (B, m) their lengths; infinite where the slot is empty
    slot: int
    previous: Tensor  # (B, n) the last plain image, to return to
    best: Tensor  # (B,) smallest residual since the row last restarted
    stale: Tensor  # (B,) steps since then that did not lower it
    rest: Tensor  # (B,) plain steps that the row has yet to take before it is accelerated again
    pause: Tensor  # (B,) how many it will take after its next restart


@dataclass(frozen=True, slots=True, kw_only=True)
class Anderson(Solver):
    """Anderson acceleration: the combination of the last images whose residuals cancel best.

    The small least-squares system of every row is scaled to unit diagonal, regularised and solved in float64,
    so a singular one is harmless. A row restarts when its residual grows (from its last plain image) or has
    not fallen for 2 * history steps: it forgets, and takes plain steps, twice as many each time, before it is
    accelerated again. So it gets at last wherever plain iteration gets, past saddles as well, which attract
    Anderson's combinations.

    Attributes:
        history: Number of iterates that are combined, at least 1 (1 is Picard).
        regularization: Ridge on the scaled system.
        growth: A row restarts when its residual exceeds this multiple of its smallest one since the last
            restart.
    """

    history: int = ruled(5, Whole(1, _MAX_HISTORY))
    regularization: float = ruled(1e-8, Real(0, above=True))
    growth: float = ruled(4.0, Real(1, above=True))

    @override
    def init(self, start: Tensor) -> _AndersonMemory:
        rows, n = start.shape
        empty = start.new_zeros((rows, self.history, n))
        return _AndersonMemory(
            images=empty,
            differences=empty,
            sizes=start.new_full((rows, self.history), torch.inf),
            slot=0,
            previous=start,
            best=start.new_full((rows,), torch.inf),
            stale=start.new_zeros((rows,), dtype=torch.long),
            rest=start.new_zeros((rows,), dtype=torch.long),
            pause=start.new_ones((rows,), dtype=torch.long),
            recoverable=torch.zeros(rows, dtype=torch.bool, device=start.device),
        )

    @override
    def advance(
        self, iterate: Tensor, image: Tensor, residual: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        assert isinstance(memory, _AndersonMemory)
        assert isinstance(memory.recoverable, Tensor)
        resting = memory.rest > 0
        stale = (memory.stale + 1).masked_fill(resting | (residual < memory.best), 0)
        failed = memory.recoverable & ~(residual <= self.growth * memory.best)  # true for NaN
        restart = failed | (stale >= 2 * self.history)
        difference = image - iterate
        size = torch.linalg.vector_norm(difference, dim=1).clamp_min(torch.finfo(difference.dtype).tiny)
        unit = difference / size[:, None]

        slot = torch.arange(self.history, device=image.device) == memory.slot
        here = slot[:, None]
        memory = replace(
            memory,
            images=torch.where(here, image[:, None], memory.images),
            differences=torch.where(here, unit[:, None], memory.differences),
            sizes=torch.where(slot, size[:, None], memory.sizes),
            slot=(memory.slot + 1) % self.history,
            best=torch.where(resting, residual, torch.minimum(memory.best, residual)),
            stale=stale,
            rest=memory.rest - 1,
        )
        plain = image
        if bool(restart.any()):
            plain = torch.where(failed[:, None], memory.previous, image)
            memory = self._restarted(memory, restart)
        mixed = torch.bmm(self._weights(memory.differences, memory.sizes)[:, None], memory.images)[:, 0]
        usable = torch.isfinite(mixed.detach()).all(1) & (memory.rest <= 0)
        return torch.where(usable[:, None], mixed, plain), replace(memory, previous=plain, recoverable=usable)

    def _restarted(self, memory: _AndersonMemory, rows: Tensor) -> _AndersonMemory:
        """Clear the history of the given rows, and pause them for twice as long as the last time."""
        return replace(
            memory,
            images=memory.images.masked_fill(rows[:, None, None], 0.0),
            differences=memory.differences.masked_fill(rows[:, None, None], 0.0),
            sizes=memory.sizes.masked_fill(rows[:, None], torch.inf),
            best=memory.best.masked_fill(rows, torch.inf),
            stale=memory.stale.masked_fill(rows, 0),
            rest=torch.where(rows, memory.pause, memory.rest),
            pause=torch.where(rows, 2 * memory.pause, memory.pause),
        )

    def _weights(self, differences: Tensor, sizes: Tensor) -> Tensor:
        """Weights (B, m) that sum to 1 and make the combined residual smallest; 0 for empty slots.

        Where all slots are empty they mean nothing, but are finite, or `Unrolled` would meet 0 * NaN in its
        backward.
        """
        empty = sizes == torch.inf
        smallest = sizes.detach().amin(1, keepdim=True)
        inverse = torch.where(empty.all(1, keepdim=True), 1.0, smallest / sizes)  # (B, m); 0 where empty
        gram = torch.bmm(differences, differences.mT).double()
        gram.diagonal(dim1=1, dim2=2).add_(self.regularization + empty)
        factor, _ = torch.linalg.cholesky_ex(gram)
        solved = torch.cholesky_solve(inverse[..., None].double(), factor)[..., 0] * inverse
        return (solved / solved.sum(1, keepdim=True)).to(sizes.dtype)
