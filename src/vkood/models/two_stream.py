"""The two-stream family (METER's architecture, on which VK-OOD builds) with gated facts in the text stream.

Legend: B images, Q texts for each image, W words, F facts, T image tokens, D width of the fusion.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils.generic import ModelOutput
from typing_extensions import override

from vkood.mixture import GateOutput, OutlierLayer
from vkood.models.configuration import VkoodConfig
from vkood.models.fusion import CoAttention, padding_bias
from vkood.models.heads import AnswerHead, ConcatPooling, ProductPooling, answer_loss
from vkood.models.steering import Steered
from vkood.models.towers import ImageTower, TextTower

_TEXT, _IMAGE, _FACT = 0, 1, 2  # token types
_POOLINGS = {"concat": ConcatPooling, "product": ProductPooling}


@dataclass
class VkoodModelOutput(ModelOutput):
    """What the streams hold after the fusion, and what the gate said of the facts.

    Attributes:
        pooled: (batch, 2 * hidden_size) text and image, pooled; with product pooling 3 * hidden_size.
        text_states: (batch, words + facts, hidden_size); of the first word alone, (batch, 1, hidden_size), if no
            more was asked for.
        image_states: (batch, image tokens, hidden_size).
        fact_gate: (batch, facts) in [0, 1]; None without facts or gate.
        fact_score: (batch, facts), larger = more outlying; None without facts or gate.
        solve_status: (batch,) of `vkood.Status`, how the fit went; None where nothing was fitted.

    With several texts for each image, (batch, texts) takes the place of (batch,) in all but `solve_status`;
    there too if texts steer the fit, since each then has its own.
    """

    pooled: Float[Tensor, "batch *texts pooled"] | None = None
    text_states: Float[Tensor, "batch *texts words width"] | None = None
    image_states: Float[Tensor, "batch *texts tokens width"] | None = None
    fact_gate: Float[Tensor, "batch *texts facts"] | None = None
    fact_score: Float[Tensor, "batch *texts facts"] | None = None
    solve_status: Int[Tensor, "batch *fits"] | None = None


@dataclass
class VkoodAnswerOutput(ModelOutput):
    """Answers to questions.

    Attributes:
        loss: The answer loss, if labels were given.
        logits: (batch, answers).
        fact_gate: (batch, facts) in [0, 1]; None without facts or gate.
        fact_score: (batch, facts), larger = more outlying; None without facts or gate.
        solve_status: (batch,) of `vkood.Status`; None where nothing was fitted.

    With several questions for each image, (batch, questions) takes the place of (batch,) in all but
    `solve_status`; there too if texts steer the fit.
    """

    loss: Float[Tensor, ""] | None = None
    logits: Float[Tensor, "batch *texts answers"] | None = None
    fact_gate: Float[Tensor, "batch *texts facts"] | None = None
    fact_score: Float[Tensor, "batch *texts facts"] | None = None
    solve_status: Int[Tensor, "batch *fits"] | None = None


class VkoodPreTrainedModel(PreTrainedModel):
    """What the models of this family share: configuration, saving, loading, initial weights."""

    config_class = VkoodConfig
    config: VkoodConfig
    base_model_prefix = "vkood"
    main_input_name = "pixel_values"
    _supports_sdpa = True


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
        self.image_tower = ImageTower(config.image_config)
        self.text_tower = TextTower(config.text_config)
        self.image_projection = nn.Linear(self.image_tower.width, width)
        self.text_projection = nn.Linear(self.text_tower.width, width)
        # Sentence vectors have length 1, hence tiny entries; tower states do not. The norm puts both on one
        # scale.
        self.fact_projection = nn.Sequential(nn.LayerNorm(config.fact_dim), nn.Linear(config.fact_dim, width))
        self.token_types = nn.Embedding(3, width)
        self.outlier_layer = config.gate_config.build(config.fact_dim, self.image_tower.width)
        self.steering = config.gate_config.build_steering(self.text_tower.width, self.image_tower.width)
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
        input_ids: Int[Tensor, "batch *texts words"],
        attention_mask: Int[Tensor, "batch *texts words"],
        pixel_values: Float[Tensor, "batch channels height width"] | None = None,
        fact_features: Float[Tensor, "batch *texts facts fact_dim"] | None = None,
        fact_mask: Bool[Tensor, "batch *texts facts"] | None = None,
        image_features: Float[Tensor, "batch tokens image_width"] | None = None,
        *,
        first_word: bool = False,
    ) -> VkoodModelOutput:
        """Fuse images, texts and facts.

        Either one text for each image, or several, all of which share one pass of the image tower and one fit
        of the mixture: then texts and facts have a second axis, and so has all that comes out.

        Args:
            input_ids: (batch, words) or (batch, texts, words) the texts' token ids.
            attention_mask: 1 for tokens, 0 for padding; shaped as `input_ids`.
            pixel_values: (batch, channels, height, width) the images, normalised as their tower wants them.
            fact_features: (batch, facts, fact_dim) or (batch, texts, facts, fact_dim) a vector for each fact;
                None for no facts.
            fact_mask: (batch, facts) or (batch, texts, facts) True where there is a fact; all, if None.
            image_features: (batch, tokens, image_width) what `image_tower` made of the images, in place of
                `pixel_values`: a tower that stays as it is need see each image only once.
            first_word: Let `text_states` be those of the first word alone, which is all that `pooled` needs of
                them: the last fusion layer then computes no others.

        Returns:
            The states of both streams, pooled and whole, and the gates.

        Raises:
            ValueError: If not exactly one of `pixel_values` and `image_features` is given.
        """
        texts = input_ids.shape[:-1]  # (B,) or (B, Q)
        input_ids, attention_mask = input_ids.flatten(0, -2), attention_mask.flatten(0, -2)
        image = self._image_tokens(pixel_values, image_features)
        words = self.text_tower(input_ids, attention_mask)
        text = self.text_projection(words) + self.token_types.weight[_TEXT]
        bias = padding_bias(attention_mask, text.dtype)
        if len(texts) > 1 and self.steering is not None:
            image = image.repeat_interleave(texts[1], dim=0)
        steered = None if self.steering is None else self.steering(words, attention_mask, image)
        gated, shape = None, texts
        if fact_features is not None and fact_features.shape[-2] > 0:
            if fact_mask is None:
                fact_mask = torch.ones(fact_features.shape[:-1], dtype=torch.bool, device=image.device)
            shape = fact_mask.shape
            if steered is None:
                gated, fact_bias = self._gate(fact_features, fact_mask, image)
            else:
                gated, fact_bias = self._steered_gate(fact_features, fact_mask, image, steered)
            facts = (
                self.fact_projection(fact_features.flatten(0, -3).to(text.dtype))
                + self.token_types.weight[_FACT]
            )
            text = torch.cat([text, facts], dim=1)
            bias = torch.cat([bias, fact_bias.flatten(0, -2).to(bias.dtype)], dim=1)
        image_states = self.image_projection(image) + self.token_types.weight[_IMAGE]
        if len(texts) > 1 and self.steering is None:
            image_states = image_states.repeat_interleave(texts[1], dim=0)
        in_fusion = steered.log_weights if steered is not None and self.config.steer_fusion else None
        text, fused = self.fusion(
            text, image_states, text_bias=bias, image_bias=in_fusion, first_word=first_word
        )
        seen = fused if self.config.pooling == "concat" else image_states
        return VkoodModelOutput(
            pooled=self.pooling(text[:, 0], self._whole_image(seen, in_fusion)).unflatten(0, texts),
            text_states=text.unflatten(0, texts),
            image_states=fused.unflatten(0, texts),
            fact_gate=None if gated is None else gated.gate.view(shape),
            fact_score=None if gated is None else gated.score.view(shape),
            solve_status=self._solve_status(gated, texts),
        )

    def _image_tokens(self, pixel_values: Tensor | None, image_features: Tensor | None) -> Tensor:
        if (pixel_values is None) == (image_features is None):
            raise ValueError(
                "exactly one of `pixel_values` and `image_features` must be given; got "
                f"{'neither' if pixel_values is None else 'both'}."
            )
        if pixel_values is not None:
            return self.image_tower(pixel_values)
        assert image_features is not None
        if image_features.shape[-1] != self.image_tower.width:
            raise ValueError(
                f"`image_features` must be (batch, tokens, {self.image_tower.width}), as the image tower "
                f"gives them; got {tuple(image_features.shape)}."
            )
        return image_features

    def _gate(self, facts: Tensor, mask: Tensor, image: Tensor) -> tuple[GateOutput | None, Tensor]:
        """What the gate says of the facts of all texts of an image, and their bias, shaped as the mask."""
        if self.outlier_layer is None:
            return None, padding_bias(mask, image.dtype)
        gated = self.outlier_layer(facts.flatten(1, -2), context=image, candidate_mask=mask.flatten(1))
        return gated, gated.log_gate.view(mask.shape)

    def _steered_gate(
        self, facts: Tensor, mask: Tensor, image: Tensor, steered: Steered
    ) -> tuple[GateOutput, Tensor]:
        """As `_gate`, but with a fit for each text, to the tokens of its image, (B * Q, T, image_width)."""
        assert self.outlier_layer is not None
        facts, fact_mask = facts.flatten(0, -3), mask.flatten(0, -2)
        if isinstance(self.outlier_layer, OutlierLayer):
            gated = self.outlier_layer(
                facts,
                context=image,
                candidate_mask=fact_mask,
                context_mask=steered.weights,
                prior_mean=steered.prior_mean,
                start=steered.prior_mean,
            )
        else:
            gated = self.outlier_layer(
                facts, context=image, candidate_mask=fact_mask, context_mask=steered.weights
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


class VkoodForVisualQuestionAnswering(VkoodPreTrainedModel):
    """A two-stream model that picks one of the answers that its configuration keeps in `id2label`."""

    def __init__(self, config: VkoodConfig) -> None:
        super().__init__(config)
        self.vkood = VkoodModel(config)
        num_answers = len(config.id2label or {})
        self.answer_head = AnswerHead(self.vkood.pooling.width, 2 * config.hidden_size, num_answers)
        self.post_init()

    @override
    def forward(
        self,
        input_ids: Int[Tensor, "batch *texts words"],
        attention_mask: Int[Tensor, "batch *texts words"],
        pixel_values: Float[Tensor, "batch channels height width"] | None = None,
        fact_features: Float[Tensor, "batch *texts facts fact_dim"] | None = None,
        fact_mask: Bool[Tensor, "batch *texts facts"] | None = None,
        labels: Int[Tensor, "batch *texts"] | Float[Tensor, "batch *texts answers"] | None = None,
        image_features: Float[Tensor, "batch tokens image_width"] | None = None,
    ) -> VkoodAnswerOutput:
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

        Returns:
            Logits, loss, and what the gate said of each fact.
        """
        fused = self.vkood(
            input_ids, attention_mask, pixel_values, fact_features, fact_mask, image_features, first_word=True
        )
        logits = self.answer_head(fused.pooled)
        return VkoodAnswerOutput(
            loss=None if labels is None else answer_loss(logits, labels),
            logits=logits,
            fact_gate=fused.fact_gate,
            fact_score=fused.fact_score,
            solve_status=fused.solve_status,
        )
