"""Whether projections learnt on some nouns serve others.

    python -m benchmarks.real.learnt_gates --json benchmarks/results/real_learnt_gates.json

Half of the nouns of the photographs (`gate.py` says which) are seen: projections of concepts' names and facts into a
joint space of 64 dimensions are learnt on their photographs of the split "train", with facts of seen nouns alone. They
are tested on the split "test": seen nouns with facts of seen ones, and unseen nouns with facts of unseen ones.
Projections are "separate" for names and facts, or one "shared"; they begin "at random", or "aligned", as the first
principal directions of all names, in which the cosines of the encoder are nearly kept. All gates are tuned alike: kappa
is what is best untrained on the seen nouns' photographs; rate and number of steps (of Adam, on all photographs) are
what is best on a third of the seen nouns after learning on the other two, by the AUROC over all photographs. The nouns
are halved three times.

Legend: B photographs, T concepts of each, N candidates, D features, J dimensions of the joint space.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vkood import ConceptTagger
from vkood.metrics import auroc
from vkood.models.towers import SentenceEncoder
from vkood.pipelines.concept_gate import WEIGHT_POWER
from vkood.pipelines.encoding import FACT_ENCODER, sentence_encoder_folder

from ..measuring import clock, print_table, setting, write_json
from .gate import DEFAULT_DATA, SCRATCH, prepared, scores_as_they_come
from .labelled_photographs import Material
from .tables import learnt_table
from .untrained_gates import ARMS, Arm

JOINT_DIM = 64
RATES = (3e-4, 3e-3)
STEPS = (10, 40, 120)
_NAMES = (
    "OutlierLayer, K = 1",
    "OutlierLayer, K = 4",
    "kernel (log-sum-exp)",
    "Gaussian, K = 2, variance counts as 20",
)
"""The dot product of a fact and the mean of the names is the first of them."""


@dataclass(frozen=True, slots=True)
class Start:
    """Which projections there are, and how they begin."""

    shared: bool
    aligned: bool

    def __str__(self) -> str:
        """As the table has it."""
        return f"{'shared' if self.shared else 'separate'}, {'aligned' if self.aligned else 'at random'}"


STARTS = (Start(False, False), Start(False, True), Start(True, True))


class LearntGate(nn.Module):
    """Projections of facts and names into a joint space, in which an arm's score is taken.

    Args:
        arm: Whose score.
        option: Its option, say kappa.
        names: (concepts, D) vectors of all names.
        start: Which projections.
    """

    def __init__(self, arm: Arm, option: float, names: Tensor, start: Start) -> None:
        super().__init__()
        self._score = arm.make(option)
        self.of_facts = nn.Linear(names.shape[-1], JOINT_DIM, bias=False)
        self.of_names = self.of_facts if start.shared else nn.Linear(names.shape[-1], JOINT_DIM, bias=False)
        if start.aligned:
            directions = torch.linalg.svd(names, full_matrices=False).Vh[:JOINT_DIM]
            for projection in (self.of_facts, self.of_names):
                projection.weight.data.copy_(directions)
        self.threshold = nn.Parameter(torch.zeros(()))
        self.log_slope = nn.Parameter(torch.zeros(()))

    def scores(self, material: Material) -> Tensor:
        """(B, N)."""
        facts = functional.normalize(self.of_facts(material.fact_vectors), dim=-1)
        names = functional.normalize(self.of_names(material.concept_vectors), dim=-1)
        joint = replace(material, fact_vectors=facts, concept_vectors=names)
        return self._score(joint.facts, joint.tokens, joint.weights(WEIGHT_POWER))

    def learn(self, material: Material, rate: float, steps: Sequence[int]) -> dict[int, dict[str, Tensor]]:
        """The parameters after each of these numbers of steps."""
        mask = material.candidates.mask
        belongs = (~material.candidates.outlier[mask]).float()
        with torch.no_grad():
            scores = self.scores(material)[mask]
            self.threshold.copy_(scores.median())
            self.log_slope.copy_(-scores.std().log())
        optimiser = torch.optim.Adam(self.parameters(), lr=rate)
        kept = {}
        for step in range(1, max(steps) + 1):
            margin = self.log_slope.exp() * (self.threshold - self.scores(material)[mask])
            loss = functional.binary_cross_entropy_with_logits(margin, belongs)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if step in steps:
                kept[step] = {name: value.clone() for name, value in self.state_dict().items()}
        return kept


def _pooled(material: Material, scores: Tensor) -> float:
    mask = material.candidates.mask
    return auroc(scores[mask], material.candidates.outlier[mask])


def _figures(material: Material, scores: Tensor) -> dict[str, float]:
    drawn = material.candidates
    rows = zip(scores, drawn.mask, drawn.outlier, strict=True)
    return {
        "within": statistics.mean(auroc(row[mask], outlier[mask]) for row, mask, outlier in rows),
        "pooled": _pooled(material, scores),
    }


@dataclass(frozen=True, slots=True)
class Halves:
    """Photographs of one halving of the nouns."""

    tuning: Material
    held_out: Material
    training: Material
    tests: dict[str, Material]

    @classmethod
    def split(cls, material: Material, seed: int) -> Halves:
        """Halve the nouns at random."""
        nouns = sorted(material.facts_of_nouns)
        random.Random(seed).shuffle(nouns)
        half, third = len(nouns) // 2, len(nouns) // 6
        return cls(
            tuning=material.only(set(nouns[third:half]), "train", seed),
            held_out=material.only(set(nouns[:third]), "train", seed),
            training=material.only(set(nouns[:half]), "train", seed),
            tests={
                "seen": material.only(set(nouns[:half]), "test", seed),
                "unseen": material.only(set(nouns[half:]), "test", seed),
            },
        )


@torch.no_grad()
def untrained(halves: Halves, arm: Arm, option: float) -> dict[str, dict[str, float]]:
    """An arm's own scores in the encoder's space."""
    score = arm.make(option)
    return {
        name: _figures(test, score(test.facts, test.tokens, test.weights(WEIGHT_POWER)))
        for name, test in halves.tests.items()
    }


def learnt(halves: Halves, arm: Arm, option: float, start: Start, seed: int) -> dict[str, object]:
    """What an arm does after learning."""

    def fresh() -> LearntGate:
        torch.manual_seed(seed)
        return LearntGate(arm, option, halves.training.concept_vectors, start)

    best = (0.0, 0.0, 0)
    for rate in RATES:
        gate = fresh()
        for steps, state in gate.learn(halves.tuning, rate, STEPS).items():
            gate.load_state_dict(state)
            with torch.no_grad():
                best = max(best, (_pooled(halves.held_out, gate.scores(halves.held_out)), rate, steps))
    _, rate, steps = best
    gate = fresh()
    gate.learn(halves.training, rate, [steps])
    with torch.no_grad():
        figures = {name: _figures(test, gate.scores(test)) for name, test in halves.tests.items()}
    return {"rate": rate, "steps": steps, **figures}


def compared(halves: Halves, seed: int) -> dict[str, dict[str, object]]:
    """All arms on one halving."""
    records: dict[str, dict[str, object]] = {}
    own, mask = halves.training, halves.training.candidates.mask
    for arm in (arm for arm in ARMS if arm.name in _NAMES):

        def quality(option: float, arm: Arm = arm) -> float:
            scores = arm.make(option)(own.facts, own.tokens, own.weights(WEIGHT_POWER))
            return auroc(scores[mask], own.candidates.outlier[mask])

        with torch.no_grad():
            option = max(arm.options, key=quality)
        records[f"{arm.name}: untrained"] = {"option": option, **untrained(halves, arm, option)}
        for start in STARTS:
            records[f"{arm.name}: {start}"] = {"option": option, **learnt(halves, arm, option, start, seed)}
    records["as it comes: untrained, less usual"] = {
        name: _figures(test, scores_as_they_come(test)) for name, test in halves.tests.items()
    }
    return records


def main() -> None:
    """Run, print the table, and write the numbers."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.real.learnt_gates", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--splits", type=int, default=3, help="how many halvings of the nouns")
    parser.add_argument(
        "--scratch", type=Path, default=SCRATCH, help="where the classifier's answers are kept"
    )
    options = parser.parse_args()
    if not DEFAULT_DATA.is_dir():
        print("Skipped: the photographs of `gate.py` are not there.")
        return
    torch.set_num_threads(1)
    material = prepared(
        DEFAULT_DATA / "labels.csv",
        DEFAULT_DATA / "images",
        ConceptTagger.default(),
        SentenceEncoder(sentence_encoder_folder(FACT_ENCODER)),
        options.scratch,
    )
    results: dict[str, Any] = {"setting": setting(), "seconds": [], "splits": []}
    for seed in range(options.splits):
        begin = clock()
        results["splits"].append(compared(Halves.split(material, seed), seed))
        results["seconds"].append(clock() - begin)
        print_table(*learnt_table(results))
        write_json(options.json, results)


if __name__ == "__main__":
    main()
