"""Printing foreign names, texts and facts: control characters and markup are escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from vkood.escaping import printable

if TYPE_CHECKING:
    from rich.text import Text


def say(line: str, *, err: bool = False) -> None:
    """Print one line, with control characters escaped.

    Args:
        line: The line.
        err: Print it to the standard error.
    """
    typer.echo(printable(line), err=err)


def quieten_transformers() -> None:
    """Hide transformers' own bars and advice: commands report progress and problems themselves."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def plain(text: object, style: str = "") -> Text:
    """A text for rich's tables and trees, without markup or emoji codes.

    Args:
        text: The text.
        style: The style of the whole text.
    """
    from rich.text import Text

    return Text(printable(str(text)), style)
