"""The one loop that every solver runs in: per-row convergence, the best iterate, and what became of each row.

Legend: B rows, n numbers of state in a row.
"""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vkood.solve.solution import Status
from vkood.solve.solvers import Memory, Solver

_Array = NDArray[Any]

FlatMap = Callable[..., Tensor]
"""(rows, n) state and the operands of the same rows -> (rows, n) state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a loop found, for every row it was started with."""

    best: Tensor  # (B, n) the iterate with the smallest residual
    residual: Tensor  # (B,) its residual; infinite if there was none
    status: Tensor  # (B,)
    steps: Tensor  # (B,)
    trace: Tensor  # (B, steps of the slowest row)


@dataclass(slots=True, kw_only=True)
class _Rows:
    """The rows that are still being evaluated, some of which may have stopped already.

    What is one number per row lives in NumPy on the host: one transfer per step, no launches for bookkeeping.
    """

    index: _Array  # (R,) their numbers in the whole batch
    iterate: Tensor  # (R, n)
    operands: tuple[Tensor, ...]
    memory: Memory
    best: Tensor  # (R, n) anything for rows that have stopped
    residual: _Array  # (R,) of the best iterate; infinite for rows that have stopped
    running: _Array  # (R,)

    def take(self, kept: _Array) -> _Rows:
        rows = _on_device(kept, self.iterate)
        return _Rows(
            index=self.index[kept],
            iterate=self.iterate.index_select(0, rows),
            operands=tuple(operand.index_select(0, rows) for operand in self.operands),
            memory=self.memory.take(rows),
            best=self.best.index_select(0, rows),
            residual=self.residual[kept],
            running=self.running[kept],
        )

    def note(self, residual: _Array) -> None:
        """Remember the iterates that are the best of their rows so far."""
        better = residual < self.residual
        if better.all():  # the usual case, and it needs no copy
            self.best, self.residual = self.iterate, residual
        elif better.any():
            self.best = torch.where(_on_device(better, self.best)[:, None], self.iterate, self.best)
            self.residual = np.where(better, residual, self.residual)

    def stopping(self, residual: _Array, tolerance: float) -> _Array:
        """Which of the running rows stop at an iterate with this residual."""
        failed = ~(residual < np.inf)
        if self.memory.recoverable is not None and failed.any():
            failed &= ~self.memory.recoverable.cpu().numpy()
        return self.running & ((residual <= tolerance) | failed)


@dataclass(slots=True, kw_only=True)
class _Found:
    """What is known of the rows that have stopped, in the order in which they did."""

    index: list[_Array] = field(default_factory=list[_Array])
    best: list[Tensor] = field(default_factory=list[Tensor])
    residual: list[_Array] = field(default_factory=list[_Array])
    steps: list[_Array] = field(default_factory=list[_Array])

    def add(self, rows: _Rows, chosen: _Array, step: int) -> None:
        whole = len(chosen) == len(rows.index)
        self.index.append(rows.index[chosen])
        self.best.append(rows.best if whole else rows.best.index_select(0, _on_device(chosen, rows.best)))
        self.residual.append(rows.residual[chosen])
        self.steps.append(np.full(len(chosen), step))

    def outcome(self, tolerance: float, trace: list[tuple[_Array, _Array]], in_time: int) -> Outcome:
        """All rows in their order; those after the first `in_time` of these lists ran out of steps."""
        index = np.concatenate(self.index)
        order = np.argsort(index)
        residual, steps = np.concatenate(self.residual), np.concatenate(self.steps)
        late = np.arange(len(index)) >= sum(len(part) for part in self.index[:in_time])
        failed = np.where(late, int(Status.OUT_OF_STEPS), int(Status.NOT_FINITE))
        status = np.where(residual <= tolerance, int(Status.CONVERGED), failed)
        traced = np.full((len(index), len(trace)), np.nan, residual.dtype)
        for step, (rows, values) in enumerate(trace):
            traced[rows, step] = values
        traced[np.arange(len(trace)) >= steps[order][:, None]] = np.nan
        best = self.best[0] if len(self.best) == 1 else torch.cat(self.best)
        return Outcome(
            best=best.index_select(0, _on_device(order, best)),
            residual=_on_device(residual[order], best),
            status=_on_device(status[order], best),
            steps=_on_device(steps[order], best),
            trace=_on_device(traced, best),
        )


def iterate(map: FlatMap, start: Tensor, operands: tuple[Tensor, ...], solver: Solver) -> Outcome:
    """Run `solver` on `map` from `start` (B, n) until every row has stopped.

    Rows that have stopped are left out of later evaluations once they are a third of those still evaluated:
    only then does copying the others pay. This needs everything that the map takes per row to be in
    `operands`; without operands the map is always called on all rows.
    """
    numbers = np.arange(len(start))
    rows = _Rows(
        index=numbers,
        iterate=start,
        operands=operands,
        memory=solver.init(start),
        best=start,
        residual=np.full(len(start), np.inf, _host(start[:, :0].sum(1)).dtype),
        running=np.ones(len(start), bool),
    )
    found, left, step = _Found(), len(start), 0
    trace: list[tuple[_Array, _Array]] = []
    for step in range(1, solver.max_steps + 1):
        image = map(rows.iterate, *rows.operands)
        measured = relative_residual(rows.iterate, image, solver.floor)
        residual = _host(measured)
        trace.append((rows.index, residual))
        rows.note(residual)
        stopping = rows.stopping(residual, solver.tolerance)
        if stopping.any():
            found.add(rows, stopping.nonzero()[0], step)
            rows.running = rows.running & ~stopping
            rows.residual = np.where(stopping, np.inf, rows.residual)
            left = int(rows.running.sum())
        if left == 0:
            break
        rows.iterate, rows.memory = solver.advance(rows.iterate, image, measured, rows.memory)
        if operands and 3 * left <= 2 * len(rows.index):
            rows = rows.take(rows.running.nonzero()[0])
    in_time = len(found.index)
    found.add(rows, rows.running.nonzero()[0], step)
    return found.outcome(solver.tolerance, trace, in_time)


def relative_residual(iterate: Tensor, image: Tensor, floor: float) -> Tensor:
    """|F(z) - z| / (|F(z)| + floor) for every row, (B,)."""
    difference = torch.linalg.vector_norm((image - iterate).detach(), dim=1)
    return difference / (torch.linalg.vector_norm(image.detach(), dim=1) + floor)


def _host(values: Tensor) -> _Array:
    return values.detach().cpu().numpy()


def _on_device(values: _Array, like: Tensor) -> Tensor:
    return torch.from_numpy(values).to(like.device)
