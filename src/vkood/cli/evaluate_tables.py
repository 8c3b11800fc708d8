"""`vkood evaluate` on prepared tables: a model, or predictions from a file."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vkood.cli.inputs import (
    architectures,
    configuration_of,
    refuse,
    require_output_folder,
    require_packages,
    require_processor,
)
from vkood.cli.output import plain, print_json, standard_output
from vkood.cli.train import PACKAGES, carry_out


@dataclass(frozen=True, slots=True, kw_only=True)
class TablesRequest:
    """A request to evaluate a model or predictions on tables.

    Attributes:
        model: A folder with a model and its processor; None for predictions.
        folder: The folder of the tables.
        tables: Names of tables; all that fit, if empty.
        predictions: A file of predictions; None for a model.
        output: The folder for results.
        limit: Use only the first `limit` texts of each table.
    """

    model: Path | None
    folder: Path
    tables: list[str]
    predictions: Path | None
    output: Path
    limit: int | None


def evaluate_tables(request: TablesRequest, *, as_json: bool) -> None:
    """Evaluate, print the numbers and write the predictions of a model."""
    require_packages(PACKAGES, extra="train")
    if not request.folder.is_dir():
        refuse(
            f"--data must be easy-vqa, easy-vqa-knowledge or a folder of tables; got {str(request.folder)!r}."
        )
    if (request.model is None) == (request.predictions is None):
        refuse("either MODEL or --predictions must be given, not both.")
    if request.predictions is not None:
        _print(_of_predictions(request, request.predictions), as_json=as_json)
        return
    assert request.model is not None
    require_output_folder(request.output)
    from vkood.models.loading import RENAMED
    from vkood.train.evaluation import tables_for, tasks_of_models
    from vkood.train.run import DataOptions, ModelOptions, Run, RunError

    name = next(iter(architectures(configuration_of(request.model))), "model of no name")
    name = RENAMED.get(name, name)
    known = tasks_of_models()
    if name not in known:
        refuse(f"the model in {str(request.model)!r} is a {name}; it must be one of {', '.join(known)}.")
    task, family = known[name]
    require_processor(request.model)
    try:
        tables = request.tables or tables_for(request.folder, task)
    except RunError as error:
        refuse(str(error))
    run = Run(
        task=task,
        model=ModelOptions(family=family, checkpoint=str(request.model)),
        data=DataOptions(folder=str(request.folder), test=tables, evaluate_limit=request.limit, workers=0),
        output=str(request.output),
        evaluate_only=True,
    )
    carry_out(run, sys.argv[1:])
    _print(json.loads((request.output / "results.json").read_text(encoding="utf-8")), as_json=as_json)


def _of_predictions(request: TablesRequest, predictions: Path) -> dict[str, Any]:
    from vkood.train.evaluation import evaluate_predictions
    from vkood.train.run import RunError

    if len(request.tables) != 1:
        refuse("--predictions needs one --table, the one that they are for.")
    try:
        return {request.tables[0]: evaluate_predictions(request.folder, request.tables[0], predictions)}
    except RunError as error:
        refuse(str(error))


def _print(results: dict[str, dict[str, float]], *, as_json: bool) -> None:
    if as_json:
        print_json(results)
        return
    from rich.table import Table

    for name, metrics in results.items():
        table = Table(title=plain(name), title_justify="left", show_header=False)
        for metric, value in metrics.items():
            table.add_row(plain(metric), f"{value:.4f}")
        standard_output().print(table if metrics else plain(f"{name}: no answers are known"))
