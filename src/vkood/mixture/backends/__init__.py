"""Back ends of fits and scores: torch, the reference, on any device; or Numba, on a CPU, for diagonal Gaussians.

`choose_backend` is the one place that chooses. A back end is a class with the two methods of `Backend`.
"""

from __future__ import annotations

import functools
from typing import Literal, Protocol, get_args, runtime_checkable

from torch import Tensor

from vkood.extras import install_command
from vkood.fields import Choice, Optional, require_fields
from vkood.mixture.backends.torch_backend import TorchBackend
from vkood.mixture.families.base import Family, Parameters
from vkood.mixture.families.gaussian import Diagonal
from vkood.mixture.params import Mixture
from vkood.solve import Gradient, Solution, Solver
from vkood.solve.eager import eager

BackendName = Literal["torch", "numba"]
BACKEND_RULE = Optional(Choice(get_args(BackendName)))


@runtime_checkable
class Backend(Protocol):
    """Solves fits and scores candidates."""

    @property
    def name(self) -> BackendName:
        """By which it is chosen."""
        ...

    def solve(
        self,
        start: Parameters,
        operands: tuple[Tensor, ...],
        family: Family,
        solver: Solver,
        gradient: Gradient,
    ) -> Solution[Parameters]:
        """The fixed point of `family.step` from `start`, with gradients to the operands."""
        ...

    def score(self, candidates: Tensor, mixture: Mixture, family: Family) -> Tensor:
        """`Family.score`: (B, N), with gradients to candidates and mixture."""
        ...


def choose_backend(
    tokens: Tensor, family: Family | None = None, backend: BackendName | None = None
) -> Backend:
    """The back end that fits and scores such tokens; its `name` says which.

    Args:
        tokens: The tokens.
        family: The family of mixtures; `Diagonal()` if None.
        backend: "torch" or "numba" to force one; None for the faster of those that can.

    Raises:
        ValueError: No back end has that name, or the one that is forced takes no such tokens or family.
        ImportError: "numba" is forced, but is not installed.

    Example:
        >>> import torch
        >>> choose_backend(torch.zeros(1, 3, 2), backend="torch").name
        'torch'
    """
    require_fields({"backend": backend}, {"backend": BACKEND_RULE})
    if backend == "torch":
        return TorchBackend()
    reason = None
    if tokens.device.type != "cpu":
        reason = f"takes tensors on the CPU only; got one on {tokens.device}"
    elif not (family is None or type(family) is Diagonal):
        reason = f"fits the family `Diagonal` only; got {family}"
    if backend is None:
        return TorchBackend() if reason else _numba_backend() or TorchBackend()
    if reason:
        raise ValueError(f'`backend` "numba" {reason}. Leave it None, or force "torch".')
    compiled = _numba_backend()
    if compiled is None:
        raise ImportError(
            '`backend` "numba" needs Numba, of the extra `fast`, and a folder for what it compiles: '
            f"{install_command('fast')}, or set NUMBA_CACHE_DIR."
        )
    return compiled


@functools.cache
def _numba_backend() -> Backend | None:
    """Numba's, if it is installed; imported when first needed, which takes a second."""
    try:
        from vkood.mixture.backends.numba_backend import NumbaBackend
    except (ImportError, RuntimeError):  # the latter where it finds no folder to keep what it compiles
        return None
    return NumbaBackend()


@eager
def solve_fit(
    start: Parameters,
    operands: tuple[Tensor, ...],
    family: Family,
    solver: Solver,
    gradient: Gradient,
    backend: BackendName | None,
) -> Solution[Parameters]:
    """`Backend.solve` of the back end of the tokens, the first of the operands; not traced by a compiler."""
    return choose_backend(operands[0], family, backend).solve(start, operands, family, solver, gradient)
