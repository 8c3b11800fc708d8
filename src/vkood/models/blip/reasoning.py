"""Visual reasoning: is a sentence true of two images (NLVR2)?"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import BlipTextConfig
from typing_extensions import override

from vkood.models.blip.configuration import BlipVkoodConfig
from vkood.models.blip.core import (
    BlipVkoodModel,
    BlipVkoodOutput,
    BlipVkoodPreTrainedModel,
    Source,
    lend_to_readers,
)
from vkood.models.blip.layers import TwinCrossAttention
from vkood.models.explainable import TRUTH, Explainable
from vkood.models.fusion import padding_bias

_NUM_IMAGES = 2


class BlipVkoodForVisualReasoning(Explainable, BlipVkoodPreTrainedModel):
    """BLIP that judges whether a sentence is true of two images.

    Each layer reads both images by a cross-attention of its own, and merges what it read. Facts lie beside each
    image's tokens, gated by one fit to the tokens of both.
    """

    _answer_names = TRUTH

    @property
    @override
    def images_per_text(self) -> int:
        return _NUM_IMAGES

    def __init__(self, config: BlipVkoodConfig) -> None:
        super().__init__(config)
        assert isinstance(config.text_config, BlipTextConfig)
        self.blip = BlipVkoodModel(config)
        for number, layer in enumerate(self.blip.text_encoder.encoder.layer):
            merge = number >= config.merge_from
            layer.crossattention = TwinCrossAttention(config.text_config, number, merge=merge)
        lend_to_readers(self.blip.key_value_adapters, self.blip.text_encoder.encoder.layer)
        width = config.text_config.hidden_size
        self.reasoning_head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))
        self.post_init()

    @override
    def forward(
        self,
        input_ids: Int[Tensor, "batch text_tokens"],
        attention_mask: Int[Tensor, "batch text_tokens"] | None = None,
        pixel_values: Float[Tensor, "batch 2 channels rows columns"] | None = None,
        fact_features: Float[Tensor, "batch facts fact_dim"] | None = None,
        fact_mask: Bool[Tensor, "batch facts"] | None = None,
        labels: Int[Tensor, " batch"] | None = None,
        image_features: Float[Tensor, "batch 2 tokens width"] | None = None,
    ) -> BlipVkoodOutput:
        """Judge sentences.

        Args:
            input_ids: As for `BlipVkoodModel`.
            attention_mask: As for `BlipVkoodModel`.
            pixel_values: (batch, 2, channels, height, width) both images of each sentence.
            fact_features: As for `BlipVkoodModel`.
            fact_mask: As for `BlipVkoodModel`.
            labels: (batch,) 1 where the sentence is true, 0 where it is not. Gives a loss.
            image_features: (batch, 2, tokens, D) the image tower's output, in place of images.

        Returns:
            Logits, (batch, 2) for false and true, loss, and each fact's gate and score.

        Raises:
            ValueError: If there are not two images for each sentence.
        """
        images = pixel_values if pixel_values is not None else image_features
        if images is not None and (images.dim() < 4 or images.shape[1] != _NUM_IMAGES):
            raise ValueError(
                f"every sentence must come with 2 images, (batch, 2, ...); got {tuple(images.shape)}."
            )
        flat = None if pixel_values is None else pixel_values.flatten(0, 1)
        features = None if image_features is None else image_features.flatten(0, 1)
        image = self.blip.tokens(flat, features).unflatten(0, (-1, _NUM_IMAGES))  # (B, 2, T, D)
        source = self._source(image, fact_features, fact_mask)
        states = self.blip.read(input_ids, attention_mask, source)
        logits = self.reasoning_head(states[:, 0])
        return BlipVkoodOutput(
            loss=None if labels is None else functional.cross_entropy(logits, labels),
            logits=logits,
            text_states=states,
            image_states=image,
            **source.outputs(),  # pyright: ignore[reportArgumentType] - the fields about facts
        )

    def _source(self, image: Tensor, fact_features: Tensor | None, fact_mask: Tensor | None) -> Source:
        """Both images one after the other, each followed by the facts."""
        both = self.blip.source(image.flatten(1, 2), fact_features, fact_mask)
        if both.bias is None:
            return both
        num_tokens = image.shape[1] * image.shape[2]
        facts, bias = both.states[:, num_tokens:], both.bias[..., num_tokens:]
        no_bias = padding_bias(torch.ones_like(image[:, 0, :, 0]), bias.dtype)[:, None, None]  # (B, 1, 1, T)
        states = [part for number in range(_NUM_IMAGES) for part in (image[:, number], facts)]
        return Source(torch.cat(states, dim=1), torch.cat([no_bias, bias] * _NUM_IMAGES, dim=-1), both.gated)
