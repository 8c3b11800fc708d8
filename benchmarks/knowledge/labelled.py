"""The labelled sentences, and how well what a program predictions in them agrees with the labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).parent / "labelled_sentences.txt"
PARTS = ("tuned on", "held out")

Triplet = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class LabelledConcept:
    """A concept that a sentence has: where it stands, the entry that it is, and whether it is said to be absent."""

    span: tuple[int, int]
    entry: str
    negated: bool


@dataclass(frozen=True, slots=True)
class LabelledSentence:
    """A sentence with its concepts and the triplets of its graph."""

    part: str
    text: str
    concepts: tuple[LabelledConcept, ...]
    triplets: tuple[Triplet, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many labels were predicted, and how many predictions are labels."""

    right: int
    predicted: int
    labelled: int

    @property
    def precision(self) -> float:
        """The share of predictions that are labels."""
        return self.right / self.predicted if self.predicted else 1.0

    @property
    def recall(self) -> float:
        """The share of labels that were predicted."""
        return self.right / self.labelled if self.labelled else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        total = self.predicted + self.labelled
        return 2 * self.right / total if total else 1.0


def agreement(predicted: Iterable[Sequence[object]], labelled: Iterable[Sequence[object]]) -> Agreement:
    """Compare the predictions for each sentence with its labels, as multisets.

    Example:
        >>> agreement([["dog", "cat"], ["dog"]], [["dog", "dog"], ["dog"]])
        Agreement(right=2, predicted=3, labelled=3)
    """
    right = num_predicted = num_labelled = 0
    for predictions, labels in zip(predicted, labelled, strict=True):
        right += (Counter(predictions) & Counter(labels)).total()
        num_predicted += len(predictions)
        num_labelled += len(labels)
    return Agreement(right, num_predicted, num_labelled)


def read_labelled(path: Path = TABLE) -> list[LabelledSentence]:
    """Read the table.

    Raises:
        ValueError: If a label's words do not stand in its sentence, or a triplet has not three parts.
    """
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    sentences: list[LabelledSentence] = []
    part, place = "", 0
    while place < len(lines):
        if lines[place].startswith("["):
            part, place = lines[place].strip("[]"), place + 1
            continue
        text, concepts, graph = lines[place : place + 3]
        place += 3
        sentences.append(LabelledSentence(part, text, _concepts(text, concepts), _triplets(text, graph)))
    return sentences


def _concepts(text: str, labels: str) -> tuple[LabelledConcept, ...]:
    concepts: list[LabelledConcept] = []
    end = 0
    for label in [] if labels == "-" else labels.split("|"):
        surface, _, entry = label.strip().removeprefix("!").partition(">")
        start = text.lower().find(surface, end)
        if start < 0:
            raise ValueError(f"the label {surface!r} must stand in its sentence; it does not in {text!r}.")
        end = start + len(surface)
        concepts.append(LabelledConcept((start, end), entry or surface, label.strip().startswith("!")))
    return tuple(concepts)


def _triplets(text: str, labels: str) -> tuple[Triplet, ...]:
    triplets: list[Triplet] = []
    for label in [] if labels == "-" else labels.split(";"):
        parts = [part.strip() for part in label.split(",")]
        if len(parts) != 3:
            raise ValueError(f"a triplet must have three parts; {label!r} of {text!r} has {len(parts)}.")
        triplets.append((parts[0], parts[1], parts[2]))
    return tuple(triplets)
