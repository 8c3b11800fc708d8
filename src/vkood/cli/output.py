"""Printing foreign names, texts and facts: control characters and markup are escaped."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import typer

from vkood.escaping import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_PIPE_WIDTH = 1_000


def say(line: str, *, err: bool = False) -> None:
    """Print one line, with control characters escaped.

    Args:
        line: The line.
        err: Print it to the standard error.
    """
    typer.echo(printable(line), err=err)


def print_json(record: Any) -> None:
    """Print a result as JSON.

    Args:
        record: Values that JSON has.
    """
    typer.echo(json.dumps(record, indent=1))


def standard_output(pipe_width: int = _PIPE_WIDTH) -> Console:
    """The console of results, as wide as the terminal; a file or a pipe gets whole lines, unless COLUMNS is set.

    Args:
        pipe_width: The width of a file or a pipe, for tables whose cells are sentences.
    """
    from rich.console import Console

    is_narrow = sys.stdout.isatty() or os.environ.get("COLUMNS")
    return Console(width=None if is_narrow else pipe_width)


def quieten_transformers() -> None:
    """Hide transformers' own bars and advice: commands report progress and problems themselves.

    It sets environment variables, so that transformers need not be imported, which takes seconds, and processes that
    are started later are quiet too.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def plain(text: object, style: str = "") -> Text:
    """A text for rich's tables and trees, without markup or emoji codes.

    Args:
        text: The text.
        style: The style of the whole text.
    """
    from rich.text import Text

    return Text(printable(str(text)), style)
