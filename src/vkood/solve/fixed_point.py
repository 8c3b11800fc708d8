"""Find the fixed point of a batched map."""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import NoneType

import torch
from torch import Tensor

from vkood.fields import require_kind
from vkood.solve.eager import eager
from vkood.solve.gradients import Gradient, LastIterate
from vkood.solve.loop import Loop
from vkood.solve.precision import full_precision
from vkood.solve.solution import Solution, Value
from vkood.solve.solvers import Anderson, Solver


@eager
def fixed_point(
    map: Callable[..., Value],
    start: Value,
    *,
    operands: Sequence[Tensor] = (),
    loop: Loop | None = None,
    solver: Solver | None = None,
    gradient: Gradient | None = None,
) -> Solution[Value]:
    """Find z = F(z) for every row of a batch, without letting the rows influence each other.

    The solve runs in float64 if the start is float64, else in float32, also under autocast.

    Args:
        map: F, called as `map(value, *operands)`; returns tensors of the same shapes as `value`. Row i of its
            result may depend on row i of its inputs alone. Gradients reach whatever it uses, captured or
            passed.
        start: Where to begin: a tensor (batch, ...) or a tuple of such tensors.
        operands: Tensors (batch, ...) that the map needs besides the value. Passing them here, rather than
            capturing them in `map`, lets the solve leave out rows that have converged, and keeps rows that
            are not finite out of the gradients. If any are given, then everything that the map takes per row
            must be.
        loop: Iterates the same map by other means where no graph is needed, say compiled as a whole. It is
            called with states (rows, n), the tensors of a value, flattened and side by side, the operands, and
            the solver.
        solver: How to iterate: `Picard`, `Anderson` (the default) or `Squarem`.
        gradient: How gradients pass: `LastIterate` (the default), `Neumann`, `Implicit` or `Unrolled`.

    Returns:
        The fixed point with the status, steps and residuals of every row. A row that fails holds its best
        iterate.

    Raises:
        ValueError: `start` or `operands` have no common batch axis, or the map changed a shape.

    Example:
        >>> import torch
        >>> from vkood.solve import Anderson, Implicit, fixed_point
        >>> square = torch.tensor([[2.0], [9.0]], requires_grad=True)
        >>> newton = lambda root, square: (root + square / root) / 2
        >>> solution = fixed_point(newton, torch.ones(2, 1), operands=[square], gradient=Implicit())
        >>> solution.value.detach()[:, 0]
        tensor([1.4142, 3.0000])
        >>> solution.converged
        tensor([True, True])
    """
    parts = start if isinstance(start, tuple) else (start,)
    require_kind("solver", solver, (Solver, NoneType))
    require_kind("gradient", gradient, (Gradient, NoneType))
    _check_batch(parts, operands)
    dtype = torch.float64 if any(part.dtype == torch.float64 for part in parts) else torch.float32
    shapes = [part.shape[1:] for part in parts]

    def unflatten(state: Tensor) -> Value:
        pieces = state.split([math.prod(shape) for shape in shapes], dim=1)
        values = tuple(piece.reshape(len(state), *shape) for piece, shape in zip(pieces, shapes, strict=True))
        return values if isinstance(start, tuple) else values[0]  # pyright: ignore[reportReturnType] (as `start`)

    def flat_map(state: Tensor, *operands_of_rows: Tensor) -> Tensor:
        image = map(unflatten(state), *operands_of_rows)
        images = image if isinstance(image, tuple) else (image,)
        if [part.shape for part in images] != [(len(state), *shape) for shape in shapes]:
            raise ValueError(
                f"`map` must keep the shapes of its value, {[(len(state), *shape) for shape in shapes]}; "
                f"it returned {[tuple(part.shape) for part in images]}."
            )
        return _flatten(images, dtype)

    with full_precision(parts[0].device):
        outcome = (gradient or LastIterate()).run(
            flat_map,
            _flatten(parts, dtype),
            tuple(_widened(operand) for operand in operands),
            solver or Anderson(),
            loop,
        )
    return Solution(
        value=unflatten(outcome.best),
        status=outcome.status,
        steps=outcome.steps,
        residual=outcome.residual.detach(),
        trace=outcome.trace,
    )


def _flatten(parts: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
    # not reshaped to -1, of which a batch without rows allows any
    flat = [part.reshape(len(part), math.prod(part.shape[1:])).to(dtype) for part in parts]
    return flat[0] if len(flat) == 1 else torch.cat(flat, dim=1)


def _widened(operand: Tensor) -> Tensor:
    """Half precision as float32; other types as they are."""
    return operand.float() if operand.dtype in (torch.float16, torch.bfloat16) else operand


def _check_batch(parts: tuple[Tensor, ...], operands: Sequence[Tensor]) -> None:
    if not parts:
        raise ValueError("`start` must hold at least one tensor; got an empty tuple.")
    named = [("start", part) for part in parts] + [("operands", operand) for operand in operands]
    for name, tensor in named:
        require_kind(name, tensor, Tensor)
        if tensor.dim() == 0:
            raise ValueError(
                f"`{name}` must have a leading batch axis; got a tensor without axes. Add one: `x[None]`."
            )
        if len(tensor) != len(parts[0]):
            raise ValueError(
                f"`{name}` must have the batch size of the first tensor of `start`, {len(parts[0])}; "
                f"got shape {tuple(tensor.shape)}."
            )
        if name == "start" and not tensor.is_floating_point():
            raise ValueError(
                f"`start` must be of floating point; got {tensor.dtype}. Convert it: `x.float()`."
            )
