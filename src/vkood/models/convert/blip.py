"""BLIP's names, those of VK-OOD's BLIP half, which adds UniAdapter's, and ours for them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import BlipTextConfig, BlipVisionConfig, PreTrainedModel

from vkood.models.blip import (
    BlipVkoodConfig,
    BlipVkoodForImageTextRetrieval,
    BlipVkoodForQuestionAnswering,
    BlipVkoodForVisualReasoning,
    BlipVkoodPreTrainedModel,
)
from vkood.models.convert.plan import Move, Plan, Wanted
from vkood.models.convert.reading import CheckpointError

Shapes = Mapping[str, tuple[int, ...]]

_CLASSES: dict[str, type[BlipVkoodPreTrainedModel]] = {
    "vqa": BlipVkoodForQuestionAnswering,
    "nlvr2": BlipVkoodForVisualReasoning,
    "retrieval": BlipVkoodForImageTextRetrieval,
}
_ADAPTER = (
    (r"adapter_layer_norm_before\.(.*)", r"norm.\1"),
    (r"adapter_layer_norm_cross_modal\.(.*)", r"cross_norm.\1"),
    (r"down_proj\.(.*)", r"down.\1"),
    (r"up_proj\.(.*)", r"up.\1"),
    (r"multi_up_proj\.(.*)", r"multi_up.\1"),
    (r"visual_up_proj\.(.*)", r"visual_up.\1"),
)
_VISION = (
    (r"cls_token", "embeddings.class_embedding"),
    (r"pos_embed", "embeddings.position_embedding"),
    (r"patch_embed\.proj\.(.*)", r"embeddings.patch_embedding.\1"),
    (r"norm\.(.*)", r"post_layernorm.\1"),
    (r"blocks\.(\d+)\.norm(1|2)\.(.*)", r"encoder.layers.\1.layer_norm\2.\3"),
    (r"blocks\.(\d+)\.attn\.qkv\.(.*)", r"encoder.layers.\1.self_attn.qkv.\2"),
    (r"blocks\.(\d+)\.attn\.proj\.(.*)", r"encoder.layers.\1.self_attn.projection.\2"),
    (r"blocks\.(\d+)\.mlp\.(fc1|fc2)\.(.*)", r"encoder.layers.\1.mlp.\2.\3"),
)
# Of one image, and of two: the second table is for what the first does not know.
_TEXT = (
    (r"(embeddings\.(?:word_embeddings|position_embeddings|LayerNorm)\..*)", r"\1"),
    (r"(encoder\.layer\.\d+\.(?:attention|intermediate|output)\..*)", r"\1"),
    (r"(encoder\.layer\.\d+\.crossattention\.output\.LayerNorm\..*)", r"\1"),
)
_ONE_IMAGE = ((r"(encoder\.layer\.\d+\.crossattention\..*)", r"\1"),)
_TWO_IMAGES = (
    (r"(encoder\.layer\.\d+\.crossattention)\.self(0|1)\.(.*)", r"\1.readers.\2.\3"),
    (r"(encoder\.layer\.\d+\.crossattention)\.output\.dense(0|1)\.(.*)", r"\1.output.dense.\2.\3"),
    (r"(encoder\.layer\.\d+\.crossattention)\.output\.merge_layer\.(.*)", r"\1.output.merge.\2"),
)
_HEADS = {
    "retrieval": (
        (r"vision_proj\.(.*)", r"image_projection.\1"),
        (r"text_proj\.(.*)", r"text_projection.\1"),
        (r"vision_proj_m\.(.*)", r"momentum.image_projection.\1"),
        (r"text_proj_m\.(.*)", r"momentum.text_projection.\1"),
        (r"itm_head\.(.*)", r"match_head.\1"),
        (r"temp", "temperature"),
        (r"(image|text)_queue", r"queue.\1"),
        (r"idx_queue", "queue.image_ids"),
        (r"(?:ptr_queue|queue_ptr)", "queue.place"),
    ),
    "vqa": ((r"(text_decoder\.cls\..*)", r"\1"),),
    "nlvr2": ((r"cls_head\.(.*)", r"reasoning_head.\1"),),
}
_BUFFER = "computed anew, not learnt"
_LEFTOVERS = (
    (r".*position_ids$", _BUFFER),
    (
        r"(em|implicit)_gmm\..*",
        "VK-OOD's own mixture, one for all images, whose training fails; ours is another",
    ),
    (r"(visual_encoder|visual_encoder_m)\.adapters\..*", "another name for `adapters`"),
    (r"text_encoder(_m)?\.encoder\.layer\.\d+\.adapter\..*", "another name for `adapters`"),
    (r"(visual_encoder|visual_encoder_m)\.blocks\.\d+\.adapter\..*", "another name for `adapters`"),
    (
        r"text_decoder\.bert\.encoder\.layer\.\d+\.adapter\..*",
        "another name for `adapters`, or `adapters_dec`",
    ),
    (r"text_encoder(_m)?\.encoder\.video_.*", "UniAdapter's for video, which single images do not use"),
    (r".*\.pooler\..*", "BLIP does not use this pooler"),
)
_NEW = {
    "blip.fact_projection.": "BLIP knows no facts: new weights",
    "blip.outlier_layer.": "BLIP knows no facts: new weights",
}
# Heads of a pre-training file that a model for one task has no use for.
_OTHER_HEADS = r"(text_decoder\.|itm_head\.|vision_proj|text_proj|\w+_queue|queue_ptr|temp$|cls_head\.)"


def is_blip(state: Mapping[str, Tensor]) -> bool:
    """Whether these names are those of a BLIP model."""
    return "visual_encoder.patch_embed.proj.weight" in state and any(
        name.startswith("text_encoder.") for name in state
    )


def blip_plan(state: Mapping[str, Tensor], wanted: Wanted, given: Mapping[str, Any]) -> Plan:
    """Plan what to make of a BLIP checkpoint.

    Args:
        state: Its tensors.
        wanted: What is wanted besides.
        given: What the user's configuration of the image tower says in so many words.

    Raises:
        CheckpointError: If it is incomplete, for another task, or neither it nor what is given tells what is needed.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    found = _task(shapes)
    task = wanted.task or found
    if task not in _CLASSES:
        raise CheckpointError(
            f"`task` must be one of {', '.join(_CLASSES)}"
            + (f"; got {task!r}." if task else ", since the checkpoint's heads are for none of them.")
        )
    config = _config(state, shapes, wanted, given, task)
    moves = {name: Move((ours,)) for name in shapes if (ours := _ours(name, task, shapes)) is not None}
    if task == "nlvr2" and "text_encoder.encoder.layer.0.crossattention.self.query.weight" in shapes:
        moves |= _doubled(shapes)
    leftovers = {
        name: why
        for name in shapes
        for pattern, why in _LEFTOVERS
        if re.fullmatch(pattern, name) and name not in moves
    }
    new = dict(_NEW)
    if task != found:
        leftovers |= {
            name: f"a head that a model for {task} does not have"
            for name in shapes
            if re.match(_OTHER_HEADS, name) or re.match(r"(visual|text)_encoder_m\.", name)
        }
        new |= {head: "a new head" for head in ("reasoning_head.", "match_head.", "text_decoder.")}
        new |= (
            {"blip.text_encoder.encoder.layer": "a layer that merges two images"} if task == "nlvr2" else {}
        )
    if task == "retrieval":
        new |= dict.fromkeys(("momentum.", "queue."), "begins anew, from the trained weights")
    has_momentum = any(name.startswith("visual_encoder_m.") for name in shapes)
    size = config.vision_config.image_size  # pyright: ignore[reportAttributeAccessIssue,reportOptionalMemberAccess]
    return Plan(
        family="blip",
        task=task,
        model_class=_CLASSES[task],
        config=config,
        towers=_in_words(shapes, config),
        image_size=size,
        moves=moves,
        leftovers=leftovers,
        new=new,
        finish=_copy_momentum if task == "retrieval" and not has_momentum else None,
    )


def _task(shapes: Shapes) -> str | None:
    if "cls_head.2.weight" in shapes:
        return "nlvr2"
    if "itm_head.weight" in shapes and "text_decoder.cls.predictions.bias" not in shapes:
        return "retrieval"
    if "text_decoder.cls.predictions.bias" in shapes and "itm_head.weight" not in shapes:
        return "vqa"
    return None  # pre-training has all heads: any task may begin there


def _ours(name: str, task: str, shapes: Shapes) -> str | None:
    """Our name for a tensor; None for one that goes nowhere."""
    for start, ours, table in (
        ("visual_encoder.", "blip.image_tower.", _VISION),
        ("visual_encoder_m.", "momentum.blip.image_tower.", _VISION),
        ("text_encoder.", "blip.text_encoder.", (*_TEXT, *_cross(task))),
        ("text_encoder_m.", "momentum.blip.text_encoder.", (*_TEXT, *_ONE_IMAGE)),
        ("text_decoder.bert.", "text_decoder.bert.", (*_TEXT, *_ONE_IMAGE)),
    ):
        if name.startswith(start):
            renamed = _renamed(name.removeprefix(start), table)
            return None if renamed is None else ours + renamed
    if adapter := re.fullmatch(r"(adapters|adapters_m|adapters_dec)\.(\d+)\.(.*)", name):
        renamed = _renamed(adapter[3], _ADAPTER)
        place = {
            "adapters": "blip.adapters",
            "adapters_m": "momentum.blip.adapters",
            "adapters_dec": "decoder_adapters",
        }
        return None if renamed is None else f"{place[adapter[1]]}.{adapter[2]}.{renamed}"
    return _renamed(name, _HEADS[task])


def _cross(task: str) -> tuple[tuple[str, str], ...]:
    return _TWO_IMAGES if task == "nlvr2" else _ONE_IMAGE


def _doubled(shapes: Shapes) -> dict[str, Move]:
    """From reading one image to reading two: both readers begin as the one."""
    moves: dict[str, Move] = {}
    for name in shapes:
        if part := re.fullmatch(r"text_encoder\.(encoder\.layer\.\d+\.crossattention)\.self\.(.*)", name):
            moves[name] = Move(
                tuple(f"blip.text_encoder.{part[1]}.readers.{i}.{part[2]}" for i in (0, 1)), copies=True
            )
        elif part := re.fullmatch(
            r"text_encoder\.(encoder\.layer\.\d+\.crossattention)\.output\.dense\.(.*)", name
        ):
            moves[name] = Move(
                tuple(f"blip.text_encoder.{part[1]}.output.dense.{i}.{part[2]}" for i in (0, 1)), copies=True
            )
    return moves


def _config(
    state: Mapping[str, Tensor], shapes: Shapes, wanted: Wanted, given: Mapping[str, Any], task: str
) -> BlipVkoodConfig:
    adapter = shapes.get("adapters.0.down_proj.weight")
    layers = {
        int(part[1]) for name in shapes if (part := re.match(r"text_encoder\.encoder\.layer\.(\d+)\.", name))
    }
    merging = [
        number
        for number in sorted(layers)
        if f"text_encoder.encoder.layer.{number}.crossattention.output.merge_layer.weight" in shapes
    ]
    text = _text_config(shapes, wanted, len(layers))
    own: dict[str, Any] = {}  # what only some tasks have
    if task == "nlvr2" and not _single(shapes):
        own["merge_from"] = merging[0] if merging else len(layers)
    return BlipVkoodConfig(
        vision_config=_vision_config(shapes, wanted, given),
        text_config=text,
        image_text_hidden_size=shapes.get("vision_proj.weight", (256,))[0],
        queue_size=shapes.get("image_queue", (0, 57_600))[1],
        adapter_size=None if adapter is None else adapter[0],
        adapt_vision="visual_encoder.blocks.0.adapter.down_proj.weight" in shapes,
        separate_decoder_adapters=_differ(
            state, "adapters.0.down_proj.weight", "adapters_dec.0.down_proj.weight"
        ),
        **own,
    )


def _single(shapes: Shapes) -> bool:
    return "text_encoder.encoder.layer.0.crossattention.self.query.weight" in shapes


def _differ(state: Mapping[str, Tensor], first: str, second: str) -> bool:
    """Whether the decoder has adapters of its own; without contents to compare, what has a name counts as such."""
    if first not in state or second not in state:
        return False
    if state[first].device.type == "meta":
        return True
    return not torch.equal(state[first], state[second])


def _text_config(shapes: Shapes, wanted: Wanted, layers: int) -> BlipTextConfig:
    words = "text_encoder.embeddings.word_embeddings.weight"
    middle = "text_encoder.encoder.layer.0.intermediate.dense.weight"
    for name in (words, middle):
        if name not in shapes:
            raise CheckpointError(f"The checkpoint's text encoder is incomplete: it lacks {name!r}.")
    vocabulary, width = shapes[words]
    given = wanted.text_config
    heads = given.num_attention_heads if given is not None else _heads(width, "text", "--text-config")
    # "[SEP]" in BERT's vocabulary; one too small for that has it after "[PAD]", "[UNK]" and "[CLS]".
    separator = 102 if vocabulary > 102 else 3
    return BlipTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=shapes[middle][0],
        max_position_embeddings=shapes["text_encoder.embeddings.position_embeddings.weight"][0],
        layer_norm_eps=1e-12 if given is None else given.layer_norm_eps,
        hidden_act="gelu" if given is None else given.hidden_act,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        # BERT's words, then "[DEC]" and "[ENC]".
        bos_token_id=vocabulary - 2,
        sep_token_id=separator,
        eos_token_id=separator,
        pad_token_id=0,
        label_smoothing=0.1,
    )


def _vision_config(shapes: Shapes, wanted: Wanted, given: Mapping[str, Any]) -> BlipVisionConfig:
    width, _, patch, _ = shapes["visual_encoder.patch_embed.proj.weight"]
    positions = shapes.get("visual_encoder.pos_embed")
    middle = shapes.get("visual_encoder.blocks.0.mlp.fc1.weight")
    if positions is None or middle is None:
        raise CheckpointError(
            "The checkpoint's image tower is incomplete: it lacks `pos_embed` or `blocks.0`."
        )
    blocks = {int(part[1]) for name in shapes if (part := re.match(r"visual_encoder\.blocks\.(\d+)\.", name))}
    size = wanted.image_size or math.isqrt(positions[1] - 1) * patch
    if size < patch:
        raise CheckpointError(
            f"`image_size` must be at least {patch}, since smaller images have not one patch; got {size}."
        )
    heads = (
        given.get("num_attention_heads") or given.get("num_heads") or _heads(width, "image", "--image-config")
    )
    return BlipVisionConfig(
        hidden_size=width,
        intermediate_size=middle[0],
        num_hidden_layers=len(blocks),
        num_attention_heads=heads,
        image_size=size,
        patch_size=patch,
        hidden_act=given.get("hidden_act", "gelu"),
        layer_norm_eps=given.get("layer_norm_eps", 1e-6),
        attention_dropout=0.0,
    )


def _heads(width: int, what: str, option: str) -> int:
    """Heads of width 64, as in every tower that BLIP was published with."""
    if width % 64:
        raise CheckpointError(
            f"The checkpoint's {what} tower has width {width}, which does not tell how many attention heads it has: "
            f"give its `config.json` ({option})."
        )
    return width // 64


def _renamed(name: str, table: tuple[tuple[str, str], ...]) -> str | None:
    for pattern, ours in table:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, ours, name)
    return None


def _in_words(shapes: Shapes, config: BlipVkoodConfig) -> str:
    vision, text = config.vision_config, config.text_config
    adapters = "" if config.adapter_size is None else f", UniAdapter of width {config.adapter_size}"
    return (
        f"ViT of {vision.num_hidden_layers} layers, width {vision.hidden_size}, patch {vision.patch_size}, and BERT of "  # pyright: ignore[reportAttributeAccessIssue,reportOptionalMemberAccess]
        f"{text.num_hidden_layers} layers, width {text.hidden_size}{adapters}"  # pyright: ignore[reportAttributeAccessIssue,reportOptionalMemberAccess]
    )


def _copy_momentum(model: PreTrainedModel) -> None:
    assert isinstance(model, BlipVkoodForImageTextRetrieval)
    model.copy_momentum()
