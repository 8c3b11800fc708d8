"""`vkood evaluate`: score a saved model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from vkood.cli.evaluate_easy_vqa import DATA, OWN_FACTS_IRRELEVANT, EasyVqaEvaluation, evaluate_easy_vqa
from vkood.cli.evaluate_tables import TablesRequest, evaluate_tables
from vkood.cli.inputs import refuse, require_count
from vkood.cli.options import Json
from vkood.cli.uncaught import interruptible

_TABLES, _EASY_VQA = "On tables", "On easy-VQA"

ModelFolder = Annotated[
    Path | None,
    typer.Argument(
        help="Folder of a saved model, such as model/ of the demo or best/ of a run.", metavar="MODEL"
    ),
]
DataName = Annotated[
    str,
    typer.Option(
        help=f"Data to evaluate on: {' or '.join(DATA)}, or a folder of tables.", metavar="NAME|FOLDER"
    ),
]
Tables = Annotated[
    list[str] | None,
    typer.Option(
        "--table",
        help="A table of the folder, by its name; may be repeated; by default all that fit.",
        metavar="NAME",
        rich_help_panel=_TABLES,
    ),
]
Predictions = Annotated[
    Path | None,
    typer.Option(
        help="Score this file of predictions in place of a model.", metavar="FILE", rich_help_panel=_TABLES
    ),
]
Output = Annotated[
    Path,
    typer.Option(help="Folder for results and predictions.", metavar="FOLDER", rich_help_panel=_TABLES),
]
Irrelevant = Annotated[
    int | None,
    typer.Option(
        help="Irrelevant facts to add to every knowledge question. "
        f"By default 0, or {OWN_FACTS_IRRELEVANT} with --irrelevant-facts.",
        metavar="N",
        rich_help_panel=_EASY_VQA,
    ),
]
Contradicting = Annotated[
    int,
    typer.Option(
        help="Facts to add that contradict the picture; every knowledge question has four anyway.",
        metavar="N",
        rich_help_panel=_EASY_VQA,
    ),
]
IrrelevantFacts = Annotated[
    Path | None,
    typer.Option(
        help="Your own irrelevant facts: a UTF-8 text file, one fact a line.",
        metavar="FILE",
        rich_help_panel=_EASY_VQA,
    ),
]
Seed = Annotated[
    int,
    typer.Option(help="Random seed of the draws of facts, from 0.", metavar="N", rich_help_panel=_EASY_VQA),
]
Limit = Annotated[int | None, typer.Option(help="Only the first N questions; all by default.", metavar="N")]


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
    as_json: Json = False,
) -> None:
    """Evaluate a saved model, or predictions in a file, on tables; or a model on easy-VQA, with floods of facts.

    On a folder of tables (`vkood data prepare`): soft score and the leaderboard's accuracy of questions, accuracy and
    consistency of NLVR2, recall of retrieval; --output gets predictions, and what the VQA server takes.

    On easy-VQA: every knowledge question comes with six facts, of which one answers it; --irrelevant and
    --contradicting add to them. The table shows the share of questions answered correctly and how well the model's
    filter separates facts that match the picture from all others. A minute or less on two cores.
    """
    if data not in DATA:
        require_count("--limit", limit, lowest=1)
        evaluate_tables(
            TablesRequest(
                model=model,
                folder=Path(os.path.expanduser(data)),
                tables=table or [],
                predictions=predictions,
                output=output,
                limit=limit,
            ),
            as_json=as_json,
        )
        return
    if model is None or table or predictions is not None:
        refuse(
            "--data easy-vqa and easy-vqa-knowledge need MODEL, and take neither --table nor --predictions."
        )
    if irrelevant is None:
        irrelevant = 0 if irrelevant_facts is None else OWN_FACTS_IRRELEVANT
    evaluation = EasyVqaEvaluation(
        model=model,
        data=data,
        irrelevant=irrelevant,
        contradicting=contradicting,
        irrelevant_facts=irrelevant_facts,
        seed=seed,
        limit=limit,
    )
    with interruptible("nothing was written. Run the same command again: it starts from the beginning"):
        evaluate_easy_vqa(evaluation, as_json=as_json)
