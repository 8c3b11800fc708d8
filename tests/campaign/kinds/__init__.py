"""The kinds of bad inputs, a module for each."""

from __future__ import annotations

from dataclasses import dataclass

from ..case import Draw
from . import (
    checkpoints,
    code,
    disk,
    encoders,
    facts,
    models,
    options,
    own,
    paths,
    pictures,
    predictions,
    readers,
    runs,
    sources,
    stores,
    tables,
    yaml_runs,
)


@dataclass(frozen=True)
class Kind:
    """A kind of bad inputs.

    Attributes:
        draw: Draws a case.
        weight: How many of the cases are of it, against the others.
    """

    draw: Draw
    weight: int


KINDS = {
    "models": Kind(models.draw, 5),
    "encoders": Kind(encoders.draw, 3),
    "runs": Kind(runs.draw, 2),
    "readers": Kind(readers.draw, 5),
    "own": Kind(own.draw, 3),
    "tables": Kind(tables.draw, 2),
    "stores": Kind(stores.draw, 3),
    "sources": Kind(sources.draw, 3),
    "checkpoints": Kind(checkpoints.draw, 4),
    "pictures": Kind(pictures.draw, 3),
    "facts": Kind(facts.draw, 1),
    "predictions": Kind(predictions.draw, 2),
    "options": Kind(options.draw, 5),
    "yaml": Kind(yaml_runs.draw, 2),
    "paths": Kind(paths.draw, 2),
    "disk": Kind(disk.draw, 2),
    "code": Kind(code.draw, 3),
}
