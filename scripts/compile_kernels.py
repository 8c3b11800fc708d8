"""Compile every Triton kernel for NVIDIA GPUs, without one, and fail if any needs too much of a multiprocessor.

The operators are called as on a GPU, forward and backward, with a launcher that compiles in place of running. So each
kernel is compiled as it is used: as in training (half precision, masks), and with everything that a set may have
(single precision, weights, priors, a background). The number of tokens is no part of a compiled kernel, but for sets
so small that they are read at once, nor is the number of components, but for one.

    python scripts/compile_kernels.py
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from typing import Any
from unittest import mock

# Read when Triton is imported: kernels are compiled here, whatever the environment says of interpreting them.
os.environ["TRITON_INTERPRET"] = "0"

import torch
import triton
from torch import Tensor
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from vkood.mixture.backends import triton_diagonal_operators, triton_launch, triton_spherical_operators

CAPABILITIES = (80, 90)
TOKENS, COMPONENTS, DIM, CANDIDATES = (20, 197, 577, 1024), (1, 2, 4, 16), 64, 20
MAX_SHARED = 100 * 1024
"""Bytes of shared memory of a program; spilled registers may be none."""

_POINTERS = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.bool: "*i1", torch.int64: "*i64"}


@dataclass(frozen=True)
class Variant:
    """A kernel with its types and constants, and how they are written in a table."""

    kernel: Any
    signature: tuple[tuple[str, str], ...]
    constants: tuple[tuple[str, Any], ...]
    aligned: tuple[int, ...]

    @classmethod
    def of(cls, kernel: Any, arguments: dict[str, Any]) -> Variant:
        """As Triton specialises a kernel for these arguments."""
        signature, constants, aligned = [], [], []
        for i, name in enumerate(kernel.arg_names):
            value = arguments[name]
            if isinstance(value, Tensor):
                signature.append((name, _POINTERS[value.dtype]))
                aligned.append(i)
            elif (name.isupper() and name != "K") or value is None or (isinstance(value, int) and value == 1):
                signature.append((name, "constexpr"))
                constants.append((name, value))
            else:
                signature.append((name, "fp32" if isinstance(value, float) else "i32"))
        return cls(kernel, tuple(signature), tuple(constants), tuple(aligned))

    def compile(self, capability: int) -> tuple[int, int, int]:
        """Bytes of shared memory, registers of a thread, and bytes of them that are spilled."""
        source = ASTSource(
            self.kernel,
            dict(self.signature),
            dict(self.constants),
            attrs={(i,): [["tt.divisibility", 16]] for i in self.aligned},
        )
        log = io.StringIO()
        with contextlib.redirect_stdout(log):
            compiled = triton.compile(
                source,
                target=GPUTarget("cuda", capability, 32),
                options=triton_launch.OPTIONS,
            )
        spilled = re.findall(r"(\d+) bytes spill (?:stores|loads)", log.getvalue())
        registers = re.search(r"Used (\d+) registers", log.getvalue())
        if registers is None or not spilled:
            raise RuntimeError(f"ptxas said nothing of registers: {log.getvalue()!r}.")
        return compiled.metadata.shared, int(registers[1]), sum(map(int, spilled))


def variants() -> dict[Variant, list[str]]:
    """Every kernel as it is used, with the sizes that it serves."""
    used: dict[Variant, list[str]] = {}
    sizes = ""

    def note(kernel: Any, like: Tensor, arguments: dict[str, Any]) -> None:
        del like
        places = used.setdefault(Variant.of(kernel, arguments), [])
        if sizes not in places:
            places.append(sizes)

    with contextlib.ExitStack() as stack:
        for operators in (triton_spherical_operators, triton_diagonal_operators):
            stack.enter_context(mock.patch.object(operators, "launch", note))
        for tokens in TOKENS:
            for components in COMPONENTS:
                for full in (False, True):
                    sizes = f"M={tokens} K={components}" + (" full" if full else "")
                    use_spherical(tokens, components, full)
                    if full:
                        use_diagonal(tokens, components)
    return used


def use_spherical(tokens: int, components: int, full: bool) -> None:
    """A fit, gates and their gradients, on numbers that do not matter."""
    dtype, sets = (torch.float32 if full else torch.bfloat16), 2

    def room(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(shape, dtype=dtype, requires_grad=dtype.is_floating_point)

    kappa = room(1)
    problem = triton_spherical_operators.SphericalProblem(
        tokens=room(sets, tokens, DIM, dtype=dtype),
        weights=room(sets, tokens, dtype=torch.float32 if full else torch.bool),
        kappa=kappa,
        uniform=room(sets, 1) if full else None,
        prior_mean=room(sets, components, DIM) if full else None,
        strength=room(sets, components) if full else None,
        concentration=room(sets, 1).detach() if full else None,
        strength_of_all=0.1,
        concentration_of_all=1.0,
        components=components,
        normalize=True,
    )
    start = None if problem.closed else room(sets, components, DIM).detach()
    fitted = triton_spherical_operators.fit_spherical(*problem, start, 1e-4, 1e-6, 100)
    log_weight, mean = fitted[:2]
    present = room(sets, CANDIDATES, dtype=torch.bool)
    candidates = room(sets, CANDIDATES, DIM, dtype=dtype)
    gated = triton_spherical_operators.gate_spherical(
        candidates, present, kappa, log_weight, mean, room(1), room(1)
    )
    torch.cat([part.flatten() for part in gated]).sum().backward()


def use_diagonal(tokens: int, components: int) -> None:
    """A fit and its gradient, on numbers that do not matter."""
    sets = 2

    def room(*shape: int) -> Tensor:
        return torch.zeros(shape, requires_grad=True)

    problem = triton_diagonal_operators.DiagonalProblem(
        room(sets, tokens, DIM),
        room(sets, tokens),
        room(sets, 1, DIM),
        room(sets, 1),
        *(torch.zeros(sets, 1) for _ in range(3)),
    )
    start = [torch.zeros(sets, components), *(torch.zeros(sets, components, DIM) for _ in range(2))]
    fitted = triton_diagonal_operators.fit_diagonal(*problem, *start, 1e-4, 1e-6, 100)
    torch.cat([part.flatten() for part in fitted[:3]]).sum().backward()


def main() -> int:
    """Print what each kernel needs; 1 if any needs too much."""
    knobs.nvidia.dump_ptxas_log = True
    failures = 0
    print(f"{'kernel':24} {'sm':>3} {'shared':>7} {'registers':>9} {'spilled':>7}  for")
    with tempfile.TemporaryDirectory() as cache:
        knobs.cache.dir = cache
        for variant, sizes in variants().items():
            module = variant.kernel.fn.__module__.rpartition(".")[2].removeprefix("triton_")
            name = f"{module}.{variant.kernel.fn.__name__}"
            served = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else sizes[0]
            for capability in CAPABILITIES:
                shared, registers, spilled = variant.compile(capability)
                failed = shared > MAX_SHARED or spilled > 0
                failures += failed
                note = "  TOO MUCH" if failed else ""
                print(
                    f"{name:24} {capability:3} {shared:7} {registers:9} {spilled:7}  {served}{note}",
                    flush=True,
                )
    if failures:
        print(f"{failures} kernels spill registers, or take more than {MAX_SHARED} bytes of shared memory.")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
