"""How kernels are launched: the sizes of their blocks, and a program for each set on the device of its tokens.

Legend: B sets, M tokens, K components, D dimensions.
"""

# Triton has no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportMissingImports=false

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor
from triton import knobs

INTERPRETED = bool(knobs.runtime.interpret)
"""Whether kernels run on the CPU, under TRITON_INTERPRET=1."""

# Numbers of the means of a set, beyond which a program does not fit in a multiprocessor.
_MEANS = 2**13
# Numbers of a tile, and of all tokens of a set that is read at once: with more, registers are spilled.
_TILE, _RESIDENT = 2**11, 2**12

OPTIONS: dict[str, int] = {"num_warps": 8} if torch.version.hip else {"num_warps": 8, "maxnreg": 255}
"""Of every launch; left to itself, NVIDIA's assembler spills single registers where there are many to spare."""


def block_sizes(components: int, dim: int) -> dict[str, int]:
    """Powers of two that hold components and dimensions, as large as a product of matrices needs them."""
    return {
        "BLOCK_K": 1 if components == 1 else max(16, triton.next_power_of_2(components)),
        "BLOCK_D": max(16, triton.next_power_of_2(dim)),
    }


def fits_in_program(components: int, dim: int) -> bool:
    """Whether a program can have a mixture of this size."""
    sizes = block_sizes(components, dim)
    return sizes["BLOCK_K"] * sizes["BLOCK_D"] <= _MEANS and dim <= 1024


def tile_size(dim: int) -> int:
    """Rows of a tile."""
    return max(16, _TILE // block_sizes(1, dim)["BLOCK_D"])


def resident_size(tokens: int, dim: int) -> int:
    """Rows of the tile that holds all tokens of a set, 0 where they are too many."""
    rows = max(16, triton.next_power_of_2(tokens))
    return rows if rows * block_sizes(1, dim)["BLOCK_D"] <= _RESIDENT else 0


def each(of_set: Tensor | None) -> int:
    """How many of (B, 1 or K, ...) a set has, as kernels take it: 1 for all components, 2 for one each, 0 for none."""
    return 0 if of_set is None else min(2, of_set.shape[1])


def launch(kernel: Any, like: Tensor, arguments: dict[str, Any]) -> None:
    """Run a kernel once for each set, the first axis of `like`, with those of the arguments that it takes.

    None stands for what there is none of.
    """
    if len(like) == 0:
        return
    values = {name: arguments[name] for name in kernel.arg_names}
    values = {
        name: value.contiguous() if isinstance(value, Tensor) else value for name, value in values.items()
    }
    with torch.cuda.device_of(like):
        kernel[(len(like),)](**values, **OPTIONS)


def needed_like(inputs: dict[str, Tensor | None], needed: list[bool]) -> dict[str, Tensor | None]:
    """Room for gradients of the first of these inputs: None where there is no input, or no need."""
    return {
        name: torch.empty_like(value, memory_format=torch.contiguous_format)
        if need and value is not None
        else None
        for (name, value), need in zip(inputs.items(), needed, strict=False)
    }


def without_none(like: Tensor, gradients: dict[str, Tensor | None]) -> tuple[Tensor, ...]:
    """Gradients as an operator returns them: what is None is of no size."""
    return tuple(like.new_empty(0) if gradient is None else gradient for gradient in gradients.values())
