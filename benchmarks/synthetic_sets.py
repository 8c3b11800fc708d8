"""Sets with overlapping clusters, the data of the benchmarks here.

Legend: B sets, M tokens, K clusters, D dimensions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def clustered_sets(
    shape: tuple[int, int, int, int],
    *,
    distance: float,
    informative: int,
    seed: int = 0,
    on_sphere: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Tokens (B, M, D) around K random centres per set, with unit noise in all dimensions.

    Args:
        shape: B, M, D, K.
        distance: Root mean square distance of two centres along each informative dimension, in units of the
            noise.
        informative: How many dimensions the centres differ in; all others hold noise alone.
        seed: Of the generator.
        on_sphere: Normalise every token to length sqrt(D), as `OutlierLayer` does in its joint space.
        dtype: Of the result; the numbers are drawn in float64 either way.
    """
    sets, tokens, dim, clusters = shape
    generator = torch.Generator().manual_seed(seed)
    centres = torch.zeros(sets, clusters, dim, dtype=torch.float64)
    centres[..., :informative] = torch.randn(
        sets, clusters, informative, generator=generator, dtype=torch.float64
    ) * (distance / math.sqrt(2))
    member = torch.randint(clusters, (sets, tokens, 1), generator=generator).expand(-1, -1, dim)
    noise = torch.randn(sets, tokens, dim, generator=generator, dtype=torch.float64)
    points = centres.gather(1, member) + noise
    if on_sphere:
        points = torch.nn.functional.normalize(points, dim=-1) * math.sqrt(dim)
    return points.to(dtype)
