"""Whether the fact that answers a question is among those that a model is handed, on FVQA.

    python -m benchmarks.fvqa --questions FILE.jsonl [--store STORE] --json OUT

README.md beside this file says what is counted. OUT has `recall.<texts>.<k>`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from vkood.knowledge import FactStore

from ..measuring import print_table, setting, write_json
from .questions import read_questions
from .recall import CUTS, coverage, measured

DEFAULT_QUESTIONS = Path(__file__).parents[3] / "shared" / "real" / "fvqa" / "questions.jsonl"


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=Path, default=DEFAULT_QUESTIONS, metavar="FILE.jsonl")
    parser.add_argument("--store", type=Path, help="a fact store; by default the one that comes with vkood")
    parser.add_argument("--json", type=Path, metavar="OUT", help="file for the numbers")
    options = parser.parse_args(arguments)
    if not options.questions.is_file():
        print(f"Skipped: there are no questions of FVQA at {options.questions}.")
        return
    torch.set_num_threads(1)
    questions = read_questions(options.questions)
    with FactStore.open(options.store) as store:
        results: dict[str, Any] = {
            "setting": setting(),
            "store": {"facts": len(store), "content_hash": store.content_hash},
            "questions": len(questions),
            "coverage": coverage(questions, store),
            **measured(questions, store),
        }
    print_table(
        f"Gold facts of {len(questions):,} questions in a store of {results['store']['facts']:,} facts",
        ["their concepts", "their pairs of concepts", "to the letter"],
        [[f"{share:.3f}" for share in results["coverage"].values()]],
    )
    for name, rows in results["recall_of_parts"].items():
        print_table(
            f"Recall of the gold fact, {name}",
            ["texts", "questions", *(f"@{cut}" for cut in CUTS), "candidates"],
            [
                [
                    texts,
                    str(row["questions"]),
                    *(f"{row[cut]:.3f}" for cut in CUTS),
                    f"{row['candidates']:.0f}",
                ]
                for texts, row in rows.items()
            ],
        )
    if options.json:
        write_json(options.json, results)


if __name__ == "__main__":
    main()
