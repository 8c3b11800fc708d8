"""Co-attention between an image stream and a text stream, the facts among the text.

Each layer is METER's: in both streams at once self-attention, cross-attention to the other stream's previous
state and a feed-forward, each followed by a layer norm. Keys may carry a bias, which is how gates act: a fact
with the bias log g gets g times the attention it would get, and a closed gate makes it exactly absent.

Legend: B batch, Q queries, T keys, H heads, D width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import NoneType

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_layers import GradientCheckpointingLayer
from typing_extensions import override

from vkood.fields import require_kind


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
        attentions: list[Tensor] | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        """The states after they have attended to the source.

        Args:
            states: What attends.
            source: What is attended to.
            key_bias: Added to the attention logits of each key.
            attentions: Takes the attention, (batch, heads, queries, keys), unless None; it is then computed in full.
        """
        query, key, value = (
            self._heads(self.query(states)),
            self._heads(self.key(source)),
            self._heads(self.value(source)),
        )
        bias = None
        if key_bias is not None:  # bounded: a stream of padding alone would attend to nothing and be NaN
            bias = key_bias[:, None, None].to(query.dtype).clamp_min(torch.finfo(query.dtype).min / 2)
        # torch's fused attention on a CPU has no dropout, and what it does in its place is slower than this.
        dropped = self.training and self.dropout.p > 0 and query.device.type == "cpu"
        if attentions is None and not dropped:
            attended = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=bias, dropout_p=self.dropout.p if self.training else 0.0
            )
        else:
            logits = query @ key.mT / math.sqrt(query.shape[-1])
            weights = (logits if bias is None else logits + bias).softmax(-1)
            if attentions is not None:
                attentions.append(weights)
            attended = self.dropout(weights) @ value
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


class StreamLayer(GradientCheckpointingLayer):
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
        attentions: list[Tensor] | None = None,
    ) -> Tensor:
        """The next state of the stream's `first` tokens (all, if None), from its own and the other's previous one."""
        states = self.self_attention(states[:, :first], states, bias, attentions)
        return self.feed_forward(self.cross_attention(states, other, other_bias, attentions))


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerAttentions:
    """The attention of one co-attention layer; each is (batch, heads, queries, keys).

    Attributes:
        text_to_text: Text tokens and facts to text tokens and facts.
        text_to_image: Words and facts to image tokens.
        image_to_image: Image tokens to image tokens; None if the layer has no image half.
        image_to_text: Image tokens to text tokens and facts; None likewise.
    """

    text_to_text: Tensor
    text_to_image: Tensor
    image_to_image: Tensor | None = None
    image_to_text: Tensor | None = None


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
        text: Float[Tensor, "batch text_tokens width"],
        image: Float[Tensor, "batch tokens width"],
        text_bias: Float[Tensor, "batch text_tokens"] | None = None,
        image_bias: Float[Tensor, "batch tokens"] | None = None,
        *,
        first_token: bool = False,
        attentions: list[LayerAttentions] | None = None,
    ) -> tuple[Float[Tensor, "batch #text_tokens width"], Float[Tensor, "batch tokens width"]]:
        """Both streams after all layers; a bias is added to the attention logits of a stream's keys.

        With `first_token` the text comes out as its first token alone, and the last layer computes no other.
        `attentions` takes the attentions of each layer, unless None.
        """
        last = len(self.text_layers) - 1
        for place, text_layer in enumerate(self.text_layers):
            before = text
            first = 1 if first_token and place == last else None
            looks: list[Tensor] | None = None if attentions is None else []
            text = text_layer(text, text_bias, image, image_bias, first, looks)
            if place < len(self.image_layers):
                image = self.image_layers[place](image, image_bias, before, text_bias, None, looks)
            if attentions is not None and looks is not None:
                names = ("text_to_text", "text_to_image", "image_to_image", "image_to_text")
                attentions.append(LayerAttentions(**dict(zip(names, looks, strict=False))))
        return text, image


def padding_bias(mask: Tensor, dtype: torch.dtype) -> Float[Tensor, "*batch keys"]:
    """0 for tokens, minus infinity for padding."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask.bool(), -torch.inf)


def present_facts(
    features: Float[Tensor, "*batch facts width"] | None, mask: Tensor | None
) -> tuple[Float[Tensor, "*batch facts width"], Bool[Tensor, "*batch facts"]] | None:
    """Facts with zeros in place of padding, and where they are; None if there is none.

    Padding may hold anything, and attention would multiply a NaN by 0.

    Args:
        features: A vector for each fact.
        mask: False for padding; all are facts, if None.

    Raises:
        TypeError: The mask is no tensor.
        ValueError: There is a mask without facts, or it is not shaped as they are, or not of booleans.
    """
    require_kind("fact_mask", mask, (Tensor, NoneType))
    if features is None:
        if mask is not None:
            raise ValueError("`fact_mask` must come with `fact_features`; got a mask alone.")
        return None
    if mask is not None and (mask.shape != features.shape[:-1] or mask.dtype != torch.bool):
        raise ValueError(
            f"`fact_mask` must be torch.bool of shape {tuple(features.shape[:-1])}, as `fact_features` are; got "
            f"{mask.dtype} of shape {tuple(mask.shape)}."
        )
    if features.shape[-2] == 0:
        return None
    if mask is None:
        mask = torch.ones(features.shape[:-1], dtype=torch.bool, device=features.device)
    return features.masked_fill(~mask[..., None], 0.0), mask


def without_closed(
    facts: Float[Tensor, "rows facts width"], bias: Float[Tensor, "rows facts"]
) -> tuple[Float[Tensor, "rows open width"], Float[Tensor, "rows open"]]:
    """Facts and their bias without those that no attention can see, whose bias is minus infinity.

    Each row's open facts come first, in their order, as many as the row with the most of them has.
    """
    opened = bias > -torch.inf
    max_open = int(opened.sum(1).max()) if len(bias) else 0
    if max_open == facts.shape[1]:
        return facts, bias
    order = opened.int().argsort(dim=1, descending=True, stable=True)[:, :max_open]
    return facts.gather(1, order[..., None].expand(-1, -1, facts.shape[-1])), bias.gather(1, order)
