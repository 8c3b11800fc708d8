"""What UniAdapter adds to a BLIP checkpoint: adapters under several names, adapters of keys and values, and switches.

All layers of one depth share an adapter, so its tensors stand in the file once under `adapters` and once more under the
name of each layer that uses it. The names of the layers are what is true of the layers: `adapters_dec` is made by the
original, but used by no layer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from vkood.models.convert.plan import Move, renamed, same
from vkood.models.convert.reading import CheckpointError
from vkood.models.convert.report import shortened

_PARTS = (
    (r"adapter_layer_norm_before\.(weight|bias)", r"norm.\1"),
    (r"adapter_layer_norm_cross_modal\.(weight|bias)", r"cross_norm.\1"),
    (r"down_proj\.(weight|bias)", r"down.\1"),
    (r"up_proj\.(weight|bias)", r"up.\1"),
    (r"multi_up_proj\.(weight|bias)", r"multi_up.\1"),
    (r"visual_up_proj\.(weight|bias)", r"visual_up.\1"),
)
_KEY_VALUE = (
    (r"video_(key|value)_adapter\.scale", r"\1.scale"),
    (r"video_(key|value)_adapter\.(down|up)_proj\.(weight|bias)", r"\1.\2.\3"),
)
_DECODER = r"text_decoder\.bert\.encoder\.layer\.(\d+)\.adapter\.(.*)"
# Under which names an adapter stands; "{}" is empty, or "_m" for the momentum encoder.
_NAMES = (
    r"adapters{}\.(\d+)\.(.*)",
    r"visual_encoder{}\.adapters\.(\d+)\.(.*)",
    r"visual_encoder{}\.blocks\.(\d+)\.adapter\.(.*)",
    r"text_encoder{}\.encoder\.layer\.(\d+)\.adapter\.(.*)",
)
# Switches with another value than these change what UniAdapter computes in a way that models here do not have.
_FIXED = {
    "modality": ("image",),
    "adapter_ffn_option": ("parallel",),
    "temporal_embed": (False,),
    "temporal_attention": (False,),
    "video_semantic_adapter": (False,),
}
_WHERE = "the checkpoint's `config`"


@dataclass(frozen=True, kw_only=True)
class Adapters:
    """The part of a checkpoint that is UniAdapter's.

    Args:
        options: Fields of `BlipVkoodConfig`.
        moves: Where its tensors go.
        leftovers: Tensors that go nowhere, with the reason.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    moves: Mapping[str, Move] = field(default_factory=dict)
    leftovers: Mapping[str, str] = field(default_factory=dict)


def adapters_of(
    state: Mapping[str, Tensor], settings: Mapping[str, Any], text_layers: int, image_layers: int
) -> Adapters:
    """Find the adapters of a checkpoint.

    Args:
        state: Its tensors.
        settings: The configuration that it was trained with, as far as the file has it.
        text_layers: Layers of the text encoder.
        image_layers: Layers of the image tower.

    Raises:
        CheckpointError: If its configuration has a switch that models here do not have, or contradicts its tensors, or
            if tensors that are one in UniAdapter differ.
    """
    vision = any(re.match(r"visual_encoder\.blocks\.\d+\.adapter\.", name) for name in state)
    text = any(
        re.match(r"(text_encoder|text_decoder\.bert)\.encoder\.layer\.\d+\.adapter\.", name) for name in state
    )
    listed = any(re.match(r"adapters\.\d+\.", name) for name in state)
    key_value = any(re.match(r"text_encoder\.encoder\.video_(key|value)_adapter\.", name) for name in state)
    _require_supported(settings)
    on = {
        name: _switch(settings, name)
        for name in (
            "adapter",
            "adapter_textual",
            "adapter_multimodal",
            "adapter_visual",
            "video_key_adapter",
        )
    }
    if not (vision or text or listed or key_value) and not any(on.values()):
        return Adapters()
    once = (
        listed and not text and not vision
    )  # a file that names shared tensors only once, or adapters not used
    for name, present in (("adapter", text), ("adapter_visual", vision), ("video_key_adapter", key_value)):
        if on[name] is not None and on[name] != present and not (once and name != "video_key_adapter"):
            state_of = "has" if present else "lacks"
            raise CheckpointError(
                f"`{name}` is {on[name]} in {_WHERE}, but the checkpoint {state_of} the adapters that it switches."
            )
    if once:
        vision, text = on["adapter_visual"] is not False, on["adapter"] is not False
    if on["adapter_textual"] and on["adapter_multimodal"] is False and text:
        raise CheckpointError(
            f"`adapter_textual` without `adapter_multimodal`, as in {_WHERE}, is not supported: UniAdapter itself "
            "fails where a text reads an image."
        )
    layers = max(text_layers if text else 0, image_layers if vision else 0)
    moves, leftovers = _shared(state, layers, "")
    for part in (_shared(state, layers, "_m"), _key_values(state)):
        moves, leftovers = moves | part[0], leftovers | part[1]
    decoder = _decoder(state, layers)
    moves, leftovers = moves | decoder[0], leftovers | decoder[1]
    width = next(
        (
            tuple(tensor.shape)
            for name, tensor in state.items()
            if name in moves and name.endswith("down_proj.weight") and "video_" not in name
        ),
        None,
    )
    options: dict[str, Any] = {
        "adapter_size": width[0] if width and layers else None,
        "adapt_vision": vision,
        "adapt_text": text and on["adapter_textual"] is not False,
        "adapt_multimodal": text and on["adapter_multimodal"] is not False,
        "separate_decoder_adapters": bool(decoder[0]),
    }
    if key_value:
        options["key_value_adapter_size"] = _key_value_size(state)
    return Adapters(options=options, moves=moves, leftovers=leftovers)


def _require_supported(settings: Mapping[str, Any]) -> None:
    for name, allowed in _FIXED.items():
        value = settings.get(name)
        if value is not None and not any(
            type(value) is type(choice) and value == choice for choice in allowed
        ):
            raise CheckpointError(
                f"`{name}` in {_WHERE} must be {allowed[0]!r}, since models here read single images; got "
                f"{shortened(str(value)[:200])}."
            )


def _switch(settings: Mapping[str, Any], name: str) -> bool | None:
    """Whether a switch is on; None if the file does not state it."""
    value = settings.get(name)
    if value == "after_cross" and name == "adapter_multimodal":  # as UniAdapter's own file for COCO has it
        return True
    if value is not None and value not in (True, False):
        raise CheckpointError(
            f"`{name}` in {_WHERE} must be true or false; got {shortened(str(value)[:200])}."
        )
    return None if value is None else bool(value)


def _shared(
    state: Mapping[str, Tensor], layers: int, momentum: str
) -> tuple[dict[str, Move], dict[str, str]]:
    """The adapters that image tower and text encoder share, of which each tensor is taken once."""
    place = "momentum.blip.adapters" if momentum else "blip.adapters"
    taken: dict[str, str] = {}
    moves: dict[str, Move] = {}
    leftovers: dict[str, str] = {}
    for pattern in _NAMES:
        for name in state:
            ours = _ours(re.fullmatch(pattern.format(momentum), name))
            if ours is None:
                continue
            number, part = ours
            if number >= layers:
                leftovers[name] = "an adapter beyond the layers, which none of them uses"
            elif (first := taken.setdefault(f"{number}.{part}", name)) == name:
                moves[name] = Move((f"{place}.{number}.{part}",))
            elif same(state[first], state[name]):
                leftovers[name] = f"another name for {first}"
            else:
                raise CheckpointError(
                    f"The checkpoint's {shortened(first)} and {shortened(name)} are one adapter in UniAdapter, "
                    "but differ."
                )
    return moves, leftovers


def _decoder(state: Mapping[str, Tensor], layers: int) -> tuple[dict[str, Move], dict[str, str]]:
    """The adapters that the decoder uses: those of the encoder, or its own if any of them differs."""
    moves: dict[str, Move] = {}
    leftovers: dict[str, str] = {
        name: "UniAdapter makes these for the decoder, which does not use them"
        for name in state
        if _ours(re.fullmatch(r"adapters_dec\.(\d+)\.(.*)", name)) is not None
    }
    shared: dict[str, str] = {}
    separate = False
    for name in state:
        ours = _ours(match := re.fullmatch(_DECODER, name))
        if ours is None or match is None:
            continue
        number, part = ours
        moves[name] = Move((f"decoder_adapters.{number}.{part}",))
        encoder = next(
            (
                other
                for pattern in ("adapters.{}.{}", "text_encoder.encoder.layer.{}.adapter.{}")
                if (other := pattern.format(number, match[2])) in state
            ),
            None,
        )
        shared[name] = f"another name for {encoder}"
        separate = separate or encoder is None or number >= layers or not same(state[encoder], state[name])
    return (moves, leftovers) if separate else ({}, leftovers | shared)


def _ours(match: re.Match[str] | None) -> tuple[int, str] | None:
    """The number of an adapter and what we call a part of it; None for other tensors."""
    part = None if match is None else renamed(match[2], _PARTS)
    return None if match is None or part is None or len(match[1]) > 9 else (int(match[1]), part)


def _key_values(state: Mapping[str, Tensor]) -> tuple[dict[str, Move], dict[str, str]]:
    moves: dict[str, Move] = {}
    for start, place in (
        ("text_encoder.encoder.", "blip.key_value_adapters."),
        ("text_encoder_m.encoder.", "momentum.blip.key_value_adapters."),
        ("text_decoder.bert.encoder.", "decoder_key_value_adapters."),
    ):
        for name in state:
            if name.startswith(start) and (part := renamed(name.removeprefix(start), _KEY_VALUE)) is not None:
                moves[name] = Move((place + part,))
    return moves, {}


def _key_value_size(state: Mapping[str, Tensor]) -> int:
    name = "text_encoder.encoder.video_key_adapter.down_proj.weight"
    if name not in state or state[name].dim() != 2:
        raise CheckpointError(f"The checkpoint's text encoder is incomplete: it lacks {name!r}.")
    return state[name].shape[0]
