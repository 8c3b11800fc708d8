"""Options that several commands have, so that one name means one thing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[
    bool,
    typer.Option("--json", help="Print the result as JSON, and nothing else, to the standard output."),
]

StoreFile = Annotated[
    Path | None,
    typer.Option(
        "--store", help="A store of facts; by default the one that comes with vkood.", metavar="FILE"
    ),
]

ShownModel = Annotated[
    Path | None,
    typer.Option(
        "--model",
        help="A folder with a saved model, whose answers and patches are shown too.",
        metavar="FOLDER",
    ),
]
