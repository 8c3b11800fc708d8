"""Questions about photographs of rooms, with and without knowledge, against language alone.

    python -m benchmarks.real.daquar --json benchmarks/results/real_daquar.json
    python -m benchmarks.real.daquar --root DIR --test FILE.csv --test-images DIR --json OUT

`DIR` has `questions.csv` (image, question, answer, split) and `images`. Without `--test`, models learn from the split
"train" and answer "val"; with it they learn from both, and answer the questions of FILE. An answer counts if it is the
very text of the table.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vkood.knowledge import FactEncoder
from vkood.models import VkoodForVisualQuestionAnswering
from vkood.pipelines.concept_tagger import ConceptTagger
from vkood.pipelines.encoding import fact_encoder_of
from vkood.processes import peak_memory

from ...measuring import print_tables, setting, write_json
from ..frozen_inputs import Inputs, encoded
from ..frozen_towers import image_tower_folder, text_tower_folder
from ..fusion_training import Settings, train
from ..photo_facts import Facts, Tagger, belonging, looked_up, shown_in
from .language import language_alone
from .questions import Question, read_questions
from .tables import tables

DEFAULT_DATA = Path(__file__).parents[4] / "shared" / "real" / "daquar"
SCRATCH = Path(tempfile.gettempdir()) / "vkood-real"
SEEDS = (0, 1, 2)
NO_GATE = {"kind": "none"}
SETTINGS = Settings(
    model={
        "hidden_size": 128,
        "num_attention_heads": 4,
        "num_fusion_layers": 1,
        "intermediate_size": 256,
        "pooling": "product",
        "dropout": 0.2,
        "output_states": False,
    },
    epochs=8,
    batch_size=64,
    learning_rate=1e-3,
    fact_dropout=0.5,
)
MAX_FACTS = 5

_ANSWERED_AT_ONCE = 256


def new_model(
    towers: tuple[Path, Path], answers: Sequence[str], gate: dict[str, Any], settings: Settings, seed: int
) -> VkoodForVisualQuestionAnswering:
    """A model of frozen towers, image and text, for these answers."""
    torch.manual_seed(seed)
    model = VkoodForVisualQuestionAnswering.from_towers(
        *towers, **settings.model, gate=gate, id2label=dict(enumerate(answers))
    )
    model.freeze_towers()
    return model


def gathered(
    model: VkoodForVisualQuestionAnswering,
    towers: tuple[Path, Path],
    questions: Sequence[Question],
    tagger: Tagger,
    encoder: FactEncoder,
    scratch: Path,
) -> tuple[Inputs, Facts]:
    """What the model's towers make of the questions and their photographs with all facts of each, and what is kept.

    The second are those of the facts that the gate of `vkood explain` keeps.
    """
    photographs = [question.photograph for question in questions]
    texts = [question.text for question in questions]
    inputs = encoded(model.vkood, towers, photographs, texts, scratch)
    different = list(dict.fromkeys(photographs))
    of_photograph = dict(zip(different, shown_in(tagger, different, scratch), strict=True))
    shown = [of_photograph[photograph] for photograph in photographs]
    facts = looked_up(texts, [own.concepts for own in shown], encoder)
    kept = belonging(facts, shown, tagger.names, encoder)
    return replace(inputs, facts=facts.first(MAX_FACTS)), kept.first(MAX_FACTS)


@torch.no_grad()
def answered(model: VkoodForVisualQuestionAnswering, inputs: Inputs, examples: Tensor) -> dict[str, Tensor]:
    """For each example the number of the likeliest answer, and the mean gate of its facts (1 without any)."""
    answers, gates = [], []
    for chosen in examples.split(_ANSWERED_AT_ONCE):
        batch = inputs.batch(chosen)
        output = model(**batch)
        answers.append(output.logits.argmax(-1))
        if output.fact_gate is None:
            gates.append(torch.ones(len(chosen)))
        else:
            mask = batch["fact_mask"]
            gates.append((output.fact_gate * mask).sum(1) / mask.sum(1).clamp_min(1))
    return {"answers": torch.cat(answers), "gates": torch.cat(gates)}


def measured(
    questions: Sequence[Question],
    train_rows: Tensor,
    target_rows: Tensor,
    inputs: Inputs,
    kept: Facts,
    towers: tuple[Path, Path],
    settings: Settings,
    seeds: Sequence[int],
) -> list[dict[str, Any]]:
    """Train each arm with each seed on the rows `train_rows`, and answer the rows `target_rows`."""
    labels = sorted({questions[place].answer for place in train_rows.tolist()})
    number = {answer: place for place, answer in enumerate(labels)}
    target = torch.tensor([number.get(question.answer, -1) for question in questions])
    records: list[dict[str, Any]] = []
    for seed in seeds:
        for arm, (gate, own) in {
            "no knowledge": (NO_GATE, inputs.without_facts()),
            "unfiltered facts": (NO_GATE, inputs),
            "filtered facts": (NO_GATE, replace(inputs, facts=kept)),
            "learnt gate": ({}, inputs),
        }.items():
            begin = time.process_time()
            model = new_model(towers, labels, gate, settings, seed)

            def loss_of(
                places: Tensor, model: VkoodForVisualQuestionAnswering = model, own: Inputs = own
            ) -> Tensor:
                examples = train_rows[places]
                logits = model(**own.batch(examples, settings.feature_dropout, settings.fact_dropout)).logits
                return torch.nn.functional.cross_entropy(
                    logits, target[examples], label_smoothing=settings.label_smoothing
                )

            train(model, loss_of, len(train_rows), settings, seed)
            output = answered(model, own, target_rows)
            records.append(
                {
                    "arm": arm,
                    "seed": seed,
                    "accuracy": float((output["answers"] == target[target_rows]).float().mean()),
                    "mean_gate": float(output["gates"].mean()),
                    "cpu_seconds": time.process_time() - begin,
                }
            )
            print(f"{arm}, seed {seed}: {records[-1]['accuracy']:.4f}", flush=True)
    return records


def main(
    tagger: Callable[[], Tagger] = ConceptTagger.default,
    encoder: FactEncoder | None = None,
    towers: tuple[Path, Path] | None = None,
    settings: Settings = SETTINGS,
) -> None:
    """Run, print a table, and write the numbers."""
    options = _arguments()
    if options.root == DEFAULT_DATA and not (DEFAULT_DATA / "questions.csv").is_file():
        print(f"Skipped: no questions lie in {os.path.relpath(DEFAULT_DATA)}; name others by --root.")
        return
    if (options.test is None) != (options.test_images is None):
        raise SystemExit("--test and --test-images go together: name both or neither.")
    torch.set_num_threads(1)
    begin = time.process_time()
    questions, train_rows, target_rows = _questions(options)
    towers = towers or (image_tower_folder(options.scratch), text_tower_folder(options.scratch))
    blank = new_model(towers, ["any"], NO_GATE, settings, 0)
    inputs, kept = gathered(
        blank, towers, questions, tagger(), encoder or fact_encoder_of()[0], options.scratch
    )
    prepared = time.process_time() - begin
    answers = language_alone(
        [questions[place] for place in train_rows], [questions[place] for place in target_rows]
    )
    right = [answer == questions[place].answer for answer, place in zip(answers, target_rows, strict=True)]
    language = time.process_time() - begin - prepared
    records = measured(
        questions,
        torch.tensor(train_rows),
        torch.tensor(target_rows),
        inputs,
        kept,
        towers,
        settings,
        options.seeds,
    )
    assert inputs.facts is not None
    content: dict[str, Any] = {
        "language alone": statistics.mean(right),
        "arms": records,
        "train_questions": len(train_rows),
        "target_questions": len(target_rows),
        "facts_per_question": float(inputs.facts.counts[target_rows].float().mean()),
        "kept_per_question": float(kept.counts[target_rows].float().mean()),
        "cpu_minutes": {
            "preparing": prepared / 60,
            "language alone": language / 60,
            "all": (time.process_time() - begin) / 60,
        },
        "peak_memory_mib": peak_memory(),
        "setting": setting(),
    }
    print_tables(tables(content))
    write_json(options.json, content)


def _questions(options: argparse.Namespace) -> tuple[list[Question], list[int], list[int]]:
    """All questions, and which rows of them are learnt from and which are answered."""
    questions = read_questions(options.root / "questions.csv", options.root / "images")
    if options.test is not None:
        test = read_questions(options.test, options.test_images)
        return (
            questions + test,
            list(range(len(questions))),
            list(range(len(questions), len(questions + test))),
        )
    target_rows = [place for place, question in enumerate(questions) if question.split == "val"]
    train_rows = [place for place, question in enumerate(questions) if question.split != "val"]
    if not target_rows or not train_rows:
        raise SystemExit(
            f'{options.root / "questions.csv"} must have questions of the split "val" and others, unless --test names '
            "a table of questions to answer."
        )
    return questions, train_rows, target_rows


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.real.daquar", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--root", type=Path, default=DEFAULT_DATA, help="the folder of questions.csv and images"
    )
    parser.add_argument("--test", type=Path, help="a table of other questions to answer")
    parser.add_argument("--test-images", type=Path, help="the folder of their photographs")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="a model each")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help="where the towers' outputs are kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
