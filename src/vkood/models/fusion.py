"""Co-attention between an image stream and a text stream, the facts among the text.

Each layer is METER's: in both streams at once self-attention, cross-attention to the other stream's previous
state and a feed-forward, each followed by a layer norm. Keys may carry a bias, which is how gates act: a fact
with the bias log g gets g times the attention it would get, and a closed gate makes it exactly absent.

Legend: B batch, Q queries, T keys, H heads, D width.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override


class Attention(nn.Module):
    """Multi-head attention with a bias on keys, the residual and the layer norm after it."""

    def __init__(self, width: int, num_heads: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)

    @override
    def forward(
        self,
        states: Float[Tensor, "batch queries width"],
        source: Float[Tensor, "batch keys width"],
        key_bias: Float[Tensor, "batch keys"] | None,
    ) -> Float[Tensor, "batch queries width"]:
        """The states after they have attended to the source."""
        attended = functional.scaled_dot_product_attention(
            self._heads(self.query(states)),
            self._heads(self.key(source)),
            self._heads(self.value(source)),
            attn_mask=None if key_bias is None else key_bias[:, None, None].to(states.dtype),
            dropout_p=self.dropout.p if self.training else 0.0,
        )
        merged = attended.transpose(1, 2).flatten(2)  # (B, Q, D)
        return self.norm(states + self.dropout(self.output(merged)))

    def _heads(self, projected: Tensor) -> Tensor:
        return projected.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, H, T, D / H)


class FeedForward(nn.Module):
    """Two linear layers with a GELU between, the residual and the layer norm after them."""

    def __init__(self, width: int, intermediate: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.up = nn.Linear(width, intermediate)
        self.down = nn.Linear(intermediate, width)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)

    @override
    def forward(self, states: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """The states after the layer."""
        return self.norm(states + self.dropout(self.down(functional.gelu(self.up(states)))))


class StreamLayer(nn.Module):
    """One stream's half of a co-attention layer."""

    def __init__(self, width: int, num_heads: int, intermediate: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.self_attention = Attention(width, num_heads, dropout, eps)
        self.cross_attention = Attention(width, num_heads, dropout, eps)
        self.feed_forward = FeedForward(width, intermediate, dropout, eps)

    @override
    def forward(
        self,
        states: Tensor,
        bias: Tensor | None,
        other: Tensor,
        other_bias: Tensor | None,
        first: int | None = None,
    ) -> Tensor:
        """The next state of the stream's `first` tokens (all, if None), from its own and the other's previous one."""
        states = self.self_attention(states[:, :first], states, bias)
        return self.feed_forward(self.cross_attention(states, other, other_bias))


class CoAttention(nn.Module):
    """Layers in which two streams attend to themselves and to each other.

    Without `last_image_layer` the image stream ends one layer before the text stream: for models that read their
    answer off the text alone.
    """

    def __init__(
        self,
        num_layers: int,
        width: int,
        num_heads: int,
        intermediate: int,
        dropout: float,
        eps: float,
        *,
        last_image_layer: bool = True,
    ) -> None:
        super().__init__()

        def stream(count: int) -> nn.ModuleList:
            return nn.ModuleList(
                StreamLayer(width, num_heads, intermediate, dropout, eps) for _ in range(count)
            )

        self.text_layers = stream(num_layers)
        self.image_layers = stream(num_layers if last_image_layer else num_layers - 1)

    @override
    def forward(
        self,
        text: Float[Tensor, "batch words width"],
        image: Float[Tensor, "batch tokens width"],
        text_bias: Float[Tensor, "batch words"] | None = None,
        image_bias: Float[Tensor, "batch tokens"] | None = None,
        *,
        first_word: bool = False,
    ) -> tuple[Float[Tensor, "batch #words width"], Float[Tensor, "batch tokens width"]]:
        """Both streams after all layers; a bias is added to the attention logits of a stream's keys.

        With `first_word` the text comes out as its first token alone, and the last layer computes no other.
        """
        last = len(self.text_layers) - 1
        for place, text_layer in enumerate(self.text_layers):
            before = text
            first = 1 if first_word and place == last else None
            text = text_layer(text, text_bias, image, image_bias, first)
            if place < len(self.image_layers):
                image = self.image_layers[place](image, image_bias, before, text_bias)
        return text, image


def padding_bias(mask: Tensor, dtype: torch.dtype) -> Float[Tensor, "*batch keys"]:
    """0 for tokens, minus infinity for padding."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask.bool(), -torch.inf)
