"""The towers in METER's checkpoints: OpenAI's CLIP or Swin for images, BERT or RoBERTa for texts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import (
    BertConfig,
    CLIPVisionConfig,
    PreTrainedConfig,
    RobertaConfig,
    SwinConfig,
)

from vkood.models.convert.reading import CheckpointError

Shapes = Mapping[str, tuple[int, ...]]

_TEXT_SIDE = "CLIP's text side, which METER does not use"
_BUFFER = "computed anew, not learnt"
_POOLER = "METER does not use this tower's pooler"
_CLIP_BLOCK = (
    (r"attn\.out_proj\.(.*)", r"self_attn.out_proj.\1"),
    (r"ln_(1|2)\.(.*)", r"layer_norm\1.\2"),
    (r"mlp\.c_fc\.(.*)", r"mlp.fc1.\1"),
    (r"mlp\.c_proj\.(.*)", r"mlp.fc2.\1"),
)
_CLIP = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight",
    "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight",
    "ln_post.bias": "post_layernorm.bias",
}
_SWIN_BLOCK = (
    (r"attn\.relative_position_bias_table", "attention.relative_position_bias.relative_position_bias_table"),
    (r"attn\.proj\.(.*)", r"attention.o_proj.\1"),
    (r"norm1\.(.*)", r"layernorm_before.\1"),
    (r"norm2\.(.*)", r"layernorm_after.\1"),
    (r"mlp\.(fc1|fc2)\.(.*)", r"mlp.\1.\2"),
)
_SWIN = (
    (r"patch_embed\.proj\.(.*)", r"embeddings.patch_embeddings.projection.\1"),
    (r"patch_embed\.norm\.(.*)", r"embeddings.norm.\1"),
    (r"layers\.(\d+)\.downsample\.(.*)", r"encoder.layers.\1.downsample.\2"),
    (r"norm\.(.*)", r"layernorm.\1"),
)

# What the names of the towers that METER knows say, and shapes do not: attention heads.
_TEXT_HEADS = {
    "bert-base-uncased": 12,
    "bert-base-cased": 12,
    "bert-large-uncased": 16,
    "roberta-base": 12,
    "roberta-large": 16,
}


@dataclass(frozen=True, kw_only=True)
class ImageSide:
    """The image tower of a checkpoint.

    Args:
        name: What it is, in words.
        config: Its configuration.
        image_size: Height and width of the images.
        moves: Where its tensors go, within the tower; one that is split goes to several places.
        leftovers: Tensors that go nowhere, with the reason.
    """

    name: str
    config: PreTrainedConfig
    image_size: int
    moves: Mapping[str, tuple[str, ...]]
    leftovers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class TextSide:
    """The text tower of a checkpoint; fields as for `ImageSide`."""

    name: str
    config: PreTrainedConfig
    moves: Mapping[str, str]
    leftovers: Mapping[str, str]


def image_tower(
    shapes: Shapes, told: Mapping[str, Any], given: PreTrainedConfig | None, image_size: int | None
) -> ImageSide:
    """Find out what the image tower is.

    Args:
        shapes: Shapes of all tensors.
        told: The configuration in the file.
        given: The tower's configuration, if the user gave one.
        image_size: The resolution that is wanted; None for the file's own.

    Raises:
        CheckpointError: If the tower is incomplete, of another kind than `given`, or the resolution cannot be.
    """
    if "vit_model.visual.conv1.weight" in shapes:
        return _clip(shapes, given, image_size)
    if "vit_model.patch_embed.proj.weight" in shapes:
        return _swin(shapes, told, given, image_size)
    raise CheckpointError(
        "The checkpoint's image tower, `vit_model`, is neither CLIP's nor Swin: no first convolution was found."
    )


def text_tower(shapes: Shapes, told: Mapping[str, Any], given: PreTrainedConfig | None) -> TextSide:
    """Find out what the text tower is; arguments as for `image_tower`.

    Raises:
        CheckpointError: If the tower is incomplete, or what shapes cannot tell is told nowhere.
    """
    start = "text_transformer."
    names = [name.removeprefix(start) for name in shapes if name.startswith(start)]
    layers = _count(names, r"encoder\.layer\.(\d+)\.")
    _require(shapes, f"{start}embeddings.word_embeddings.weight", "text tower")
    vocabulary, width = shapes[f"{start}embeddings.word_embeddings.weight"]
    _require(shapes, f"{start}encoder.layer.0.intermediate.dense.weight", "text tower")
    config = given if given is not None else _known_text(shapes, told, width)
    config.vocab_size, config.hidden_size, config.num_hidden_layers = vocabulary, width, layers
    config.intermediate_size = shapes[f"{start}encoder.layer.0.intermediate.dense.weight"][0]
    config.max_position_embeddings = shapes[f"{start}embeddings.position_embeddings.weight"][0]
    config.type_vocab_size = shapes[f"{start}embeddings.token_type_embeddings.weight"][0]
    leftovers = {f"{start}embeddings.position_ids": _BUFFER}
    leftovers |= {f"{start}{name}": _POOLER for name in names if name.startswith("pooler.")}
    return TextSide(
        name=f"{config.model_type} of {layers} layers, width {width}",
        config=config,
        moves={f"{start}{name}": name for name in names if f"{start}{name}" not in leftovers},
        leftovers=leftovers,
    )


def _known_text(shapes: Shapes, told: Mapping[str, Any], width: int) -> PreTrainedConfig:
    """The configuration of a text tower by its name, in which alone heads are told."""
    name = str(told.get("tokenizer", ""))
    heads = _TEXT_HEADS.get(name)
    if heads is None:
        raise CheckpointError(
            f"The checkpoint's text tower is {name!r}, which is not known by name, and its shapes do not tell "
            f"how many attention heads it has: give its `config.json` as `text_config` (--text-config)."
            if name
            else "The checkpoint does not name its text tower: give its `config.json` as `text_config` (--text-config)."
        )
    if name.startswith("roberta"):
        return RobertaConfig(num_attention_heads=heads, hidden_size=width, layer_norm_eps=1e-5)
    return BertConfig(num_attention_heads=heads, hidden_size=width, layer_norm_eps=1e-12)


def _clip(shapes: Shapes, given: PreTrainedConfig | None, image_size: int | None) -> ImageSide:
    start = "vit_model.visual."
    names = [name.removeprefix(start) for name in shapes if name.startswith(start)]
    layers = _count(names, r"transformer\.resblocks\.(\d+)\.")
    width, _, patch, _ = shapes[f"{start}conv1.weight"]
    _require(shapes, f"{start}positional_embedding", "image tower")
    _require(shapes, f"{start}transformer.resblocks.0.mlp.c_fc.weight", "image tower")
    side = math.isqrt(shapes[f"{start}positional_embedding"][0] - 1)
    if given is not None and given.model_type != "clip_vision_model":
        raise CheckpointError(
            f"`image_config` must be CLIP's (clip_vision_model), as the checkpoint's tower; got {given.model_type}."
        )
    size = _require_size(image_size or side * patch, patch)
    config = given if given is not None else CLIPVisionConfig(hidden_act="quick_gelu", layer_norm_eps=1e-5)
    # OpenAI's towers have heads of width 64; a configuration that was given may say otherwise.
    heads = config.num_attention_heads if given is not None else max(1, width // 64)
    config.hidden_size, config.num_attention_heads = width, heads
    config.intermediate_size = shapes[f"{start}transformer.resblocks.0.mlp.c_fc.weight"][0]
    config.patch_size, config.image_size = patch, size
    config.num_hidden_layers = (
        layers + 1
    )  # METER leaves the last one out, and so does the tower that is built
    moves: dict[str, tuple[str, ...]] = {}
    for name in names:
        block = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.*)", name)
        if name in _CLIP:
            moves[start + name] = (_CLIP[name],)
        elif block and (fused := re.fullmatch(r"attn\.in_proj_(weight|bias)", block[2])):
            moves[start + name] = tuple(
                f"encoder.layers.{block[1]}.self_attn.{part}_proj.{fused[1]}" for part in "qkv"
            )
        elif block and (ours := _renamed(block[2], _CLIP_BLOCK)):
            moves[start + name] = (f"encoder.layers.{block[1]}.{ours}",)
    leftovers = {
        name: _TEXT_SIDE
        for name in shapes
        if re.match(
            r"vit_model\.(positional_embedding|ln_final\.|token_embedding\.|transformer\.|text_projection|logit_scale)",
            name,
        )
    }
    leftovers |= {f"{start}proj": "CLIP's projection, which METER does not use"}
    return ImageSide(
        name=f"CLIP of {layers} + 1 layers, width {width}, patch {patch}",
        config=config,
        image_size=size,
        moves=moves,
        leftovers=leftovers,
    )


def _swin(
    shapes: Shapes, told: Mapping[str, Any], given: PreTrainedConfig | None, image_size: int | None
) -> ImageSide:
    start = "vit_model."
    names = [name.removeprefix(start) for name in shapes if name.startswith(start)]
    width, _, patch, _ = shapes[f"{start}patch_embed.proj.weight"]
    stages = range(_count(names, r"layers\.(\d+)\."))
    depths = [_count(names, rf"layers\.{stage}\.blocks\.(\d+)\.") for stage in stages]
    table = f"{start}layers.{{}}.blocks.0.attn.relative_position_bias_table"
    for stage in stages:
        _require(shapes, table.format(stage), "image tower")
    heads = [shapes[table.format(stage)][1] for stage in stages]
    window = (math.isqrt(shapes[table.format(0)][0]) + 1) // 2
    if given is not None and given.model_type != "swin":
        raise CheckpointError(
            f"`image_config` must be Swin's (swin), as the checkpoint's tower; got {given.model_type}."
        )
    # METER's windows are as many patches wide as the coarsest feature map of an image.
    coarsest = patch * 2 ** (len(depths) - 1)
    own = int(told.get("image_size") or window * coarsest)
    size = _require_size(image_size or own, coarsest)
    hidden = shapes[f"{start}layers.0.blocks.0.mlp.fc1.weight"][0]
    config = given if given is not None else SwinConfig(layer_norm_eps=1e-5)
    config.embed_dim, config.depths, config.num_heads = width, depths, heads
    config.num_layers, config.hidden_size = len(depths), width * 2 ** (len(depths) - 1)
    config.patch_size, config.image_size = patch, size
    config.window_size = window if size == own else size // coarsest
    config.mlp_ratio, config.qkv_bias = hidden / width, f"{start}layers.0.blocks.0.attn.qkv.bias" in shapes
    moves: dict[str, tuple[str, ...]] = {}
    leftovers: dict[str, str] = {}
    for name in names:
        block = re.fullmatch(r"layers\.(\d+)\.blocks\.(\d+)\.(.*)", name)
        if re.search(r"attn_mask$|relative_position_index$", name):
            leftovers[start + name] = _BUFFER
        elif name.startswith("head."):
            leftovers[start + name] = "Swin's classifier, which METER does not use"
        elif block and (fused := re.fullmatch(r"attn\.qkv\.(weight|bias)", block[3])):
            moves[start + name] = tuple(
                f"encoder.layers.{block[1]}.blocks.{block[2]}.attention.{part}_proj.{fused[1]}"
                for part in "qkv"
            )
        elif block and (ours := _renamed(block[3], _SWIN_BLOCK)):
            moves[start + name] = (f"encoder.layers.{block[1]}.blocks.{block[2]}.{ours}",)
        elif ours := _renamed(name, _SWIN):
            moves[start + name] = (ours,)
    return ImageSide(
        name=f"Swin of {sum(depths)} layers, width {width}, window {config.window_size}",
        config=config,
        image_size=size,
        moves=moves,
        leftovers=leftovers,
    )


def _renamed(name: str, table: tuple[tuple[str, str], ...]) -> str | None:
    for pattern, ours in table:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, ours, name)
    return None


def _count(names: list[str], pattern: str) -> int:
    found = {int(match[1]) for name in names if (match := re.match(pattern, name))}
    if found != set(range(len(found))):
        raise CheckpointError(f"The checkpoint lacks a layer: of {pattern!r} it has {sorted(found)}.")
    return len(found)


def _require(shapes: Shapes, name: str, what: str) -> None:
    if name not in shapes:
        raise CheckpointError(f"The checkpoint's {what} is incomplete: it lacks {name!r}.")


def _require_size(image_size: int, patch: int) -> int:
    if image_size < patch:
        raise CheckpointError(
            f"`image_size` must be at least {patch}, since smaller images have not one patch; got {image_size}."
        )
    return image_size
