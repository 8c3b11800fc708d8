"""What the models of the BLIP family share: towers, gate, and texts that read images and facts.

Legend: B examples, W text tokens, F facts, T image tokens, D width of the image tower, H width of the text encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import BlipTextConfig, PreTrainedConfig
from transformers.models.blip.modeling_blip_text import BlipTextEmbeddings
from transformers.utils.generic import ModelOutput
from typing_extensions import override

from vkood.gating import GateOutput
from vkood.gating.gate import drops_closed
from vkood.models.blip.adapters import LowRankAdapter, UniAdapter, begin_at_zero
from vkood.models.blip.configuration import BlipVkoodConfig
from vkood.models.blip.layers import image_tower, text_encoder
from vkood.models.fusion import padding_bias, present_facts, without_closed
from vkood.models.loading import StrictlyLoadedModel
from vkood.models.roles import layer_names
from vkood.models.towers import is_untrained


@dataclass
class BlipVkoodOutput(ModelOutput):
    """The output of a model of this family; unused fields are None.

    Attributes:
        loss: The loss, with labels.
        logits: Those of the task's head.
        match_logits: (batch, 2) does not match / matches.
        contrastive_loss: Of retrieval, part of the loss.
        match_loss: Of retrieval, part of the loss.
        text_states: (batch, text_tokens, H) the text after it has read image and facts.
        image_states: (batch, tokens, D) the image tower's; of several images (batch, images, tokens, D).
        fact_gate: (batch, facts) in [0, 1]; None without facts or gate.
        fact_score: (batch, facts), larger = more outlying; None without facts or gate.
        solve_status: (batch,) of `vkood.Status`; None where nothing was fitted.
    """

    loss: Float[Tensor, ""] | None = None
    logits: Tensor | None = None
    match_logits: Float[Tensor, "batch 2"] | None = None
    contrastive_loss: Float[Tensor, ""] | None = None
    match_loss: Float[Tensor, ""] | None = None
    text_states: Float[Tensor, "batch text_tokens text_width"] | None = None
    image_states: Float[Tensor, "batch *images tokens width"] | None = None
    fact_gate: Float[Tensor, "batch facts"] | None = None
    fact_score: Float[Tensor, "batch facts"] | None = None
    solve_status: Int[Tensor, " batch"] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What a text reads: image tokens, facts after them.

    Args:
        states: (batch, tokens + facts, D).
        bias: (batch, 1, 1, tokens + facts), added to the attention logits; None where there are no facts.
        gated: The gate's output for the facts.
    """

    states: Tensor
    bias: Tensor | None
    gated: GateOutput | None = None

    def outputs(self) -> dict[str, Tensor | None]:
        """The fields of an output that are about facts."""
        if self.gated is None:
            return {"fact_gate": None, "fact_score": None, "solve_status": None}
        solution = self.gated.solution
        return {
            "fact_gate": self.gated.gate,
            "fact_score": self.gated.score,
            "solve_status": None if solution is None else solution.status,
        }


class BlipVkoodPreTrainedModel(StrictlyLoadedModel):
    """What the models of this family share: configuration, saving, loading, initial weights."""

    config_class = BlipVkoodConfig
    config: BlipVkoodConfig
    base_model_prefix = "blip"
    main_input_name = "pixel_values"
    supports_gradient_checkpointing = True

    @override
    def post_init(self) -> None:
        super().post_init()
        self._no_split_modules = layer_names(self)

    @torch.no_grad()
    @override
    def _init_weights(self, module: nn.Module) -> None:
        if not begin_at_zero(module):
            super()._init_weights(module)

    @override
    def enable_input_require_grads(self) -> None:
        """Let the states that layers read ask for gradients, as reentrant checkpointing of frozen layers needs.

        BLIP's text embeddings add positions in place, which no leaf that requires gradients allows; they get a copy.
        """
        super().enable_input_require_grads()
        for module in self.modules():
            if isinstance(module, BlipTextEmbeddings):
                hook = module.word_embeddings.register_forward_hook(lambda _, __, states: states.clone())
                self._require_grads_hooks.append(hook)

    @override
    def get_input_embeddings(self) -> nn.Module:
        """The vectors of the tokens that are read."""
        core: BlipVkoodModel = self.base_model  # pyright: ignore[reportAssignmentType] - of this family
        return core.text_encoder.get_input_embeddings()

    def freeze_towers(self) -> None:
        """Keep the image tower and the text encoder as they are, but for adapters: what UniAdapter trains beside."""
        core: BlipVkoodModel = self.base_model  # pyright: ignore[reportAssignmentType] - of this family
        core.freeze()


class BlipVkoodModel(BlipVkoodPreTrainedModel):
    """Image tower, text encoder and gate, without a head.

    Args:
        config: The configuration; weights are new. Use `from_pretrained` to load some.
    """

    def __init__(self, config: BlipVkoodConfig) -> None:
        super().__init__(config)
        assert isinstance(config.text_config, BlipTextConfig)
        assert config.vision_config is not None
        width: int = config.vision_config.hidden_size  # pyright: ignore[reportAttributeAccessIssue] - a configuration
        self.image_tower = image_tower(config.vision_config)  # pyright: ignore[reportArgumentType] - a configuration
        self.text_encoder = text_encoder(config.text_config)
        self.fact_projection = nn.Sequential(nn.LayerNorm(config.fact_dim), nn.Linear(config.fact_dim, width))
        self.outlier_layer = config.gate.build(config.fact_dim, width)
        self.adapters: nn.ModuleList | None = None
        if config.adapter_size is not None:
            assert isinstance(config.vision_config, PreTrainedConfig)
            adapted_image_layers = config.vision_config.num_hidden_layers if config.adapt_vision else 0
            deepest = max(config.text_config.num_hidden_layers, adapted_image_layers)
            self.adapters = new_adapters(config, deepest)
            lend_to_text(self.adapters, self.text_encoder.encoder.layer, config)
            if config.adapt_vision:
                lend(self.adapters, self.image_tower.encoder.layers)
        self.key_value_adapters = new_key_value_adapters(config, width)
        lend_to_readers(self.key_value_adapters, self.text_encoder.encoder.layer)
        self.frozen = False
        self.post_init()

    def freeze(self) -> None:
        """Keep both towers in eval mode and untrained from now on; adapters are still trained."""
        self.image_tower.requires_grad_(False)
        self.text_encoder.requires_grad_(False)
        self.frozen = True
        self.train(self.training)

    @override
    def train(self, mode: bool = True) -> BlipVkoodModel:
        """Go to training mode, frozen towers excepted."""
        super().train(mode)
        if self.frozen:
            self.image_tower.eval()
            self.text_encoder.eval()
        return self

    def encode_image(
        self, pixel_values: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Image tokens, the first standing for the whole image; images may have any size."""
        without_graph = self.frozen and self.adapters is None and is_untrained(self.image_tower)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not without_graph):
            return self.image_tower(
                pixel_values=pixel_values, interpolate_pos_encoding=True
            ).last_hidden_state

    def source(
        self,
        image: Float[Tensor, "batch tokens width"],
        fact_features: Float[Tensor, "batch facts fact_dim"] | None = None,
        fact_mask: Bool[Tensor, "batch facts"] | None = None,
    ) -> Source:
        """What a text reads of an image and the facts that come with it, gated by a fit to the image's tokens."""
        present = present_facts(fact_features, fact_mask)
        if present is None:
            return Source(image, None)
        facts, mask = present
        gated: GateOutput | None = None
        bias = padding_bias(mask, image.dtype)
        if self.outlier_layer is not None:
            gate: GateOutput = self.outlier_layer(facts, context=image, candidate_mask=mask)
            gated, bias = gate, gate.log_gate.to(image.dtype)
        if drops_closed(self.outlier_layer):
            facts, bias = without_closed(facts, bias)
        facts = self.fact_projection(facts.to(image.dtype))
        biases = torch.cat([bias.new_zeros(image.shape[:2]), bias], dim=1)
        return Source(torch.cat([image, facts], dim=1), biases[:, None, None], gated)

    def read(
        self,
        input_ids: Int[Tensor, "batch text_tokens"],
        attention_mask: Int[Tensor, "batch text_tokens"] | None,
        source: Source | None,
    ) -> Float[Tensor, "batch text_tokens text_width"]:
        """The text's states: alone, or after reading a source, for which "[ENC]" takes the first token's place."""
        if source is None:
            return self.text_encoder(input_ids, attention_mask=attention_mask).last_hidden_state
        assert self.config.encode_token_id is not None
        input_ids = input_ids.clone()
        input_ids[:, 0] = self.config.encode_token_id
        return self.text_encoder(
            input_ids,
            attention_mask=attention_mask,
            encoder_hidden_states=source.states,
            encoder_attention_mask=source.bias,
        ).last_hidden_state

    @override
    def forward(
        self,
        input_ids: Int[Tensor, "batch text_tokens"],
        attention_mask: Int[Tensor, "batch text_tokens"] | None = None,
        pixel_values: Float[Tensor, "batch channels rows columns"] | None = None,
        fact_features: Float[Tensor, "batch facts fact_dim"] | None = None,
        fact_mask: Bool[Tensor, "batch facts"] | None = None,
        image_features: Float[Tensor, "batch tokens width"] | None = None,
    ) -> BlipVkoodOutput:
        """Let texts read images and facts.

        Args:
            input_ids: (batch, text_tokens) the texts' token ids; the first is replaced by "[ENC]".
            attention_mask: (batch, text_tokens) 1 for tokens, 0 for padding; all are tokens, if None.
            pixel_values: (batch, channels, height, width) the images.
            fact_features: (batch, facts, fact_dim) a vector for each fact; None for no facts.
            fact_mask: (batch, facts) True where there is a fact; all, if None. What `fact_features` hold elsewhere does
                not count.
            image_features: (batch, tokens, D) the output of `encode_image`, in place of images.

        Returns:
            The states of text and image, and each fact's gate and score.

        Raises:
            ValueError: If not exactly one of `pixel_values` and `image_features` is given.
        """
        image = self.tokens(pixel_values, image_features)
        source = self.source(image, fact_features, fact_mask)
        states = self.read(input_ids, attention_mask, source)
        return BlipVkoodOutput(text_states=states, image_states=image, **source.outputs())  # pyright: ignore[reportArgumentType]

    def tokens(self, pixel_values: Tensor | None, image_features: Tensor | None) -> Tensor:
        """Image tokens, from images or computed beforehand.

        Raises:
            ValueError: If not exactly one of them is given, or examples have several images.
        """
        if (pixel_values is None) == (image_features is None):
            raise ValueError(
                "exactly one of `pixel_values` and `image_features` must be given; got "
                f"{'neither' if pixel_values is None else 'both'}."
            )
        if image_features is not None:
            return image_features
        assert pixel_values is not None
        if pixel_values.dim() != 4:
            raise ValueError(
                "`pixel_values` must be one image an example, (batch, channels, height, width); got "
                f"{tuple(pixel_values.shape)}."
            )
        return self.encode_image(pixel_values)


def new_adapters(config: BlipVkoodConfig, layers: int) -> nn.ModuleList:
    """An adapter for each layer."""
    assert isinstance(config.text_config, BlipTextConfig)
    assert config.adapter_size is not None
    return nn.ModuleList(
        UniAdapter(config.text_config.hidden_size, config.adapter_size) for _ in range(layers)
    )


def lend(adapters: nn.ModuleList, layers: Any) -> None:
    """Let layers use adapters, without owning them; adapters beyond the layers are not used here."""
    for layer, adapter in zip(layers, adapters, strict=False):
        layer.adapter = [adapter]


def lend_to_text(adapters: nn.ModuleList, layers: Any, config: BlipVkoodConfig) -> None:
    """Let layers of a text encoder or decoder use adapters, as far as the configuration has them."""
    lend(adapters, layers)
    for layer in layers:
        layer.adapt_text, layer.adapt_multimodal = config.adapt_text, config.adapt_multimodal


def new_key_value_adapters(config: BlipVkoodConfig, width: int) -> nn.ModuleDict | None:
    """The adapters of keys and of values of an encoder that reads states of a width; None if there are none."""
    if config.key_value_adapter_size is None:
        return None
    size = config.key_value_adapter_size
    return nn.ModuleDict({part: LowRankAdapter(width, size) for part in ("key", "value")})


def lend_to_readers(adapters: nn.ModuleDict | None, layers: Any) -> None:
    """Let the cross-attentions of layers use adapters of keys and values, without owning them."""
    if adapters is None:
        return
    for layer in layers:
        for reader in layer.crossattention.readers:
            reader.key.adapters, reader.value.adapters = [adapters["key"]], [adapters["value"]]
