"""The contents of a checkpoint: its weights, under whatever key and prefix, and its configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vkood.models.convert.blip import is_blip
from vkood.models.convert.meter import is_meter
from vkood.models.convert.reading import CheckpointError
from vkood.models.convert.report import shortened

MAX_TENSORS = 100_000
# Where training programs keep the weights, in the order in which they are searched; then where they keep an average
# of the weights over training (EMA), which is taken only where there is nothing else.
_PLACES = (
    "state_dict",
    "model",
    "module",
    "model_state_dict",
    "model_state",
    "net",
    "network",
    "weights",
    "params",
)
_AVERAGES = (
    "model_ema",
    "ema",
    "ema_state_dict",
    "state_dict_ema",
    "ema_model",
    "ema_model_state_dict",
    "shadow_params",
)
# What wraps a model and puts its own name before the names of the weights.
_WRAPPERS = (
    "module",
    "_orig_mod",
    "_forward_module",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "model",
    "net",
    "network",
    "student",
)
_AVERAGING = ("ema", "model_ema", "ema_model", "averaged_model", "teacher")
_INNER = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# The part of a name by which a family is known, and which a prefix would stand before.
_KNOWN = re.compile(
    r"(?:^|\.)(?:vit_model|cross_modal_text_transform|visual_encoder(?=\.(?:cls|pos|patch|blocks)))(?:\.|$)"
)
_NOT_READ = (
    (
        (r"text_embeddings\.word_embeddings\.weight", r"transformer\.patch_embed\.proj\.weight"),
        "of ViLT, whose one transformer reads text and image together; no model here is built so",
    ),
    (
        (r"(?:model\.)?visual\.conv1\.weight", r"(?:model\.)?token_embedding\.weight"),
        "of CLIP alone, without a fusion: take it as an image tower by `from_towers`",
    ),
    (
        (
            r"visual_encoder\.patch_embed\.proj\.weight",
            r"text_decoder\.bert\.embeddings\.word_embeddings\.weight",
        ),
        "of BLIP for captions, which has no text encoder; read are those for VQA, retrieval and NLVR2",
    ),
    ((r"query_tokens", r"Qformer\..*"), "of BLIP-2, which is another architecture than BLIP"),
    (
        (r"vision_model\.embeddings\.patch_embedding\.weight",),
        "of `transformers`: give the folder that it stands in, with its config.json",
    ),
    ((r"(?:vkood|blip)\.image_tower\..*",), "of a model of ours: load its folder by `from_pretrained`"),
)


@dataclass(frozen=True)
class Weights:
    """The contents of a checkpoint.

    Args:
        state: The weights, by the names that the family gives them.
        settings: The configuration that the model was trained with, as far as the file has it.
        notes: What was chosen or left out.
    """

    state: Mapping[str, Tensor]
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def weights_of(content: Mapping[str, Any], path: str) -> Weights:
    """Find the weights of a model of METER's, VK-OOD's or BLIP's.

    Args:
        content: What is in the file.
        path: Where it stands, for errors.

    Raises:
        CheckpointError: If there are none, or it is not clear which are meant.
    """
    problem = ""
    for place, stored in _candidates(content):
        state = _tensors(stored, place)
        if not state:
            continue
        bare, notes = _without_wrappers(state)
        if is_meter(bare) or is_blip(bare):
            if place in _AVERAGES:
                notes = (
                    f"the weights are those of {place!r}, an average over training (EMA); the file has no others",
                    *notes,
                )
            elif others := [name for name in _AVERAGES if isinstance(content.get(name), Mapping)]:
                notes = (f"the file's average over training (EMA), {others[0]!r}, is not taken", *notes)
            return Weights(bare, _settings(content, place), notes)
        problem = problem or _unknown(bare)
    if not problem and any(name.startswith("optimizer") for name in content if isinstance(name, str)):
        problem = "it holds the state of an optimizer and no weights: give the file beside it that has those"
    raise CheckpointError(
        f"{path!r} is of no known family: neither METER's or VK-OOD's (a Lightning checkpoint with `state_dict`) "
        f"nor BLIP's (`model`){'; ' if problem else ''}{problem}."
    )


def _candidates(content: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Where weights may be: under one of the usual names, or the whole file."""
    candidates = [
        (place, content[place]) for place in (*_PLACES, *_AVERAGES) if isinstance(content.get(place), Mapping)
    ]
    return [*candidates, ("", content)]


def _tensors(stored: Mapping[Any, Any], place: str) -> dict[str, Tensor]:
    """The named tensors of a part of the file, which must be nothing else if it has any."""
    tensors = {name: value for name, value in stored.items() if isinstance(value, Tensor)}
    if place and tensors and len(tensors) < len(stored):
        odd = next(name for name, value in stored.items() if not isinstance(value, Tensor))
        raise CheckpointError(
            f"The checkpoint's {place!r} must be named tensors; {shortened(str(odd))} is a "
            f"{type(stored[odd]).__name__}."
        )
    if any(not isinstance(name, str) for name in tensors):
        raise CheckpointError(
            f"The checkpoint's {place or 'content'!r} must be named tensors; a name is not text."
        )
    if len(tensors) > MAX_TENSORS:
        raise CheckpointError(
            f"The checkpoint has {len(tensors):,} tensors; at most {MAX_TENSORS:,} are read."
        )
    return tensors


def _without_wrappers(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The weights under the family's own names: without what `DataParallel`, `torch.compile` and others put before."""
    inner = {_INNER.sub("", name): tensor for name, tensor in state.items()}
    if len(inner) < len(state):
        raise CheckpointError(
            "The checkpoint has weights twice, with `_orig_mod.` (or another wrapper) and without."
        )
    prefixes = {
        name[: match.start() + 1] if match.start() or name.startswith(".") else ""
        for name in inner
        if (match := _KNOWN.search(name))
    }
    notes: list[str] = []
    averaged = {
        prefix
        for prefix in prefixes
        if _consists_of(prefix, (*_WRAPPERS, *_AVERAGING)) and not _consists_of(prefix, _WRAPPERS)
    }
    plain = prefixes - averaged
    if plain and averaged:
        notes.append(f"the averages over training (EMA) under {min(averaged)!r} are not taken")
    chosen = plain or averaged
    if not chosen:
        return dict(inner), ()
    if len(chosen) > 1:
        raise CheckpointError(
            "The checkpoint has several models, whose names begin with "
            f"{' and '.join(map(shortened, sorted(chosen)[:3]))}: keep the weights of one."
        )
    (prefix,) = chosen
    if not _consists_of(prefix, (*_WRAPPERS, *_AVERAGING)):
        raise CheckpointError(
            f"The names of the checkpoint's weights begin with {shortened(prefix)}, which is not known as a wrapper's: "
            "save them without it."
        )
    if not plain:
        notes.append(
            f"the weights are the averages over training (EMA) under {prefix!r}; the file has no others"
        )
    kept = {
        name.removeprefix(prefix): tensor
        for name, tensor in inner.items()
        if name.startswith(prefix)
        and not any(other and other != prefix and name.startswith(other) for other in averaged)
    }
    dropped = [
        name
        for name in inner
        if not name.startswith(prefix) and not any(name.startswith(other) for other in averaged)
    ]
    if dropped:
        raise CheckpointError(
            f"The names of most of the checkpoint's weights begin with {shortened(prefix)}, but "
            f"{shortened(dropped[0])} {'does' if len(dropped) == 1 else f'and {len(dropped) - 1} more do'} not."
        )
    return kept, tuple(notes)


def _consists_of(prefix: str, wrappers: tuple[str, ...]) -> bool:
    return all(part in wrappers for part in prefix.split(".")[:-1])


def _settings(content: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """The configuration that the file has: of Lightning its hyper-parameters, of BLIP's and others `config`."""
    settings: Any = {}
    for name in ("hyper_parameters", "config") if place else ():
        if content.get(name) is None:
            continue
        settings = content[name]
        if (
            name == "hyper_parameters"
            and isinstance(settings, Mapping)
            and settings.get("config") is not None
        ):
            name, settings = "hyper_parameters.config", settings["config"]
        if not isinstance(settings, Mapping):
            raise CheckpointError(
                f"The checkpoint's `{name}` must be named values; it is a {type(settings).__name__}."
            )
        break
    return settings


def _unknown(state: Mapping[str, Tensor]) -> str:
    """What weights of no known family may be."""
    for patterns, what in _NOT_READ:
        if all(any(re.fullmatch(pattern, name) for name in state) for pattern in patterns):
            return f"it is {what}"
    names = sorted(state)[:3]
    return f"its weights have names like {', '.join(map(shortened, names))}"
