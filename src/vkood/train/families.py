"""The differences between the two families of models: configuration, processor, and small new models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from transformers import (
    BertConfig,
    BlipImageProcessorPil,
    CLIPImageProcessorPil,
    PreTrainedConfig,
    ViTConfig,
)
from typing_extensions import override

from vkood.models import BlipVkoodConfig, VkoodConfig
from vkood.pipelines import VkoodProcessor

_WIDTH = 64


class Family(ABC):
    """A family of models.

    Attributes:
        config_class: The class of its configurations.
        image_config: The name of the image tower's configuration in them.
    """

    config_class: Any
    image_config: str

    @abstractmethod
    def processor(self, tokenizer: Any, image_size: int, max_length: int) -> VkoodProcessor:
        """The processor of models whose towers have none."""

    @abstractmethod
    def tiny_config(
        self, processor: VkoodProcessor, image_size: int, changes: dict[str, Any]
    ) -> PreTrainedConfig:
        """The configuration of a small new model, with `changes`."""

    def set_image_size(self, config: Any, size: int) -> None:
        """Change the size of the images in a configuration, if it has one."""
        tower = getattr(config, self.image_config)
        if hasattr(tower, "image_size"):
            tower.image_size = size


class TwoStream(Family):
    """METER's: an image tower and a text tower, fused by co-attention."""

    config_class = VkoodConfig
    image_config = "image_config"

    @override
    def processor(self, tokenizer: Any, image_size: int, max_length: int) -> VkoodProcessor:
        images = CLIPImageProcessorPil(size={"height": image_size, "width": image_size}, do_center_crop=False)
        return VkoodProcessor(images, tokenizer, max_length=max_length)

    @override
    def tiny_config(
        self, processor: VkoodProcessor, image_size: int, changes: dict[str, Any]
    ) -> PreTrainedConfig:
        deviation = 0.8 * _WIDTH**-0.5  # with weights of 0.02 activations of so small a width would vanish
        shape: dict[str, Any] = {
            "hidden_size": _WIDTH,
            "num_attention_heads": 4,
            "intermediate_size": 2 * _WIDTH,
            "initializer_range": deviation,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        }
        options: dict[str, Any] = {
            "image_config": ViTConfig(image_size=image_size, patch_size=16, num_hidden_layers=2, **shape),
            "text_config": BertConfig(
                vocab_size=len(processor.tokenizer),
                num_hidden_layers=1,
                max_position_embeddings=512,
                pad_token_id=processor.tokenizer.pad_token_id,
                **shape,
            ),
            "hidden_size": _WIDTH,
            "num_attention_heads": 4,
            "num_fusion_layers": 2,
            "intermediate_size": 2 * _WIDTH,
            "dropout": 0.0,
            "initializer_range": deviation,
        }
        return VkoodConfig(**(options | changes))


class Blip(Family):
    """BLIP: a text encoder and a text decoder that attend to the image."""

    config_class = BlipVkoodConfig
    image_config = "vision_config"

    @override
    def processor(self, tokenizer: Any, image_size: int, max_length: int) -> VkoodProcessor:
        tokenizer.add_special_tokens({"bos_token": "[DEC]"})
        tokenizer.add_special_tokens({"additional_special_tokens": ["[ENC]"]})
        images = BlipImageProcessorPil(size={"height": image_size, "width": image_size})
        return VkoodProcessor(images, tokenizer, max_length=max_length)

    @override
    def tiny_config(
        self, processor: VkoodProcessor, image_size: int, changes: dict[str, Any]
    ) -> PreTrainedConfig:
        tokenizer = processor.tokenizer
        shape = {
            "hidden_size": _WIDTH,
            "num_attention_heads": 4,
            "intermediate_size": 2 * _WIDTH,
            "num_hidden_layers": 2,
            "initializer_range": 0.1,
        }
        text = {
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 512,
            "bos_token_id": tokenizer.convert_tokens_to_ids("[DEC]"),
            "sep_token_id": tokenizer.sep_token_id,
            "eos_token_id": tokenizer.sep_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        }
        options: dict[str, Any] = {
            "vision_config": shape | {"image_size": image_size, "patch_size": 16},
            "text_config": shape | text,
            "encode_token_id": tokenizer.convert_tokens_to_ids("[ENC]"),
            "image_text_hidden_size": 32,
            "queue_size": 64,
            "initializer_range": 0.1,
        }
        return BlipVkoodConfig(**(options | changes))


FAMILIES: dict[str, Family] = {"two-stream": TwoStream(), "blip": Blip()}
"""The families by their names."""


def family_of(config: PreTrainedConfig) -> str:
    """The name of the family that a configuration is of."""
    return next(name for name, family in FAMILIES.items() if isinstance(config, family.config_class))
