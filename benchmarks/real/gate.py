"""Which facts belong to a photograph: the gate as it comes, with nothing trained.

    python -m benchmarks.real.gate --labels FILE.csv --images DIR --json OUT

The context is the names of the twenty concepts that an ImageNet classifier finds likeliest, encoded by the encoder of
facts and weighted by their probabilities to the power of 0.4 (these are the square roots of what the classifier says
uncalibrated). Candidates are facts of the default store: up to ten about the noun that the table gives for the
photograph, which belong, and ten about other nouns of the table, which do not. A fact's score is that of
`vkood explain` (`vkood.pipelines.concept_gate`): the layer's, with four components and nothing trained, less what it
would have if any concept could be pictured, since some facts are near everything. AUROC is taken within each
photograph, and over all with one threshold. Then the threshold is calibrated to keep 95 % of what belongs on half of
the nouns (their photographs of the split "train", if there is one), and the shares kept and let through are those of
the other nouns (of "test"), over ten such halves.
`threshold` is that of all nouns; `vkood explain` has the one of Caltech-101 (`KEEP_95` of its `photo_explainer`).

`--arms` compares this with other gates as well; their options are chosen on the photographs of the split "train", and
the figures of all are of "test".
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from vkood import Calibration, ConceptTagger
from vkood.knowledge import FactStore
from vkood.metrics import auroc
from vkood.models.towers import SentenceEncoder
from vkood.pipelines.concept_gate import ConceptGate
from vkood.pipelines.encoding import FACT_ENCODER, sentence_encoder_folder

from ..measuring import clock, print_table, setting, write_json
from .labelled_photographs import (
    Encode,
    Material,
    drawn_candidates,
    facts_of,
    read_photographs,
)
from .tags import Tagger, cached_tags

DEFAULT_DATA = Path(__file__).parents[3] / "shared" / "real" / "caltech101"
SCRATCH = Path(tempfile.gettempdir()) / "vkood-real"
KEEP = 0.95

_HALVINGS = 5
_MAX_TIMED = 20


def prepared(labels: Path, images: Path, tagger: Tagger, encode: Encode, scratch: Path) -> Material:
    """The photographs of which the default store knows the noun, tagged, with facts to judge.

    Raises:
        ValueError: It knows fewer than two of the nouns.
    """
    photographs = read_photographs(labels, images)
    nouns = sorted({photograph.noun for photograph in photographs})
    with FactStore.open() as store:
        facts = facts_of(nouns, store)
    if len(facts) < 2:
        raise ValueError(
            f"{labels} must have at least two nouns with facts in the default store; got {sorted(facts)}."
        )
    if len(facts) < len(nouns):
        print(f"Left out, for want of facts: {', '.join(noun for noun in nouns if noun not in facts)}.")
    photographs = [photograph for photograph in photographs if photograph.noun in facts]
    return Material(
        photographs=photographs,
        tags=cached_tags(tagger, [photograph.path for photograph in photographs], scratch),
        candidates=drawn_candidates([photograph.noun for photograph in photographs], facts, seed=0),
        concept_vectors=encode(tagger.names),
        facts_of_nouns=facts,
        fact_vectors=encode([fact.sentence for own in facts.values() for fact in own]),
    )


def usual_scores(material: Material, kappa: float) -> Tensor:
    """(B, N) scores that the candidates would have if any concept could be pictured."""
    gate = ConceptGate(material.concept_vectors, kappa)
    return gate.usual_scores(material.fact_vectors)[material.candidates.facts]


def scores_as_they_come(material: Material) -> Tensor:
    """(B, N) scores of the gate with its defaults; larger = more outlying."""
    gate = ConceptGate(material.concept_vectors)
    usual = gate.usual_scores(material.fact_vectors)[material.candidates.facts]
    return gate.scores(material.facts, material.tokens, material.tags.probabilities, usual)


def measured(material: Material, scores: Tensor) -> dict[str, float]:
    """AUROC within and over photographs, and what a calibrated threshold keeps and lets through on other nouns."""
    drawn = material.candidates
    if any(photograph.split == "test" for photograph in material.photographs):
        tested = torch.tensor([photograph.split == "test" for photograph in material.photographs])
    else:
        tested = torch.ones(len(scores), dtype=torch.bool)
    within = [
        auroc(row[mask], outlier[mask])
        for row, mask, outlier in zip(scores[tested], drawn.mask[tested], drawn.outlier[tested], strict=True)
    ]
    mask = drawn.mask & tested[:, None]
    return {
        "auroc_within": statistics.mean(within),
        "auroc_pooled": auroc(scores[mask], drawn.outlier[mask]),
        **_calibrated(material, scores),
    }


def _calibrated(material: Material, scores: Tensor) -> dict[str, float]:
    drawn = material.candidates
    splits = [photograph.split for photograph in material.photographs]
    nouns = [photograph.noun for photograph in material.photographs]
    order = sorted(set(nouns))

    def rows(half: Sequence[str], split: str) -> Tensor:
        """(B, 1) the photographs of these nouns, and of this split if there is one of its name."""
        return torch.tensor(
            [
                [noun in half and (own == split or split not in splits)]
                for noun, own in zip(nouns, splits, strict=True)
            ]
        )

    belongs, foreign = drawn.mask & ~drawn.outlier, drawn.mask & drawn.outlier

    def threshold_of(half: Sequence[str]) -> float:
        return Calibration.of(scores[belongs & rows(half, "train")], KEEP).threshold

    kept, let_through = [], []
    for seed in range(_HALVINGS):
        shuffled = list(order)
        random.Random(seed).shuffle(shuffled)
        halves = shuffled[::2], shuffled[1::2]
        for first, second in (halves, halves[::-1]):
            threshold = threshold_of(first)
            tested = rows(second, "test")
            kept.append(float((scores[belongs & tested] <= threshold).float().mean()))
            let_through.append(float((scores[foreign & tested] <= threshold).float().mean()))
    return {
        "threshold": threshold_of(order),
        "kept": statistics.mean(kept),
        "let_through": statistics.mean(let_through),
        "kept_least": min(kept),
        "kept_most": max(kept),
    }


def seconds_per_picture(material: Material, tagger: Tagger) -> float:
    """From a file to judged facts, whose vectors are known."""
    few = material.at(torch.arange(min(_MAX_TIMED, len(material.photographs))))
    paths = [photograph.path for photograph in few.photographs]
    begin = clock()
    tagger(paths)
    scores_as_they_come(few)
    return (clock() - begin) / len(paths)


def main(tagger: Tagger | None = None, encode: Encode | None = None) -> None:
    """Run, print a table, and write the numbers."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.real.gate", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--labels", type=Path, default=DEFAULT_DATA / "labels.csv", help="image, noun or label"
    )
    parser.add_argument(
        "--images", type=Path, default=DEFAULT_DATA / "images", help="the folder of the images"
    )
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--arms", action="store_true", help="compare other gates as well")
    parser.add_argument(
        "--scratch", type=Path, default=SCRATCH, help="where the classifier's answers are kept"
    )
    options = parser.parse_args()
    if options.labels == DEFAULT_DATA / "labels.csv" and not options.labels.is_file():
        print(
            f"Skipped: no photographs lie in {os.path.relpath(DEFAULT_DATA)}; name others by --labels and --images."
        )
        return
    torch.set_num_threads(1)
    tagger = tagger or ConceptTagger.default()
    encode = encode or SentenceEncoder(sentence_encoder_folder(FACT_ENCODER))
    material = prepared(options.labels, options.images, tagger, encode, options.scratch)
    figures = measured(material, scores_as_they_come(material))
    figures["seconds_per_picture"] = seconds_per_picture(material, tagger)
    nouns = {photograph.noun for photograph in material.photographs}
    print_table(
        f"{len(material.photographs)} photographs of {len(nouns)} nouns, nothing trained",
        list(figures),
        [[f"{value:.3f}" for value in figures.values()]],
    )
    content: dict[str, object] = {**figures, "setting": setting()}
    if options.arms:
        from .untrained_gates import compared

        content["arms"] = compared(material)
    write_json(options.json, content)


if __name__ == "__main__":
    main()
