"""What long contexts cost: the fitted mixture beside the kernel gate, which compares with every token.

A kernel's cost grows with candidates times tokens; a fit's with tokens times steps, and what it gives is as
small for a thousand tokens as for ten.
"""

from __future__ import annotations

import functools
import gc
import statistics
from typing import Any

import torch
from torch import Tensor

from vkood.gating import KernelGate, OutlierLayer
from vkood.mixture import Diagonal, Spherical
from vkood.solve import Implicit, LastIterate, Squarem

from ..measuring import clock, peak_bytes
from ..synthetic_sets import clustered_sets

BATCH, JOINT, ROUNDS = 16, 64, 7
TOKENS, CANDIDATES = (64, 196, 576, 1024), (16, 64, 256)
LAYERS = (
    "kernel gate",
    "spherical K=1, LastIterate",
    "spherical K=4, LastIterate",
    "mixture K=2, LastIterate",
    "mixture K=4, LastIterate",
    "mixture K=4, Implicit",
)


def layer_of(name: str) -> OutlierLayer | KernelGate:
    """A layer of the benchmark, with new weights."""
    torch.manual_seed(0)
    if name == "kernel gate":
        return KernelGate(384, JOINT, JOINT)
    return OutlierLayer(
        384,
        JOINT,
        JOINT,
        family=Spherical() if name.startswith("spherical") else Diagonal(),
        num_components=int(name.partition("K=")[2][0]),
        solver=Squarem(tolerance=1e-3, max_steps=30),
        gradient=Implicit(tolerance=1e-3, max_steps=30) if name.endswith("Implicit") else LastIterate(),
    )


def measure(name: str, num_tokens: int, num_candidates: int) -> dict[str, Any]:
    """Seconds of a forward, seconds of both ways, and the most bytes that tensors held at one time."""
    context = clustered_sets((BATCH, num_tokens, JOINT, 4), distance=2.0, informative=8)
    generator = torch.Generator().manual_seed(2)
    facts = torch.randn(BATCH, num_candidates, 384, generator=generator)
    layer = layer_of(name)
    forward = functools.partial(_forward, layer, facts, context)
    both = functools.partial(_both, layer, facts, context)
    seconds = {"forward_seconds": _median_seconds(forward), "both_seconds": _median_seconds(both)}
    if isinstance(layer, OutlierLayer):
        layer.backend = "torch"  # Numba's arrays are not counted
    return {**seconds, "peak_bytes": peak_bytes(both)}


@torch.inference_mode()
def _forward(layer: OutlierLayer | KernelGate, facts: Tensor, context: Tensor) -> None:
    layer(facts, context=context)


def _both(layer: OutlierLayer | KernelGate, facts: Tensor, context: Tensor) -> None:
    layer.zero_grad()
    layer(facts, context=context.requires_grad_()).gate.sum().backward()


def _median_seconds(work: functools.partial[None]) -> float:
    for _ in range(2):
        work()
    gc.collect()
    seconds: list[float] = []
    for _ in range(ROUNDS):
        begin = clock()
        work()
        seconds.append(clock() - begin)
    return statistics.median(seconds)
