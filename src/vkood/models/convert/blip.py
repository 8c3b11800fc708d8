"""BLIP's names, those of VK-OOD's BLIP half, which adds UniAdapter's, and ours for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import BlipTextConfig, BlipVisionConfig, PreTrainedModel

from vkood.models.blip import (
    BlipVkoodConfig,
    BlipVkoodForImageTextRetrieval,
    BlipVkoodForVisualQuestionAnswering,
    BlipVkoodForVisualReasoning,
    BlipVkoodPreTrainedModel,
)
from vkood.models.convert.meter_towers import IMAGE_CONFIG, TEXT_CONFIG, activation_and_norm
from vkood.models.convert.plan import Move, Plan, Request, matching, renamed
from vkood.models.convert.reading import CheckpointError
from vkood.models.convert.settings import require_agreement, require_heads, text, whole_number
from vkood.models.convert.shapes import (
    Shapes,
    count_layers,
    grid_side,
    own_size,
    patch_size,
    require_size,
    shape_of,
)
from vkood.models.convert.uniadapter import Adapters, adapters_of

_CLASSES: dict[str, type[BlipVkoodPreTrainedModel]] = {
    "vqa": BlipVkoodForVisualQuestionAnswering,
    "nlvr2": BlipVkoodForVisualReasoning,
    "retrieval": BlipVkoodForImageTextRetrieval,
}
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
# The towers that BLIP was published with: depth, width and attention heads by its name, depths by width.
_VITS = {"base": (12, 768, 12), "large": (24, 1024, 16)}
_IMAGE_DEPTHS = {768: 12, 1024: 24}
_TEXT_DEPTHS = {768: 12}
# What no model here has a use for, whatever its task.
_LEFTOVERS = (
    (
        r"(text_encoder|text_encoder_m|text_decoder\.bert)\.embeddings\.position_ids",
        "computed, not learnt",
    ),
    (
        r"(em|implicit)_gmm\..*",
        "VK-OOD's own mixture, one for all images, whose training fails; ours is another",
    ),
    (
        r"(text_encoder|text_encoder_m|text_decoder\.bert)\.pooler\.dense\.(weight|bias)",
        "BLIP does not use this pooler",
    ),
)
_NEW_FACTS = r"blip\.(fact_projection|outlier_layer)\..*", "BLIP knows no facts: new weights"
# By which heads a file is one for a task.
_TASKS = {
    "nlvr2": ("cls_head.",),
    "retrieval": ("itm_head.", "vision_proj.", "text_proj."),
    "vqa": ("text_decoder.",),
}
# What is a head or a copy of the encoder, and the tasks that have it: a model for another has no use for it.
_HEADS_OF = (
    (r"text_decoder\.(bert|cls)\..*", ("vqa",)),
    (r"cls_head\.[02]\.(weight|bias)", ("nlvr2",)),
    (r"(itm_head|vision_proj|text_proj)(_m)?\.(weight|bias)", ("retrieval",)),
    (r"temp|(image|text|idx|ptr)_queue|queue_ptr", ("retrieval",)),
    (r"(visual_encoder|text_encoder|adapters)_m\..*", ("retrieval",)),
)
# The parts of models that are new where the file has none of the tensors that go there.
_NEW_PARTS = {
    "vqa": (("text_decoder.", r"(text_decoder|decoder_key_value_adapters)\..*", "a new head"),),
    "nlvr2": (("cls_head.", r"reasoning_head\..*", "a new head"),),
    "retrieval": (
        ("itm_head.", r"match_head\..*", "a new head"),
        ("vision_proj.", r"image_projection\..*", "a new head"),
        ("text_proj.", r"text_projection\..*", "a new head"),
    ),
}


def is_blip(state: Mapping[str, Tensor]) -> bool:
    """Whether these names are those of a BLIP model."""
    return any(name.startswith("visual_encoder.") for name in state) and any(
        name.startswith("text_encoder.") for name in state
    )


def blip_plan(state: Mapping[str, Tensor], request: Request, settings: Mapping[str, Any]) -> Plan:
    """Plan what to make of a BLIP checkpoint.

    Args:
        state: Its tensors.
        request: What the caller requests besides.
        settings: The configuration that it was trained with, as far as the file has it.

    Raises:
        CheckpointError: If it is incomplete, for another task, or neither it nor the request has what is needed.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    available = [task for task, starts in _TASKS.items() if any(name.startswith(starts) for name in shapes)]
    task = _task(available, request.task)
    if request.answers is not None:
        raise CheckpointError(
            "`answers` are for heads that pick an answer; BLIP writes answers in words, or ranks any."
        )
    config, adapters, notes = _config(state, shapes, request, settings, task)
    adapter_moves = {name: move for name, move in adapters.moves.items() if _has(task, move.ours[0])}
    names = [name for name in shapes if name not in adapter_moves and name not in adapters.leftovers]
    moves = {name: Move((ours,)) for name in names if (ours := _ours(name, task)) is not None}
    new: list[tuple[str, str]] = [_NEW_FACTS]
    if task == "nlvr2" and _single(shapes):
        moves |= _doubled(shapes)
        layers: int = config.text_config.num_hidden_layers  # pyright: ignore[reportAttributeAccessIssue,reportOptionalMemberAccess]
        merge = "|".join(map(str, range(config.merge_from, layers)))
        new.append(
            (
                rf"blip\.text_encoder\.encoder\.layer\.({merge})\.crossattention\.output\.merge\.(weight|bias)",
                "a layer that merges two images",
            )
        )
    if task not in available:
        new += [
            (pattern, why)
            for start, pattern, why in _NEW_PARTS[task]
            if not any(name.startswith(start) for name in shapes)
        ]
    has_momentum = any(
        re.match(r"(visual_encoder|text_encoder|vision_proj|text_proj)_m\.", name) for name in shapes
    )
    if task == "retrieval":
        new += _new_retrieval(shapes, has_momentum=has_momentum)
    others = [
        (pattern, f"a part that a model for {task} does not have")
        for pattern, tasks in _HEADS_OF
        if task not in tasks
    ]
    leftovers = {**matching(names, (*_LEFTOVERS, *others)), **adapters.leftovers}
    return Plan(
        family="blip",
        task=task,
        model_class=_CLASSES[task],
        config=config,
        towers=described(config),
        image_size=config.vision_config.image_size,  # pyright: ignore[reportAttributeAccessIssue,reportOptionalMemberAccess]
        moves={**moves, **adapter_moves},
        leftovers=leftovers,
        new=tuple(new),
        resize=request.image_size is not None,
        notes=notes,
        finish=copy_momentum if task == "retrieval" and not has_momentum else None,
    )


def _task(available: list[str], requested: str | None) -> str:
    """The task of the model: the one requested, or that of the file's heads."""
    names = ", ".join(sorted(_CLASSES, reverse=True))
    if requested is not None and requested not in _CLASSES:
        raise CheckpointError(f"`task` must be one of vqa, nlvr2, retrieval; got {requested!r}.")
    if requested is None and len(available) != 1:
        has = f"has heads for {' and '.join(available)}" if available else "has no head"
        raise CheckpointError(f"The checkpoint {has}: choose the task by `task` (--task), one of {names}.")
    return requested or available[0]


def _has(task: str, ours: str) -> bool:
    """Whether models for a task have the part that a name of ours is of."""
    return {"momentum": task == "retrieval", "decoder": task == "vqa"}.get(re.split(r"[._]", ours)[0], True)


def _new_retrieval(shapes: Shapes, *, has_momentum: bool) -> list[tuple[str, str]]:
    """What a model for retrieval begins with where the file has none of it."""
    new: list[tuple[str, str]] = []
    if not has_momentum:
        new.append((r"momentum\..*", "a copy of the trained part"))
    if not any(
        name in shapes for name in ("image_queue", "text_queue", "idx_queue", "ptr_queue", "queue_ptr")
    ):
        new.append((r"queue\.(image|text|image_ids|place)", "an empty queue, which training fills"))
        if not has_momentum:  # as in `transformers`, which keeps nothing of the contrastive training
            new.append((r"temperature", "begins at 0.07, as BLIP's"))
    elif "queue_ptr" in shapes and "idx_queue" not in shapes:  # as in pre-training
        new.append((r"queue\.image_ids", "pre-training has no numbers of images"))
    return new


def _ours(name: str, task: str) -> str | None:
    """Our name for a tensor; None for one that goes nowhere."""
    for start, ours, table in (
        ("visual_encoder.", "blip.image_tower.", _VISION),
        ("visual_encoder_m.", "momentum.blip.image_tower.", _VISION),
        ("text_encoder.", "blip.text_encoder.", (*_TEXT, *_cross(task))),
        ("text_encoder_m.", "momentum.blip.text_encoder.", (*_TEXT, *_ONE_IMAGE)),
        ("text_decoder.bert.", "text_decoder.bert.", (*_TEXT, *_ONE_IMAGE)),
    ):
        if name.startswith(start):
            part = renamed(name.removeprefix(start), table)
            return None if part is None else ours + part
    return renamed(name, _HEADS[task])


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
    state: Mapping[str, Tensor], shapes: Shapes, request: Request, settings: Mapping[str, Any], task: str
) -> tuple[BlipVkoodConfig, Adapters, tuple[str, ...]]:
    """The configuration, what of the file is UniAdapter's, and what was assumed."""
    vision, vision_notes = _vision_config(shapes, request, settings)
    texts, text_notes = _text_config(shapes, request.text_config or {})
    adapters = adapters_of(state, settings, texts.num_hidden_layers, vision.num_hidden_layers)
    options: dict[str, Any] = dict(adapters.options)
    if task == "retrieval" and any(name.startswith("vision_proj.") for name in shapes):
        options["image_text_hidden_size"] = shape_of(shapes, "vision_proj.weight", 2, "retrieval head")[0]
    if task == "retrieval" and "image_queue" in shapes:
        options["queue_size"] = shape_of(shapes, "image_queue", 2, "queue")[1]
    config = BlipVkoodConfig(vision_config=vision, text_config=texts, **options)
    notes = (*vision_notes, *text_notes)
    if config.adapter_size is not None and not settings:
        notes += ("the file does not say which of UniAdapter's switches were on: all are taken to be",)
    return config, adapters, notes


def _single(shapes: Shapes) -> bool:
    return "text_encoder.encoder.layer.0.crossattention.self.query.weight" in shapes


def _text_config(shapes: Shapes, tower_config: Mapping[str, Any]) -> tuple[BlipTextConfig, tuple[str, ...]]:
    start, what = "text_encoder.", "text encoder"
    vocabulary, width = shape_of(shapes, f"{start}embeddings.word_embeddings.weight", 2, what)
    positions, _ = shape_of(shapes, f"{start}embeddings.position_embeddings.weight", 2, what)
    layers = count_layers(shapes, r"text_encoder\.encoder\.layer\.(\d+)\.", what)
    inner, _ = shape_of(shapes, f"{start}encoder.layer.0.intermediate.dense.weight", 2, what)
    from_shapes = {"num_hidden_layers": layers, "hidden_size": width, "intermediate_size": inner}
    require_agreement(tower_config, from_shapes, TEXT_CONFIG)
    _require_published_depth(tower_config, layers, width, _TEXT_DEPTHS, what, TEXT_CONFIG)
    heads, notes = _heads(tower_config, ("num_attention_heads",), width, what, TEXT_CONFIG)
    tokens, token_notes = _special_tokens(tower_config, vocabulary)
    config = BlipTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=positions,
        **activation_and_norm(tower_config, TEXT_CONFIG, eps=1e-12),
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        **tokens,
        eos_token_id=tokens["sep_token_id"],
        label_smoothing=0.1,
    )
    return config, (*notes, *token_notes)


def _special_tokens(
    tower_config: Mapping[str, Any], vocabulary: int
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Ids of the tokens that begin, end and pad answers: from a configuration, or as in BLIP's vocabulary.

    That is BERT's tokens, then "[DEC]" and "[ENC]". "[SEP]" is 102 in it; one too small for that has it after "[PAD]",
    "[UNK]" and "[CLS]".
    """
    usual = {
        "bos_token_id": vocabulary - 2,
        "sep_token_id": 102 if vocabulary > 102 else 3,
        "pad_token_id": 0,
    }
    notes: list[str] = []
    for name, token in list(usual.items()):
        stated = whole_number(tower_config, name, TEXT_CONFIG, lowest=0)
        if stated is not None and stated >= vocabulary:
            notes.append(
                f"`{name}` {stated} is not in the vocabulary of {vocabulary} tokens: {token} is taken"
            )
        elif stated is not None:
            usual[name] = stated
    return usual, tuple(notes)


def _vision_config(
    shapes: Shapes, request: Request, settings: Mapping[str, Any]
) -> tuple[BlipVisionConfig, tuple[str, ...]]:
    tower_config, what = request.image_config or {}, "image tower"
    width, patch = patch_size(shapes, "visual_encoder.patch_embed.proj.weight")
    places = shape_of(shapes, "visual_encoder.pos_embed", 3, what)[1]
    side = grid_side(places, "visual_encoder.pos_embed")
    layers = count_layers(shapes, r"visual_encoder\.blocks\.(\d+)\.", what)
    inner, _ = shape_of(shapes, "visual_encoder.blocks.0.mlp.fc1.weight", 2, what)
    from_shapes = {
        "num_hidden_layers": layers,
        "depth": layers,
        "hidden_size": width,
        "embed_dim": width,
        "intermediate_size": inner,
        "patch_size": patch,
    }
    require_agreement(tower_config, from_shapes, IMAGE_CONFIG)
    _require_published_depth(tower_config, layers, width, _IMAGE_DEPTHS, what, IMAGE_CONFIG)
    own = own_size(settings, "the checkpoint's `config`", side, patch)
    size = require_size(request.image_size or own, patch)
    kind = text(settings, "vit", "the checkpoint's `config`")
    published = _VITS.get(kind or "")
    if published is not None:
        require_agreement(
            {"depth": published[0], "embed_dim": published[1]}, from_shapes, f"BLIP's {kind!r} image tower"
        )
    if published is not None and not tower_config:
        heads, notes = published[2], ()
    else:
        heads, notes = _heads(tower_config, ("num_attention_heads", "num_heads"), width, what, IMAGE_CONFIG)
    config = BlipVisionConfig(
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=require_heads(heads, width, "The checkpoint's image tower"),
        image_size=size,
        patch_size=patch,
        **activation_and_norm(tower_config, IMAGE_CONFIG, eps=1e-6),
        attention_dropout=0.0,
    )
    return config, notes


def _require_published_depth(
    tower_config: Mapping[str, Any], layers: int, width: int, depths: Mapping[int, int], what: str, where: str
) -> None:
    """Refuse a part as wide as a published one, but with fewer layers, unless a configuration has that number."""
    if (
        tower_config.get("num_hidden_layers", tower_config.get("depth")) is None
        and depths.get(width, layers) != layers
    ):
        raise CheckpointError(
            f"The checkpoint's {what} has {layers} layers, but BLIP's of width {width} has {depths[width]}: the "
            f"file has lost some, or {where} has to say so."
        )


def _heads(
    tower_config: Mapping[str, Any], names: tuple[str, ...], width: int, what: str, where: str
) -> tuple[int, tuple[str, ...]]:
    """Attention heads: from a configuration, or of width 64, as in every tower that BLIP was published with."""
    for name in names:
        if (heads := whole_number(tower_config, name, where)) is not None:
            return require_heads(heads, width, f"The checkpoint's {what}"), ()
    if width % 64:
        raise CheckpointError(
            f"The checkpoint's {what} has width {width}, which does not tell how many attention heads it has: "
            f"give its `config.json` as {where}."
        )
    heads = width // 64
    return heads, (f"the {what}'s {heads} attention heads are a guess, {width} / 64; {where} says otherwise",)


def described(config: BlipVkoodConfig) -> str:
    """What the towers are, in words."""
    vision, text = config.vision_config, config.text_config
    adapters = "" if config.adapter_size is None else f", UniAdapter of width {config.adapter_size}"
    return (
        f"ViT of {vision.num_hidden_layers} layers, width {vision.hidden_size}, patch {vision.patch_size}, and BERT of "  # pyright: ignore[reportAttributeAccessIssue,reportOptionalMemberAccess]
        f"{text.num_hidden_layers} layers, width {text.hidden_size}{adapters}"  # pyright: ignore[reportAttributeAccessIssue,reportOptionalMemberAccess]
    )


def copy_momentum(model: PreTrainedModel) -> None:
    """Let the momentum encoder of a model for retrieval begin as a copy of the trained one."""
    assert isinstance(model, BlipVkoodForImageTextRetrieval)
    model.copy_momentum()
