"""Whether the tagger names what a photograph shows, or what that is a kind of: as it comes, with nothing trained.

    python -m benchmarks.real.tagger --labels FILE.csv --images DIR --json OUT

A photograph is a hit if its noun, or a hypernym of it, is among the ten likeliest concepts. Hypernyms of Caltech-101's
nouns are WordNet's for the sense that is pictured, in everyday words, and those that the default store has by IsA
(`caltech101_hypernyms.tsv`, from near to far); of other nouns the default store's. Three shares are reported: of the
noun itself; of the noun or a hypernym other than the broadest ("animal", "plant", "food", ...); and of any.

The temperature is fitted on the photographs of the split "train" (all, if there is none): the likelihood of the
noun, or of its nearest hypernym that the tagger can name. `calibration` is the expected calibration error of that
concept's probability on the split "test", in ten bins, over the photographs and the nearest concepts of all nouns.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from vkood import ConceptTagger, PictureConcepts
from vkood.knowledge import FactStore
from vkood.knowledge.linking.hypernyms import hypernyms_of
from vkood.pipelines.concept_tagger import Cut

from ..measuring import clock, print_table, setting, write_json
from .gate import DEFAULT_DATA
from .labelled_photographs import Photograph, read_photographs

BROADEST = frozenset(
    (
        *(
            "animal",
            "building",
            "clothing",
            "container",
            "food",
            "furniture",
            "invertebrate",
            "machine",
            "mammal",
        ),
        *("musical instrument", "person", "plant", "tool", "vehicle", "vertebrate"),
    )
)
NUM_CONCEPTS = 10
_BINS = 10
_HYPERNYMS = Path(__file__).with_name("caltech101_hypernyms.tsv")


def hypernyms(nouns: Sequence[str], store: FactStore) -> dict[str, list[str]]:
    """What each noun is a kind of, from near to far."""
    rows = [line.split("\t") for line in _HYPERNYMS.read_text(encoding="utf-8").splitlines()]
    listed = {noun: kinds.split("; ") for noun, kinds in rows}
    return {noun: listed.get(noun, list(chain)) for noun, chain in hypernyms_of(nouns, store).items()}


def shares_of_hits(
    photographs: Sequence[Photograph], shown: Sequence[PictureConcepts], kinds: Mapping[str, Sequence[str]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Shares of photographs whose likeliest concepts have the noun, a narrow hypernym, any; and that of each noun."""
    own, narrow, every = [], [], defaultdict(list)
    for photograph, picture in zip(photographs, shown, strict=True):
        likeliest = {concept for concept, _ in picture.concepts[:NUM_CONCEPTS]}
        accepted = {photograph.noun, *kinds[photograph.noun]}
        own.append(photograph.noun in likeliest)
        narrow.append(bool(likeliest & accepted - (BROADEST - {photograph.noun})))
        every[photograph.noun].append(bool(likeliest & accepted))
    of_nouns = {noun: statistics.mean(hits) for noun, hits in every.items()}
    figures = {
        "noun": statistics.mean(own),
        "noun_or_narrow_hypernym": statistics.mean(narrow),
        "noun_or_hypernym": statistics.mean(hit for hits in every.values() for hit in hits),
        "noun_or_hypernym_mean_of_nouns": statistics.mean(of_nouns.values()),
    }
    return figures, of_nouns


def calibration_error(
    shown: Sequence[PictureConcepts], nearest: Sequence[str], truths: Sequence[frozenset[str]]
) -> float:
    """The expected calibration error of the nearest concepts' probabilities, over photographs and concepts."""
    concepts = sorted(set(nearest))
    probability = torch.tensor([[dict(picture.concepts).get(c, 0.0) for c in concepts] for picture in shown])
    correct = torch.tensor([[c in truth for c in concepts] for truth in truths]).float()
    bins = (probability * _BINS).long().clamp(max=_BINS - 1)
    gaps = [
        float((probability[bins == n] - correct[bins == n]).mean().abs() * (bins == n).float().mean())
        for n in range(_BINS)
        if (bins == n).any()
    ]
    return sum(gaps)


def measured(photographs: Sequence[Photograph], tagger: ConceptTagger, store: FactStore) -> dict[str, object]:
    """All figures of some photographs."""
    kinds = hypernyms(sorted({photograph.noun for photograph in photographs}), store)
    paths = [photograph.path for photograph in photographs]
    begin = clock()
    shown = tagger(paths)
    seconds = (clock() - begin) / len(paths)
    figures, of_nouns = shares_of_hits(photographs, shown, kinds)
    vocabulary = set(tagger.concepts)
    nearest = {noun: next((c for c in (noun, *own) if c in vocabulary), None) for noun, own in kinds.items()}
    splits = {photograph.split for photograph in photographs}
    fitted = [p for p in photographs if nearest[p.noun] and (p.split == "train" or "train" not in splits)]
    named = [concept for p in fitted if (concept := nearest[p.noun])]
    temperature = tagger.calibrated([p.path for p in fitted], named).temperature
    tested = [
        (picture, concept, frozenset([p.noun, *kinds[p.noun]]))
        for p, picture in zip(photographs, shown, strict=True)
        if (concept := nearest[p.noun]) and (p.split == "test" or "test" not in splits)
    ]
    columns = [list(column) for column in zip(*tested, strict=True)]
    return {
        **figures,
        "fitted_temperature": temperature,
        "calibration": calibration_error(columns[0], columns[1], columns[2]),
        "seconds_per_picture": seconds,
        "of_nouns": of_nouns,
    }


def main(tagger: ConceptTagger | None = None) -> None:
    """Run, print a table, and write the numbers."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.real.tagger", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--labels", type=Path, default=DEFAULT_DATA / "labels.csv", help="image, noun or label"
    )
    parser.add_argument(
        "--images", type=Path, default=DEFAULT_DATA / "images", help="the folder of the images"
    )
    parser.add_argument("--json", type=Path, help="file for the numbers")
    options = parser.parse_args()
    if options.labels == DEFAULT_DATA / "labels.csv" and not options.labels.is_file():
        print(
            f"Skipped: no photographs lie in {os.path.relpath(DEFAULT_DATA)}; name others by --labels and --images."
        )
        return
    torch.set_num_threads(1)
    photographs = read_photographs(options.labels, options.images)
    with FactStore.open() as store:
        figures = measured(
            photographs, tagger or ConceptTagger.default(store, cut=Cut(mass=1.0, max_concepts=2_000)), store
        )
    of_nouns = figures.pop("of_nouns")
    assert isinstance(of_nouns, dict)
    print_table(
        f"{len(photographs)} photographs of {len(of_nouns)} nouns, nothing trained",
        list(figures),
        [[f"{value:.3f}" for value in figures.values()]],
    )
    missed = sorted((share, noun) for noun, share in of_nouns.items() if share < 0.9)
    print("Under .9:", ", ".join(f"{noun} {share:.2f}" for share, noun in missed) or "none")
    write_json(options.json, {**figures, "of_nouns": of_nouns, "setting": setting()})


if __name__ == "__main__":
    main()
