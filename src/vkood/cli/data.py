"""`vkood data`: prepare tables from data sets' original files, and check them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vkood.cli.inputs import refuse, require_output_folder, require_packages
from vkood.cli.options import Json
from vkood.cli.output import plain, print_json, say, standard_output
from vkood.cli.progress import work_bars
from vkood.cli.uncaught import interruptible
from vkood.escaping import printable

if TYPE_CHECKING:
    from vkood.data.check import TableCheck
    from vkood.data.prepare import OnRows, Prepared
    from vkood.data.readers import Source

app = typer.Typer(help="Prepare data sets, and check them.", no_args_is_help=True)
PACKAGES = ("pyarrow",)
_SHOWN = 5
_PICTURES, _OWN, _EASY_VQA = "Facts about what pictures show", "For own", "For easy-vqa-knowledge"

DataSet = Annotated[
    str,
    typer.Argument(
        help="vqav2, okvqa, fvqa, nlvr2, coco, flickr30k, visual-genome, sbu, conceptual-captions, easy-vqa, "
        "easy-vqa-knowledge (with facts of its own), own (a file of yours), or tables (METER's and ViLT's, to link "
        "facts).",
        metavar="NAME",
    ),
]
TablesFolder = Annotated[Path, typer.Option(help="Folder for the tables.", metavar="FOLDER")]
Root = Annotated[
    Path | None,
    typer.Option(help="Folder of the data set's own files; for own, of its images.", metavar="FOLDER"),
]
File = Annotated[
    Path | None,
    typer.Option(
        help="A .csv, .tsv or .jsonl of questions or captions.", metavar="FILE", rich_help_panel=_OWN
    ),
]
Facts = Annotated[
    str,
    typer.Option(help="Where facts are looked up: default, none, or a store's file.", metavar="STORE"),
]
MaxFacts = Annotated[
    int, typer.Option(help="Max number of facts of a text, the most relevant first.", metavar="N")
]
MinAnswers = Annotated[
    int | None,
    typer.Option(
        help="Min occurrences of an answer in the vocabulary; by default 9 for VQA, 1 for own.",
        metavar="N",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        help="Random seed of the draws of facts, from 0; 0 by default.",
        metavar="N",
        rich_help_panel=_EASY_VQA,
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        help="Number of epochs drawn for training; 8 by default.", metavar="N", rich_help_panel=_EASY_VQA
    ),
]
MaxBad = Annotated[
    float,
    typer.Option(help="Max share of unreadable rows, from 0 to 1, which are left out.", metavar="NUMBER"),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        help="The file's encoding, such as latin-1 or utf-16; UTF-8 by default.",
        metavar="NAME",
        rich_help_panel=_OWN,
    ),
]
AnyImagePath = Annotated[
    bool,
    typer.Option(
        "--any-image-path",
        help="Images may be named by absolute paths, and lie outside of --root; also of sbu, conceptual-captions.",
        rich_help_panel=_OWN,
    ),
]

Concepts = Annotated[
    str,
    typer.Option(
        help="What else facts are looked up for: tagger, what pictures show; captions, descriptions of them in "
        "--captions; or none. Tags are kept, so an interrupted command resumes.",
        metavar="tagger|captions|none",
        rich_help_panel=_PICTURES,
    ),
]
Tagger = Annotated[
    str,
    typer.Option(
        help="With --concepts tagger: default, or folder or hub name of an image classifier, of CLIP or of SigLIP.",
        metavar="MODEL",
        rich_help_panel=_PICTURES,
    ),
]
Captions = Annotated[
    Path | None,
    typer.Option(
        help="With --concepts captions: COCO's file of captions, or a .jsonl with image_id and caption.",
        metavar="FILE",
        rich_help_panel=_PICTURES,
    ),
]


@app.command()
def prepare(
    name: DataSet,
    output: TablesFolder,
    root: Root = None,
    file: File = None,
    facts: Facts = "default",
    max_facts: MaxFacts = 20,
    concepts: Concepts = "none",
    tagger: Tagger = "default",
    captions: Captions = None,
    min_answers: MinAnswers = None,
    seed: Seed = None,
    epochs: Epochs = None,
    max_bad: MaxBad = 0.01,
    encoding: Encoding = None,
    any_image_path: AnyImagePath = False,
    as_json: Json = False,
) -> None:
    """Write a data set's tables, with the facts of each text.

    Images are stored as they are, encoded, and decoded once to check that they are complete; texts are linked here,
    once, and never in training. Rows that cannot be read are reported by file and row, and left out up to --max-bad;
    beyond that the command stops, and nothing is written.
    """
    require_packages(PACKAGES, extra="train")
    require_output_folder(output, for_tables=True)
    from vkood.data.prepare import prepare as write_tables

    options = {
        "min_occurrences": min_answers,
        "seed": seed,
        "epochs": epochs,
        "encoding": encoding,
        "any_image_path": any_image_path or None,
    }
    try:
        with interruptible(_kept(concepts)):
            source = _source(
                name, root, file, {key: value for key, value in options.items() if value is not None}
            )
            store = _store(facts)
            shown = _concepts(concepts, tagger, captions, store)
            with _progress(source.sizes) as on_rows:
                prepared = write_tables(
                    source,
                    output,
                    facts=store,
                    **shown,
                    max_facts=max_facts,
                    max_bad=max_bad,
                    on_rows=on_rows,
                )
    except (ValueError, ImportError, FileNotFoundError) as error:
        refuse(str(error))
    if as_json:
        print_json(asdict(prepared) | {"num_read": prepared.num_read, "folder": str(output)})
    else:
        _print(prepared, source, output)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="A folder of tables.", metavar="FOLDER")],
    as_json: Json = False,
) -> None:
    """Check all tables of a folder, decoding every image. Exit code 1 if anything is wrong."""
    require_packages(PACKAGES, extra="train")
    from vkood.data.check import check_folder

    try:
        with interruptible("nothing was changed"), _progress() as on_rows:
            reports = check_folder(folder, on_rows=on_rows)
    except ValueError as error:
        refuse(str(error))
    if as_json:
        print_json([report.record() for report in reports])
    else:
        _print_checks(folder, reports)
    if not all(report.sound for report in reports):
        raise typer.Exit(1)


def _print_checks(folder: Path, reports: list[TableCheck]) -> None:
    from rich.table import Table

    shown = Table(title=plain(folder), title_justify="left")
    for name in ("Table", "Rows", "Texts", "With facts", "No answer", "Wrong"):
        shown.add_column(name, justify="left" if name in ("Table", "Wrong") else "right", overflow="fold")
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
    standard_output().print(shown)


@app.command()
def tiny(
    name: Annotated[
        str,
        typer.Argument(
            help="vqav2, okvqa, nlvr2, coco, flickr30k, visual-genome, sbu, conceptual-captions, own-questions or "
            "own-captions.",
            metavar="NAME",
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder for the files.", metavar="FOLDER")],
    num_images: Annotated[int, typer.Option(help="Number of pictures in each split.", metavar="N")] = 24,
    seed: Annotated[int, typer.Option(help="Random seed, from 0.", metavar="N")] = 0,
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
    from vkood.data.layout import TEXT_NAMES
    from vkood.data.tables import MANIFEST_ENDING

    for reason in prepared.left_out[:_SHOWN]:
        say(f"left out: {reason}")
    if prepared.num_left_out > _SHOWN:
        say(f"left out: {prepared.num_left_out:,} entries in all; {source.name}{MANIFEST_ENDING} lists them")
    for what, number in prepared.notes.items():
        say(f"{what}: {number:,}")
    for table, rows in prepared.rows.items():
        say(f"{table}: {rows:,} rows with {prepared.texts[table]:,} {TEXT_NAMES[source.kind]}")
    skipped = "".join(f", {number:,} skipped ({what})" for what, number in prepared.skipped.items() if number)
    say(
        f"{prepared.num_read:,} entries of the files read: {prepared.num_kept:,} kept, "
        f"{prepared.num_left_out:,} left out{skipped}"
    )
    if source.answers is not None:
        say(f"{len(source.answers):,} answers in the vocabulary")
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


def _kept(concepts: str) -> str:
    """What is left of a preparation after Ctrl-C, and how it is resumed."""
    if concepts == "tagger":
        return (
            "no table was written or changed, but what the tagger said of pictures is kept. Run the same command "
            "again: it tags the other pictures only"
        )
    return "no table was written or changed. Run the same command again: it starts from the beginning"


@contextmanager
def _progress(sizes: Mapping[str, int] | None = None) -> Iterator[OnRows]:
    """A bar for each table with its rows; above them one for all, where there are several of known sizes."""
    with work_bars() as bars:
        lines: dict[str, Any] = {}
        rows: dict[str, int] = {}
        whole = None
        if sizes and len(sizes) > 1:
            whole = bars.add_task("all tables", total=sum(sizes.values()), unit="rows")

        def on_rows(table: str, done: int, total: int | None) -> None:
            if table not in lines:
                lines[table] = bars.add_task(printable(table), total=total, unit="rows")
            bars.update(lines[table], completed=done)
            rows[table] = done
            if whole is not None:
                bars.update(whole, completed=sum(rows.values()))

        yield on_rows
