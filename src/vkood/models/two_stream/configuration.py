"""The configuration of the two-stream family: its towers, its fusion, and its gate."""

from __future__ import annotations

from typing import Any, Literal, get_args

from transformers import AutoConfig, PreTrainedConfig
from typing_extensions import override

from vkood.fields import Choice, Flag, Optional, Real, Rule, Whole, require_fields
from vkood.models.configuration import GatedConfig, tower_config
from vkood.models.fields import MAX_HEADS, MAX_LABELS, MAX_LAYERS, MAX_WIDTH, Labels
from vkood.models.labelled import NOT_PREDICTIONS
from vkood.models.towers import ClipLayers

NUM_ANSWERS = 3129
"""Answers that occur at least nine times in VQAv2's training and validation questions."""


_RULES: dict[str, Rule] = {
    "fact_dim": Whole(1, MAX_WIDTH),
    "hidden_size": Whole(1, MAX_WIDTH),
    "num_attention_heads": Whole(1, MAX_HEADS),
    "num_fusion_layers": Whole(1, MAX_LAYERS),
    "intermediate_size": Optional(Whole(1, 4 * MAX_WIDTH)),
    "pooling": Choice(("concat", "product")),
    "dropout": Real(0, 1),
    "layer_norm_eps": Real(0, 1),
    "initializer_range": Real(0, 100),
    "steer_fusion": Flag(),
    "clip_layers": Choice(get_args(ClipLayers)),
    "num_images": Whole(1, 64),
    "output_states": Flag(),
    "match_loss_weight": Real(0),
    "num_answers": Whole(0, MAX_LABELS),
    "num_labels": Whole(0, MAX_LABELS),
    "masked_language": Flag(),
    "matching": Flag(),
    "id2label": Optional(Labels()),
}


class VkoodConfig(GatedConfig):
    """Configuration of a two-stream model with knowledge.

    Attributes:
        image_config: Configuration of the image tower, of any `transformers` image encoder.
        text_config: Configuration of the text tower, of any `transformers` text encoder.
        fact_dim: Width of the fact vectors.
        gate: How facts are gated, a `GateConfig`; or its options as a dictionary.
        hidden_size: Width of the fusion.
        num_attention_heads: Heads of each attention in the fusion.
        num_fusion_layers: Number of co-attention layers.
        intermediate_size: Width of the fusion's feed-forward layers; four times `hidden_size` if None.
        pooling: "concat" as in METER, or "product", which multiplies the fused text with the image as it was
            before the fusion.
        dropout: Of attention and hidden states in the fusion.
        layer_norm_eps: Of the fusion's layer norms; 1e-12 as in METER.
        clip_layers: How much of a CLIP image tower is used: "meter" for all but the last layer, as in METER, or "all".
            `image_config` has the depth of the pretrained tower either way.
        num_images: Max number of images of an example, each with its own token type.
        output_states: Whether outputs have the states of both streams. Without them the last fusion layer computes
            the first word alone: for small models, where that layer is a good part of the whole.
        match_loss_weight: Weight of the matching loss beside the ranking loss (image-text retrieval).
        num_answers: How many answers there are: as many as labels, if these are given.
        masked_language: Whether a model for pre-training has a head for masked tokens.
        matching: Whether a model for pre-training has a head for matching.
        steer_fusion: Whether the token weights of the gate's `steering` act in the fusion too: on the
            attention to image tokens, and on their mean where that stands for the image. Questions without
            facts then teach the weights as well.
        initializer_range: Standard deviation of new weights.

    The answers live in `id2label` / `label2id`, as with every classifier of `transformers`; there are 3,129, VQAv2's
    usual number, if nothing else is said.
    """

    # transformers wraps `__init__` to take further keywords; jaxtyping's checks under pytest must not wrap it
    # again.
    __no_type_check__ = True

    model_type = "vkood"
    keys_to_ignore_at_inference = NOT_PREDICTIONS
    rules = _RULES
    sub_configs = {"image_config": AutoConfig, "text_config": AutoConfig}  # noqa: RUF012  # pyright: ignore[reportAssignmentType] - as transformers has it

    image_config: dict[str, Any] | PreTrainedConfig | None = None
    text_config: dict[str, Any] | PreTrainedConfig | None = None
    fact_dim: int = 384
    hidden_size: int = 768
    num_attention_heads: int = 12
    num_fusion_layers: int = 6
    intermediate_size: int | None = None
    pooling: Literal["concat", "product"] = "concat"
    dropout: float = 0.1
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    steer_fusion: bool = False
    clip_layers: ClipLayers = "meter"
    num_images: int = 1
    output_states: bool = True
    match_loss_weight: float = 0.5
    num_answers: int = NUM_ANSWERS
    masked_language: bool = True
    matching: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill in defaults and check the options."""
        require_fields(vars(self) | kwargs, self.rules)
        self.image_config = tower_config("image_config", self.image_config, "clip_vision_model")
        self.text_config = tower_config("text_config", self.text_config, "roberta")
        if self.steer_fusion and "weights" not in self.gate.steering:
            raise ValueError(
                f"`steer_fusion` needs a gate whose `steering` has weights; got {self.gate.steering!r}."
            )
        if self.intermediate_size is None:
            self.intermediate_size = 4 * self.hidden_size
        if self.id2label is None:
            # transformers does not write labels down that it takes for its own two.
            kwargs.setdefault("num_labels", self.num_answers)
        elif (number := kwargs.pop("num_labels", None)) not in (None, len(self.id2label)):
            raise ValueError(f"`num_labels` must be that of `id2label`, {len(self.id2label)}; got {number}.")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"`hidden_size` must be a multiple of `num_attention_heads`; got {self.hidden_size} and "
                f"{self.num_attention_heads}."
            )
        super().__post_init__(**kwargs)
        answers = dict(self.id2label or {})
        if sorted(answers) != list(range(len(answers))):
            raise ValueError("`id2label` must number the answers from 0 on, without a gap.")
        self.num_answers = len(answers)

    @override
    @classmethod
    def options(cls) -> set[str]:
        return super().options() | {"num_labels"}
