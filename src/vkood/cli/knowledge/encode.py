"""`vkood knowledge encode`: the vectors of a store's facts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vkood.cli.inputs import refuse


def encode(
    output: Annotated[Path, typer.Option(help="Folder for the vectors.", metavar="DIR")],
    store: Annotated[
        Path | None,
        typer.Option(help="A store of facts; by default the one that comes with vkood.", metavar="FILE"),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Folder or name of a text encoder.", metavar="NAME")
    ] = None,
) -> None:
    """Encode the facts of a store, each once, ever."""
    refuse("this command is not there yet.")
