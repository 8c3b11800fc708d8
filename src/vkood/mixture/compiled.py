"""EM to its fixed point as one operator of compiled graphs.

How many steps it takes depends on the data, which a compiler cannot trace: to it the operator is closed, and the graph
goes on behind it. The one step through which gradients pass is traced like all else.

Legend: B sets, M tokens, K components, D dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vkood.mixture.covariance import Covariance
from vkood.mixture.fixed_point import Parameters, em_fixed_point, em_map
from vkood.mixture.params import Mixture, SetPrior
from vkood.solve import LastIterate, Solution, Solver, Status

# Operators take tensors, numbers and names: what else a solve needs is kept here, by a name that says it all.
_methods: dict[str, tuple[Covariance, Solver]] = {}


def compiled_fixed_point(
    tokens: Tensor, weights: Tensor, first: Mixture, covariance: Covariance, prior: SetPrior, solver: Solver
) -> Solution[Parameters]:
    """What `em_fixed_point` finds with `LastIterate` gradients, in a graph that is being compiled.

    Its trace has a column for every step that the solver may take.
    """
    method = _remember(covariance, solver)
    with torch.no_grad():
        *fixed, status, steps, residual, trace = _solve(
            method,
            solver.max_steps,
            [operand.detach() for operand in (tokens, weights, *prior)],
            [first.log_weight, first.mean, first.log_scale],
        )
    finite = status != int(Status.NOT_FINITE)  # of an enumeration the compiler would make a constant

    def safe(values: Tensor, instead: float = 0.0) -> Tensor:
        # Sets that failed have no part in the step: 0 * NaN is NaN in a backward.
        return torch.where(_along(finite, values), values, instead)

    images = em_map(covariance)(
        tuple(safe(point) for point in fixed),
        safe(tokens),
        safe(weights),
        safe(prior.mean),
        *(safe(part, 1.0) for part in prior[1:]),
    )
    value = tuple(
        torch.where(_along(finite, point), point + (image - image.detach()), point)
        for point, image in zip(fixed, images, strict=True)
    )
    return Solution(value=value, status=status, steps=steps, residual=residual, trace=trace)


@torch.library.custom_op(
    "vkood::em_fixed_point",
    mutates_args=(),
    # written out, since torch finds no annotations where a test's checks of shapes wrap the function
    schema="(str method, SymInt max_steps, Tensor[] operands, Tensor[] start) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _solve(method: str, max_steps: int, operands: list[Tensor], start: list[Tensor]) -> tuple[Tensor, ...]:
    """The parameters of the fixed point; status, steps, residual and trace (B, max_steps) of the solve."""
    if method not in _methods:
        raise RuntimeError(
            f"this graph was compiled in another process, for {method}; compile the model in this one."
        )
    covariance, solver = _methods[method]
    tokens, weights, *prior = operands
    first = Mixture(log_weight=start[0], mean=start[1], log_scale=start[2])
    with torch.no_grad():
        found = em_fixed_point(tokens, weights, first, covariance, SetPrior(*prior), solver, LastIterate())
    trace = torch.nn.functional.pad(found.trace, (0, max_steps - found.trace.shape[1]), value=torch.nan)
    # Clones, since what an operator returns may share no memory with what it was given.
    return *(part.clone() for part in found.value), found.status, found.steps, found.residual, trace


@_solve.register_fake  # pyright: ignore[reportUnknownMemberType] (untyped in torch)
def _(method: str, max_steps: int, operands: list[Tensor], start: list[Tensor]) -> tuple[Tensor, ...]:
    del method
    tokens, sets = operands[0], len(operands[0])
    return (
        *(torch.empty_like(part) for part in start),
        tokens.new_empty(sets, dtype=torch.int64),
        tokens.new_empty(sets, dtype=torch.int64),
        tokens.new_empty(sets),
        tokens.new_empty(sets, max_steps),
    )


@torch.compiler.assume_constant_result  # pyright: ignore[reportUnknownMemberType] (untyped in torch)
def _remember(covariance: Covariance, solver: Solver) -> str:
    """Keep a method, and give its name; called while a graph is traced, not when it runs."""
    try:
        name = repr((covariance, solver))
    except AttributeError:  # the compiler hands over what has yet to be made
        raise RuntimeError(
            "a compiled function must be given its `covariance` and `solver`, not make them."
        ) from None
    _methods[name] = covariance, solver
    return name


def _along(of_sets: Tensor, like: Tensor) -> Tensor:
    """(B,) in the shape (B, 1, ...) of `like`."""
    return of_sets.reshape(-1, *[1] * (like.dim() - 1))
