"""The result of a solve: the value, and the status of every row."""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from jaxtyping import Bool, Float, Int
from torch import Tensor
from typing_extensions import override

Value = TypeVar("Value", Tensor, tuple[Tensor, ...])


class Status(enum.IntEnum):
    """Why a row stopped."""

    CONVERGED = 0
    """The residual fell to the tolerance."""
    OUT_OF_STEPS = 1
    """The budget ran out; the value is the best iterate. Try more steps, a higher tolerance or damping."""
    NOT_FINITE = 2
    """The map gave NaN or infinity; the value is the best iterate before that. Look at this row's input."""


_WORDS = {
    Status.CONVERGED: "converged",
    Status.OUT_OF_STEPS: "ran out of steps",
    Status.NOT_FINITE: "met NaN or infinity",
}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Solution(Generic[Value]):
    """A fixed point of a batched map, one row for each element of the batch.

    The value of every row is its best iterate: the one with the smallest residual. For a converged row that
    is the iterate that met the tolerance.

    Attributes:
        value: The fixed point, with the structure of the start: a tensor or a tuple of tensors (batch, ...).
            Carries gradients as the chosen gradient rule says.
        status: (batch,) of `Status` values.
        steps: (batch,) how many times the map was evaluated for the row.
        residual: (batch,) the relative residual of `value`, `|F(z) - z| / (|F(z)| + floor)`; infinite if the
            map never gave a finite result for the row.
        trace: (batch, steps of the slowest row) the residual at every step; NaN after a row has stopped.
        backend: What computed it: "torch", or for fits of mixtures also "numba" or "triton".
    """

    value: Value
    status: Int[Tensor, " batch"]
    steps: Int[Tensor, " batch"]
    residual: Float[Tensor, " batch"]
    trace: Float[Tensor, "batch steps"]
    backend: str = "torch"

    @override
    def __repr__(self) -> str:
        """Counts and shapes, on one line."""
        parts = self.value if isinstance(self.value, tuple) else (self.value,)
        shapes = ", ".join(str(tuple(part.shape)) for part in parts)
        rows = len(self.status)
        if self.status.is_meta or not rows:
            return f"Solution({rows} rows, value of {shapes})"
        status: list[int] = self.status.tolist()
        counts = [f"{status.count(kind)} {_WORDS[kind]}" for kind in Status if kind in status]
        steps = f"{int(self.steps.min())} to {int(self.steps.max())} steps"
        return f"Solution({rows} rows: {', '.join(counts)}; {steps}; value of {shapes})"

    @property
    def converged(self) -> Bool[Tensor, " batch"]:
        """Which rows met the tolerance."""
        return self.status == Status.CONVERGED

    def require_convergence(self) -> Solution[Value]:
        """Return this solution if every row converged.

        Raises:
            SolveError: Names the rows that did not converge and why; carries this solution.
        """
        if not bool(self.converged.all()):
            raise SolveError(self)
        return self


class SolveError(RuntimeError):
    """Some rows of a solve did not converge; `solution` has the best values reached."""

    def __init__(self, solution: Solution[Any]) -> None:
        self.solution = solution
        status: list[int] = solution.status.tolist()
        reasons = [
            f"{status.count(reason)} {_WORDS[reason]} (first: row {status.index(reason)})"
            for reason in (Status.OUT_OF_STEPS, Status.NOT_FINITE)
            if reason in status
        ]
        super().__init__(
            f"{len(status) - status.count(Status.CONVERGED)} of {len(status)} rows did not converge: "
            f"{', '.join(reasons)}. Allow more steps, loosen the tolerance, or look at those rows' inputs; "
            "`error.solution` holds the best iterates."
        )
