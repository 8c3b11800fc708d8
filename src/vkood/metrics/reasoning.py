"""Accuracy and consistency of visual reasoning (NLVR2)."""

from __future__ import annotations

from vkood.fields import require_kind
from vkood.metrics.sums import GroupedMean


class ReasoningAccuracy:
    """The share of correct judgements, and of sentences judged correctly with all their image pairs.

    A sentence of NLVR2 comes with several pairs of images; consistency (Suhr et al., ACL 2019) requires all of them.
    Reduction over ranks: sum, if a sentence's pairs may lie on several of them.

    Example:
        >>> accuracy = ReasoningAccuracy()
        >>> accuracy.add(True, True, "dev-850-0-0")
        >>> accuracy.add(False, True, "dev-850-1-0")
        >>> accuracy.result()
        {'accuracy': 0.5, 'consistency': 0.0}
    """

    def __init__(self) -> None:
        self.sums = GroupedMean()

    def add(self, prediction: bool, answer: bool, identifier: str) -> None:
        """Count a judgement.

        Args:
            prediction: Whether the sentence is said to be true.
            answer: Whether it is.
            identifier: NLVR2's, split-set-pair-sentence; a sentence has the same split, set and last number in all
                pairs.

        Raises:
            TypeError: If either is not boolean.
            ValueError: If `identifier` has another form.
        """
        require_kind("prediction", prediction, bool)
        require_kind("answer", answer, bool)
        parts = identifier.split("-")
        if len(parts) != 4:
            raise ValueError(
                f"`identifier` must be split-set-pair-sentence, as in NLVR2; got {identifier!r}."
            )
        self.sums.add(float(prediction == answer), ["-".join((*parts[:2], parts[3]))])

    def merge(self, other: ReasoningAccuracy) -> None:
        """Add the counts of another accumulator, such as that of another rank."""
        self.sums.merge(other.sums)

    def result(self) -> dict[str, float]:
        """Accuracy and consistency, from 0 to 1.

        Raises:
            ValueError: If nothing was counted.
        """
        state = self.sums.state()
        if not state:
            raise ValueError("no judgement was counted, so there is no accuracy.")
        right, count = (sum(part) for part in zip(*state.values(), strict=True))
        return {
            "accuracy": right / count,
            "consistency": sum(total == number for total, number in state.values()) / len(state),
        }
