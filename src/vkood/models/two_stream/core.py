"""The two-stream family (METER's architecture, on which VK-OOD builds) with gated facts in the text stream.

Legend: B examples, Q texts or N images of each, F facts, T image tokens, D width of the image tower.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.utils.generic import ModelOutput
from typing_extensions import override

from vkood.gating import GateOutput, OutlierLayer
from vkood.gating.conditioning import Steered
from vkood.gating.gate import drops_closed
from vkood.models.fusion import CoAttention, LayerAttentions, padding_bias, present_facts, without_closed
from vkood.models.loading import StrictlyLoadedModel, load_config, number_of_weights, require_size
from vkood.models.roles import layer_names
from vkood.models.towers import FIXED_SIZE, ImageTower, TextTower, image_config_of, text_config_of
from vkood.models.two_stream.configuration import VkoodConfig
from vkood.models.two_stream.heads import ConcatPooling, ProductPooling
from vkood.spelling import require_known

_TEXT, _FACT = 0, -1  # token types; those of the images lie between
_Model = TypeVar("_Model", bound="VkoodPreTrainedModel")
_POOLINGS = {"concat": ConcatPooling, "product": ProductPooling}


@dataclass
class VkoodOutput(ModelOutput):
    """The output of a model of this family; unused fields are None.

    Attributes:
        loss: The loss, with labels.
        logits: Those of the task's head.
        match_logits: (batch, 2) does not match / matches; of models with a matching head.
        pooled: (batch, 2 * hidden_size) text and image, pooled, of all images side by side; with product pooling
            3 * hidden_size.
        text_states: (batch, text_tokens + facts, hidden_size).
        image_states: (batch, image tokens, hidden_size).
        fact_gate: (batch, facts) in [0, 1]; None without facts or gate.
        fact_score: (batch, facts), larger = more outlying; None without facts or gate.
        solve_status: (batch,) of `vkood.Status`, how the fit went; None where nothing was fitted.
        attentions: On request, the attention of each fusion layer.

    With several texts for each image, (batch, texts) takes the place of (batch,) in all but `solve_status`;
    there too if texts steer the fit, since each then has its own. With several images for each text, the states are
    (batch, images, ...), since text and facts are fused with each image in turn.
    """

    loss: Float[Tensor, ""] | None = None
    logits: Float[Tensor, "batch *answers"] | None = None
    match_logits: Float[Tensor, "batch *texts 2"] | None = None
    pooled: Float[Tensor, "batch *texts pooled"] | None = None
    text_states: Float[Tensor, "batch *fused text_tokens width"] | None = None
    image_states: Float[Tensor, "batch *fused tokens width"] | None = None
    fact_gate: Float[Tensor, "batch *texts facts"] | None = None
    fact_score: Float[Tensor, "batch *texts facts"] | None = None
    solve_status: Int[Tensor, "batch *fits"] | None = None
    attentions: tuple[LayerAttentions, ...] | None = None

    def with_head(
        self, logits: Tensor | None, loss: Tensor | None, match_logits: Tensor | None = None
    ) -> VkoodOutput:
        """The same with the output of a head."""
        return VkoodOutput(**{**self, "loss": loss, "logits": logits, "match_logits": match_logits})


class VkoodPreTrainedModel(StrictlyLoadedModel):
    """The base of the models of this family: configuration, saving, loading, initial weights."""

    config_class = VkoodConfig
    config: VkoodConfig
    base_model_prefix = "vkood"
    main_input_name = "pixel_values"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True

    @override
    def post_init(self) -> None:
        super().post_init()
        self._no_split_modules = layer_names(self)

    @classmethod
    def from_towers(
        cls: type[_Model],
        image: str | Path,
        text: str | Path,
        *,
        image_size: int | None = None,
        trust_remote_code: bool = False,
        **options: Any,
    ) -> _Model:
        """A model of pretrained towers, with new weights in fusion, gate and head.

        Args:
            image: Hub name or folder of the image tower: CLIP, ViT, Swin, SigLIP, DINOv2, or another image encoder of
                `transformers`. Of a model with two towers, such as CLIP, the image's is taken.
            text: Hub name or folder of the text tower: BERT, RoBERTa, ModernBERT, or another text encoder.
            image_size: Height and width of the images, in pixels; the pretrained tower's own, if None. Position
                embeddings that are for one size alone are resized for it once, which then costs nothing later.
            trust_remote_code: Whether code that the towers' folders bring may run. A model with such a tower is not
                loaded again once it is saved: no code of a saved model is run.
            options: Fields of `VkoodConfig`, and `num_labels` / `id2label` / `label2id`.

        Raises:
            ValueError: If an option is none of these, or has a value that cannot be.
            LoadingError: If there is no such folder or hub name, or it lacks a weight or is otherwise damaged.

        Example:
            >>> from vkood.models import VkoodForVisualQuestionAnswering
            >>> model = VkoodForVisualQuestionAnswering.from_towers(  # doctest: +SKIP
            ...     "openai/clip-vit-base-patch16", "roberta-base", image_size=288
            ... )
        """
        require_known(options, VkoodConfig.options(), "`options` must be fields of `VkoodConfig`")
        image_config = image_config_of(load_config(image, trust_remote_code=trust_remote_code))
        if image_size is not None and image_config.model_type in FIXED_SIZE:
            image_config.image_size = image_size
        text_config = text_config_of(load_config(text, trust_remote_code=trust_remote_code))
        config = VkoodConfig(image_config=image_config, text_config=text_config, **options)
        require_size(
            lambda: cls(copy.deepcopy(config)), known=number_of_weights(image) + number_of_weights(text)
        )
        model = cls(config)
        core: VkoodModel = model.base_model  # pyright: ignore[reportAssignmentType] - of this family
        core.image_tower = ImageTower.load(
            image, image_config, model.config.clip_layers, trust_remote_code=trust_remote_code
        )
        core.text_tower = TextTower.load(text, text_config, trust_remote_code=trust_remote_code)
        return model.eval()

    @override
    def get_input_embeddings(self) -> nn.Module:
        """The vectors of the tokens that are read."""
        core: Any = self.base_model
        return core.text_tower.encoder.get_input_embeddings()

    def freeze_towers(self) -> None:
        """Keep both towers as they are: in eval mode, and without a graph through them."""
        core: VkoodModel = self.base_model  # pyright: ignore[reportAssignmentType] - of this family
        core.image_tower.freeze()
        core.text_tower.freeze()


@dataclass(frozen=True)
class _Pairs:
    """The pairs of a text and an image that are fused: for each image every text, for each text every image.

    Args:
        shape: (batch,), or (batch, texts) with several texts for each image.
        num_images: Images for each text.
    """

    shape: torch.Size
    num_images: int

    def texts(self, rows: Tensor) -> Tensor:
        """From one row for each text to one for each pair."""
        return rows if self.num_images == 1 else rows.repeat_interleave(self.num_images, dim=0)

    def images(self, tokens: Tensor) -> Tensor:
        """From (batch, images, ...) to one row for each pair."""
        rows = tokens.flatten(0, 1)
        return rows if len(self.shape) == 1 else rows.repeat_interleave(self.shape[1], dim=0)

    def split(self, rows: Tensor) -> Tensor:
        """From one row for each pair to (batch, ...), (batch, texts, ...) or (batch, images, ...)."""
        return rows.unflatten(0, self.shape if self.num_images == 1 else (*self.shape, self.num_images))


class VkoodModel(VkoodPreTrainedModel):
    """Towers, gate and fusion, without a head.

    Args:
        config: The configuration; weights are new. Use `from_pretrained` to load some.
    """

    def __init__(self, config: VkoodConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        assert isinstance(config.image_config, PreTrainedConfig)
        assert isinstance(config.text_config, PreTrainedConfig)
        assert config.intermediate_size is not None
        self.image_tower = ImageTower(config.image_config, config.clip_layers)
        self.text_tower = TextTower(config.text_config)
        self.image_projection = nn.Linear(self.image_tower.width, width)
        self.text_projection = nn.Linear(self.text_tower.width, width)
        # Sentence vectors have length 1, hence tiny entries; tower states do not. The norm puts both on one
        # scale.
        self.fact_projection = nn.Sequential(nn.LayerNorm(config.fact_dim), nn.Linear(config.fact_dim, width))
        # Of the text, of each image, and last of the facts.
        self.token_types = nn.Embedding(config.num_images + 2, width)
        self.outlier_layer = config.gate.build(config.fact_dim, self.image_tower.width)
        self.steering = config.gate.build_steering(self.text_tower.width, self.image_tower.width)
        self.fusion = CoAttention(
            config.num_fusion_layers,
            width,
            config.num_attention_heads,
            config.intermediate_size,
            config.dropout,
            config.layer_norm_eps,
            last_image_layer=config.pooling == "concat",  # the product looks at the image before the fusion
        )
        self.pooling = _POOLINGS[config.pooling](width)
        self.post_init()

    @override
    def forward(
        self,
        input_ids: Int[Tensor, "batch *texts text_tokens"],
        attention_mask: Int[Tensor, "batch *texts text_tokens"] | None = None,
        pixel_values: Float[Tensor, "batch *images channels height width"] | None = None,
        fact_features: Float[Tensor, "batch *texts facts fact_dim"] | None = None,
        fact_mask: Bool[Tensor, "batch *texts facts"] | None = None,
        image_features: Float[Tensor, "batch *images tokens image_width"] | None = None,
        text_features: Float[Tensor, "batch *texts text_tokens text_width"] | None = None,
        *,
        output_states: bool | None = None,
        output_attentions: bool = False,
    ) -> VkoodOutput:
        """Fuse images, texts and facts.

        An example is one text and one image; or several texts about an image, which share one pass of the image tower
        and one fit of the mixture; or several images that a text is about, which share one fit to all their tokens.
        Several texts give `input_ids`, facts and all that comes out a second axis; several images give one to
        `pixel_values`.

        Args:
            input_ids: (batch, text_tokens) or (batch, texts, text_tokens) the texts' token ids.
            attention_mask: 1 for tokens, 0 for padding; shaped as `input_ids`. All are tokens, if None.
            pixel_values: (batch, channels, height, width) or (batch, images, channels, height, width) the images,
                normalised as their tower wants them.
            fact_features: (batch, facts, fact_dim) or (batch, texts, facts, fact_dim) a vector for each fact;
                None for no facts.
            fact_mask: (batch, facts) or (batch, texts, facts) True where there is a fact; all, if None. What
                `fact_features` hold elsewhere does not count.
            image_features: (batch, tokens, image_width) or (batch, images, tokens, image_width) what `image_tower`
                made of the images, in place of `pixel_values`: a tower that stays as it is need see each image only
                once.
            text_features: (batch, text_tokens, text_width) or (batch, texts, text_tokens, text_width) the output of
                `text_tower`, for the same reason; of `input_ids` only the shape is then used.
            output_states: Whether `text_states` and `image_states` are returned; the configuration's choice, if None.
                Without them the last fusion layer computes no text token but the first.
            output_attentions: Whether to return the attention of each fusion layer.

        Returns:
            The states of both streams, pooled and whole, and the gates.

        Raises:
            ValueError: If not exactly one of `pixel_values` and `image_features` is given, there are several texts and
                several images at once, or more images than the configuration has.
        """
        texts = input_ids.shape[:-1]  # (B,) or (B, Q)
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        input_ids, attention_mask = input_ids.flatten(0, -2), attention_mask.flatten(0, -2)
        image = self._image_tokens(pixel_values, image_features)  # (B, N, T, D)
        num_images = self._require_images(image, texts)
        tokens = (
            self.text_tower(input_ids, attention_mask)
            if text_features is None
            else text_features.flatten(0, -3)
        )
        context = image.flatten(1, 2)  # (B, N * T, D)
        if len(texts) > 1 and self.steering is not None:
            context = context.repeat_interleave(texts[1], dim=0)
        steered = None if self.steering is None else self.steering(tokens, attention_mask, context)
        text = self.text_projection(tokens) + self.token_types.weight[_TEXT]
        bias = padding_bias(attention_mask, text.dtype)
        every_state = self.config.output_states if output_states is None else output_states
        gated, shape = None, texts
        present = present_facts(fact_features, fact_mask)
        if present is not None:
            facts, mask = present
            shape = mask.shape
            gated, fact_bias = self._gate(facts, mask, context, steered)
            facts, fact_bias = facts.flatten(0, -3), fact_bias.flatten(0, -2)
            if not (every_state or output_attentions) and drops_closed(self.outlier_layer):
                facts, fact_bias = without_closed(facts, fact_bias)
            facts = self.fact_projection(facts.to(text.dtype)) + self.token_types.weight[_FACT]
            text, bias = torch.cat([text, facts], dim=1), torch.cat([bias, fact_bias.to(bias.dtype)], dim=1)
        pairs = _Pairs(texts, num_images)
        image_states = pairs.images(
            self.image_projection(image) + self.token_types.weight[1 : num_images + 1, None]
        )
        in_fusion = steered.log_weights if steered is not None and self.config.steer_fusion else None
        if in_fusion is not None:
            in_fusion = in_fusion.unflatten(1, (num_images, -1)).flatten(0, 1)
        attentions: list[LayerAttentions] | None = [] if output_attentions else None
        text, fused = self.fusion(
            pairs.texts(text),
            image_states,
            pairs.texts(bias),
            in_fusion,
            first_token=not every_state,
            attentions=attentions,
        )
        looked_at = fused if self.config.pooling == "concat" else image_states
        pooled = self.pooling(text[:, 0], self._whole_image(looked_at, in_fusion))
        return VkoodOutput(
            pooled=pairs.split(pooled).flatten(1) if num_images > 1 else pairs.split(pooled),
            text_states=pairs.split(text) if every_state else None,
            image_states=pairs.split(fused) if every_state else None,
            fact_gate=None if gated is None else gated.gate.view(shape),
            fact_score=None if gated is None else gated.score.view(shape),
            solve_status=self._solve_status(gated, texts),
            attentions=None if attentions is None else tuple(attentions),
        )

    def _require_images(self, image: Tensor, texts: torch.Size) -> int:
        num_images = image.shape[1]
        if num_images > self.config.num_images:
            raise ValueError(
                f"`pixel_values` must have at most {self.config.num_images} images an example, as `num_images` of the "
                f"configuration says; got {num_images}."
            )
        if num_images > 1 and len(texts) > 1:
            raise ValueError(
                f"an example may have several texts or several images, not both; got {texts[1]} and {num_images}."
            )
        return num_images

    def _image_tokens(self, pixel_values: Tensor | None, image_features: Tensor | None) -> Tensor:
        """Tokens of all images, (B, N, T, D)."""
        if (pixel_values is None) == (image_features is None):
            raise ValueError(
                "exactly one of `pixel_values` and `image_features` must be given; got "
                f"{'neither' if pixel_values is None else 'both'}."
            )
        if image_features is not None and image_features.shape[-1] != self.image_tower.width:
            raise ValueError(
                f"`image_features` must be (batch, tokens, {self.image_tower.width}), as the image tower "
                f"gives them; got {tuple(image_features.shape)}."
            )
        tokens = self.image_tower(pixel_values) if image_features is None else image_features
        return tokens if tokens.dim() == 4 else tokens[:, None]

    def _gate(
        self, facts: Tensor, mask: Tensor, context: Tensor, steered: Steered | None
    ) -> tuple[GateOutput | None, Tensor]:
        """The gate's output for the facts, and their bias, shaped as the mask.

        There is one fit for all texts of an image; if texts steer it, one for each text.
        """
        layer = self.outlier_layer
        if layer is None:
            return None, padding_bias(mask, context.dtype)
        if steered is None:
            gated = layer(facts.flatten(1, -2), context=context, candidate_mask=mask.flatten(1))
        elif isinstance(layer, OutlierLayer):
            gated = layer(
                facts.flatten(0, -3),
                context=context,
                candidate_mask=mask.flatten(0, -2),
                context_mask=steered.weights,
                prior_mean=steered.prior_mean,
                start=steered.prior_mean,
            )
        else:
            gated = layer(
                facts.flatten(0, -3),
                context=context,
                candidate_mask=mask.flatten(0, -2),
                context_mask=steered.weights,
            )
        return gated, gated.log_gate.view(mask.shape)

    def _solve_status(self, gated: GateOutput | None, texts: torch.Size) -> Tensor | None:
        if gated is None or gated.solution is None:
            return None
        return gated.solution.status if self.steering is None else gated.solution.status.view(texts)

    def _whole_image(self, states: Tensor, log_weights: Tensor | None) -> Tensor:
        """The class token where the tower has one; else, as for Swin in METER, the mean of all tokens."""
        if self.image_tower.has_class_token:
            return states[:, 0]
        return states.mean(1) if log_weights is None else (states * log_weights.exp()[..., None]).mean(1)
