"""What the app does, without its page: read an upload, explain it, judge by another threshold."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from vkood.images import ImageProblem, decode_image
from vkood.reporting.photo_explanation import PhotoExplanation

MAX_BYTES = 20 * 2**20
"""Uploads of more bytes are refused."""
MAX_PIXELS = 40_000_000
"""Pictures of more pixels are refused, before they are decoded."""
MAX_OWN_FACTS = 50
MAX_FACT_LENGTH = 300
MAX_QUESTION_LENGTH = 300

_MAX_SIDE = 2_048
"""To so many pixels a side pictures are reduced: a tab's picture stays in memory until the tab is closed."""
_MAX_NAME = 80


class Refused(ValueError):
    """Something that the user gave cannot be used; the message is for the page."""


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph that a tab shows.

    Args:
        name: What it is called.
        picture: RGB, at most 2,048 pixels a side.
    """

    name: str
    picture: Image.Image


@dataclass(frozen=True, slots=True)
class Explained:
    """What a tab has: a photograph, and what is known about it.

    Args:
        photograph: The photograph.
        explanation: What is known, by the threshold at which it was asked for.
    """

    photograph: Photograph
    explanation: PhotoExplanation

    def at(self, threshold: float) -> PhotoExplanation:
        """The same by another threshold; no model is run."""
        return self.explanation.at_threshold(threshold)


@runtime_checkable
class Explainer(Protocol):
    """Finds facts about a picture and judges them, such as a `PhotoExplainer` without a model.

    Attributes:
        threshold: The largest score that is kept.
    """

    threshold: float

    def __call__(self, images: Image.Image, text: str = "", *, facts: Sequence[str] = ()) -> PhotoExplanation:
        """What is known about a picture."""
        ...


class Workbench:
    """Explains one photograph at a time, whichever tab asks.

    Args:
        explainer: Finds facts and judges them; without a model.
        model: A model with a head, which answers questions; None for facts alone.

    Raises:
        ValueError: If the model takes several pictures.
    """

    def __init__(self, explainer: Explainer, model: Any = None) -> None:
        if model is not None and model.images_per_text != 1:
            raise ValueError(
                f"--model must be a model for one picture; {type(model).__name__} takes {model.images_per_text}."
            )
        self.threshold = explainer.threshold
        self._explainer, self._model = explainer, model
        self._running = threading.Lock()

    @property
    def answers(self) -> bool:
        """Whether there is a model."""
        return self._model is not None

    def explain(self, photograph: Photograph, question: str, own_facts: str, threshold: float) -> Explained:
        """Say what is known about a photograph.

        Args:
            photograph: The photograph.
            question: A question that orders the facts, and that a model answers; may be empty.
            own_facts: The user's own facts, one a line; may be empty.
            threshold: The largest score that is kept.

        Raises:
            Refused: If the question is too long, or the user's facts are too many or too long.
        """
        question = question.strip()
        if len(question) > MAX_QUESTION_LENGTH:
            raise Refused(
                f"The question must have at most {MAX_QUESTION_LENGTH} characters; it has {len(question):,}."
            )
        facts = lines(own_facts)
        with self._running:
            shown = self._explainer(photograph.picture, question, facts=facts).at_threshold(threshold)
            model = self._answered(photograph, question, shown)
        return Explained(photograph, replace(shown, name=photograph.name, model=model))

    def _answered(self, photograph: Photograph, question: str, shown: PhotoExplanation) -> Any:
        if self._model is None or not question:
            return None
        kept = [fact.sentence for fact in shown.kept]
        return self._model.explain(photograph.picture, question, kept or None)


def read_photograph(content: bytes, name: str) -> Photograph:
    """Decode an upload.

    Args:
        content: The file's content.
        name: Its name, as the browser tells it; folders in it are left out.

    Raises:
        Refused: If it is no picture, or too large.
    """
    name = PurePath(name.replace("\\", "/")).name[-_MAX_NAME:] or "photograph"
    if len(content) > MAX_BYTES:
        raise Refused(
            f"{name} must have at most {MAX_BYTES // 2**20} MB; it has {len(content) / 2**20:.1f} MB."
        )
    try:
        picture = decode_image(content, name=name, max_pixels=MAX_PIXELS)
    except ImageProblem as error:
        raise Refused(str(error)) from None
    if max(picture.size) > _MAX_SIDE:
        picture.thumbnail((_MAX_SIDE, _MAX_SIDE))
    return Photograph(name, picture)


def lines(own_facts: str) -> Sequence[str]:
    r"""The user's own facts, of a text with one a line.

    Raises:
        Refused: If they are too many, or one is too long.

    Example:
        >>> lines("Cats purr.\n\n  Dogs bark. ")
        ['Cats purr.', 'Dogs bark.']
    """
    facts = [stripped for line in own_facts.splitlines() if (stripped := line.strip())]
    if len(facts) > MAX_OWN_FACTS:
        raise Refused(
            f"Facts of your own must be at most {MAX_OWN_FACTS}, one a line; there are {len(facts):,}."
        )
    for number, fact in enumerate(facts, start=1):
        if len(fact) > MAX_FACT_LENGTH:
            raise Refused(
                f"A fact of your own must have at most {MAX_FACT_LENGTH} characters; fact {number} has {len(fact):,}."
            )
    return facts
