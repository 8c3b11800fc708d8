"""From a foreign checkpoint to a model of ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from vkood.models.convert.blip import blip_plan, is_blip
from vkood.models.convert.meter import is_meter, meter_plan
from vkood.models.convert.plan import Wanted, carry_out
from vkood.models.convert.reading import CheckpointError, read_checkpoint, state_dict_of
from vkood.models.convert.report import CheckpointReport
from vkood.models.towers import image_config_of, text_config_of

TowerConfig = str | Path | Mapping[str, Any] | PreTrainedConfig


def load_checkpoint(
    path: str | Path,
    text_config: TowerConfig | None = None,
    image_config: TowerConfig | None = None,
    image_size: int | None = None,
    task: str | None = None,
) -> tuple[PreTrainedModel, CheckpointReport]:
    """Load a checkpoint of METER, VK-OOD or BLIP as a model of ours, which gives the same numbers.

    Family, task, towers, sizes and resolution are found from names, shapes and stored hyper-parameters. Nothing in the
    file is run.

    Args:
        path: The file: a Lightning `.ckpt` of METER or VK-OOD, or a `.pth` of BLIP.
        text_config: The text tower's configuration, or its `config.json`: for what the file cannot tell, such as the
            number of attention heads of a tower whose name is not known.
        image_config: The image tower's, likewise.
        image_size: Height and width of the images, in pixels, if another than the file's: positions are resized as
            the peers do.
        task: What the model shall be for, if not what the file's heads are for: "vqa", "nlvr2", "retrieval",
            "pretraining" or "fusion alone" (METER's). Fine-tuning starts so from a pre-trained file; heads that
            the file lacks are new.

    Returns:
        The model, in eval mode, and what became of every key.

    Raises:
        CheckpointError: If the file is missing, no checkpoint, truncated, of another family, or would run code; if a
            key is missing or unexpected that may not be; if what is needed is told nowhere; or if the resolution
            cannot be.

    Example:
        >>> import vkood
        >>> model, report = vkood.load_checkpoint("meter_vqa.ckpt")  # doctest: +SKIP
        >>> print(report)  # doctest: +SKIP
    """
    if image_size is not None and (isinstance(image_size, bool) or not isinstance(image_size, int)
                                   or image_size < 1):  # fmt: skip
        raise CheckpointError(f"`image_size` must be a number of pixels from 1; got {image_size!r}.")
    told_text, told_image = _said("text_config", text_config), _said("image_config", image_config)
    content = read_checkpoint(path)
    wanted = Wanted(
        text_config=_tower("text_config", told_text, text_config_of), image_size=image_size, task=task
    )
    if isinstance(content.get("state_dict"), dict):
        state = state_dict_of(content, "state_dict")
        if is_meter(state):
            image = _tower("image_config", told_image, image_config_of)
            return carry_out(
                meter_plan(state, _hyper_parameters(content), replace(wanted, image_config=image)), state
            )
    if isinstance(content.get("model"), dict):
        state = state_dict_of(content, "model")
        if is_blip(state):
            return carry_out(blip_plan(state, wanted, told_image or {}), state)
    raise CheckpointError(
        f"{str(path)!r} is of no known family: neither METER's or VK-OOD's (a Lightning checkpoint with `state_dict`) "
        "nor BLIP's (`model`)."
    )


def _hyper_parameters(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the file was trained with, as far as it says."""
    told = content.get("hyper_parameters") or {}
    told = told.get("config", told) if isinstance(told, dict) else {}
    return told if isinstance(told, dict) else {}


def _said(name: str, given: TowerConfig | None) -> Mapping[str, Any] | None:
    """What a configuration says in so many words, however it was given."""
    if given is None or isinstance(given, Mapping):
        return given
    if isinstance(given, PreTrainedConfig):
        return given.to_dict()
    file = Path(given)
    if file.is_dir():
        file = file / "config.json"
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"`{name}` must be a readable JSON file; {str(file)!r}: {error}.") from None
    if not isinstance(said, Mapping):
        raise CheckpointError(
            f"`{name}` must be a tower's `config.json`; {str(file)!r} holds no named values."
        )
    return said


def _tower(
    name: str, said: Mapping[str, Any] | None, part: Callable[[PreTrainedConfig], PreTrainedConfig]
) -> PreTrainedConfig | None:
    """The configuration of a tower, with what was not said filled in."""
    if said is None:
        return None
    options = dict(said)
    kind = options.pop("model_type", None)
    if kind is None:
        raise CheckpointError(f"`{name}` must be a tower's `config.json`, which has a `model_type`.")
    try:
        return part(AutoConfig.for_model(kind, **options))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"`{name}` is no configuration of a tower: {error}.") from None
