"""The command line: parse, call, print. One module for each command.

Nothing heavy is imported before a command has read what it was given, so that help and mistakes answer at
once.
"""

from typing import Annotated

import typer

import vkood
from vkood.cli import convert, data, demo, evaluate, knowledge, predict, train

__all__ = ["app", "main"]

app = typer.Typer(
    help="Vision-language models with explicit knowledge, gated by outlier detection.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
)
app.command()(demo.demo)
app.command()(evaluate.evaluate)
app.command()(train.train)
app.command()(train.recipes)
app.command()(predict.predict)
app.command()(convert.convert)
app.add_typer(data.app, name="data")
app.add_typer(knowledge.app, name="knowledge")


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(vkood.__version__)
        raise typer.Exit
    return wanted


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Options of the program itself, before any command."""


def main() -> None:
    """Run the command that was typed."""
    app()
