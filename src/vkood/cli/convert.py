"""`vkood convert`: a checkpoint of METER, VK-OOD or BLIP becomes a folder that `from_pretrained` reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from vkood.cli.inputs import refuse, require_count, require_writable
from vkood.cli.options import Json
from vkood.cli.output import print_json, say
from vkood.cli.uncaught import interruptible

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from vkood.models.convert import CheckpointReport

_REPORT = "conversion.json"
_CONVERTED = re.compile(
    r"conversion\.json|README\.md|config\.json|generation_config\.json|model[\w.-]*\.safetensors(\.index\.json)?"
)
_MAX_ANSWER_BYTES = 64 * 2**20

Checkpoint = Annotated[
    Path,
    typer.Argument(
        help="A `.ckpt` of METER or VK-OOD, a `.pth` of BLIP or UniAdapter, or the folder of a BLIP of transformers.",
        metavar="CHECKPOINT",
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        help="Folder for the model, new or with an earlier conversion, which is replaced; no other is.",
        metavar="FOLDER",
    ),
]
TextConfig = Annotated[
    Path | None,
    typer.Option(
        help="The text tower's config.json, for a tower whose name in the checkpoint is not known.",
        metavar="FILE",
    ),
]
ImageConfig = Annotated[
    Path | None,
    typer.Option(help="The image tower's config.json, where the file does not state enough.", metavar="FILE"),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        help="Height and width of images in pixels, if not the checkpoint's: positions are resized.",
        metavar="N",
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        help="The task of the model, if not that of the checkpoint's heads: vqa, nlvr2 or retrieval; of "
        "METER's also snli or pretraining. Heads that it lacks are new.",
        metavar="NAME",
    ),
]
Answers = Annotated[
    Path | None,
    typer.Option(
        help="The answers of a head that picks one, in the order of its classes: a line each, a JSON list, or a JSON "
        "object of answers and their numbers.",
        metavar="FILE",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print only the counts, not every key.")]


def convert(
    checkpoint: Checkpoint,
    output: Output,
    text_config: TextConfig = None,
    image_config: ImageConfig = None,
    image_size: ImageSize = None,
    task: Task = None,
    answers: Answers = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Convert a checkpoint of METER, VK-OOD or BLIP to a folder of ours, with the same numbers.

    Every key of the file is reported as loaded, resized, missing or unexpected; a missing or unexpected one that is
    not known to do no harm ends the conversion, and so does a weight that is not finite. Nothing in the file is run.
    The folder gets the model and its configuration; tokenizer and image transforms are not in such files, so take
    those of the towers.
    """
    require_count("--image-size", image_size, lowest=1)
    _require_free(output, (checkpoint, text_config, image_config, answers))
    names = None if answers is None else _read_answers(answers)

    from vkood.models.convert import CheckpointError, load_checkpoint
    from vkood.models.convert.report import Outcome

    kept = "the conversion that was there is unchanged" if output.exists() else "nothing was written"
    with interruptible(f"{kept}. Run the same command again: it starts from the beginning"):
        try:
            model, report = load_checkpoint(checkpoint, text_config, image_config, image_size, task, names)
        except CheckpointError as error:
            refuse(str(error))
        _save(model, report, checkpoint, output)
    if as_json:
        outcomes = {outcome: len(report.of(outcome)) for outcome in get_args(Outcome)}
        facts = {"family": report.family, "task": report.task, "model": report.model, "towers": report.towers}
        print_json(
            facts
            | {
                "image_size": report.image_size,
                "notes": report.notes,
                "keys": outcomes,
                "output": str(output),
            }
        )
        return
    for line in (report.summary if quiet else str(report)).split("\n"):
        say(line)
    say(f"{report.model} is in {output}; {output / _REPORT} has the outcome of every key.")


def _require_free(output: Path, inputs: Iterable[Path | None]) -> None:
    """Refuse to write over anything but an earlier conversion, or where nothing can be written; create nothing yet."""
    from vkood.files import recover

    recover(output)  # what a conversion that was killed has moved aside
    require_writable(output)
    if output.is_dir() and any(output.iterdir()):
        others = sorted(
            entry.name for entry in output.iterdir() if entry.is_dir() or not _CONVERTED.fullmatch(entry.name)
        )
        if others or not (output / _REPORT).is_file():
            refuse(
                "--output must be a new folder, or one with an earlier conversion alone, which is replaced; "
                f"{str(output)!r} has other files{f', such as {others[0]!r}' if others else ''}."
            )
    for file in inputs:
        if file is not None and output.resolve() in file.resolve().parents:
            refuse(f"--output must be another folder than that of {str(file)!r}, which is read.")


def _read_answers(path: Path) -> list[str]:
    """Answers, one a line or as JSON: a list, or an object of answers and their numbers, either way round."""
    from vkood.files import FileProblem, parse_json, read_text

    try:
        text = read_text(path, what="file of answers", max_bytes=_MAX_ANSWER_BYTES)
        if not text.lstrip().startswith(("[", "{")):
            return text.splitlines()
        content = parse_json(text, name=str(path), what="file of answers")
    except FileProblem as error:
        refuse(f"--answers: {error}")
    if isinstance(content, list):
        for place, answer in enumerate(content):
            if not isinstance(answer, str):
                refuse(
                    f"--answers must list texts; item {place} of {str(path)!r} is a {type(answer).__name__}."
                )
        return content
    if all(
        isinstance(value, str) for value in content.values()
    ):  # numbers of classes, as JSON has them for keys
        numbers = {int(key): value for key, value in content.items() if key.isdecimal() and len(key) < 10}
    else:
        numbers = {value: key for key, value in content.items() if type(value) is int}
    if len(numbers) != len(content) or numbers.keys() != set(range(len(numbers))):
        refuse(f"--answers must number its answers from 0, each number once; {str(path)!r} does not.")
    return [numbers[place] for place in range(len(numbers))]


def _save(model: PreTrainedModel, report: CheckpointReport, checkpoint: Path, output: Path) -> None:
    from vkood.files import complete_folder
    from vkood.models.card import CardDetails, write_card

    outcomes = [
        {"name": key.name, "outcome": key.outcome, "ours": list(key.ours), "allowed": key.allowed}
        for key in report.keys
    ]
    try:
        output.absolute().parent.mkdir(parents=True, exist_ok=True)
        with complete_folder(output) as unfinished:
            model.save_pretrained(unfinished)
            write_card(
                unfinished,
                model,
                CardDetails(data=f"Converted from `{checkpoint.name}`, which was trained elsewhere."),
            )
            (unfinished / _REPORT).write_text(json.dumps(outcomes, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        refuse(f"the model cannot be written to {str(output)!r}: {error.strerror or error}.")
