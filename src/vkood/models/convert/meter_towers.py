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
from transformers.activations import ACT2FN

from vkood.models.convert.plan import renamed
from vkood.models.convert.reading import CheckpointError
from vkood.models.convert.settings import (
    number,
    require_agreement,
    require_heads,
    text,
    whole_number,
)
from vkood.models.convert.shapes import (
    Shapes,
    count_layers,
    grid_side,
    own_size,
    patch_size,
    require_size,
    shape_of,
)

HYPERPARAMETERS = "the checkpoint's hyper-parameters"
TEXT_CONFIG = "`text_config` (--text-config)"
IMAGE_CONFIG = "`image_config` (--image-config)"

_TEXT_SIDE = "CLIP's text side, which METER does not use"
_BUFFER = "computed, not learnt"
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

# Layers and attention heads of the towers that METER knows by name.
_TEXTS = {
    "bert-base-uncased": (12, 12),
    "bert-base-cased": (12, 12),
    "bert-large-uncased": (24, 16),
    "bert-large-cased": (24, 16),
    "roberta-base": (12, 12),
    "roberta-large": (24, 16),
}
# Layers of OpenAI's towers, of which METER leaves the last out; and of each stage of the published Swins.
_CLIPS = {"ViT-B/32": 12, "ViT-B/16": 12, "ViT-L/14": 24, "ViT-L/14@336px": 24}
_SWINS = {"tiny": (2, 2, 6, 2), "small": (2, 2, 18, 2), "base": (2, 2, 18, 2), "large": (2, 2, 18, 2)}


@dataclass(frozen=True, kw_only=True)
class ImageSide:
    """The image tower of a checkpoint.

    Args:
        name: What it is, in words.
        config: Its configuration.
        image_size: Height and width of the images.
        moves: Where its tensors go, within the tower; one that is split goes to several places.
        leftovers: Tensors that go nowhere, with the reason.
        notes: What was assumed.
    """

    name: str
    config: PreTrainedConfig
    image_size: int
    moves: Mapping[str, tuple[str, ...]]
    leftovers: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TextSide:
    """The text tower of a checkpoint; fields as for `ImageSide`."""

    name: str
    config: PreTrainedConfig
    moves: Mapping[str, str]
    leftovers: Mapping[str, str]
    notes: tuple[str, ...] = ()


def image_tower(
    shapes: Shapes,
    settings: Mapping[str, Any],
    tower_config: Mapping[str, Any] | None,
    image_size: int | None,
) -> ImageSide:
    """Identify the image tower.

    Args:
        shapes: Shapes of all tensors.
        settings: The configuration in the file.
        tower_config: The tower's configuration, if the user gave one.
        image_size: The resolution requested; None for the file's own.

    Raises:
        CheckpointError: If the tower is incomplete, of another kind than `tower_config`, or the resolution cannot be.
    """
    if "vit_model.visual.conv1.weight" in shapes:
        _require_kind(tower_config, ("clip_vision_model",), IMAGE_CONFIG, "CLIP's")
        return _clip(shapes, settings, tower_config or {}, image_size)
    if "vit_model.patch_embed.proj.weight" in shapes:
        _require_kind(tower_config, ("swin",), IMAGE_CONFIG, "Swin's")
        return _swin(shapes, settings, tower_config or {}, image_size)
    raise CheckpointError(
        "The checkpoint's image tower, `vit_model`, is neither CLIP's nor Swin: no first convolution was found."
    )


def text_tower(
    shapes: Shapes, settings: Mapping[str, Any], tower_config: Mapping[str, Any] | None
) -> TextSide:
    """Identify the text tower; arguments as for `image_tower`.

    Raises:
        CheckpointError: If the tower is incomplete, or what shapes cannot determine is stated nowhere.
    """
    start = "text_transformer."
    names = [name.removeprefix(start) for name in shapes if name.startswith(start)]
    vocabulary, width = shape_of(shapes, f"{start}embeddings.word_embeddings.weight", 2, "text tower")
    layers = count_layers(names, r"encoder\.layer\.(\d+)\.", "text tower")
    inner, _ = shape_of(shapes, f"{start}encoder.layer.0.intermediate.dense.weight", 2, "text tower")
    _require_kind(tower_config, ("bert", "roberta"), TEXT_CONFIG, "BERT's or RoBERTa's")
    options = (
        _known_text(settings, layers)
        if tower_config is None
        else _stated_text(tower_config, layers, width, inner)
    )
    roberta = options.pop("model_type") == "roberta"
    require_heads(options["num_attention_heads"], width, "The checkpoint's text tower")
    config = (RobertaConfig if roberta else BertConfig)(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        intermediate_size=inner,
        max_position_embeddings=shape_of(
            shapes, f"{start}embeddings.position_embeddings.weight", 2, "text tower"
        )[0],
        type_vocab_size=shape_of(shapes, f"{start}embeddings.token_type_embeddings.weight", 2, "text tower")[
            0
        ],
        **options,
    )
    leftovers = {f"{start}embeddings.position_ids": _BUFFER}
    leftovers |= {f"{start}pooler.dense.{part}": _POOLER for part in ("weight", "bias")}
    return TextSide(
        name=f"{config.model_type} of {layers} layers, width {width}",
        config=config,
        moves={f"{start}{name}": name for name in names if f"{start}{name}" not in leftovers},
        leftovers=leftovers,
    )


def _known_text(settings: Mapping[str, Any], layers: int) -> dict[str, Any]:
    """What the name of a text tower, which may be a folder's, implies: attention heads above all."""
    name = text(settings, "tokenizer", HYPERPARAMETERS) or ""
    short = name.rstrip("/").rpartition("/")[2]
    if short not in _TEXTS:
        raise CheckpointError(
            f"The checkpoint's text tower is {name!r}, which is not known by name, and its shapes do not tell "
            f"how many attention heads it has: give its `config.json` as {TEXT_CONFIG}."
            if name
            else f"The checkpoint does not name its text tower: give its `config.json` as {TEXT_CONFIG}."
        )
    expected, heads = _TEXTS[short]
    require_agreement(
        {"num_hidden_layers": expected}, {"num_hidden_layers": layers}, f"{short}'s configuration"
    )
    roberta = short.startswith("roberta")
    return {
        "model_type": "roberta" if roberta else "bert",
        "num_attention_heads": heads,
        "layer_norm_eps": 1e-5 if roberta else 1e-12,
    }


def _stated_text(tower_config: Mapping[str, Any], layers: int, width: int, inner: int) -> dict[str, Any]:
    """What a configuration of the text tower adds to its shapes, with which it has to agree."""
    from_shapes = {"num_hidden_layers": layers, "hidden_size": width, "intermediate_size": inner}
    require_agreement(tower_config, from_shapes, TEXT_CONFIG)
    heads = whole_number(tower_config, "num_attention_heads", TEXT_CONFIG)
    return {
        "model_type": tower_config["model_type"],
        "num_attention_heads": 12 if heads is None else heads,  # the default of both kinds
        **activation_and_norm(tower_config, TEXT_CONFIG, eps=1e-12),
    }


def activation_and_norm(
    tower_config: Mapping[str, Any], where: str, *, eps: float, activation: str = "gelu"
) -> dict[str, Any]:
    """A tower's activation and norms, which shapes do not determine.

    Args:
        tower_config: The configuration.
        where: What it is, for errors.
        eps: Of the layer norms, by default.
        activation: Of the feed-forward layers, by default.

    Raises:
        CheckpointError: If there is no such activation, or the epsilon is out of range.
    """
    name = text(tower_config, "hidden_act", where) or activation
    if name not in ACT2FN:
        raise CheckpointError(
            f"`hidden_act` in {where} must be an activation of `transformers`; got {name[:60]!r}."
        )
    epsilon = number(tower_config, "layer_norm_eps", where, lowest=0.0, highest=1.0)
    return {"hidden_act": name, "layer_norm_eps": eps if epsilon is None else epsilon}


def _require_kind(
    tower_config: Mapping[str, Any] | None, kinds: tuple[str, ...], where: str, whose: str
) -> None:
    """Refuse the configuration of a tower of another kind than the file's."""
    if tower_config is None:
        return
    kind = text(tower_config, "model_type", where)
    short = where.partition(" ")[0]
    if kind is None:
        raise CheckpointError(f"{short} must be a tower's `config.json`, which has a `model_type`.")
    if kind not in kinds:
        raise CheckpointError(
            f"{short} must be {whose} ({' or '.join(kinds)}), as the checkpoint's tower; got {kind[:60]}."
        )


def _clip(
    shapes: Shapes, settings: Mapping[str, Any], tower_config: Mapping[str, Any], image_size: int | None
) -> ImageSide:
    start = "vit_model.visual."
    names = [name.removeprefix(start) for name in shapes if name.startswith(start)]
    width, patch = patch_size(shapes, f"{start}conv1.weight")
    layers = count_layers(names, r"transformer\.resblocks\.(\d+)\.", "image tower")
    inner, _ = shape_of(shapes, f"{start}transformer.resblocks.0.mlp.c_fc.weight", 2, "image tower")
    places, _ = shape_of(shapes, f"{start}positional_embedding", 2, "image tower")
    side = grid_side(places, f"{start}positional_embedding")
    # METER leaves the last layer out, and so does the tower that is built.
    from_shapes = {
        "num_hidden_layers": layers + 1,
        "hidden_size": width,
        "intermediate_size": inner,
        "patch_size": patch,
    }
    require_agreement(tower_config, from_shapes, IMAGE_CONFIG)
    name = text(settings, "vit", HYPERPARAMETERS) or ""
    if name in _CLIPS:
        require_agreement({"num_hidden_layers": _CLIPS[name]}, from_shapes, f"{name}'s configuration")
    own = own_size(settings, HYPERPARAMETERS, side, patch)
    size = require_size(image_size or own, patch)
    heads, notes = whole_number(tower_config, "num_attention_heads", IMAGE_CONFIG), ()
    if heads is None:
        heads = max(1, width // 64)
        if name not in _CLIPS:
            notes = (
                f"the image tower's {heads} attention heads are a guess, {width} / 64 as in OpenAI's towers: its name "
                f"{name!r} is not known; {IMAGE_CONFIG} says otherwise",
            )
    config = CLIPVisionConfig(
        hidden_size=width,
        num_attention_heads=require_heads(heads, width, "The checkpoint's image tower"),
        num_hidden_layers=layers + 1,
        intermediate_size=inner,
        patch_size=patch,
        image_size=size,
        **activation_and_norm(tower_config, IMAGE_CONFIG, eps=1e-5, activation="quick_gelu"),
    )
    moves: dict[str, tuple[str, ...]] = {}
    for name in names:
        block = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.*)", name)
        if name in _CLIP:
            moves[start + name] = (_CLIP[name],)
        elif block and (fused := re.fullmatch(r"attn\.in_proj_(weight|bias)", block[2])):
            moves[start + name] = tuple(
                f"encoder.layers.{block[1]}.self_attn.{part}_proj.{fused[1]}" for part in "qkv"
            )
        elif block and (ours := renamed(block[2], _CLIP_BLOCK)):
            moves[start + name] = (f"encoder.layers.{block[1]}.{ours}",)
    leftovers = {
        name: _TEXT_SIDE
        for name in shapes
        if re.match(
            r"vit_model\.(positional_embedding$|ln_final\.(weight|bias)$|token_embedding\.weight$|transformer\."
            r"resblocks\.\d+\.|text_projection$|logit_scale$)",
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
        notes=notes,
    )


def _swin(
    shapes: Shapes, settings: Mapping[str, Any], tower_config: Mapping[str, Any], image_size: int | None
) -> ImageSide:
    start = "vit_model."
    names = [name.removeprefix(start) for name in shapes if name.startswith(start)]
    width, patch = patch_size(shapes, f"{start}patch_embed.proj.weight")
    stages = range(count_layers(names, r"layers\.(\d+)\.", "image tower"))
    depths = [count_layers(names, rf"layers\.{stage}\.blocks\.(\d+)\.", "image tower") for stage in stages]
    tables = [
        shape_of(
            shapes, f"{start}layers.{stage}.blocks.0.attn.relative_position_bias_table", 2, "image tower"
        )
        for stage in stages
    ]
    heads = [
        require_heads(table[1], width * 2**stage, "A stage of the checkpoint's image tower")
        for stage, table in enumerate(tables)
    ]
    window = (math.isqrt(tables[0][0]) + 1) // 2
    hidden, _ = shape_of(shapes, f"{start}layers.0.blocks.0.mlp.fc1.weight", 2, "image tower")
    require_agreement(tower_config, {"embed_dim": width, "patch_size": patch}, IMAGE_CONFIG)
    name = text(settings, "vit", HYPERPARAMETERS) or ""
    kind = re.match(r"swin_(\w+?)_patch\d+_window", name)
    if kind and _SWINS.get(kind[1], tuple(depths)) != tuple(depths):
        raise CheckpointError(
            f"The checkpoint's image tower has {depths} layers, but {name!r} has {list(_SWINS[kind[1]])}: it has lost "
            "some."
        )
    # METER's windows are as many patches wide as the coarsest feature map of an image.
    coarsest = patch * 2 ** (len(depths) - 1)
    own = whole_number(settings, "image_size", HYPERPARAMETERS) or window * coarsest
    size = require_size(image_size or own, coarsest)
    config = SwinConfig(
        embed_dim=width,
        depths=depths,
        num_heads=heads,
        patch_size=patch,
        image_size=size,
        window_size=window if size == own else size // coarsest,
        mlp_ratio=hidden / width,
        qkv_bias=f"{start}layers.0.blocks.0.attn.qkv.bias" in shapes,
        **activation_and_norm(tower_config, IMAGE_CONFIG, eps=1e-5),
    )
    moves: dict[str, tuple[str, ...]] = {}
    leftovers: dict[str, str] = {}
    for name in names:
        block = re.fullmatch(r"layers\.(\d+)\.blocks\.(\d+)\.(.*)", name)
        if block and block[3] in ("attn_mask", "attn.relative_position_index"):
            leftovers[start + name] = _BUFFER
        elif name in ("head.weight", "head.bias"):
            leftovers[start + name] = "Swin's classifier, which METER does not use"
        elif block and (fused := re.fullmatch(r"attn\.qkv\.(weight|bias)", block[3])):
            moves[start + name] = tuple(
                f"encoder.layers.{block[1]}.blocks.{block[2]}.attention.{part}_proj.{fused[1]}"
                for part in "qkv"
            )
        elif block and (ours := renamed(block[3], _SWIN_BLOCK)):
            moves[start + name] = (f"encoder.layers.{block[1]}.blocks.{block[2]}.{ours}",)
        elif ours := renamed(name, _SWIN):
            moves[start + name] = (ours,)
    return ImageSide(
        name=f"Swin of {sum(depths)} layers, width {width}, window {config.window_size}",
        config=config,
        image_size=size,
        moves=moves,
        leftovers=leftovers,
    )
