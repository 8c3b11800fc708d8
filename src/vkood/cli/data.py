"""`vkood data`: prepare tables from data sets' original files, and check them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vkood.cli.inputs import refuse, require_output_file, require_output_folder, require_packages
from vkood.cli.output import plain, say
from vkood.cli.uncaught import interruptible
from vkood.escaping import printable

if TYPE_CHECKING:
    from vkood.data.prepare import Prepared
    from vkood.data.readers import Source

app = typer.Typer(help="Prepare data sets, and check them.", no_args_is_help=True)
PACKAGES = ("pyarrow",)
_SHOWN = 5

_ConceptsOption = Annotated[
    str,
    typer.Option(
        help="What else facts are looked up for: tagger, what pictures show; captions, descriptions of them in "
        "--captions; or none. Tags are kept, so an interrupted command resumes.",
        metavar="tagger|captions|none",
    ),
]
_TaggerOption = Annotated[
    str,
    typer.Option(
        help="--concepts tagger: default, or folder or hub name of an image classifier, of CLIP or of SigLIP.",
        metavar="MODEL",
    ),
]
_CaptionsOption = Annotated[
    Path | None,
    typer.Option(
        help="--concepts captions: COCO's file of captions, or a .jsonl with image_id and caption.",
        metavar="FILE",
    ),
]


@app.command()
def prepare(
    name: Annotated[
        str,
        typer.Argument(
            help="vqav2, okvqa, fvqa, nlvr2, coco, flickr30k, visual-genome, sbu, conceptual-captions, "
            "easy-vqa, easy-vqa-knowledge (with facts of its own), own (a file of yours), or tables (METER's and "
            "ViLT's, to link facts)."
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder for the tables.", metavar="FOLDER")],
    root: Annotated[
        Path | None,
        typer.Option(help="Folder of the data set's own files; for own, of its images.", metavar="FOLDER"),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="own: a .csv, .tsv or .jsonl of questions or captions.", metavar="FILE"),
    ] = None,
    facts: Annotated[
        str,
        typer.Option(help="Where facts are looked up: default, none, or a store's file.", metavar="STORE"),
    ] = "default",
    max_facts: Annotated[
        int, typer.Option(help="Max number of facts of a text, the most relevant first.")
    ] = 20,
    concepts: _ConceptsOption = "none",
    tagger: _TaggerOption = "default",
    captions: _CaptionsOption = None,
    min_answers: Annotated[
        int | None,
        typer.Option(help="Min occurrences of an answer in the vocabulary (VQA: 9; own: 1)."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="easy-vqa-knowledge: the random seed.")] = None,
    epochs: Annotated[
        int | None, typer.Option(help="easy-vqa-knowledge: the number of epochs drawn for training.")
    ] = None,
    max_bad: Annotated[float, typer.Option(help="Max share of unreadable rows, which are left out.")] = 0.01,
    encoding: Annotated[
        str | None,
        typer.Option(help="own: the file's encoding, such as latin-1 or utf-16; UTF-8 by default."),
    ] = None,
    any_image_path: Annotated[
        bool,
        typer.Option(
            "--any-image-path",
            help="own, sbu, conceptual-captions: images may be named by absolute paths, and lie outside of --root.",
        ),
    ] = False,
) -> None:
    """Write a data set's tables, with the facts of each text.

    Images are stored as they are, encoded, and decoded once to check that they are complete; texts are linked here,
    once, and never in training. Rows that cannot be read are reported by file and row, and left out up to --max-bad;
    beyond that the command stops, and nothing is written.
    """
    require_packages(PACKAGES, extra="train")
    require_output_folder(output)
    from vkood.data.prepare import prepare as write_tables

    try:
        options = {
            "min_occurrences": min_answers,
            "seed": seed,
            "epochs": epochs,
            "encoding": encoding,
            "any_image_path": any_image_path or None,
        }
        source = _source(
            name, root, file, {key: value for key, value in options.items() if value is not None}
        )
        store = _store(facts)
        with interruptible("nothing was written"), _progress() as on_rows:
            prepared = write_tables(
                source,
                output,
                facts=store,
                **_concepts(concepts, tagger, captions, store),
                max_facts=max_facts,
                max_bad=max_bad,
                on_rows=on_rows,
            )
    except (ValueError, ImportError, FileNotFoundError) as error:
        refuse(str(error))
    _print(prepared, source, output)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="A folder of tables.", metavar="FOLDER")],
    json_out: Annotated[
        Path | None, typer.Option("--json", help="Also write the full report.", metavar="FILE")
    ] = None,
) -> None:
    """Check all tables of a folder, decoding every image. Exit code 1 if anything is wrong."""
    require_packages(PACKAGES, extra="train")
    require_output_file("--json", json_out)
    from rich.console import Console
    from rich.table import Table

    from vkood import files
    from vkood.data.check import check_folder

    try:
        with _progress() as on_rows:
            reports = check_folder(folder, on_rows=on_rows)
    except ValueError as error:
        refuse(str(error))
    shown = Table("Table", "Rows", "Texts", "With facts", "No answer", "Wrong", title=plain(folder))
    for report in reports:
        affected = {
            "without an image": report.missing_images,
            "with an image that cannot be decoded": report.undecodable_images,
            "with an answer outside the vocabulary": report.unknown_answers,
            "with inconsistent columns": report.invalid_rows,
            "more than once": report.duplicates,
        }
        problems = "; ".join(
            f"{len(names):,} {what}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
            for what, names in affected.items()
            if names
        )
        counts = (report.rows, report.texts, report.texts_with_facts, report.without_answer)
        shown.add_row(plain(report.table), *(f"{count:,}" for count in counts), plain(problems or "nothing"))
    Console().print(shown)
    if json_out is not None:
        files.write_text(json_out, json.dumps([report.record() for report in reports], indent=1) + "\n")
    if not all(report.sound for report in reports):
        raise typer.Exit(1)


@app.command()
def tiny(
    name: Annotated[
        str,
        typer.Argument(
            help="vqav2, okvqa, nlvr2, coco, flickr30k, visual-genome, sbu, conceptual-captions, own-questions or "
            "own-captions."
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder for the files.", metavar="FOLDER")],
    num_images: Annotated[int, typer.Option(help="Pictures in each split.")] = 24,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Write a small synthetic data set in the file formats of the real one, to try commands on."""
    require_output_folder(output)
    from vkood.data.tiny import write_tiny

    try:
        write_tiny(name, output, num_images=num_images, seed=seed)
    except ValueError as error:
        refuse(str(error))
    say(f"a synthetic {name} is in {output}")


def _print(prepared: Prepared, source: Source, output: Path) -> None:
    """Report what was written, and which rows were left out."""
    from vkood.data.tables import MANIFEST_ENDING

    for reason in prepared.left_out[:_SHOWN]:
        say(f"left out: {reason}")
    if prepared.num_left_out > _SHOWN:
        say(f"left out: {prepared.num_left_out:,} rows in all; {source.name}{MANIFEST_ENDING} lists them")
    for what, number in prepared.notes.items():
        say(f"{what}: {number:,}")
    for table, rows in prepared.rows.items():
        say(f"{table}: {rows:,} rows, {prepared.texts[table]:,} texts")
    skipped = "".join(f", {number:,} skipped ({what})" for what, number in prepared.skipped.items() if number)
    say(
        f"{prepared.num_read:,} rows read: {prepared.num_kept:,} kept, {prepared.num_left_out:,} left out{skipped}"
    )
    if source.answers is not None:
        typer.echo(f"{len(source.answers):,} answers in the vocabulary")
    say(f"{prepared.facts:,} different facts linked; the tables are in {output}")


def _source(name: str, root: Path | None, file: Path | None, options: dict[str, Any]) -> Any:
    """The data set as its reader reads it, with these options."""
    from vkood.data.prepare import OWN, READERS, read_source
    from vkood.data.readers.own import read_own

    if root is None and name in (*READERS, OWN):
        refuse("--root must be the folder of the data set's files.")
    if root is None or name != OWN:
        return read_source(name, root, **options)
    if file is None:
        refuse("--file must be a .csv, .tsv or .jsonl of questions or captions, for own.")
    return read_own(file, root, name=file.stem, **options)


def _store(name: str) -> Any:
    """The store of facts by its name: none, default, or a file."""
    if name == "none":
        return None
    if name == "default":
        return "default"
    from vkood.knowledge import FactStore

    return FactStore.open(os.path.expanduser(name))


def _concepts(concepts: str, tagger: str, captions: Path | None, store: Any) -> dict[str, Any]:
    """The arguments of `prepare` that say where concepts of pictures come from."""
    if concepts not in ("tagger", "captions", "none"):
        refuse(f"--concepts must be tagger, captions or none; got {concepts!r}.")
    if (captions is not None) != (concepts == "captions"):
        refuse("--captions must be a file of captions with --concepts captions, and not be there otherwise.")
    if tagger != "default" and concepts != "tagger":
        refuse("--tagger is for --concepts tagger.")
    if concepts != "none" and store is None:
        refuse(f"--concepts {concepts} needs facts to look up; got --facts none.")
    if captions is not None:
        from vkood.data.concepts import read_picture_captions

        return {"captions": read_picture_captions(captions)}
    if concepts == "none":
        return {}
    from vkood.pipelines.concept_tagger import ConceptTagger
    from vkood.pipelines.concept_tagger.cached import CachedTagger
    from vkood.pipelines.encoding import cache_folder

    opened = None if isinstance(store, str) else store
    model = (
        ConceptTagger.default(opened)
        if tagger == "default"
        else ConceptTagger.from_pretrained(os.path.expanduser(tagger), opened)
    )
    return {"tagger": CachedTagger(model, cache_folder() / "concepts")}


@contextmanager
def _progress() -> Iterator[Callable[..., None]]:
    """A line for each table with its rows, on terminals."""
    from rich.console import Console
    from rich.progress import TaskID, TextColumn, TimeElapsedColumn

    from vkood.progress import Bars

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.completed:,} rows"),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=console) as bars:
        lines: dict[str, TaskID] = {}

        def on_rows(table: str, done: int, total: int | None = None) -> None:
            if table not in lines:
                lines[table] = bars.add_task(printable(table), total=total)
            bars.update(lines[table], completed=done)

        yield on_rows
