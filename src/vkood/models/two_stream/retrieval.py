"""Image-text retrieval."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import initialization
from typing_extensions import override

from vkood.models.explainable import MATCHING, Explainable
from vkood.models.labelled import trained_with
from vkood.models.two_stream.configuration import VkoodConfig
from vkood.models.two_stream.core import VkoodModel, VkoodOutput, VkoodPreTrainedModel


class VkoodForImageTextRetrieval(Explainable, VkoodPreTrainedModel):
    """A two-stream model that scores how well a text goes with an image.

    As in METER, the ranking head begins as the matching head's row for "matches", so a model whose matching head
    is pretrained ranks before any training.
    """

    _answer_logits = "match_logits"
    _answer_names = MATCHING

    def __init__(self, config: VkoodConfig) -> None:
        super().__init__(config)
        self.vkood = VkoodModel(config)
        self.match_head = nn.Linear(self.vkood.pooling.width, 2)
        self.rank_head = nn.Linear(self.vkood.pooling.width, 1)
        self.post_init()

    @override
    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is getattr(self, "rank_head", None):
            initialization.copy_(self.rank_head.weight, self.match_head.weight[1:])
            initialization.copy_(self.rank_head.bias, self.match_head.bias[1:])

    @override
    @trained_with(optional=("match_labels",))
    def forward(
        self,
        input_ids: Int[Tensor, "batch *texts text_tokens"],
        attention_mask: Int[Tensor, "batch *texts text_tokens"] | None = None,
        pixel_values: Float[Tensor, "batch channels height width"] | None = None,
        fact_features: Float[Tensor, "batch *texts facts fact_dim"] | None = None,
        fact_mask: Bool[Tensor, "batch *texts facts"] | None = None,
        labels: Int[Tensor, " batch"] | None = None,
        match_labels: Int[Tensor, "batch *texts"] | None = None,
        image_features: Float[Tensor, "batch tokens image_width"] | None = None,
        text_features: Float[Tensor, "batch *texts text_tokens text_width"] | None = None,
        *,
        output_states: bool | None = None,
        output_attentions: bool = False,
    ) -> VkoodOutput:
        """Score texts for images.

        Args:
            input_ids: As for `VkoodModel`: one text for each image, or several, a true one and false ones among them.
            attention_mask: As for `VkoodModel`.
            pixel_values: As for `VkoodModel`.
            fact_features: As for `VkoodModel`.
            fact_mask: As for `VkoodModel`.
            labels: (batch,) which of an image's texts is the true one. Gives the ranking loss, the cross-entropy over
                its texts.
            match_labels: (batch,) or (batch, texts) 1 where the text goes with the image, 0 where not, -100 where it
                does not count. Adds `match_loss_weight` times the matching loss.
            image_features: As for `VkoodModel`.
            text_features: As for `VkoodModel`.
            output_states: As for `VkoodModel`.
            output_attentions: As for `VkoodModel`.

        Returns:
            Logits, (batch, texts) or (batch,), larger = a better match; the matching head's; the loss; and what the
            gate said of each fact.

        Raises:
            ValueError: If there are `labels`, but not several texts to choose from.
        """
        if labels is not None and input_ids.dim() < 3:
            raise ValueError(
                "`labels` need several texts for each image, `input_ids` of (batch, texts, text_tokens); got "
                f"{tuple(input_ids.shape)}."
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
        scores, matches = self.rank_head(fused.pooled)[..., 0], self.match_head(fused.pooled)
        losses: list[Tensor] = []
        if labels is not None:
            losses.append(functional.cross_entropy(scores, labels))
        if match_labels is not None:
            matching = functional.cross_entropy(matches.flatten(0, -2), match_labels.flatten())
            losses.append(self.config.match_loss_weight * matching)
        return fused.with_head(scores, sum(losses) if losses else None, matches)  # pyright: ignore[reportArgumentType]
