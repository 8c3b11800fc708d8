"""`vkood knowledge build`: a store of facts out of a dump, a dictionary or a table."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vkood.cli.inputs import refuse, require_output_file
from vkood.cli.options import Json
from vkood.cli.output import plain, print_json, say, standard_output
from vkood.cli.progress import work_bars
from vkood.cli.uncaught import interruptible
from vkood.escaping import printable

if TYPE_CHECKING:
    from vkood.knowledge.building.builder import BuildProgress, BuildReport
    from vkood.knowledge.sources.batches import Source

app = typer.Typer(help="Build a store of facts.", no_args_is_help=True, rich_markup_mode="markdown")

Output = Annotated[
    Path, typer.Option(help="The store's file; its folder has to exist.", metavar="FILE", show_default=False)
]
Append = Annotated[
    bool, typer.Option("--append", help="Keep the facts of the store that is there, and add to them.")
]
Relations = Annotated[
    str | None,
    typer.Option(help="Only these relations, separated by commas, such as IsA,UsedFor.", metavar="NAMES"),
]


@app.command()
def conceptnet(
    dump: Annotated[
        Path, typer.Argument(help="ConceptNet's assertions, as text or .gz.", metavar="ASSERTIONS")
    ],
    output: Output,
    language: Annotated[str, typer.Option(help="Code of the language.", metavar="CODE")] = "en",
    min_weight: Annotated[
        float, typer.Option(help="Leave lighter assertions out; most weigh 1.", metavar="NUMBER")
    ] = 0.0,
    relations: Relations = None,
    append: Append = False,
    as_json: Json = False,
) -> None:
    """Build a store from ConceptNet's dump of assertions.

    Links to other sites, and assertions between different languages, are left out. The 34 million lines of
    ConceptNet 5.7 take some minutes on one core, and little memory.
    """
    from vkood.knowledge.sources.conceptnet import ConceptNetSource

    _require_file("ASSERTIONS", dump)
    _build(output, append, as_json, lambda: ConceptNetSource(dump, language, min_weight, _names(relations)))


@app.command()
def wordnet(
    folder: Annotated[
        Path, typer.Argument(help="WordNet's folder dict, with data.noun in it.", metavar="DICT_FOLDER")
    ],
    output: Output,
    words: Annotated[
        str, typer.Option(help="Parts of speech, separated by commas: noun, verb, adj, adv.", metavar="PARTS")
    ] = "noun",
    max_sense: Annotated[
        int | None, typer.Option(help="Only the first N senses of a word.", metavar="N")
    ] = None,
    relations: Relations = None,
    append: Append = False,
    as_json: Json = False,
) -> None:
    """Build a store from WordNet's files."""
    from vkood.knowledge.sources.wordnet import WordNetSource

    parts = tuple(part.strip() for part in words.split(","))
    _build(output, append, as_json, lambda: WordNetSource(folder, parts, _names(relations), max_sense))


@app.command()
def table(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV, TSV, JSON lines or Parquet, with the columns subject, relation, object; weight and source "
            "if there are.",
            metavar="TABLE",
        ),
    ],
    output: Output,
    name: Annotated[
        str, typer.Option(help="What the source is called; by default the file's name.", metavar="NAME")
    ] = "",
    licence: Annotated[str, typer.Option(help="Terms under which it may be used.", metavar="TEXT")] = "",
    unknown_relations: Annotated[
        str,
        typer.Option(
            help="Rows of other relations than ours: count them as unreadable (error), leave them out (skip), or "
            "read them as FILE says: a name and the relation that it stands for on each line, or none to leave "
            "them out.",
            metavar="error|skip|FILE",
        ),
    ] = "error",
    append: Append = False,
    as_json: Json = False,
) -> None:
    """Build a store from a table of your own.

    Relations are those of ConceptNet, the negated ones (`NotCapableOf`) included, and its earlier names of them.
    """
    from vkood.knowledge.sources.fact_tables import TableSource

    unknown = unknown_relations if unknown_relations in ("error", "skip") else Path(unknown_relations)
    _build(output, append, as_json, lambda: TableSource(file, name, licence, unknown))


def _require_file(argument: str, path: Path) -> None:
    if not path.exists():
        refuse(f"there is no file {str(path)!r}.")
    if not path.is_file():
        refuse(f"{argument} must be a file, but {str(path)!r} is a folder.")


def _names(relations: str | None) -> frozenset[str] | None:
    return None if relations is None else frozenset(name.strip() for name in relations.split(","))


def _build(output: Path, append: bool, as_json: bool, make_source: Callable[[], Source]) -> None:
    """Build with progress, and say in one sentence what went wrong."""
    from vkood.knowledge.building.builder import build_store

    require_output_file(output)
    kept = "the store that was there is unchanged" if output.exists() else "nothing was written"
    try:
        source = make_source()
        again = "Run the same command again: it starts from the beginning"
        with interruptible(f"{kept}. {again}"), _killed_like_interrupted(), _progress() as on_progress:
            report = build_store(output, [source], append=append, on_progress=on_progress)
    except ValueError as error:  # also of missing files, which are OSErrors as well
        refuse(str(error))
    except OSError as error:
        refuse(f"the store {str(output)!r} could not be built: {error.strerror or error}; {kept}.")
    if as_json:
        print_json(_record(report))
    else:
        _print(report)


@contextlib.contextmanager
def _killed_like_interrupted() -> Iterator[None]:
    """Let a build that is ended by a signal clean up after itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[BuildProgress], None]]:
    """Bars for reading and for writing, with rate and time left."""
    with work_bars() as bars:
        tasks = {}

        def show(progress: BuildProgress) -> None:
            reading = progress.stage == "reading"
            shown = f"Reading {progress.name}" if reading else "Writing the store"
            if shown not in tasks:
                unit = "lines" if reading else "facts"
                tasks[shown] = bars.add_task(printable(shown), total=progress.total, unit=unit)
            count = (
                progress.num_lines if reading else progress.done
            )  # of a source, bytes are done and lines counted
            bars.update(tasks[shown], completed=progress.done, total=progress.total, count=count)

        yield show


def _record(report: BuildReport) -> dict[str, object]:
    header = report.header
    return {
        "path": str(report.path),
        "size": report.size,
        "num_facts": header.num_facts,
        "num_subjects": header.num_subjects,
        "content_hash": header.content_hash,
        "sources": [
            {
                "num_lines": tally.num_lines,
                "num_facts": tally.num_facts,
                "num_left_out": tally.num_left_out,
                "num_unreadable": tally.num_unreadable,
                "first_unreadable": list(tally.first_unreadable),
                "unknown_relations": dict(tally.unknown_relations),
            }
            for tally in report.tallies
        ],
    }


def _print(report: BuildReport) -> None:
    from rich.table import Table

    header = report.header
    table = Table(title=plain(report.path), title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right", overflow="fold")
    for tally in report.tallies:
        table.add_row("Lines read", f"{tally.num_lines:,}")
        table.add_row("  facts", f"{tally.num_facts:,}")
        table.add_row("  left out", f"{tally.num_left_out:,}")
        table.add_row("  unreadable", f"{tally.num_unreadable:,}")
    table.add_section()
    table.add_row("Facts in the store, each once", f"{header.num_facts:,}")
    table.add_row("  of subjects", f"{header.num_subjects:,}")
    table.add_row("Bytes", f"{report.size:,}")
    standard_output().print(table)
    for tally in report.tallies:
        if tally.unknown_relations:
            say(f"Unknown relations: {tally.unknown_by_name()}", err=True)
        for line in tally.first_unreadable:
            say(f"Unreadable: {line}", err=True)
