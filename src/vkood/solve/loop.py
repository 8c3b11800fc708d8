"""The one loop that every solver runs in: per-row convergence, the best iterate, and what became of each row.

Legend: B rows, n numbers of state in a row.
"""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vkood.solve.solution import Status
from vkood.solve.solvers import Memory, Solver

FlatMap = Callable[..., Tensor]
"""(rows, n) state and the operands of the same rows -> (rows, n) state."""

HostArray = np.ndarray[Any, np.dtype[Any]]
"""What is one number per row."""

# Numbers in the operands of all rows under which a step costs its calls, whatever the number of rows.
_SMALL = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a loop, for every row it was started with."""

    best: Tensor  # (B, n) the iterate with the smallest residual
    residual: Tensor  # (B,) its residual; infinite if there was none
    status: Tensor  # (B,)
    steps: Tensor  # (B,)
    trace: Tensor  # (B, steps of the slowest row)


Loop = Callable[[Tensor, tuple[Tensor, ...], Solver], Outcome]
"""States (B, n), operands and a solver -> what `iterate` would make of them."""


@dataclass(slots=True, kw_only=True)
class _Rows:
    """The rows that are still being evaluated, some of which may have stopped already.

    What is one number per row lives in NumPy on the host: one transfer per step, no launches for bookkeeping.
    """

    index: HostArray  # (R,) their numbers in the whole batch
    iterate: Tensor  # (R, n)
    operands: tuple[Tensor, ...]
    memory: Memory
    best: Tensor  # (R, n) anything for rows that have stopped
    residual: HostArray  # (R,) of the best iterate; infinite for rows that have stopped
    running: HostArray  # (R,)

    def take(self, kept: HostArray) -> _Rows:
        chosen = _there(kept, self.iterate)
        return _Rows(
            index=self.index[kept],
            iterate=self.iterate[chosen],
            operands=tuple(operand[chosen] for operand in self.operands),
            memory=self.memory.take(chosen),
            best=self.best[chosen],
            residual=self.residual[kept],
            running=self.running[kept],
        )

    def note(self, residual: HostArray) -> None:
        """Store the iterates that are the best of their rows so far."""
        better = residual < self.residual
        if better.all():  # the usual case, and it needs no copy
            self.best, self.residual = self.iterate, residual
        elif better.any():
            self.best = torch.where(_there(better, self.best)[:, None], self.iterate, self.best)
            self.residual = np.where(better, residual, self.residual)

    def stopping(self, residual: HostArray, tolerance: float) -> HostArray:
        """Which of the running rows stop at an iterate with this residual."""
        failed = ~(residual < np.inf)
        if self.memory.recoverable is not None and failed.any():
            failed &= ~_on_host(self.memory.recoverable)
        return self.running & ((residual <= tolerance) | failed)


@dataclass(slots=True, kw_only=True)
class _Stopped:
    """The results of the rows that have stopped, in the order in which they did."""

    index: list[HostArray] = field(default_factory=list[HostArray])
    best: list[Tensor] = field(default_factory=list[Tensor])
    residual: list[HostArray] = field(default_factory=list[HostArray])
    steps: list[HostArray] = field(default_factory=list[HostArray])

    def add(self, rows: _Rows, chosen: HostArray, step: int) -> None:
        whole = len(chosen) == len(rows.index)
        self.index.append(rows.index[chosen])
        self.best.append(rows.best if whole else rows.best[_there(chosen, rows.best)])
        self.residual.append(rows.residual[chosen])
        self.steps.append(np.full(len(chosen), step))

    def outcome(self, tolerance: float, trace: list[tuple[HostArray, HostArray]], in_time: int) -> Outcome:
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
        best = torch.cat(self.best)
        return Outcome(
            best=best[_there(order, best)],
            residual=_there(residual[order], best),
            status=_there(status[order], best),
            steps=_there(steps[order], best),
            trace=_there(traced, best),
        )


def iterate(map: FlatMap, start: Tensor, operands: tuple[Tensor, ...], solver: Solver) -> Outcome:
    """Run `solver` on `map` from `start` (B, n) until every row has stopped.

    Rows that have stopped are left out of later evaluations once they are a third of those still evaluated, and
    all of them large: only then does copying the others pay. This needs everything that the map takes per row to
    be in `operands`; without operands the map is always called on all rows.
    """
    worth_copying = len(start) * sum(math.prod(operand.shape[1:]) for operand in operands) > _SMALL
    numbers = np.arange(len(start))
    rows = _Rows(
        index=numbers,
        iterate=start,
        operands=operands,
        memory=solver.init(start),
        best=start,
        residual=np.full(len(start), np.inf, _on_host(start[:, :0].sum(1)).dtype),
        running=np.ones(len(start), bool),
    )
    stopped, left, step = _Stopped(), len(start), 0
    trace: list[tuple[HostArray, HostArray]] = []
    for step in range(1, solver.max_steps + 1):
        image = map(rows.iterate, *rows.operands)
        measured = relative_residual(rows.iterate, image, solver.floor)
        residual = _on_host(measured)
        trace.append((rows.index, residual))
        rows.note(residual)
        stopping = rows.stopping(residual, solver.tolerance)
        if stopping.any():
            stopped.add(rows, stopping.nonzero()[0], step)
            rows.running = rows.running & ~stopping
            rows.residual = np.where(stopping, np.inf, rows.residual)
            left = int(rows.running.sum())
        if left == 0:
            break
        rows.iterate, rows.memory = solver.advance(rows.iterate, image, measured, rows.memory)
        if worth_copying and 3 * left <= 2 * len(rows.index):
            rows = rows.take(rows.running.nonzero()[0])
    in_time = len(stopped.index)
    stopped.add(rows, rows.running.nonzero()[0], step)
    return stopped.outcome(solver.tolerance, trace, in_time)


def relative_residual(iterate: Tensor, image: Tensor, floor: float) -> Tensor:
    """|F(z) - z| / (|F(z)| + floor) for every row, (B,)."""
    image = image.detach()
    moved = torch.linalg.vector_norm(image - iterate.detach(), dim=1)
    return moved / (torch.linalg.vector_norm(image, dim=1) + floor)


def _on_host(values: Tensor) -> HostArray:
    """The values for bookkeeping, without a graph."""
    return values.detach().cpu().numpy()


def _there(values: HostArray, like: Tensor) -> Tensor:
    """Values of the bookkeeping, where `like` is."""
    return torch.from_numpy(values).to(like.device)
