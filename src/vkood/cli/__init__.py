"""The command line: parse, call, print. One module for each command.

Nothing heavy is imported before a command has read what it was given, so that help and mistakes answer at
once.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

import vkood
from vkood.cli import convert, data, demo, evaluate, explain, knowledge, predict, train
from vkood.cli.uncaught import DEBUG, answer_errors

__all__ = ["app", "main"]


class _Program(typer.core.TyperGroup):
    """All commands, whose errors are answered in one place."""

    def invoke(self, ctx: Any) -> Any:
        with answer_errors():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Program,
    help="Vision-language models with explicit knowledge, gated by outlier detection.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
)
app.command()(explain.explain)
app.command()(demo.demo)
app.command()(evaluate.evaluate)
app.command()(train.train)
app.command()(train.recipes)
app.command()(predict.predict)
app.command()(convert.convert)
app.add_typer(data.app, name="data")
app.add_typer(knowledge.app, name="knowledge")


def _print_version(requested: bool) -> bool:
    if requested:
        typer.echo(vkood.__version__)
        raise typer.Exit
    return requested


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help=f"Show the traceback of an error; {DEBUG}=1 does so too.")
    ] = False,
) -> None:
    """Options of the program itself, before any command."""
    if debug:
        os.environ[DEBUG] = "1"


def _expand_home(commands: typer.Typer) -> None:
    """Let every command know `~` in paths, which shells leave as it is in `--output=~/folder`."""
    for command in commands.registered_commands:
        assert command.callback is not None
        command.callback = _with_home_expanded(command.callback)
    for group in commands.registered_groups:
        assert group.typer_instance is not None
        _expand_home(group.typer_instance)


def _with_home_expanded(command: Callable[..., None]) -> Callable[..., None]:
    def expanded(value: Any) -> Any:
        if isinstance(value, list):
            return [expanded(item) for item in value]
        return Path(os.path.expanduser(value)) if isinstance(value, Path) else value

    @functools.wraps(command)
    def run(**options: Any) -> None:
        command(**{name: expanded(value) for name, value in options.items()})

    return run


_expand_home(app)


def main() -> None:
    """Run the command that was typed."""
    # Processes that Python starts (data loaders, the demo's) would import from the current folder first.
    os.environ["PYTHONSAFEPATH"] = "1"
    app()
