"""The configuration of the BLIP family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import BlipTextConfig, BlipVisionConfig, PreTrainedConfig

from vkood.fields import Flag, Optional, Real, Rule, Whole, require_fields
from vkood.models.configuration import GatedConfig, tower_config
from vkood.models.fields import MAX_LABELS, MAX_LAYERS, MAX_VOCABULARY, MAX_WIDTH
from vkood.models.labelled import NOT_PREDICTIONS

_RULES: dict[str, Rule] = {
    "encode_token_id": Optional(Whole(0, MAX_VOCABULARY)),
    "fact_dim": Whole(1, MAX_WIDTH),
    "image_text_hidden_size": Whole(1, MAX_WIDTH),
    "queue_size": Whole(1, MAX_LABELS),
    "momentum": Real(0, 1),
    "alpha": Real(0, 1),
    "max_answers_read": Whole(),
    "adapter_size": Optional(Whole(1, MAX_WIDTH)),
    "adapt_vision": Flag(),
    "separate_decoder_adapters": Flag(),
    "merge_from": Whole(0, MAX_LAYERS),
    "initializer_range": Real(0, 100),
}


class BlipVkoodConfig(GatedConfig):
    """Configuration of a BLIP model with knowledge.

    Attributes:
        vision_config: Of the image tower, a `BlipVisionConfig`.
        text_config: Of the text encoder, and of the decoder of answers but for what it attends to, a `BlipTextConfig`:
            `bos_token_id` begins an answer, `sep_token_id` ends it.
        encode_token_id: The id of "[ENC]", which stands in place of "[CLS]" where a text is read together with an
            image; the last of the vocabulary, if None.
        fact_dim: Width of the fact vectors.
        gate: How facts are gated, a `GateConfig`; or its options as a dictionary.
        image_text_hidden_size: Width of the features that images and texts are compared by.
        queue_size: Number of features of earlier batches in the contrastive loss.
        momentum: Of the momentum encoder.
        alpha: Share of the momentum encoder's own opinion in the contrastive targets.
        max_answers_read: Number of answers ranked at once, which bounds memory.
        adapter_size: Width of `UniAdapter`'s bottleneck; None for no adapters.
        adapt_vision: Whether the image tower has adapters too.
        adapt_text: Whether texts have the text's part of the adapters.
        adapt_multimodal: Whether texts that read something have the multimodal part of the adapters.
        separate_decoder_adapters: Whether the decoder has a list of adapters of its own.
        key_value_adapter_size: Width of the bottleneck of the adapters that are added to the keys and values of all
            cross-attentions, one pair for the text encoder and one for the decoder; None for none.
        merge_from: The first layer that merges what it read in two images by a layer of its own, not by their mean
            (visual reasoning).
        initializer_range: Standard deviation of new weights.
    """

    # transformers wraps `__init__` to take further keywords; jaxtyping's checks under pytest must not wrap it
    # again.
    __no_type_check__ = True

    model_type = "blip-vkood"
    keys_to_ignore_at_inference = NOT_PREDICTIONS
    rules = _RULES
    sub_configs = {"vision_config": BlipVisionConfig, "text_config": BlipTextConfig}  # noqa: RUF012  # pyright: ignore[reportAssignmentType] - as transformers has it

    vision_config: dict[str, Any] | PreTrainedConfig | None = None
    text_config: dict[str, Any] | PreTrainedConfig | None = None
    encode_token_id: int | None = None
    fact_dim: int = 384
    image_text_hidden_size: int = 256
    queue_size: int = 57_600
    momentum: float = 0.995
    alpha: float = 0.4
    max_answers_read: int = 4_096
    adapter_size: int | None = None
    adapt_vision: bool = True
    adapt_text: bool = True
    adapt_multimodal: bool = True
    separate_decoder_adapters: bool = False
    key_value_adapter_size: int | None = None
    merge_from: int = 6
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill in defaults and check what can be checked."""
        require_fields(vars(self), self.rules)
        self.vision_config = tower_config("vision_config", self.vision_config, BlipVisionConfig.model_type)
        if isinstance(self.text_config, Mapping | None):
            self.text_config = {"label_smoothing": 0.1, **(self.text_config or {})}
        self.text_config = tower_config("text_config", self.text_config, BlipTextConfig.model_type)
        for name, kind in self.sub_configs.items():
            if not isinstance(config := getattr(self, name), kind):
                raise ValueError(f"`{name}.model_type` must be {kind.model_type}; got {config.model_type}.")
        # Every layer has a cross-attention, to the image.
        self.text_config.is_decoder = True
        self.text_config.encoder_hidden_size = self.vision_config.hidden_size
        if self.encode_token_id is None:
            self.encode_token_id = self.text_config.vocab_size - 1
        if self.encode_token_id >= self.text_config.vocab_size:
            raise ValueError(
                f"`encode_token_id` must be below the vocabulary's {self.text_config.vocab_size:,} tokens; got "
                f"{self.encode_token_id:,}."
            )
        if self.gate.steering != "none":
            raise ValueError(
                f'the gate\'s `steering` must be "none" in the BLIP family; got {self.gate.steering!r}.'
            )
        super().__post_init__(**kwargs)
