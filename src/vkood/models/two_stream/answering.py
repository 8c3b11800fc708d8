"""Visual question answering."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor
from typing_extensions import override

from vkood.models.explainable import Explainable
from vkood.models.two_stream.configuration import VkoodConfig
from vkood.models.two_stream.core import VkoodModel, VkoodOutput, VkoodPreTrainedModel
from vkood.models.two_stream.heads import AnswerHead, answer_loss


class VkoodForVisualQuestionAnswering(Explainable, VkoodPreTrainedModel):
    """A two-stream model that picks one of the answers that its configuration keeps in `id2label`."""

    def __init__(self, config: VkoodConfig) -> None:
        super().__init__(config)
        self.vkood = VkoodModel(config)
        self.answer_head = AnswerHead(
            self.vkood.pooling.width, 2 * config.hidden_size, len(config.id2label or {})
        )
        self.post_init()

    @override
    def forward(
        self,
        input_ids: Int[Tensor, "batch *texts text_tokens"],
        attention_mask: Int[Tensor, "batch *texts text_tokens"] | None = None,
        pixel_values: Float[Tensor, "batch channels height width"] | None = None,
        fact_features: Float[Tensor, "batch *texts facts fact_dim"] | None = None,
        fact_mask: Bool[Tensor, "batch *texts facts"] | None = None,
        labels: Int[Tensor, "batch *texts"] | Float[Tensor, "batch *texts answers"] | None = None,
        image_features: Float[Tensor, "batch tokens image_width"] | None = None,
        text_features: Float[Tensor, "batch *texts text_tokens text_width"] | None = None,
        *,
        output_states: bool | None = None,
        output_attentions: bool = False,
    ) -> VkoodOutput:
        """Answer questions about images with the help of facts.

        Args:
            input_ids: As for `VkoodModel`.
            attention_mask: As for `VkoodModel`.
            pixel_values: As for `VkoodModel`.
            fact_features: As for `VkoodModel`.
            fact_mask: As for `VkoodModel`.
            labels: (batch,) indices of the answers, -100 for questions that are padding; or (batch, answers)
                soft scores. Gives a loss.
            image_features: As for `VkoodModel`.
            text_features: As for `VkoodModel`.
            output_states: As for `VkoodModel`.
            output_attentions: As for `VkoodModel`.

        Returns:
            Logits, (batch, answers), loss, and each fact's gate and score.
        """
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
        logits = self.answer_head(fused.pooled)
        return fused.with_head(logits, None if labels is None else answer_loss(logits, labels))
