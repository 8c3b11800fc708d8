"""Vision-language models with explicit knowledge, and the layer that gates irrelevant knowledge out.

Importing `vkood` alone loads no PyTorch and touches no disk, network or GPU: each public name below is
imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0.dev0"

if TYPE_CHECKING:
    from vkood import data, demo, metrics, mixture, models, solve, tasks, train
    from vkood.gating import GateOutput, KernelGate, OutlierLayer
    from vkood.mixture import Diagonal, Full, Prior, Spherical, Tied
    from vkood.models.convert import load_checkpoint
    from vkood.solve import (
        Anderson,
        Implicit,
        LastIterate,
        Neumann,
        Picard,
        Solution,
        Squarem,
        Status,
        Unrolled,
        fixed_point,
    )

__all__ = [
    "Anderson",
    "Diagonal",
    "Full",
    "GateOutput",
    "Implicit",
    "KernelGate",
    "LastIterate",
    "Neumann",
    "OutlierLayer",
    "Picard",
    "Prior",
    "Solution",
    "Spherical",
    "Squarem",
    "Status",
    "Tied",
    "Unrolled",
    "__version__",
    "data",
    "demo",
    "fixed_point",
    "load_checkpoint",
    "metrics",
    "mixture",
    "models",
    "solve",
    "tasks",
    "train",
]

_ROOM_OF = {
    "Anderson": "solve",
    "Diagonal": "mixture",
    "Full": "mixture",
    "GateOutput": "gating",
    "Implicit": "solve",
    "KernelGate": "gating",
    "LastIterate": "solve",
    "Neumann": "solve",
    "OutlierLayer": "gating",
    "Picard": "solve",
    "Prior": "mixture",
    "Solution": "solve",
    "Spherical": "mixture",
    "Squarem": "solve",
    "Status": "solve",
    "Tied": "mixture",
    "Unrolled": "solve",
    "fixed_point": "solve",
    "load_checkpoint": "models.convert",
}

_ROOMS = frozenset(__all__).difference(_ROOM_OF, ["__version__"])


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for, and keep it."""
    if name in _ROOMS:
        return importlib.import_module(f"vkood.{name}")
    if name in _ROOM_OF:
        value: object = getattr(importlib.import_module(f"vkood.{_ROOM_OF[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'vkood' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, also those that are not imported yet."""
    return sorted({*globals(), *__all__})
