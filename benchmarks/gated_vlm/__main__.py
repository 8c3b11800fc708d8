"""What gates are worth in front of a small vision-language model that reads facts in its prompt.

    python -m benchmarks.gated_vlm --json benchmarks/results/gated_vlm.json

A LLaVA learns from scratch to answer from easy-VQA's pictures and from facts; it sees no gate. Then it is frozen, and
the outlier layer, with its defaults, learns from answers alone through `vkood.gate_attention`. Test questions come with
three facts of the kind that they ask for, of which one agrees with the picture, and with floods of irrelevant facts
that no training saw in such numbers.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vkood.data.easy_vqa_knowledge import EasyVqaKnowledge, Question
from vkood.gating import Gate, GateOutput, OutlierLayer
from vkood.metrics.outliers import auroc
from vkood.pipelines import gate_attention, open_facts

from ..knowledge_noise.materials import Materials, load_materials, standardised
from ..knowledge_noise.training import quiet
from ..measuring import as_read, print_tables, setting, write_json
from .questions import of_one_kind
from .tables import tables
from .training import Plan, calibrated_gate, gated, trained_layer, trained_vlm
from .vlm import SmallVlm

FLOODS = (0, 48)
KEEP = 0.99
_BATCH = 48
_QUICK = Plan(vlm_steps=60, layer_steps=20)

Facts = Callable[[Sequence[Question], GateOutput], list[Sequence[str]]]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A way to give a model the facts of a question.

    Attributes:
        facts: Which facts stand in the prompt.
        soft: Whether their gates act on attention.
        calibrated: Whether gates have the threshold that keeps `KEEP` of held-out facts that match.
    """

    facts: Facts
    soft: bool = False
    calibrated: bool = False


def _all(questions: Sequence[Question], output: GateOutput) -> list[Sequence[str]]:
    return [question.facts for question in questions]


def _open(questions: Sequence[Question], output: GateOutput) -> list[Sequence[str]]:
    return [*open_facts(_all(questions, output), output.gate)]


ARMS: dict[str, Arm] = {
    "no facts": Arm(facts=lambda questions, output: [()] * len(questions)),
    "all facts": Arm(facts=_all),
    "filtered by prompt (hard)": Arm(facts=_open),
    "the same, calibrated": Arm(facts=_open, calibrated=True),
    "filtered by attention (soft)": Arm(facts=_all, soft=True),
    "matching facts alone": Arm(
        facts=lambda questions, output: [
            [fact for fact, matches in zip(question.facts, question.matches, strict=True) if matches]
            for question in questions
        ]
    ),
}


def main() -> None:
    """Train what is not there yet, test all arms, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gated_vlm", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--quick", action="store_true", help="few steps, 96 questions: a minute, and no result"
    )
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "vkood-gated-vlm")
    options = parser.parse_args()
    quiet()
    plan = _QUICK if options.quick else Plan(seed=options.seed)
    materials = standardised(load_materials(options.scratch / "materials", plan.seed))
    begin = time.process_time()
    vlm = trained_vlm(materials, plan, options.scratch)
    trained = time.process_time()
    layer = trained_layer(materials, vlm, plan)
    seconds = {"vlm": trained - begin, "layer": time.process_time() - trained}
    gate = calibrated_gate(materials, layer, plan, KEEP)
    limit = 96 if options.quick else None
    results = {str(flood): test(materials, vlm, layer, gate, flood, limit) for flood in FLOODS}
    content = {
        "setting": setting(),
        "plan": {"seed": plan.seed, "vlm_steps": plan.vlm_steps, "layer_steps": plan.layer_steps},
        "layer": repr(layer),
        "cpu_seconds": seconds,
        "irrelevant facts": results,
    }
    print_tables(tables(as_read(content)))
    write_json(options.json, content)


@torch.inference_mode()
def test(
    materials: Materials, vlm: SmallVlm, layer: OutlierLayer, gate: Gate, irrelevant: int, limit: int | None
) -> dict[str, Any]:
    """Accuracy and tokens of each arm, and how the layer tells facts apart.

    Args:
        materials: Pictures and facts.
        vlm: The model.
        layer: The layer.
        gate: The layer's, calibrated.
        irrelevant: Number of irrelevant facts that come with each question.
        limit: Number of questions; None for all 888.
    """
    drawn = EasyVqaKnowledge("test", materials.seed, irrelevant=irrelevant)
    questions = [of_one_kind(drawn[place]) for place in range(limit or len(drawn))]
    right = dict.fromkeys(ARMS, 0)
    tokens = dict.fromkeys(ARMS, 0)
    scores: list[torch.Tensor] = []
    gates: list[torch.Tensor] = []
    for start in range(0, len(questions), _BATCH):
        batch = questions[start : start + _BATCH]
        pictures = materials.test.tokens[[question.picture for question in batch]]
        output = gated(layer, materials, batch, pictures)
        present = output.score.isfinite()
        calibrated = replace(output, gate=gate(output.score, present)[1])
        scores.append(output.score[present])
        gates.append(output.gate[present])
        for name, arm in ARMS.items():
            prompts = vlm.prompts(batch, arm.facts(batch, calibrated if arm.calibrated else output))
            gating = gate_attention(vlm.llava, output.log_gate, prompts.fact_of_token)
            with gating if arm.soft else nullcontext():
                answers = vlm.answer(prompts, pictures)
            right[name] += int((answers == vlm.labels(batch)).sum())
            tokens[name] += int(prompts.inputs["attention_mask"].sum())
    matches = torch.tensor([match for question in questions for match in question.matches])
    all_gates = torch.cat(gates)
    return {
        "questions": len(questions),
        "accuracy": {name: number / len(questions) for name, number in right.items()},
        "tokens a prompt": {name: number / len(questions) for name, number in tokens.items()},
        "auroc": auroc(torch.cat(scores), ~matches),
        "open gates": {
            "matching": float((all_gates[matches] >= 0.5).float().mean()),
            "others": float((all_gates[~matches] >= 0.5).float().mean()),
        },
    }


if __name__ == "__main__":
    main()
