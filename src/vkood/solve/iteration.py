"""The one loop that every solver runs in: per-row convergence, the best iterate, and what became of each row.

Legend: B rows, n numbers of state in a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vkood.solve.solution import Status
from vkood.solve.solvers import Memory, Solver

_RUNNING = -1

FlatMap = Callable[..., Tensor]
"""(rows, n) state and the operands of the same rows -> (rows, n) state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a loop found, for every row it was started with."""

    best: Tensor  # (B, n) the iterate with the smallest residual
    residual: Tensor  # (B,) its residual
    status: Tensor  # (B,)
    steps: Tensor  # (B,)
    trace: Tensor  # (B, steps of the slowest row)


@dataclass(slots=True, kw_only=True)
class _Rows:
    """The rows that are still being evaluated, some of which may have stopped already."""

    index: Tensor | None  # (R,) their numbers in the whole batch; None while it is whole
    iterate: Tensor  # (R, n)
    operands: tuple[Tensor, ...]
    memory: Memory
    best: Tensor  # (R, n) anything for rows that have stopped
    residual: Tensor  # (R,) of the best iterate; infinite for rows that have stopped
    running: Tensor  # (R,)

    def take(self, kept: Tensor) -> _Rows:
        return _Rows(
            index=kept if self.index is None else self.index[kept],
            iterate=self.iterate[kept],
            operands=tuple(operand[kept] for operand in self.operands),
            memory=self.memory.take(kept),
            best=self.best[kept],
            residual=self.residual[kept],
            running=self.running[kept],
        )

    def note(self, residual: Tensor) -> None:
        """Remember the iterates that are the best of their rows so far."""
        better = residual < self.residual
        if bool(better.all()):  # the usual case, and it needs no copy
            self.best, self.residual = self.iterate, residual
        else:
            self.best = torch.where(better[:, None], self.iterate, self.best)
            self.residual = torch.where(better, residual, self.residual)


def iterate(map: FlatMap, start: Tensor, operands: tuple[Tensor, ...], solver: Solver) -> Outcome:
    """Run `solver` on `map` from `start` (B, n) until every row has stopped.

    Rows that have stopped are left out of later evaluations once they are half of those still evaluated: only then
    does copying the others pay. This needs everything that the map takes per row to be in `operands`; without
    operands the map is always called on all rows.

    A step that stops no row, as most do, costs a dozen small operations besides the map: on small batches their
    number decides the speed.
    """
    found = _nothing_found(start)
    rows = _Rows(
        index=None,
        iterate=start,
        operands=operands,
        memory=solver.init(start),
        best=start,
        residual=found.residual,
        running=found.status == _RUNNING,
    )
    left, step = len(start), 0
    trace = start.new_full((solver.max_steps, len(start)), torch.nan)
    for step in range(1, solver.max_steps + 1):  # noqa: B007 (used after the loop)
        image = map(rows.iterate, *rows.operands)
        residual = relative_residual(rows.iterate, image, solver.floor)
        trace[step - 1, slice(None) if rows.index is None else rows.index] = residual
        rows.note(residual)
        goes_on = (residual > solver.tolerance) & (residual < torch.inf)
        if rows.memory.recoverable is not None:
            goes_on = goes_on | (rows.memory.recoverable & ~(residual <= solver.tolerance))
        stopping = rows.running & ~goes_on
        if bool(stopping.any()):
            status = torch.where(residual <= solver.tolerance, int(Status.CONVERGED), int(Status.NOT_FINITE))
            found = _written(found, rows, stopping, status, step)
            rows.running = rows.running & goes_on
            rows.residual = rows.residual.masked_fill(stopping, torch.inf)
            left = int(rows.running.sum())
        if left == 0:
            break
        rows.iterate, rows.memory = solver.advance(rows.iterate, image, residual, rows.memory)
        if operands and 2 * left <= len(rows.iterate):
            rows = rows.take(rows.running.nonzero()[:, 0])
    if left:
        status = torch.full_like(rows.running, int(Status.OUT_OF_STEPS), dtype=torch.long)
        found = _written(found, rows, rows.running, status, step)
    later = torch.arange(step, device=start.device) >= found.steps[:, None]
    return replace(found, trace=trace[:step].mT.masked_fill(later, torch.nan))


def relative_residual(iterate: Tensor, image: Tensor, floor: float) -> Tensor:
    """|F(z) - z| / (|F(z)| + floor) for every row, (B,)."""
    difference = torch.linalg.vector_norm((image - iterate).detach(), dim=1)
    return difference / (torch.linalg.vector_norm(image.detach(), dim=1) + floor)


def _nothing_found(start: Tensor) -> Outcome:
    rows = len(start)
    return Outcome(
        best=start,
        residual=start.new_full((rows,), torch.inf),
        status=torch.full((rows,), _RUNNING, device=start.device),
        steps=torch.zeros(rows, dtype=torch.long, device=start.device),
        trace=start.new_empty((0, rows)),
    )


def _written(found: Outcome, rows: _Rows, chosen: Tensor, status: Tensor, step: int) -> Outcome:
    """The findings with those about the chosen ones (R,) of `rows` put in, with their status (R,)."""
    chosen = chosen.nonzero()[:, 0]
    index = chosen if rows.index is None else rows.index[chosen]
    return Outcome(
        best=found.best.index_copy(0, index, rows.best[chosen]),
        residual=found.residual.index_copy(0, index, rows.residual[chosen]),
        status=found.status.index_copy(0, index, status[chosen]),
        steps=found.steps.index_fill(0, index, step),
        trace=found.trace,
    )
