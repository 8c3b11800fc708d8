"""BLIP's layers with what ours need besides: masks and biases in cross-attention, adapters, two images.

`transformers`' text layers drop the mask of what they cross-attend to; the ones here pass it on, as the published
BLIP does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BlipTextConfig, BlipTextModel, BlipVisionModel, PreTrainedConfig
from transformers.models.blip.modeling_blip import BlipAttention, BlipEncoderLayer
from transformers.models.blip.modeling_blip_text import (
    BlipTextAttention,
    BlipTextLayer,
    BlipTextLMHeadModel,
    BlipTextSelfAttention,
)
from typing_extensions import override

from vkood.models.blip.adapters import AdaptedLinear, UniAdapter


class VisionAttention(BlipAttention):
    """Attention of the image tower in one fused operation, which keeps no (tokens, tokens) map."""

    @override
    def forward(self, hidden_states: Tensor, **options: Any) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride] - no map
        """The states, (batch, tokens, width), and None for the map."""
        query, key, value = (
            self.qkv(hidden_states).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        )
        attended = functional.scaled_dot_product_attention(
            query, key, value, dropout_p=self.dropout.p if self.training else 0.0
        )
        return self.projection(attended.transpose(1, 2).flatten(2)), None


class VisionLayer(BlipEncoderLayer):
    """A layer of the image tower, with an adapter.

    The adapter belongs to the model, since several layers share it; a list keeps it from being registered here.
    """

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)  # pyright: ignore[reportArgumentType] - as transformers calls it
        self.self_attn = VisionAttention(config)  # pyright: ignore[reportArgumentType] - as transformers calls it
        self.adapter: list[UniAdapter] = []

    @override
    def forward(self, hidden_states: Tensor, **options: Any) -> Tensor:
        """The next states, (batch, tokens, width)."""
        attended, _ = self.self_attn(hidden_states=self.layer_norm1(hidden_states))
        states = hidden_states + attended
        added = [adapter.visual(states) for adapter in self.adapter]
        return sum(added, states + self.mlp(self.layer_norm2(states)))


class CrossAttentionReader(BlipTextSelfAttention):
    """The attention of a cross-attention, to whose keys and values adapters can be added."""

    def __init__(self, config: BlipTextConfig, layer: int | None) -> None:
        super().__init__(config, is_cross_attention=True, layer_idx=layer)
        self.key = AdaptedLinear(config.encoder_hidden_size, self.all_head_size)
        self.value = AdaptedLinear(config.encoder_hidden_size, self.all_head_size)


class CrossAttention(BlipTextAttention):
    """Cross-attention that heeds the mask, or the bias, of what it attends to."""

    def __init__(self, config: BlipTextConfig, layer: int) -> None:
        super().__init__(config, is_cross_attention=True, layer_idx=layer)
        self.self = CrossAttentionReader(config, layer)

    @property
    def readers(self) -> list[CrossAttentionReader]:
        """What attends to the encoder's states, as in `TwinCrossAttention`."""
        return [self.self]

    @override
    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        past_key_values: Any = None,
        **options: Any,
    ) -> tuple[Tensor, Tensor]:
        """States and attention; `attention_mask` is added to the logits of the encoder's states."""
        context, attentions = self.self(
            hidden_states,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=attention_mask,
            past_key_values=past_key_values,
        )
        return self.output(context, hidden_states), attentions


class TwinOutput(nn.Module):
    """What becomes of what was read in two images: a linear layer for each, then their mean or a layer that merges."""

    def __init__(self, config: BlipTextConfig, *, merge: bool) -> None:
        super().__init__()
        width = config.hidden_size
        self.dense = nn.ModuleList([nn.Linear(width, width), nn.Linear(width, width)])
        self.merge = nn.Linear(2 * width, width) if merge else None
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    @override
    def forward(self, first: Tensor, second: Tensor, states: Tensor) -> Tensor:
        """The states, (batch, text_tokens, width), with what was read added and normed."""
        read = [layer(context) for layer, context in zip(self.dense, (first, second), strict=True)]
        merged = (read[0] + read[1]) / 2 if self.merge is None else self.merge(torch.cat(read, dim=-1))
        return self.LayerNorm(self.dropout(merged) + states)


class TwinCrossAttention(nn.Module):
    """Cross-attention to two images, which stand one after the other along the axis of tokens."""

    def __init__(self, config: BlipTextConfig, layer: int, *, merge: bool) -> None:
        super().__init__()
        self.readers = nn.ModuleList([CrossAttentionReader(config, layer) for _ in range(2)])
        self.output = TwinOutput(config, merge=merge)

    @override
    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        **options: Any,
    ) -> tuple[Tensor, Tensor]:
        """States and the attention to both images; arguments as for `CrossAttention`."""
        assert encoder_hidden_states is not None
        halves = encoder_hidden_states.chunk(2, dim=1)
        biases = (None, None) if attention_mask is None else attention_mask.chunk(2, dim=-1)
        contexts, attentions = [], []
        for reader, half, bias in zip(self.readers, halves, biases, strict=True):
            context, attention = reader(
                hidden_states, encoder_hidden_states=half, encoder_attention_mask=bias
            )
            contexts.append(context)
            attentions.append(attention)
        return self.output(*contexts, hidden_states), torch.cat(attentions, dim=-1)


class TextLayer(BlipTextLayer):
    """A layer of the text encoder or decoder, with an adapter, which belongs to the model as in `VisionLayer`."""

    def __init__(self, config: BlipTextConfig, layer: int) -> None:
        super().__init__(config, layer)
        self.crossattention = CrossAttention(config, layer)
        self.adapter: list[UniAdapter] = []
        self.adapt_text = self.adapt_multimodal = True

    @override
    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        **options: Any,
    ) -> Tensor:
        """The next states, (batch, text_tokens, width)."""
        own, _ = self.attention(hidden_states, attention_mask=attention_mask, past_key_values=past_key_values)
        read = own
        if encoder_hidden_states is not None:
            read, _ = self.crossattention(
                own,
                attention_mask=encoder_attention_mask,
                encoder_hidden_states=encoder_hidden_states,
                past_key_values=past_key_values,
            )
        states = self.feed_forward_chunk(read)
        for adapter in self.adapter:
            if self.adapt_text:
                states = states + adapter.text(own)
            if self.adapt_multimodal and encoder_hidden_states is not None:
                states = states + adapter.multimodal(read)
        return states


def image_tower(config: PreTrainedConfig) -> BlipVisionModel:
    """BLIP's image tower with layers of ours."""
    tower = BlipVisionModel(config)  # pyright: ignore[reportArgumentType] - a BlipVisionConfig
    tower.encoder.layers = nn.ModuleList(VisionLayer(config) for _ in range(config.num_hidden_layers))
    return tower


def text_encoder(config: BlipTextConfig) -> BlipTextModel:
    """BLIP's text encoder with layers of ours, without a pooler."""
    encoder = BlipTextModel(config, add_pooling_layer=False)
    encoder.encoder.layer = _layers(config)
    return encoder


def text_decoder(config: BlipTextConfig) -> BlipTextLMHeadModel:
    """BLIP's decoder of answers with layers of ours."""
    decoder = BlipTextLMHeadModel(config)
    decoder.bert.encoder.layer = _layers(config)
    return decoder


def _layers(config: BlipTextConfig) -> nn.ModuleList:
    return nn.ModuleList(TextLayer(config, layer) for layer in range(config.num_hidden_layers))
