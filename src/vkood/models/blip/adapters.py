"""UniAdapter: one narrow down-projection for all modalities, and an up-projection for each.

Legend: D width, N tokens.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import initialization
from typing_extensions import override

_SCALE = 0.1


class _ZeroLinear(nn.Linear):
    """A linear layer that begins at zero."""


class _ZeroNorm(nn.LayerNorm):
    """A layer norm that begins by letting nothing through."""


@torch.no_grad()
def begin_at_zero(module: nn.Module) -> bool:
    """Set a part of an adapter so that the adapter adds nothing at first; returns whether it was one.

    Training then starts from the frozen model. `multi_up` begins as any layer, since a norm of zeros would pass no
    gradient on to it.
    """
    if isinstance(module, LowRankAdapter):
        initialization.ones_(module.scale)
        return True
    if not isinstance(module, _ZeroLinear | _ZeroNorm):
        return False
    initialization.zeros_(module.weight)
    initialization.zeros_(module.bias)
    return True


class UniAdapter(nn.Module):
    """A shared bottleneck (Lu et al., "UniAdapter", ICLR 2024), which alone is trained beside frozen layers.

    With d = relu(down(norm(x))), it adds 0.1 up(d) to what a layer makes of a text, 0.1 visual_up(d) to what it makes
    of an image, and 0.1 cross_norm(multi_up(d) + up(d)) to what it makes of a text that has read an image.

    Args:
        width: Width of the layer, D.
        bottleneck: Width between.

    Example:
        >>> adapter = UniAdapter(8, 2)
        >>> adapter.text(torch.zeros(1, 3, 8)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, bottleneck)
        self.up = _ZeroLinear(bottleneck, width)
        self.visual_up = _ZeroLinear(bottleneck, width)
        self.multi_up = nn.Linear(bottleneck, width)
        self.cross_norm = _ZeroNorm(width)

    def text(self, states: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """What is added to a text."""
        return _SCALE * self.up(self._narrow(states))

    def visual(self, states: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """What is added to an image."""
        return _SCALE * self.visual_up(self._narrow(states))

    def multimodal(self, states: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """What is added to a text that has read an image."""
        narrow = self._narrow(states)
        return _SCALE * self.cross_norm(self.multi_up(narrow) + self.up(narrow))

    def _narrow(self, states: Tensor) -> Tensor:
        return functional.relu(self.down(self.norm(states)))

    @override
    def forward(self, states: Tensor) -> Tensor:
        """The text's; the others are called by their names."""
        return self.text(states)


class LowRankAdapter(nn.Module):
    """A linear map of low rank, s up(down(x)), with a learned scale s and no activation between.

    Args:
        width: Width of what it maps, D, and of what it gives.
        bottleneck: Width between.
    """

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = _ZeroLinear(bottleneck, width)
        self.scale = nn.Parameter(torch.ones(1))

    @override
    def forward(self, states: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """What is added."""
        return self.scale * self.up(self.down(states))


class AdaptedLinear(nn.Linear):
    """A linear layer to whose result adapters of its input are added: x W^T + b + sum of adapter(x).

    The adapters belong to the model, since all layers share them; a list keeps them from being registered here.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.adapters: list[LowRankAdapter] = []

    @override
    def forward(self, input: Tensor) -> Tensor:
        """The projection of the input, with what the adapters add."""
        return sum((adapter(input) for adapter in self.adapters), super().forward(input))
