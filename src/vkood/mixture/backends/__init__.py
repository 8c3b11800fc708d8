"""Back ends of fits and scores.

Torch, the reference, computes on any device; Numba on a CPU, for diagonal Gaussians; Triton on a GPU, for diagonal
Gaussians and spherical mixtures.

`choose_backend` is the one place that chooses. A back end is a class with the two methods of `Backend`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Literal, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor

from vkood.extras import install_command
from vkood.fields import Choice, Optional, require_fields
from vkood.mixture.backends.torch_backend import TorchBackend
from vkood.mixture.families.base import Family, Parameters
from vkood.mixture.families.gaussian import Diagonal
from vkood.mixture.families.spherical import Spherical
from vkood.mixture.params import Mixture
from vkood.solve import Gradient, Solution, Solver
from vkood.solve.eager import eager

if TYPE_CHECKING:
    from vkood.mixture.backends.triton_backend import TritonBackend

BackendName = Literal["torch", "numba", "triton"]
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
        backend: "torch", "numba" or "triton" to force one; None for the fastest of those that can.

    Raises:
        ValueError: No back end has that name, or the one that is forced takes no such tokens or family.
        ImportError: "numba" or "triton" is forced, but is not installed.

    Example:
        >>> import torch
        >>> choose_backend(torch.zeros(1, 3, 2), backend="torch").name
        'torch'
    """
    require_fields({"backend": backend}, {"backend": BACKEND_RULE})
    kind = Diagonal if family is None else type(family)
    if backend == "numba":
        return _forced_numba(tokens, kind)
    if backend == "triton":
        return _forced_triton(tokens, kind)
    chosen = None
    if backend is None and tokens.is_cuda and _refused_by_triton(tokens, kind) is None:
        chosen = _triton_backend()
    elif backend is None and _refused_by_numba(tokens, kind) is None:
        chosen = _numba_backend()
    return chosen or TorchBackend()


@torch.compiler.assume_constant_result  # pyright: ignore[reportUnknownMemberType] (untyped in torch)
def fused_by_kernels(
    device: str, dtype: torch.dtype, num_components: int, dim: int, backend: BackendName | None
) -> bool:
    """Whether kernels fit and gate spherical mixtures of this size as a whole, for such tokens and this choice.

    Called while a graph is traced, not when it runs.
    """
    if device == "cpu" and backend != "triton":
        return False
    chosen = choose_backend(torch.empty(0, device=device, dtype=dtype), Spherical(), backend)
    if chosen.name != "triton":
        return False
    from vkood.mixture.backends.triton_launch import fits_in_program

    return fits_in_program(num_components, dim)


def _refused_by_numba(tokens: Tensor, kind: type[Family]) -> str | None:
    """Why Numba cannot compute with such tokens; None if it can."""
    if tokens.device.type != "cpu":
        return f"takes tensors on the CPU only; got one on {tokens.device}"
    return None if kind is Diagonal else f"fits the family `Diagonal` only; got `{kind.__name__}`"


def _refused_by_triton(tokens: Tensor, kind: type[Family]) -> str | None:
    """Why Triton cannot compute with such tokens; None if it can."""
    if kind not in (Diagonal, Spherical):
        return f"fits `Diagonal` and `Spherical` only; got `{kind.__name__}`"
    return "computes in single precision; got float64" if tokens.dtype == torch.float64 else None


def _forced_numba(tokens: Tensor, kind: type[Family]) -> Backend:
    refused = _refused_by_numba(tokens, kind)
    if refused:
        raise ValueError(f'`backend` "numba" {refused}. Leave it None, or force "torch".')
    compiled = _numba_backend()
    if compiled is None:
        raise ImportError(
            '`backend` "numba" needs Numba, of the extra `fast`, and a folder for what it compiles: '
            f"{install_command('fast')}, or set NUMBA_CACHE_DIR."
        )
    return compiled


def _forced_triton(tokens: Tensor, kind: type[Family]) -> Backend:
    refused = _refused_by_triton(tokens, kind)
    if refused:
        raise ValueError(f'`backend` "triton" {refused}. Leave it None, or force "torch".')
    kernels = _triton_backend()
    if kernels is None:
        raise ImportError(
            f'`backend` "triton" needs Triton, of the extra `gpu`, which is for Linux: {install_command("gpu")}.'
        )
    if tokens.device.type == "cpu" and not kernels.interpreted:
        raise ValueError(
            '`backend` "triton" takes tensors on a GPU; got one on the CPU. Leave it None, force "torch", or set '
            "TRITON_INTERPRET=1, which runs kernels on the CPU, slowly, to try them out."
        )
    return kernels


@functools.cache
def _numba_backend() -> Backend | None:
    """Numba's, if it is installed; imported when first needed, which takes a second."""
    try:
        from vkood.mixture.backends.numba_backend import NumbaBackend
    except (ImportError, RuntimeError):  # the latter where it finds no folder to keep what it compiles
        return None
    return NumbaBackend()


@functools.cache
def _triton_backend() -> TritonBackend | None:
    """Triton's, if it is installed; imported when first needed."""
    try:
        from vkood.mixture.backends.triton_backend import TritonBackend
    except ImportError:
        return None
    return TritonBackend()


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
