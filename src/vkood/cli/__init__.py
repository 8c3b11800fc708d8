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

import vkood
from vkood.cli import app as app_command
from vkood.cli import convert, data, demo, doctor, evaluate, explain, knowledge, predict, train
from vkood.cli.help import HelpfulCommand, HelpfulGroup, Program
from vkood.cli.output import quieten_transformers
from vkood.cli.uncaught import DEBUG

__all__ = ["app", "main"]


_FACTS, _MODELS, _DATA, _SELF = "Facts", "Models", "Data", "This installation"

app = typer.Typer(
    cls=Program,
    help="Vision-language models with explicit knowledge, gated by outlier detection.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
)
app.command(rich_help_panel=_FACTS)(explain.explain)
app.command(rich_help_panel=_FACTS)(app_command.app)
app.command(rich_help_panel=_FACTS)(demo.demo)
app.add_typer(knowledge.app, name="knowledge", rich_help_panel=_FACTS)
app.command(rich_help_panel=_MODELS)(train.train)
app.command(rich_help_panel=_MODELS)(train.recipes)
app.command(rich_help_panel=_MODELS)(evaluate.evaluate)
app.command(rich_help_panel=_MODELS)(predict.predict)
app.command(rich_help_panel=_MODELS)(convert.convert)
app.add_typer(data.app, name="data", rich_help_panel=_DATA)
app.command(rich_help_panel=_SELF)(doctor.doctor)


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
    quieten_transformers()
    if debug:
        os.environ[DEBUG] = "1"


def _finish(commands: typer.Typer) -> None:
    """Give every command our help, and let it know `~` in paths, which shells leave as it is in `--output=~/folder`."""
    for command in commands.registered_commands:
        assert command.callback is not None
        command.callback = _with_home_expanded(command.callback)
        command.cls = HelpfulCommand
    for group in commands.registered_groups:
        assert group.typer_instance is not None
        group.typer_instance.info.cls = HelpfulGroup
        _finish(group.typer_instance)


def _with_home_expanded(command: Callable[..., None]) -> Callable[..., None]:
    def expanded(value: Any) -> Any:
        if isinstance(value, list):
            return [expanded(item) for item in value]
        return Path(os.path.expanduser(value)) if isinstance(value, Path) else value

    @functools.wraps(command)
    def run(**options: Any) -> None:
        command(**{name: expanded(value) for name, value in options.items()})

    return run


_finish(app)


def main() -> None:
    """Run the command that was typed."""
    # Processes that Python starts (data loaders, the demo's) would import from the current folder first.
    os.environ["PYTHONSAFEPATH"] = "1"
    app(prog_name="vkood")
