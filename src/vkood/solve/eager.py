"""What is done outside compiled graphs only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

_Function = TypeVar("_Function", bound=Callable[..., Any])


def eager(function: _Function) -> _Function:
    """Keep `function` out of compiled graphs: they break once, at its call, and nothing within it is traced.

    For loops whose length depends on data. It is `torch.compiler.disable`, whose annotations would hide the
    function's own.
    """
    disabled: Any = torch.compiler.disable(function)  # pyright: ignore[reportUnknownMemberType] (untyped in torch)
    return cast(_Function, disabled)


def looks_at_values(tensor: Tensor) -> bool:
    """Whether the values of a call's tensors are checked: where that breaks no graph, and waits for no device."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()
