"""Visual reasoning: is a sentence true of several images (NLVR2)?"""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from vkood.models.explainable import TRUTH, Explainable
from vkood.models.two_stream.configuration import VkoodConfig
from vkood.models.two_stream.core import VkoodModel, VkoodOutput, VkoodPreTrainedModel
from vkood.models.two_stream.heads import AnswerHead


class VkoodForVisualReasoning(Explainable, VkoodPreTrainedModel):
    """A two-stream model that judges whether a sentence is true of two or more images.

    The sentence and its facts are fused with each image in turn, as in METER; the facts are gated by one fit to the
    tokens of all images, since a fact may belong to any of them.

    Args:
        config: The configuration; with `num_images` of 1, METER's two images are taken.
    """

    _answer_names = TRUTH

    def __init__(self, config: VkoodConfig) -> None:
        config.num_images = max(2, config.num_images)
        super().__init__(config)
        self.vkood = VkoodModel(config)
        pooled = config.num_images * self.vkood.pooling.width
        self.reasoning_head = AnswerHead(pooled, 2 * config.hidden_size, 2)
        self.post_init()

    @property
    @override
    def images_per_text(self) -> int:
        return self.config.num_images

    @override
    def forward(
        self,
        input_ids: Int[Tensor, "batch text_tokens"],
        attention_mask: Int[Tensor, "batch text_tokens"] | None = None,
        pixel_values: Float[Tensor, "batch images channels height width"] | None = None,
        fact_features: Float[Tensor, "batch facts fact_dim"] | None = None,
        fact_mask: Bool[Tensor, "batch facts"] | None = None,
        labels: Int[Tensor, " batch"] | None = None,
        image_features: Float[Tensor, "batch images tokens image_width"] | None = None,
        text_features: Float[Tensor, "batch *texts text_tokens text_width"] | None = None,
        *,
        output_states: bool | None = None,
        output_attentions: bool = False,
    ) -> VkoodOutput:
        """Judge sentences.

        Args:
            input_ids: As for `VkoodModel`.
            attention_mask: As for `VkoodModel`.
            pixel_values: (batch, images, channels, height, width) all `num_images` images of each sentence.
            fact_features: As for `VkoodModel`.
            fact_mask: As for `VkoodModel`.
            labels: (batch,) 1 where the sentence is true, 0 where it is not. Gives a loss.
            image_features: As for `VkoodModel`.
            text_features: As for `VkoodModel`.
            output_states: As for `VkoodModel`.
            output_attentions: As for `VkoodModel`.

        Returns:
            Logits, (batch, 2) for false and true, loss, and each fact's gate and score.

        Raises:
            ValueError: If there are more or fewer images than `num_images`.
        """
        images = pixel_values if pixel_values is not None else image_features
        expected = self.config.num_images
        if images is not None and (images.dim() < 4 or images.shape[1] != expected):
            raise ValueError(
                f"every sentence must come with {expected} images, (batch, {expected}, ...); got {tuple(images.shape)}."
            )
        fused = self.vkood(
            input_ids,
            attention_mask,
            pixel_values,
            fact_features,
            fact_mask,
            image_features,
            text_features,
            output_states=output_states,
            output_attentions=output_attentions,
        )
        logits = self.reasoning_head(fused.pooled)
        return fused.with_head(logits, None if labels is None else functional.cross_entropy(logits, labels))
