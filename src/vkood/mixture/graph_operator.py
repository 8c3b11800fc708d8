"""The solve of a fit as one operator of compiled graphs.

How many steps it takes depends on the data, which a compiler cannot trace: to it the operator is closed, and the graph
goes on behind it. The one step through which gradients pass is traced like all else.

Legend: B sets, M tokens, K components, D dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vkood.mixture.backends import BackendName, choose_backend, solve_fit
from vkood.mixture.families.base import Family, Parameters
from vkood.mixture.families.spherical import Spherical
from vkood.solve import Gradient, LastIterate, Solution, Solver, Status

# Operators take tensors, numbers and names: what else a solve needs is kept here, by a name that says it all.
_SPHERICAL = Spherical()
_methods: dict[str, tuple[Family, Solver, BackendName | None]] = {}


def solve_in_graph(
    start: Parameters,
    operands: tuple[Tensor, ...],
    family: Family,
    solver: Solver,
    gradient: Gradient,
    backend: BackendName | None,
) -> Solution[Parameters]:
    """`solve_fit` with `LastIterate` gradients, in a graph that is being compiled.

    Its trace has a column for every step that the solver may take.
    """
    assert isinstance(gradient, LastIterate)
    if isinstance(family, Spherical):
        # made in the graph, around a concentration that is an operand of the step: the background is all it needs
        method, background = _remember(_SPHERICAL, solver, backend), family.background
    else:
        method, background = _remember(family, solver, backend), 0.0
    with torch.no_grad():
        *fixed, status, steps, residual, trace = _solve(
            method, background, solver.max_steps, [operand.detach() for operand in operands], list(start)
        )
    finite = status != int(Status.NOT_FINITE)  # of an enumeration the compiler would make a constant

    def safe(values: Tensor, instead: float = 0.0) -> Tensor:
        # Sets that failed have no part in the step: 0 * NaN is NaN in a backward.
        return torch.where(_along(finite, values), values, instead)

    images = family.step(tuple(safe(point) for point in fixed), *(safe(operand, 1.0) for operand in operands))
    value = tuple(
        torch.where(_along(finite, point), point + (image - image.detach()), point)
        for point, image in zip(fixed, images, strict=True)
    )
    return Solution(
        value=value,
        status=status,
        steps=steps,
        residual=residual,
        trace=trace,
        backend=_chosen(str(operands[0].device), family, backend),
    )


@torch.library.custom_op(
    "vkood::em_fixed_point",
    mutates_args=(),
    # written out, since torch finds no annotations where a test's checks of shapes wrap the function
    schema="(str method, float background, SymInt max_steps, Tensor[] operands, Tensor[] start) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _solve(
    method: str, background: float, max_steps: int, operands: list[Tensor], start: list[Tensor]
) -> tuple[Tensor, ...]:
    """The parameters of the fixed point; status, steps, residual and trace (B, max_steps) of the solve."""
    if method not in _methods:
        raise RuntimeError(
            f"this graph was compiled in another process, for {method}; compile the model in this one."
        )
    family, solver, backend = _methods[method]
    if isinstance(family, Spherical):
        family = Spherical(background=background)
    with torch.no_grad():
        solution = solve_fit(tuple(start), tuple(operands), family, solver, LastIterate(), backend)
    trace = torch.nn.functional.pad(solution.trace, (0, max_steps - solution.trace.shape[1]), value=torch.nan)
    # Clones, since what an operator returns may share no memory with what it takes.
    return (
        *(part.clone() for part in solution.value),
        solution.status,
        solution.steps,
        solution.residual,
        trace,
    )


@_solve.register_fake  # pyright: ignore[reportUnknownMemberType] (untyped in torch)
def _(
    method: str, background: float, max_steps: int, operands: list[Tensor], start: list[Tensor]
) -> tuple[Tensor, ...]:
    del method, background
    tokens, sets = operands[0], len(operands[0])
    return (
        *(torch.empty_like(part) for part in start),
        tokens.new_empty(sets, dtype=torch.int64),
        tokens.new_empty(sets, dtype=torch.int64),
        tokens.new_empty(sets),
        tokens.new_empty(sets, max_steps),
    )


@torch.compiler.assume_constant_result  # pyright: ignore[reportUnknownMemberType] (untyped in torch)
def _chosen(device: str, family: Family, backend: BackendName | None) -> str:
    """The name of the back end that the operator uses; called while a graph is traced."""
    return choose_backend(torch.empty(0, device=device), family, backend).name


@torch.compiler.assume_constant_result  # pyright: ignore[reportUnknownMemberType] (untyped in torch)
def _remember(family: Family, solver: Solver, backend: BackendName | None) -> str:
    """Keep a method, and give its name; called while a graph is traced, not when it runs."""
    try:
        name = repr((family, solver, backend))
    except AttributeError:  # the compiler hands over what has yet to be made
        raise RuntimeError(
            "a compiled function must take its `family` and `solver` as arguments, not construct them."
        ) from None
    _methods[name] = family, solver, backend
    return name


def _along(of_sets: Tensor, like: Tensor) -> Tensor:
    """(B,) in the shape (B, 1, ...) of `like`."""
    return of_sets.reshape(-1, *[1] * (like.dim() - 1))
