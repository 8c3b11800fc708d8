"""Evaluate a model on tables: numbers where answers are known, predictions, and files for the VQA server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vkood.data.layout import kind_of
from vkood.data.rows import Rows
from vkood.data.tables import Table, TableError, find_tables
from vkood.files import write_text
from vkood.tasks.answering import require_every_question, score_answers
from vkood.tasks.ranks import rank
from vkood.tasks.reasoning import score_judgements
from vkood.tasks.retrieval import score_retrieved
from vkood.tasks.task import Scores
from vkood.train.assembly import KINDS, assemble
from vkood.train.launch import is_launched
from vkood.train.predictions import read_predictions
from vkood.train.record import write_predictions
from vkood.train.run import Run, RunError, require_possible
from vkood.train.training import join

Tell = Callable[[str], None]


def evaluate(run: Run, tell: Tell = lambda told: None) -> dict[str, dict[str, float]]:
    """Evaluate the model of a run on each of its test tables.

    Args:
        run: The run, with `model.checkpoint` and `evaluate_only`.
        tell: Called with what is going on.

    Returns:
        The numbers of each table; none for a table without answers. The run's folder gets `results.json`, the
        predictions of each table, and for questions, if all are asked, `vqa_submit_<table>.json`, as the VQA server
        takes it.

    Raises:
        RunError: If the run cannot be, or a table or the model is missing.
    """
    run = replace(run, data=replace(run.data, test=run.data.test or run.data.validation), evaluate_only=True)
    require_possible(run)
    if is_launched():
        join(run)
    tell = tell if rank() == 0 else (lambda told: None)
    folder = Path(run.output or "results")
    assembly = assemble(run, tell)
    found: dict[str, dict[str, float]] = {}
    for name in run.data.test:
        rows = assembly.rows([name])
        scores = assembly.evaluate(rows, tell=tell)
        found[name] = scores.metrics
        told = ", ".join(f"{metric} {value:.4f}" for metric, value in scores.metrics.items())
        tell(f"{name}: {told or 'no answers are known'}")
        if rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
            write_predictions(folder / f"{name}.jsonl", scores.predictions)
            if rows.kind == "questions" and run.data.evaluate_limit is None:
                _write_submission(folder / f"vqa_submit_{name}.json", rows, scores, tell)
    if rank() == 0:
        write_text(folder / "results.json", json.dumps(found, indent=1) + "\n")
    return found


def evaluate_predictions(folder: str | Path, table: str, predictions: str | Path) -> dict[str, float]:
    """Score predictions that lie in a file.

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
        score = {"questions": score_answers, "pairs": score_judgements, "captions": score_retrieved}
        return score[rows.kind](read_predictions(predictions, rows), rows)
    except ValueError as error:
        raise RunError(str(error)) from error


def tables_for(folder: str | Path, task: str) -> list[str]:
    """The names of all tables of a folder that a task can be evaluated on.

    Raises:
        RunError: If there are none.
    """
    wanted = KINDS.get(task, "captions")
    try:
        names = [table.name for table in find_tables(folder, ["*"]) if _is_of(table, wanted)]
    except TableError as error:
        raise RunError(str(error)) from error
    if not names:
        raise RunError(f"{str(folder)!r} has no tables of {wanted}, which the task {task} needs.")
    return names


def _is_of(table: Table, kind: str) -> bool:
    try:
        return kind_of(table.columns) == kind
    except ValueError:
        return False


def _write_submission(path: Path, rows: Rows, scores: Scores, tell: Tell) -> None:
    wanted = [
        one for table in rows.tables for row in table.scan(["question_id"]) for one in row["question_id"]
    ]
    try:
        require_every_question(scores.predictions, wanted)
    except ValueError as error:
        raise RunError(f"{path.name} cannot be handed in: {error}") from error
    answers = [{"question_id": one["question_id"], "answer": one["answer"]} for one in scores.predictions]
    write_text(path, json.dumps(answers))
    tell(f"{path} has {len(answers):,} answers, one for every question, as the VQA server takes them")
