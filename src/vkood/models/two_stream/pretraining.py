"""Pre-training: masked tokens and matching."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedConfig
from typing_extensions import override

from vkood.models.explainable import MATCHING, Explainable
from vkood.models.labelled import trained_with
from vkood.models.two_stream.configuration import VkoodConfig
from vkood.models.two_stream.core import VkoodModel, VkoodOutput, VkoodPreTrainedModel
from vkood.models.two_stream.heads import MaskedLanguageHead


class VkoodForPreTraining(Explainable, VkoodPreTrainedModel):
    """A two-stream model that predicts masked tokens (MLM), and whether a text goes with an image (ITM).

    Either head may be left out: `masked_language` and `matching` of the configuration.
    """

    _answer_logits = "match_logits"
    _answer_names = MATCHING

    def __init__(self, config: VkoodConfig) -> None:
        super().__init__(config)
        assert isinstance(config.text_config, PreTrainedConfig)
        self.vkood = VkoodModel(config)
        self.masked_language_head = (
            MaskedLanguageHead(config.hidden_size, config.text_config.vocab_size, config.layer_norm_eps)
            if config.masked_language
            else None
        )
        self.match_head = nn.Linear(self.vkood.pooling.width, 2) if config.matching else None
        self.post_init()

    @override
    @trained_with(optional=("match_labels",))
    def forward(
        self,
        input_ids: Int[Tensor, "batch *texts text_tokens"],
        attention_mask: Int[Tensor, "batch *texts text_tokens"] | None = None,
        pixel_values: Float[Tensor, "batch channels height width"] | None = None,
        fact_features: Float[Tensor, "batch *texts facts fact_dim"] | None = None,
        fact_mask: Bool[Tensor, "batch *texts facts"] | None = None,
        labels: Int[Tensor, "batch *texts text_tokens"] | None = None,
        match_labels: Int[Tensor, "batch *texts"] | None = None,
        image_features: Float[Tensor, "batch tokens image_width"] | None = None,
        text_features: Float[Tensor, "batch *texts text_tokens text_width"] | None = None,
        *,
        output_attentions: bool = False,
    ) -> VkoodOutput:
        """Predict masked tokens and matches.

        A text with masked tokens and one that may be false are two texts about an image, since a false text's tokens
        teach nothing; METER takes a batch for each.

        Args:
            input_ids: As for `VkoodModel`, some tokens masked.
            attention_mask: As for `VkoodModel`.
            pixel_values: As for `VkoodModel`.
            fact_features: As for `VkoodModel`.
            fact_mask: As for `VkoodModel`.
            labels: (batch, text_tokens) or (batch, texts, text_tokens) the ids of masked tokens, -100 elsewhere. Gives
                the MLM loss.
            match_labels: (batch,) or (batch, texts) 1 where the text goes with the image, 0 where not, -100 where it
                does not count. Adds the ITM loss.
            image_features: As for `VkoodModel`.
            text_features: As for `VkoodModel`.
            output_attentions: As for `VkoodModel`.

        Returns:
            Logits, (batch, text_tokens, vocabulary); the matching head's, (batch, 2); with several texts (batch, texts,
            ...); the sum of the losses for which there are labels; and each fact's gate and score.
        """
        fused = self.vkood(
            input_ids,
            attention_mask,
            pixel_values,
            fact_features,
            fact_mask,
            image_features,
            text_features,
            output_states=True,
            output_attentions=output_attentions,
        )
        token_states = fused.text_states[..., : input_ids.shape[-1], :]
        logits = None if self.masked_language_head is None else self.masked_language_head(token_states)
        matches = None if self.match_head is None else self.match_head(fused.pooled)
        losses: list[Tensor] = []
        if labels is not None and logits is not None:
            losses.append(functional.cross_entropy(logits.flatten(0, -2), labels.flatten()))
        if match_labels is not None and matches is not None:
            losses.append(functional.cross_entropy(matches.flatten(0, -2), match_labels.flatten()))
        return fused.with_head(logits, sum(losses) if losses else None, matches)  # pyright: ignore[reportArgumentType]
