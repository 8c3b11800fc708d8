"""From the labels of any classifier to concepts of a store."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vkood.knowledge.facts import normalise_concept
from vkood.knowledge.linking.hypernyms import FactLookup, hypernyms_of
from vkood.knowledge.linking.linker import Linker, Store
from vkood.pipelines.concept_tagger.imagenet import synsets
from vkood.pipelines.concept_tagger.vocabulary import ClassConcepts

_OFFSET = re.compile(r"\bn\d{8}\b")
_PLACEHOLDER = re.compile(r"(LABEL|CLASS)?[_ -]?\d+", re.IGNORECASE)
_BETWEEN_SYNONYMS = re.compile(r"\s*[,;/|]\s*")
_ALIKE = 0.8
"""Share of ImageNet's classes whose labels have to be theirs."""


def classes_of_labels(labels: Sequence[str], store: Store, *, where: str) -> list[ClassConcepts]:
    """What each label is in a store.

    Labels with WordNet offsets ("n02012849"), and all labels of a classifier whose thousand are ImageNet's in its
    order, are that synset: of two that are called "crane" each is its own. Of others, which may be several synonyms
    ("great white shark, white shark"), the store's entries are used, or else the entry in which a label ends ("striped
    couch"), with what the store says they are kinds of.

    Args:
        labels: The classifier's labels, in the order of its outputs.
        store: Where concepts are looked up.
        where: What to call the classifier in errors.

    Raises:
        ValueError: The labels name nothing ("LABEL_0").
    """
    if all(_PLACEHOLDER.fullmatch(label.strip()) or not label.strip() for label in labels):
        raise ValueError(
            f"the classifier in {where} has no usable labels: the `id2label` of its config.json has {labels[0]!r}, ... "
            "Write the names of its classes there."
        )
    offsets = [_OFFSET.search(label) for label in labels]
    known = [offset and synsets().get(offset[0]) for offset in offsets]
    if not any(known) and (start := _imagenet_start(labels)) is not None:
        known = [*[None] * start, *synsets().values()]
    named = [_spoken(label) for label in labels]
    linked = _linked(
        [parts if synset is None else [] for parts, synset in zip(named, known, strict=True)], store
    )
    above = (
        hypernyms_of([entry for entries in linked for entry in entries], store)
        if isinstance(store, FactLookup)
        else {}
    )
    return [
        ClassConcepts(
            synset.name if _OFFSET.fullmatch(label.strip()) else parts[0], synset.entries, synset.hypernyms
        )
        if synset is not None
        else ClassConcepts(parts[0], entries, above.get(entries[0], ()) if entries else ())
        for label, parts, synset, entries in zip(labels, named, known, linked, strict=True)
    ]


def _spoken(label: str) -> list[str]:
    """The synonyms of a label, as they are written in a text."""
    without = _OFFSET.sub(" ", label.replace("_", " ")).strip(" :,-") or label
    return [part for part in _BETWEEN_SYNONYMS.split(without) if part.strip()] or [label]


def _imagenet_start(labels: Sequence[str]) -> int | None:
    """Where ImageNet's classes begin among labels, if these are theirs: at 1 after one for the background."""
    start = len(labels) - len(synsets())
    if start not in (0, 1):
        return None
    alike = [
        not set(synset.entries).isdisjoint(map(normalise_concept, _spoken(label)))
        for label, synset in zip(labels[start:], synsets().values(), strict=True)
    ]
    return start if sum(alike) >= _ALIKE * len(alike) else None


def _linked(named: Sequence[Sequence[str]], store: Store) -> list[tuple[str, ...]]:
    """The entries of each label: those that a synonym is, or else those that a synonym ends in."""
    concepts = iter(Linker(store).link_many([part for parts in named for part in parts]))
    linked: list[tuple[str, ...]] = []
    for parts in named:
        whole: list[str] = []
        ends: list[str] = []
        for part in parts:
            for concept in next(concepts):
                if concept.span[1] >= len(part.rstrip()):
                    (whole if concept.span[0] == 0 else ends).append(concept.entry)
        linked.append(tuple(dict.fromkeys(whole or ends)))
    return linked
