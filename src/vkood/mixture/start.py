"""Deterministic starts of EM, the same whatever the order of the tokens.

Legend: B sets, M tokens, K components, D dimensions.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vkood.fields import Whole, require_fields


@torch.no_grad()
def weighted_centre(
    tokens: Float[Tensor, "sets tokens dim"], weights: Float[Tensor, "sets tokens"]
) -> Float[Tensor, "sets 1 dim"]:
    """The weighted mean of each set, as a constant; zero for sets without weight."""
    total = weights.sum(1).clamp_min(torch.finfo(weights.dtype).tiny)
    return ((weights / total[:, None])[..., None] * tokens).sum(1, keepdim=True)


@torch.no_grad()
def farthest_tokens(
    tokens: Float[Tensor, "sets tokens dim"], weights: Float[Tensor, "sets tokens"], num_components: int
) -> Float[Tensor, "sets components dim"]:
    """Means to start from: tokens far from each other, the first one far from the centre.

    Each is the token with the largest weight times squared distance to the nearest mean so far (for the
    first: to the weighted centre), as a k-means++ that always takes the likeliest draw. When no token lies
    apart from those so far, as in sets with fewer tokens than components, the centre is taken. Sets without
    weight give zeros.
    """
    require_fields({"num_components": num_components}, {"num_components": Whole()})
    if tokens.shape[1] == 0:
        return tokens.new_zeros(len(tokens), num_components, tokens.shape[2])
    centre = weighted_centre(tokens, weights)
    distance = (tokens - centre).square().sum(-1)  # (B, M)
    means: list[Tensor] = []
    for _ in range(num_components):
        if means:
            to_last = (tokens - means[-1]).square().sum(-1)
            distance = torch.minimum(distance, to_last) if len(means) > 1 else to_last
        largest, index = (weights * distance).max(1)
        farthest = tokens.gather(1, index[:, None, None].expand(-1, 1, tokens.shape[2]))
        means.append(torch.where((largest > 0)[:, None, None], farthest, centre))
    return torch.cat(means, dim=1) * (weights.sum(1) > 0)[:, None, None]


@torch.no_grad()
def densest_tokens(
    tokens: Float[Tensor, "sets tokens dim"],
    weights: Float[Tensor, "sets tokens"],
    num_components: int,
    kappa: Float[Tensor, "sets 1"],
) -> Float[Tensor, "sets components dim"]:
    """Directions to start from: each the densest token, once what lies around those so far is taken out.

    Subtractive clustering (Chiu 1994) with the kernel exp(kappa (<x, y> - 1)), and one of half its concentration for
    what is taken out. Stray tokens come last, while `farthest_tokens` begins with them. When nothing is left, as in
    sets with fewer directions than components, the weighted centre is taken.

    Args:
        tokens: Directions; those of weight 0 may be zeros.
        weights: How much each counts.
        num_components: How many to choose.
        kappa: The concentration of the kernel.
    """
    require_fields({"num_components": num_components}, {"num_components": Whole()})
    if tokens.shape[1] == 0:
        return tokens.new_zeros(len(tokens), num_components, tokens.shape[2])
    cosine = torch.matmul(tokens, tokens.mT)  # (B, M, M)
    density = torch.matmul(torch.exp(kappa[..., None] * (cosine - 1)), weights[..., None])[..., 0]
    density = torch.where(weights > 0, density, 0.0)
    smallest = 1e-6 * density.amax(1)
    mean = weighted_centre(tokens, weights)
    means: list[Tensor] = []
    for _ in range(num_components):
        largest, index = density.max(1)
        chosen = index[:, None, None]
        densest = tokens.gather(1, chosen.expand(-1, 1, tokens.shape[2]))
        means.append(torch.where((largest > smallest)[:, None, None], densest, mean))
        near = torch.exp(0.5 * kappa * (cosine.gather(1, chosen.expand(-1, 1, tokens.shape[1]))[:, 0] - 1))
        density = density - largest[:, None] * near
    return torch.cat(means, dim=1)
