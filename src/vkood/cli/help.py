"""Help: Typer's panels on terminals that are wide enough for them, plain paragraphs on narrow ones; then examples."""

from __future__ import annotations

import textwrap
from typing import Any

import typer
import typer.core

from vkood.cli.descriptions import CommandText, ParameterText, describe
from vkood.cli.uncaught import answer_errors

MIN_PANEL_WIDTH = 80
"""Columns below which Typer's panels cut names of options."""

EXIT_CODES = {
    0: "all is done",
    1: "something failed, or was found to be wrong (`data check`, `doctor`)",
    2: "an input was refused before any work; the sentence says which, and what to do",
    130: "Ctrl-C; the sentence says what is kept, and how to resume",
}
"""What the exit codes of all commands mean."""


class HelpfulCommand(typer.core.TyperCommand):
    """A command whose help has examples, and fits on narrow terminals."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        _format_help(self, ctx, formatter, super().format_help)


class HelpfulGroup(typer.core.TyperGroup):
    """A group of commands whose help fits on narrow terminals."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        _format_help(self, ctx, formatter, super().format_help)


class Program(HelpfulGroup):
    """All commands, whose errors are answered in one place."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was typed."""
        with answer_errors():
            return super().invoke(ctx)


def _format_help(command: Any, ctx: Any, formatter: Any, wide: Any) -> None:
    from rich.console import Console

    console = Console()
    description = describe(command, _path(ctx))
    examples = description.examples
    if console.width < MIN_PANEL_WIDTH:
        for line in plain_help(description, console.width):
            typer.echo(line)
    else:
        wide(ctx, formatter)
        if examples:
            typer.echo(" Examples:\n")
    if not examples and ctx.parent is None:
        typer.echo(" Exit codes:\n")
        for code, meaning in EXIT_CODES.items():
            typer.echo(
                "\n".join(_filled(f"{code:3d}  {meaning.replace('`', '')}", console.width, "   ", "        "))
            )
        typer.echo()
    for example in examples:
        typer.echo(f"   {example}")  # on one line, however long, to be copied
    if examples:
        typer.echo()


def _path(ctx: Any) -> str:
    """What is typed, by the program's name, however it was started."""
    names: list[str] = []
    while ctx.parent is not None:
        names.insert(0, ctx.info_name)
        ctx = ctx.parent
    return " ".join(["vkood", *names])


def plain_help(description: CommandText, width: int) -> list[str]:
    """The help in lines of a width, without examples: each option on a line of its own, what it does below.

    Args:
        description: The command.
        width: Max characters of a line; a longer word is not cut.
    """
    lines = ["", *_filled(f"Usage: {description.usage}", width, "", "    "), ""]
    for paragraph in description.paragraphs:
        lines += [*_filled(paragraph.replace("`", ""), width), ""]
    sections = {"Arguments": description.arguments}
    sections |= {panel or "Options": tuple(options) for panel, options in description.options.items()}
    for title, parameters in sections.items():
        if parameters:
            lines += [f"{title}:", "", *_parameters(parameters, width)]
    if description.commands:
        lines += ["Commands:", ""]
        for name, sentence in description.commands:
            lines += [f"  {name}", *_filled(sentence.replace("`", ""), width, "    "), ""]
    return [*lines, "Examples:", ""] if description.examples else lines


def _parameters(parameters: tuple[ParameterText, ...], width: int) -> list[str]:
    lines: list[str] = []
    for parameter in parameters:
        lines += [*_filled(parameter.title, width, "  ", "      ")]
        lines += [*_filled(parameter.text.replace("`", ""), width, "    "), ""]
    return lines


def _filled(text: str, width: int, indent: str = "", further: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        max(width, 20),
        initial_indent=indent,
        subsequent_indent=indent if further is None else further,
        break_long_words=False,
        break_on_hyphens=False,
    )
