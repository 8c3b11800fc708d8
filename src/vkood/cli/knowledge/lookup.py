"""`vkood knowledge lookup`: what is known of the things in a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vkood.cli.inputs import refuse, require_count


def lookup(
    text: Annotated[str, typer.Argument(help="Any text, such as a caption or a question.", metavar="TEXT")],
    store: Annotated[
        Path | None,
        typer.Option(help="A store of facts; by default the one that comes with vkood.", metavar="FILE"),
    ] = None,
    limit: Annotated[int, typer.Option(help="Most facts for a concept.", metavar="N")] = 5,
    json_out: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is known of the things in a text."""
    require_count("--limit", limit, lowest=1)
    refuse("this command is not there yet.")
