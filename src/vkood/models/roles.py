"""The roles of a model's parts: a parameter's role sets its learning rate, and layers are sharded as wholes."""

from __future__ import annotations

import re
from typing import Literal

from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

Role = Literal["tower", "fusion", "head"]

# Token types learn at the towers' rate in METER too.
_TOWER = re.compile(r"(^|\.)(image_tower|text_tower|text_encoder|text_decoder|token_types)(\.|$)")
_HEAD = re.compile(r"(^|\.)(\w+_head|image_projection|text_projection|temperature)(\.|$)")


def parameter_role(name: str) -> Role:
    """The role of a parameter, by its name in a model of ours.

    "tower" for what is pretrained by itself: image tower, text tower, BLIP's text encoder and decoder. "head" for what
    a task brings: answers, matches, ranks, tokens, BLIP's features. "fusion" for all between: co-attention,
    projections, gate, adapters.

    Example:
        >>> parameter_role("vkood.image_tower.encoder.post_layernorm.weight"), parameter_role("answer_head.0.weight")
        ('tower', 'head')
        >>> parameter_role("vkood.image_projection.weight"), parameter_role("blip.adapters.0.down.weight")
        ('fusion', 'fusion')
    """
    if (
        name.startswith("vkood.") or "adapters." in name
    ):  # a two-stream model's projections are part of its fusion
        return "tower" if _TOWER.search(name) and "adapters." not in name else "fusion"
    if _TOWER.search(name):
        return "tower"
    return "head" if _HEAD.search(name) else "fusion"


def layer_names(model: nn.Module) -> set[str]:
    """The classes of the layers of towers, fusion and decoders: what FSDP wraps, and no device map splits."""
    return {
        type(module).__name__ for module in model.modules() if isinstance(module, GradientCheckpointingLayer)
    }
