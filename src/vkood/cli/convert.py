"""`vkood convert`: a checkpoint of METER, VK-OOD or BLIP becomes a folder that `from_pretrained` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vkood.cli.inputs import refuse, require_count
from vkood.cli.output import say

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from vkood.models.convert import CheckpointReport

Checkpoint = Annotated[
    Path, typer.Argument(help="A `.ckpt` of METER or VK-OOD, or a `.pth` of BLIP.", metavar="CHECKPOINT")
]
Output = Annotated[Path, typer.Option(help="Folder for the model; made if there is none.", metavar="FOLDER")]
TextConfig = Annotated[
    Path | None,
    typer.Option(
        help="The text tower's config.json, for a tower whose name in the checkpoint is not known.",
        metavar="FILE",
    ),
]
ImageConfig = Annotated[
    Path | None,
    typer.Option(help="The image tower's config.json, where the file does not tell enough.", metavar="FILE"),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        help="Height and width of images, if not the checkpoint's: positions are resized.", metavar="N"
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        help="What the model shall be for, if not what the checkpoint's heads are for: vqa, nlvr2, retrieval or "
        "pretraining. Heads that it lacks are new.",
        metavar="NAME",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the counts alone, not every key.")]


def convert(
    checkpoint: Checkpoint,
    output: Output,
    text_config: TextConfig = None,
    image_config: ImageConfig = None,
    image_size: ImageSize = None,
    task: Task = None,
    quiet: Quiet = False,
) -> None:
    """Convert a checkpoint of METER, VK-OOD or BLIP to a folder of ours, with the same numbers.

    Every key of the file is told as loaded, resized, missing or unexpected; a missing or unexpected one that is
    not known to do no harm ends the conversion. Nothing in the file is run. The folder gets the model and its
    configuration; tokenizer and image transforms are not in such files, so take those of the towers.
    """
    require_count("--image-size", image_size, lowest=1)
    _require_free(output)

    from transformers.utils import logging

    from vkood.models.convert import CheckpointError, load_checkpoint

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        model, report = load_checkpoint(checkpoint, text_config, image_config, image_size, task)
    except CheckpointError as error:
        refuse(str(error))
    _save(model, report, output)
    for line in str(report).split("\n")[: 1 if quiet else None]:
        say(line)
    say(f"{report.model} is in {output}; every key is told in {output / 'conversion.json'}.")


def _require_free(output: Path) -> None:
    """Refuse to write over anything but a model of ours."""
    if output.exists() and not output.is_dir():
        refuse(f"--output must be a folder, but {str(output)!r} is a file.")
    if output.is_dir() and any(output.iterdir()) and not _is_ours(output):
        refuse(
            f"--output must be a new folder, or one with an earlier model of ours; {str(output)!r} has other files."
        )


def _is_ours(folder: Path) -> bool:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return "vkood" in found["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _save(model: PreTrainedModel, report: CheckpointReport, output: Path) -> None:
    from vkood.files import complete_folder

    told = [
        {"name": key.name, "outcome": key.outcome, "ours": list(key.ours), "allowed": key.allowed}
        for key in report.keys
    ]
    try:
        with complete_folder(output) as unfinished:
            model.save_pretrained(unfinished)
            (unfinished / "conversion.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        refuse(f"the model cannot be written to {str(output)!r}: {error.strerror or error}.")
