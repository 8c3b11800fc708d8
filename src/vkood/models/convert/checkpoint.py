"""From a foreign checkpoint to a model of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel

from vkood.files import FileProblem, read_json_object
from vkood.models.convert.blip import blip_plan, is_blip
from vkood.models.convert.contents import weights_of
from vkood.models.convert.meter import is_meter, meter_plan
from vkood.models.convert.plan import Request, carry_out
from vkood.models.convert.reading import CheckpointError, read_checkpoint
from vkood.models.convert.report import CheckpointReport
from vkood.models.convert.transformers_blip import read_folder

TowerConfig = str | Path | Mapping[str, Any] | PreTrainedConfig


def load_checkpoint(
    path: str | Path,
    text_config: TowerConfig | None = None,
    image_config: TowerConfig | None = None,
    image_size: int | None = None,
    task: str | None = None,
    answers: Sequence[str] | None = None,
) -> tuple[PreTrainedModel, CheckpointReport]:
    """Load a checkpoint of METER, VK-OOD or BLIP as a model of ours, which gives the same numbers.

    Family, task, towers, sizes and resolution are found from names, shapes and stored hyper-parameters. Nothing in the
    file is run.

    Args:
        path: The file: a Lightning `.ckpt` of METER or VK-OOD, a `.pth` of BLIP or UniAdapter, or `.safetensors` with
            the same names; or the folder of a BLIP of `transformers`.
        text_config: The text tower's configuration, or its `config.json`: for what the file does not state, such as the
            number of attention heads of a tower whose name is not known.
        image_config: The image tower's, likewise.
        image_size: Height and width of the images, in pixels, if another than the file's: positions are resized as
            the reference implementations do.
        task: What the model shall be for, if not what the file's heads are for: "vqa", "nlvr2", "retrieval", and of
            METER's "snli", "pretraining" or "fusion alone" too. Fine-tuning starts so from a pre-trained file; heads
            that the file lacks are new.
        answers: The answers of a head that picks one of them, in the order of its classes; such heads are METER's.
            Without them the answers are called `LABEL_0` and so on.

    Returns:
        The model, in eval mode, and what became of every key.

    Raises:
        CheckpointError: If the file is missing, no checkpoint, truncated, of another family, or would run code; if a
            key is missing or unexpected that may not be; if a weight is not finite; if what is needed is stated
            nowhere; if the resolution cannot be; or if there are not as many answers as classes.

    Example:
        >>> import vkood
        >>> model, report = vkood.load_checkpoint("meter_vqa.ckpt")  # doctest: +SKIP
        >>> print(report)  # doctest: +SKIP
    """
    if image_size is not None and (
        isinstance(image_size, bool) or not isinstance(image_size, int) or image_size < 1
    ):
        raise CheckpointError(f"`image_size` must be a number of pixels from 1; got {image_size!r}.")
    request = Request(
        text_config=_stated("text_config", text_config, "text_config"),
        image_config=_stated("image_config", image_config, "vision_config"),
        image_size=image_size,
        task=task,
        answers=None if answers is None else _answers(answers),
    )
    if Path(path).is_dir():
        return _load_folder(Path(path), request)
    content = read_checkpoint(path)
    weights = weights_of(content, str(path))
    if is_meter(weights.state):
        plan = meter_plan(weights.state, weights.settings, request)
    else:
        assert is_blip(weights.state)
        plan = blip_plan(weights.state, request, weights.settings)
    return carry_out(replace(plan, notes=(*weights.notes, *plan.notes)), weights.state)


def _load_folder(path: Path, request: Request) -> tuple[PreTrainedModel, CheckpointReport]:
    """Load a folder of `transformers`' BLIP; the report has the names that the weights have there."""
    if request.text_config is not None or request.image_config is not None:
        raise CheckpointError(
            "`text_config` and `image_config` must not be given with a folder, which has a config.json of its own."
        )
    folder = read_folder(path)
    request = replace(request, text_config=folder.text_config, image_config=folder.image_config)
    plan = blip_plan(folder.state, request, {"image_size": folder.image_config["image_size"]})
    model, report = carry_out(plan, folder.state)
    return model, replace(
        report, keys=tuple(replace(key, name=folder.names.get(key.name, key.name)) for key in report.keys)
    )


def _answers(answers: Sequence[str]) -> tuple[str, ...]:
    """The answers, checked: texts, none of them empty or there twice."""
    if isinstance(answers, str):
        raise CheckpointError("`answers` must be a list of texts, one for each class; got a single text.")
    places: dict[str, int] = {}
    for place, answer in enumerate(answers):
        if not isinstance(answer, str) or not answer.strip():
            raise CheckpointError(
                f"`answers[{place}]` must be a text that is not empty; got {str(answer)[:60]!r}."
            )
        if answer in places:
            raise CheckpointError(
                f"`answers` must differ, but {answer[:60]!r} is both the one at {places[answer]} and at {place}."
            )
        places[answer] = place
    return tuple(places)


def _stated(name: str, config: TowerConfig | None, part: str) -> Mapping[str, Any] | None:
    """What a tower's configuration states explicitly, in whatever form it came.

    Of the configuration of a model with two towers, such as CLIP, the tower's part is taken.
    """
    if config is None:
        return None
    if isinstance(config, PreTrainedConfig):
        stated: Mapping[str, Any] = config.to_dict()
    elif isinstance(config, Mapping):
        stated = config
    else:
        file = Path(config)
        file = file / "config.json" if file.is_dir() else file
        try:
            stated = read_json_object(file, what="tower's configuration")
        except FileProblem as error:
            raise CheckpointError(f"`{name}` must be a readable JSON file: {error}") from None
    inner = stated.get(part)
    return inner if isinstance(inner, Mapping) else stated
