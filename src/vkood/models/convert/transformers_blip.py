"""Folders of `transformers`' BLIP, which are BLIP's own checkpoints under other names, with a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import BlipTextConfig, BlipVisionConfig

from vkood.files import FileProblem, read_json_object
from vkood.models.convert.plan import renamed
from vkood.models.convert.reading import CheckpointError, read_weights
from vkood.models.convert.report import shortened
from vkood.models.convert.settings import section, text

_WHERE = "the folder's config.json"
_SINGLE = ("model.safetensors", "pytorch_model.bin")
_INDEX = tuple(f"{name}.index.json" for name in _SINGLE)
_MAX_SHARDS = 1_000
_CLASSES = ("BlipForQuestionAnswering", "BlipForImageTextRetrieval")
_NAMES = (
    (r"vision_model\.embeddings\.class_embedding", "visual_encoder.cls_token"),
    (r"vision_model\.embeddings\.position_embedding", "visual_encoder.pos_embed"),
    (r"vision_model\.embeddings\.patch_embedding\.(.*)", r"visual_encoder.patch_embed.proj.\1"),
    (r"vision_model\.post_layernorm\.(.*)", r"visual_encoder.norm.\1"),
    (r"vision_model\.encoder\.layers\.(\d+)\.layer_norm(1|2)\.(.*)", r"visual_encoder.blocks.\1.norm\2.\3"),
    (r"vision_model\.encoder\.layers\.(\d+)\.self_attn\.qkv\.(.*)", r"visual_encoder.blocks.\1.attn.qkv.\2"),
    (
        r"vision_model\.encoder\.layers\.(\d+)\.self_attn\.projection\.(.*)",
        r"visual_encoder.blocks.\1.attn.proj.\2",
    ),
    (r"vision_model\.encoder\.layers\.(\d+)\.mlp\.(.*)", r"visual_encoder.blocks.\1.mlp.\2"),
)
_STATED = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_act",
    "layer_norm_eps",
)


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder of `transformers`' BLIP.

    Args:
        state: Its tensors, by BLIP's own names.
        names: What each is called in the folder.
        text_config: The text encoder's configuration, with the defaults of `transformers` for the rest.
        image_config: The image tower's; likewise.
    """

    state: Mapping[str, Tensor]
    names: Mapping[str, str]
    text_config: Mapping[str, Any]
    image_config: Mapping[str, Any]


def read_folder(folder: Path) -> Folder:
    """Read a folder that `save_pretrained` has written; no code in it is run.

    Raises:
        CheckpointError: If it is not a folder of BLIP for VQA or retrieval, or its files are missing or damaged.
    """
    name = repr(str(folder))
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"There is no checkpoint at {name}: that is a folder, but without the config.json of a model of "
            "`transformers`; of other checkpoints give the file itself."
        )
    try:
        config = read_json_object(folder / "config.json", what="model's configuration")
    except FileProblem as error:
        raise CheckpointError(str(error)) from None
    _require_blip(config, name)
    stored = _weights(folder)
    names = {renamed(theirs, _NAMES) or theirs: theirs for theirs in stored}
    if len(names) < len(stored):
        raise CheckpointError(
            f"The folder {name} has a weight under two names, BLIP's and that of `transformers`."
        )
    return Folder(
        state={ours: stored[theirs] for ours, theirs in names.items()},
        names=names,
        text_config=_stated(
            config, "text_config", BlipTextConfig(), ("bos_token_id", "sep_token_id", "pad_token_id")
        ),
        image_config=_stated(config, "vision_config", BlipVisionConfig(), ("patch_size", "image_size")),
    )


def _stated(
    config: Mapping[str, Any], part: str, default: BlipTextConfig | BlipVisionConfig, more: tuple[str, ...]
) -> dict[str, Any]:
    """A part of the configuration; what it leaves out is as in `transformers`."""
    stated = section(config, part, _WHERE)
    return {
        name: getattr(default, name) if stated.get(name) is None else stated[name]
        for name in (*_STATED, *more)
    }


def _weights(folder: Path) -> dict[str, Tensor]:
    for single, index in zip(_SINGLE, _INDEX, strict=True):
        if (folder / single).is_file():
            return read_weights(folder / single)
        if (folder / index).is_file():
            return _shards(folder, index)
    raise CheckpointError(
        f"The folder {str(folder)!r} has no weights: none of {', '.join((*_SINGLE, *_INDEX))} is there."
    )


def _require_blip(config: Mapping[str, Any], name: str) -> None:
    kind = text(config, "model_type", _WHERE)
    if kind in ("vkood", "blip-vkood"):
        raise CheckpointError(f"The folder {name} is a model of ours already: load it by `from_pretrained`.")
    if kind == "vilt":
        raise CheckpointError(
            f"The folder {name} is a ViLT, whose one transformer reads text and image together; no model here is built "
            "so, and its weights fit none. Read are METER's, VK-OOD's and BLIP's."
        )
    if kind != "blip":
        raise CheckpointError(
            f"The folder {name} is a model of the kind {shortened(kind or 'unknown')}; of `transformers`' models "
            f"BLIP's ({', '.join(_CLASSES)}) are read."
        )
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or len(architectures) != 1 or architectures[0] not in _CLASSES:
        raise CheckpointError(
            f"`architectures` in {_WHERE} must be {' or '.join(_CLASSES)}, whose weights have a place in models here; "
            f"got {shortened(str(architectures)[:200])}."
        )


def _shards(folder: Path, index: str) -> dict[str, Tensor]:
    """Weights that lie in several files."""
    try:
        listed = read_json_object(folder / index, what="index of weights")
    except FileProblem as error:
        raise CheckpointError(str(error)) from None
    places = section(listed, "weight_map", repr(index))
    files = sorted({str(file) for file in places.values()})
    if not files or len(files) > _MAX_SHARDS:
        raise CheckpointError(
            f"{index!r} must name from 1 to {_MAX_SHARDS} files of weights; it names {len(files)}."
        )
    state: dict[str, Tensor] = {}
    for file in files:
        if Path(file).name != file:
            raise CheckpointError(f"{index!r} must name files beside it; got {shortened(file)}.")
        state |= read_weights(folder / file)
    if lost := sorted(places.keys() - state.keys()):
        raise CheckpointError(f"{index!r} names {shortened(lost[0])}, which is in none of its files.")
    return state
