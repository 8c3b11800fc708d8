"""Image-text retrieval: features to compare, and a head that looks closer."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import BlipTextConfig, PreTrainedConfig
from typing_extensions import override

from vkood.models.blip.configuration import BlipVkoodConfig
from vkood.models.blip.contrast import Features, Queue, contrastive_loss, hard_negatives
from vkood.models.blip.core import BlipVkoodModel, BlipVkoodOutput, BlipVkoodPreTrainedModel
from vkood.models.explainable import MATCHING, Explainable
from vkood.models.labelled import trained_with

_FOLLOWED = ("blip", "image_projection", "text_projection")
"""What the momentum encoder follows."""
_MIN_TEMPERATURE, _MAX_TEMPERATURE = 0.001, 0.5


@dataclass(frozen=True, slots=True)
class _Texts:
    """The texts of a batch with their facts."""

    input_ids: Tensor
    mask: Tensor
    fact_features: Tensor | None
    fact_mask: Tensor | None

    def rows(self, rows: Tensor) -> _Texts:
        """Some of them."""
        return _Texts(
            self.input_ids[rows],
            self.mask[rows],
            None if self.fact_features is None else self.fact_features[rows],
            None if self.fact_mask is None else self.fact_mask[rows],
        )


def plain_parameters(module: nn.Module) -> dict[str, Tensor]:
    """The parameters of a module by the names that they have without adapters, with what LoRA adds to them."""
    parameters: dict[str, Tensor] = {}
    for name, parameter in module.named_parameters():
        if "lora_" not in name:
            parameters[name.replace(".base_layer", "")] = parameter
    for name, part in module.named_modules():
        adapted: Any = part
        if hasattr(part, "get_delta_weight") and not adapted.merged and not adapted.disable_adapters:
            for adapter in adapted.active_adapters:
                if adapter in adapted.lora_A:
                    parameters[f"{name}.weight"] = parameters[f"{name}.weight"] + adapted.get_delta_weight(
                        adapter
                    )
    return parameters


class BlipVkoodForImageTextRetrieval(Explainable, BlipVkoodPreTrainedModel):
    """BLIP that finds images for texts and texts for images, with the help of facts.

    First by features, which are made once for each image and text (`image_features`, `text_features`); then, among the
    nearest, by reading the image (`match_scores`), where facts come in.
    """

    _answer_logits = "match_logits"
    _answer_names = MATCHING

    def __init__(self, config: BlipVkoodConfig) -> None:
        super().__init__(config)
        assert isinstance(config.text_config, BlipTextConfig)
        assert isinstance(config.vision_config, PreTrainedConfig)
        features = config.image_text_hidden_size
        self.blip = BlipVkoodModel(config)
        self.image_projection = nn.Linear(config.vision_config.hidden_size, features)
        self.text_projection = nn.Linear(config.text_config.hidden_size, features)
        self.match_head = nn.Linear(config.text_config.hidden_size, 2)
        self.temperature = nn.Parameter(torch.tensor(0.07))
        self.alpha = config.alpha
        self.queue = Queue(features, config.queue_size)
        self.momentum = nn.ModuleDict(
            {name: copy.deepcopy(getattr(self, name)).requires_grad_(False) for name in _FOLLOWED}
        )
        slow: Any = self.momentum["blip"]
        slow.fact_projection = slow.outlier_layer = None  # it reads no facts
        self.post_init()
        self.copy_momentum()

    @override
    def named_parameters(self, *args: Any, **options: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """All parameters; those of the momentum encoder without adapters, which it follows but never has.

        A library such as peft puts adapters wherever a layer's name fits, and looks at all parameters next.
        """
        for name, module in list(self.momentum.named_modules()):
            adapted: Any = module
            if hasattr(module, "get_base_layer"):
                above, _, last = name.rpartition(".")
                setattr(self.momentum.get_submodule(above), last, adapted.get_base_layer())
        return super().named_parameters(*args, **options)

    @torch.no_grad()
    def copy_momentum(self) -> None:
        """Let the momentum encoder begin as a copy of the trained one."""
        self._move_momentum(0.0)

    def image_features(
        self, pixel_values: Float[Tensor, "batch channels rows columns"]
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, "batch tokens width"]]:
        """The features of images, of length 1, and their tokens, which `match_scores` takes."""
        image = self.blip.encode_image(pixel_values)
        return functional.normalize(self.image_projection(image[:, 0]), dim=-1), image

    def text_features(
        self,
        input_ids: Int[Tensor, "batch text_tokens"],
        attention_mask: Int[Tensor, "batch text_tokens"] | None = None,
    ) -> Float[Tensor, "batch features"]:
        """The features of texts, of length 1."""
        states = self.blip.read(input_ids, attention_mask, None)
        return functional.normalize(self.text_projection(states[:, 0]), dim=-1)

    def match_scores(
        self,
        image: Float[Tensor, "batch tokens width"],
        input_ids: Int[Tensor, "batch text_tokens"],
        attention_mask: Int[Tensor, "batch text_tokens"] | None = None,
        fact_features: Float[Tensor, "batch facts fact_dim"] | None = None,
        fact_mask: Bool[Tensor, "batch facts"] | None = None,
    ) -> Float[Tensor, "batch 2"]:
        """Logits of the matching head for pairs; the second rises with how well the text fits the image."""
        source = self.blip.source(image, fact_features, fact_mask)
        return self.match_head(self.blip.read(input_ids, attention_mask, source)[:, 0])

    @override
    @trained_with(returns_loss=True)
    def forward(
        self,
        input_ids: Int[Tensor, "batch text_tokens"],
        attention_mask: Int[Tensor, "batch text_tokens"] | None = None,
        pixel_values: Float[Tensor, "batch channels rows columns"] | None = None,
        fact_features: Float[Tensor, "batch facts fact_dim"] | None = None,
        fact_mask: Bool[Tensor, "batch facts"] | None = None,
        image_ids: Int[Tensor, " batch"] | None = None,
        alpha: float | None = None,
        generator: torch.Generator | None = None,
    ) -> BlipVkoodOutput:
        """Compare images and texts, each pair of a batch, and train.

        Args:
            input_ids: As for `BlipVkoodModel`.
            attention_mask: As for `BlipVkoodModel`.
            pixel_values: As for `BlipVkoodModel`.
            fact_features: As for `BlipVkoodModel`; they are the facts of the pair's text.
            fact_mask: As for `BlipVkoodModel`.
            image_ids: (batch,) numbers of the images; pairs with the same image are no negatives for each other. Gives
                the losses, and in training moves the momentum encoder and fills the queue.
            alpha: Share of the momentum encoder's opinion in the contrastive targets; the model's own
                `alpha`, if None, which begins as the configuration's and which a training may move.
            generator: Source of randomness for the hard negatives.

        Returns:
            Logits, (batch, batch), each image's similarity to each text by features, over the temperature; the matching
            head's for the pairs; the sum of both losses and each of them; and each fact's gate and score.

        Raises:
            ValueError: If `pixel_values` is missing, or all images are the same, so that no pair is false.
        """
        if pixel_values is None:
            raise ValueError("`pixel_values` must be given; got None.")
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        texts = _Texts(input_ids, mask, fact_features, fact_mask)
        image_features, image = self.image_features(pixel_values)
        features = Features(image_features, self.text_features(input_ids, mask))
        with torch.no_grad():
            self.temperature.clamp_(_MIN_TEMPERATURE, _MAX_TEMPERATURE)
        similarity = features.image @ features.text.T / self.temperature
        source = self.blip.source(image, fact_features, fact_mask)
        states = self.blip.read(input_ids, mask, source)
        output = BlipVkoodOutput(
            logits=similarity,
            match_logits=self.match_head(states[:, 0]),
            text_states=states,
            image_states=image,
            **source.outputs(),  # pyright: ignore[reportArgumentType] - the fields about facts
        )
        if image_ids is None:
            return output
        contrastive = self._contrast(features, texts, pixel_values, image_ids, alpha)
        false = hard_negatives(similarity, image_ids, generator)
        matching = self._match(output, texts, false)
        losses = {"loss": contrastive + matching, "contrastive_loss": contrastive, "match_loss": matching}
        return BlipVkoodOutput(**{**output, **losses})

    def _contrast(
        self, features: Features, texts: _Texts, pixel_values: Tensor, image_ids: Tensor, alpha: float | None
    ) -> Tensor:
        """The contrastive loss, against the momentum encoder's features and the queue's."""
        with torch.no_grad():
            if self.training:
                self._move_momentum(self.config.momentum)
            parts: list[Any] = [self.momentum[name] for name in _FOLLOWED]
            blip, image_projection, text_projection = parts
            image = blip.encode_image(pixel_values)[:, 0]
            text = blip.read(texts.input_ids, texts.mask, None)[:, 0]
            momentum = Features(
                functional.normalize(image_projection(image), dim=-1),
                functional.normalize(text_projection(text), dim=-1),
            )
        share = self.alpha if alpha is None else alpha
        loss = contrastive_loss(features, momentum, self.queue, image_ids, self.temperature, share)
        if self.training:
            self.queue.add(momentum, image_ids)
        return loss

    def _match(self, output: BlipVkoodOutput, texts: _Texts, false: tuple[Tensor, Tensor]) -> Tensor:
        """The matching loss: each pair, its text with a false image, and its image with a false text."""
        assert output.image_states is not None
        assert output.match_logits is not None
        image, (false_images, false_texts) = output.image_states, false
        own = torch.arange(len(image), device=image.device)
        these = texts.rows(torch.cat([own, false_texts]))  # each text brings its own facts
        negatives = self.match_scores(
            image[torch.cat([false_images, own])],
            these.input_ids,
            these.mask,
            these.fact_features,
            these.fact_mask,
        )
        logits = torch.cat([output.match_logits, negatives])
        labels = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
        labels[: len(image)] = 1
        return functional.cross_entropy(logits, labels)

    @torch.no_grad()
    def _move_momentum(self, kept: float) -> None:
        for name in _FOLLOWED:
            trained = plain_parameters(getattr(self, name))
            for part, slow in self.momentum[name].named_parameters():
                slow.mul_(kept).add_(trained[part], alpha=1 - kept)
