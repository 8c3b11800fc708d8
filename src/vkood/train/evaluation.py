"""Evaluate a model on tables: numbers where answers are known, predictions, and files for the VQA server."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from vkood.data.layout import kind_of
from vkood.data.rows import Rows
from vkood.data.tables import Table, TableError, find_tables
from vkood.files import write_text
from vkood.tasks import TASKS, Scores, Task
from vkood.tasks.predictions import read_predictions
from vkood.tasks.ranks import rank
from vkood.train.assembly import Log, assemble
from vkood.train.launch import is_launched
from vkood.train.record import RESULTS_FILE, evaluation_folder, write_predictions
from vkood.train.run import Run, RunError, require_possible, with_task
from vkood.train.training import join


def evaluate(run: Run, log: Log = lambda line: None, task: Task | None = None) -> dict[str, dict[str, float]]:
    """Evaluate the model of a run on each of its test tables.

    Args:
        run: The run, with `model.checkpoint` and `evaluate_only`.
        log: Called with lines about the progress.
        task: The run's task; None for the one that it names.

    Returns:
        The numbers of each table; none for a table without answers. The run's folder gets `results.json`, the
        predictions of each table, and for questions, unless limited, `vqa_submit_<table>.json`, as the VQA server takes
        it; if it is that of a training run, its subfolder `evaluation` gets them.

    Raises:
        RunError: If the run cannot be, or a table or the model is missing.
    """
    run = replace(run, data=replace(run.data, test=run.data.test or run.data.validation), evaluate_only=True)
    run = run if task is None else with_task(run, task)
    task = require_possible(run, task)
    if is_launched():
        join(run)
    log = log if rank() == 0 else (lambda line: None)
    folder = evaluation_folder(run)
    assembly = assemble(run, log, task)
    results: dict[str, dict[str, float]] = {}
    for name in run.data.test:
        rows = assembly.rows([name])
        scores = assembly.evaluate(rows, log=log)
        results[name] = scores.metrics
        numbers = ", ".join(f"{metric} {value:.4f}" for metric, value in scores.metrics.items())
        log(f"{name}: {numbers or 'no answers are known'}")
        if rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
            write_predictions(folder / f"{name}.jsonl", scores.predictions)
            submission = folder / f"vqa_submit_{name}.json"
            submission.unlink(missing_ok=True)  # that of an earlier evaluation is of other predictions
            if run.data.evaluate_limit is None:
                _write_submission(submission, task, rows, scores, log)
    if rank() == 0:
        write_text(folder / RESULTS_FILE, json.dumps(results, indent=1) + "\n")
        if folder != run.evaluation_output:
            log(f"{folder.parent} is the folder of a training: results and predictions are in {folder}")
    return results


def evaluate_predictions(folder: str | Path, table: str, predictions: str | Path) -> dict[str, float]:
    """Score predictions from a file.

    Args:
        folder: The folder of the tables.
        table: The table that the predictions are for.
        predictions: A JSON object a line, as `vkood` writes them, or one JSON list, as VQA servers take it. Questions:
            `question_id`, `answer`. Pairs: `identifier`, `answer`. Captions: `image` and `texts`, `text` and `images`.

    Raises:
        RunError: If the table or the file is missing, a prediction lacks a field or has a value of another type, or not
            everything is predicted exactly once.
    """
    try:
        rows = Rows(find_tables(folder, [table]), images=False)
        # Of the tasks on captions, retrieval comes first; pre-training has no predictions.
        task = next(kind() for kind in TASKS.values() if kind.table_kind == rows.kind)
        return task.score(read_predictions(predictions, task, rows), rows)
    except ValueError as error:
        raise RunError(str(error)) from error


def tasks_of_models() -> dict[str, tuple[str, str]]:
    """The name of the task and of the family for each class of models, by the class's name."""
    return {
        kind.__name__: (task.name, family) for task in TASKS.values() for family, kind in task.models.items()
    }


def tables_for(folder: str | Path, task: str) -> list[str]:
    """The names of all tables of a folder that a task can be evaluated on.

    Raises:
        RunError: If there are none.
    """
    needed = TASKS[task].table_kind
    try:
        names = [table.name for table in find_tables(folder, ["*"]) if _is_of(table, needed)]
    except TableError as error:
        raise RunError(str(error)) from error
    if not names:
        raise RunError(f"{str(folder)!r} has no tables of {needed}, which the task {task} needs.")
    return names


def _is_of(table: Table, kind: str) -> bool:
    try:
        return kind_of(table.columns) == kind
    except ValueError:
        return False


def _write_submission(path: Path, task: Task, rows: Rows, scores: Scores, log: Log) -> None:
    """Write the file that a public server takes, if there is one for the task."""
    try:
        lines = task.submission(rows, scores.predictions)
    except ValueError as error:
        raise RunError(f"{path.name} cannot be submitted: {error}") from error
    if lines is not None:
        write_text(path, json.dumps(lines))
        log(f"{path} has {len(lines):,} answers, one for every question, as the VQA server takes them")
