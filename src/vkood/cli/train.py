"""`vkood train` and `vkood recipes`: carry out a run or resume it, and list recipes, presets and keys."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vkood.cli.inputs import refuse, require_packages
from vkood.cli.options import Json
from vkood.cli.output import print_json, say, standard_output
from vkood.cli.uncaught import interruptible

if TYPE_CHECKING:
    from vkood.train.run import Run

PACKAGES = ("omegaconf", "pyarrow", "tensorboard", "matplotlib")

Recipe = Annotated[str | None, typer.Argument(help="A recipe; `vkood recipes` lists them.", metavar="RECIPE")]
Words = Annotated[
    list[str] | None,
    typer.Argument(
        help="Presets, and key=value; `vkood recipes --keys` lists the keys.",
        metavar="PRESET|KEY=VALUE",
    ),
]
Config = Annotated[
    Path | None, typer.Option(help="A run as YAML, in place of a recipe's values.", metavar="FILE")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check the run, and print it as YAML, which --config takes.")
]


def train(recipe: Recipe = None, words: Words = None, config: Config = None, dry_run: DryRun = False) -> None:
    """Train a model, and evaluate it: pre-training, questions, reasoning, retrieval.

    A run needs the folder of its tables (`data.folder=...`; `vkood data prepare` makes it) and has a folder of its own
    (`output=...`). Stopped at any moment and started again with the same words, it resumes from its last checkpoint
    and ends as if unbroken. `num_gpus` and `num_nodes` start a process for each GPU.
    """
    require_packages(PACKAGES, extra="train")
    if recipe is not None and "=" in recipe:  # with --config there need be no recipe
        recipe, words = None, [recipe, *(words or [])]
    if recipe is None and config is None:
        raise typer.BadParameter("a recipe or --config must be given; `vkood recipes` lists the recipes.")
    run = resolved(recipe, words or [], config)
    if dry_run:
        from vkood.train.run import RunError, require_options
        from vkood.train.settings import to_yaml

        try:
            require_options(run)
        except RunError as error:
            refuse(str(error))
        typer.echo(to_yaml(run), nl=False)
        return
    carry_out(run, sys.argv[1:])


def resolved(recipe: str | None, words: list[str], config: Path | None) -> Run:
    """The run that the words ask for, or one sentence that refuses it."""
    from vkood.recipes.resolve import resolve
    from vkood.train.run import RunError

    try:
        return resolve(recipe, words, config)
    except RunError as error:
        refuse(str(error))


def carry_out(run: Run, arguments: list[str]) -> None:
    """Carry out a run, in several processes if it wants several.

    Args:
        run: The run.
        arguments: The command line that asks for it, behind `vkood`.
    """
    from vkood.train.run import RunError, require_possible

    try:
        require_possible(run)  # before PyTorch is imported, which takes seconds
    except RunError as error:
        refuse(str(error))

    from vkood.models.convert import CheckpointError

    try:
        with interruptible(_kept(run)):
            _carry_out(run, arguments)
    except (RunError, CheckpointError) as error:
        refuse(str(error))


def _carry_out(run: Run, arguments: list[str]) -> None:
    from vkood.train.launch import is_launched, launch, num_processes

    processes = 1 if is_launched() else num_processes(run)
    if processes > 1 or (run.num_nodes > 1 and not is_launched()):
        launch(arguments, run, processes=processes)
        return
    if run.evaluate_only:
        from vkood.train.evaluation import evaluate

        evaluate(run, log)
    else:
        from vkood.train.training import train

        train(run, log)


def _kept(run: Run) -> str:
    """What is left after Ctrl-C, where the run itself does not say."""
    if not run.evaluate_only:
        return "training had not begun; the same command begins or resumes it"
    from vkood.train.record import evaluation_folder

    return (
        f"tables that were finished have their predictions in {evaluation_folder(run)}. Run the same command "
        "again: it starts from the beginning"
    )


def recipes(
    keys: Annotated[bool, typer.Option("--keys", help="List all keys with their values.")] = False,
    as_json: Json = False,
) -> None:
    """List the recipes and presets of `vkood train`."""
    require_packages(PACKAGES, extra="train")
    from vkood.recipes.presets import PRESETS
    from vkood.recipes.resolve import PUBLISHED_SPLITS
    from vkood.recipes.tasks import RECIPES
    from vkood.train.run import Run
    from vkood.train.settings import keys_of

    if keys:
        from vkood.train.arguments import further_fields

        further = {f"optimisation.arguments.{name}": value for name, value in further_fields().items()}
        values = keys_of(Run()) | further
        if as_json:
            print_json(values)
            return
        for name, value in values.items():
            typer.echo(f"{name}={'' if value is None else value}")
        return
    purposes = {name: (make.__doc__ or "").splitlines()[0] for name, make in RECIPES.items()}
    presets = {
        name: ", ".join(f"{key}={value}" for key, value in values.items()) for name, values in PRESETS.items()
    }
    presets[PUBLISHED_SPLITS] = "the splits of the published loaders, which validate on the test split"
    if as_json:
        print_json({"recipes": purposes, "presets": presets})
        return
    _print_table("Recipes", ("Recipe", "What it does"), purposes)
    _print_table("Presets", ("Preset", "What it sets"), presets)


def _print_table(title: str, columns: tuple[str, str], rows: dict[str, str]) -> None:
    from rich.table import Table

    name, meaning = columns
    table = Table(title=title, title_justify="left")
    table.add_column(name, no_wrap=True)
    table.add_column(meaning, overflow="fold")
    for row in rows.items():
        table.add_row(*row)
    standard_output(pipe_width=120).print(table)


def log(line: str) -> None:
    """Print a line about the progress."""
    say(line, err=True)
