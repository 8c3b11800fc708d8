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
    found: Outcome  # of these rows; its trace stays empty

    def take(self, kept: Tensor) -> _Rows:
        found = self.found
        return _Rows(
            index=kept if self.index is None else self.index[kept],
            iterate=self.iterate[kept],
            operands=tuple(operand[kept] for operand in self.operands),
            memory=self.memory.take(kept),
            found=Outcome(
                best=found.best[kept],
                residual=found.residual[kept],
                status=found.status[kept],
                steps=found.steps[kept],
                trace=found.trace,
            ),
        )


def iterate(map: FlatMap, start: Tensor, operands: tuple[Tensor, ...], solver: Solver) -> Outcome:
    """Run `solver` on `map` from `start` (B, n) until every row has stopped.

    Rows that have stopped are left out of later evaluations once they are half of those still evaluated: only then
    does copying the others pay. This needs everything that the map takes per row to be in `operands`; without
    operands the map is always called on all rows.
    """
    rows = _Rows(
        index=None, iterate=start, operands=operands, memory=solver.init(start), found=_nothing_found(start)
    )
    whole = rows.found
    trace = start.new_full((solver.max_steps, len(start)), torch.nan)
    step = 0
    for step in range(1, solver.max_steps + 1):  # noqa: B007 (used after the loop)
        image = map(rows.iterate, *rows.operands)
        residual = relative_residual(rows.iterate, image, solver.floor)
        trace[step - 1, slice(None) if rows.index is None else rows.index] = residual.detach()
        running = rows.found.status == _RUNNING
        rows.found = _record(rows.found, rows.iterate, residual, running, step, solver.tolerance, rows.memory)
        left = int((rows.found.status == _RUNNING).sum())
        if left == 0:
            break
        rows.iterate, rows.memory = solver.advance(rows.iterate, image, residual, rows.memory)
        if operands and 2 * left <= len(rows.iterate):
            whole = _written_back(whole, rows)
            rows = rows.take((rows.found.status == _RUNNING).nonzero()[:, 0])
    whole = _written_back(whole, rows)
    stopped = whole.status.masked_fill(whole.status == _RUNNING, Status.OUT_OF_STEPS)
    steps = whole.steps.masked_fill(whole.status == _RUNNING, step)
    later = torch.arange(step, device=start.device) >= steps[:, None]
    return replace(whole, status=stopped, steps=steps, trace=trace[:step].mT.masked_fill(later, torch.nan))


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


def _record(
    found: Outcome,
    iterate: Tensor,
    residual: Tensor,
    running: Tensor,
    step: int,
    tolerance: float,
    memory: Memory,
) -> Outcome:
    """Note the best iterates, and which of the running rows stop here."""
    better = running & (residual < found.residual)
    converged = running & (residual <= tolerance)
    failed = running & ~torch.isfinite(residual)
    if memory.recoverable is not None:
        failed = failed & ~memory.recoverable
    status = found.status.masked_fill(converged, Status.CONVERGED).masked_fill(failed, Status.NOT_FINITE)
    return Outcome(
        best=torch.where(better[:, None], iterate, found.best),
        residual=torch.where(better, residual, found.residual),
        status=status,
        steps=found.steps.masked_fill(converged | failed, step),
        trace=found.trace,
    )


def _written_back(whole: Outcome, rows: _Rows) -> Outcome:
    """The findings about the whole batch after those about some of its rows."""
    if rows.index is None:
        return rows.found
    return Outcome(
        best=whole.best.index_copy(0, rows.index, rows.found.best),
        residual=whole.residual.index_copy(0, rows.index, rows.found.residual),
        status=whole.status.index_copy(0, rows.index, rows.found.status),
        steps=whole.steps.index_copy(0, rows.index, rows.found.steps),
        trace=whole.trace,
    )
