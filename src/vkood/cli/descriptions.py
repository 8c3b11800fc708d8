"""What each command is, as data: the source of help on narrow terminals, of docs/commands.md, and of tests of both."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vkood.cli.examples import EXAMPLES


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterText:
    """An argument or an option of a command.

    Attributes:
        names: "MODEL" of an argument; "--limit" of an option, which may have several.
        value: What is typed behind an option, such as "FILE"; empty for a switch and an argument.
        help: What it is for.
        default: The default, as it would be typed; empty if there is none.
        is_required: Whether the command does not run without it.
        panel: The group of options that it belongs to; empty for the general ones.
    """

    names: tuple[str, ...]
    value: str
    help: str
    default: str
    is_required: bool
    panel: str

    @property
    def is_option(self) -> bool:
        """Whether it is an option, and not an argument."""
        return self.names[0].startswith("-")

    @property
    def title(self) -> str:
        """Names and value: "--limit N"."""
        return f"{', '.join(self.names)} {self.value}".strip()

    @property
    def text(self) -> str:
        """The help, with what is needed or taken by default."""
        notes = "required" if self.is_required else f"default: {self.default}" if self.default else ""
        return f"{self.help} [{notes}]" if notes else self.help


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandText:
    """A command, or a group of commands.

    Attributes:
        path: What is typed: "vkood knowledge lookup".
        usage: Path and arguments: "vkood knowledge lookup [OPTIONS] TEXT".
        paragraphs: The help, each paragraph on one line.
        parameters: Arguments, then options, `--help` left out.
        examples: Whole command lines.
        commands: Names of a group's commands, each with the first sentence of its help.
    """

    path: str
    usage: str
    paragraphs: tuple[str, ...]
    parameters: tuple[ParameterText, ...]
    examples: tuple[str, ...]
    commands: tuple[tuple[str, str], ...]

    @property
    def arguments(self) -> tuple[ParameterText, ...]:
        """What is typed without a name."""
        return tuple(parameter for parameter in self.parameters if not parameter.is_option)

    @property
    def options(self) -> dict[str, list[ParameterText]]:
        """Options by their panel, the general ones first."""
        panels: dict[str, list[ParameterText]] = {"": []}
        for parameter in self.parameters:
            if parameter.is_option:
                panels.setdefault(parameter.panel, []).append(parameter)
        return {panel: options for panel, options in panels.items() if options}


def describe(command: Any, path: str) -> CommandText:
    """Describe a command.

    Args:
        command: A command or group of Typer, as `typer.main.get_command` makes them.
        path: What is typed to run it.
    """
    parameters = [_parameter(parameter) for parameter in command.params if not parameter.hidden]
    help_text = inspect.cleandoc(command.help or "")
    subcommands: dict[str, Any] = getattr(command, "commands", {})
    arguments = [parameter for parameter in parameters if not parameter.is_option]
    required = [option.title for option in parameters if option.is_option and option.is_required]
    words = [
        argument.names[0] if argument.is_required else f"[{argument.names[0]}]" for argument in arguments
    ]
    usage = [path, *words, *required, "[OPTIONS]", *(["COMMAND ..."] if subcommands else [])]
    return CommandText(
        path=path,
        usage=" ".join(usage),
        paragraphs=tuple(" ".join(part.split()) for part in help_text.split("\n\n") if part.strip()),
        parameters=(*arguments, *(parameter for parameter in parameters if parameter.is_option)),
        examples=EXAMPLES.get(path, ()),
        commands=tuple(
            (name, _first_sentence(each)) for name, each in subcommands.items() if not each.hidden
        ),
    )


def describe_all(command: Any, path: str = "vkood") -> Iterator[CommandText]:
    """Describe a group and all that is in it, group before command, in the order of the help.

    Args:
        command: The group, or a command.
        path: What is typed to run it.
    """
    yield describe(command, path)
    for name, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield from describe_all(inner, f"{path} {name}")


def _first_sentence(command: Any) -> str:
    return " ".join(inspect.cleandoc(command.help or "").split("\n\n")[0].split())


def _parameter(parameter: Any) -> ParameterText:
    is_option = parameter.param_type_name == "option"
    is_switch = is_option and bool(getattr(parameter, "is_flag", False))
    metavar = parameter.metavar or parameter.name.upper()
    if not is_option and parameter.nargs == -1:
        metavar = f"{metavar.removesuffix('...')}..."
    default = parameter.default
    has_default = not (is_switch or parameter.required or default in (None, "", ()) or callable(default))
    return ParameterText(
        names=tuple(sorted(parameter.opts, key=len, reverse=True)) if is_option else (metavar,),
        value=metavar if is_option and not is_switch else "",
        help=" ".join((parameter.help or "").split()),
        default=str(default) if has_default else "",
        is_required=bool(parameter.required),
        panel=getattr(parameter, "rich_help_panel", None) or "",
    )
