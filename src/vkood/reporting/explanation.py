"""An explanation of a model's answer: its record, as lines, as a page, and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vkood.escaping import printable
from vkood.knowledge import LinkedFact
from vkood.reporting.pages import TEMPLATES, render
from vkood.reporting.pictures import highlighted, thumbnail

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FLAT = 0.9
"""A single component whose patches differ by less than this ratio shows nothing but the picture."""
_SHOWN = 5
"""So many of the likeliest answers are shown."""


@dataclass(frozen=True, slots=True)
class ExplainedFact:
    """A fact of a text, with its gate.

    Args:
        fact: The fact, with what in the text led to it.
        gate: How far its gate is open, from 0 to 1.
        score: How outlying it is; larger = more.
    """

    fact: LinkedFact
    gate: float
    score: float

    @property
    def sentence(self) -> str:
        """The fact in English."""
        return self.fact.sentence

    @property
    def span(self) -> tuple[int, int] | None:
        """Where in the text its concept stands; None if no concept led to it."""
        return self.fact.span


@dataclass(frozen=True, kw_only=True, repr=False)
class Explanation:
    """Why a model answers as it does.

    Attributes:
        text: The question or sentence.
        picture: The picture, RGB; several, each resized to the first one's size, stand side by side.
        answers: Answers with their probabilities, the likeliest first. A model for visual reasoning answers "true" or
            "false", one for retrieval or pre-training whether the text matches the picture.
        facts: Facts, the widest gate first.
        patches: (components, rows, columns) for each component of the fitted mixture, how much of it lies in each patch
            of the picture, patches counted by how far they belong under the fit: each component's add up to 1, or are
            all 0 if none of it lies in any patch. The patches of several pictures stand side by side, as the pictures
            do. None where nothing was fitted, or patches have no places.
        component_weights: (components,) shares of the components.
        num_pictures: How many pictures stand side by side in `picture`.
    """

    text: str
    picture: Image.Image
    answers: list[tuple[str, float]]
    facts: list[ExplainedFact] = field(default_factory=list)
    patches: np.ndarray | None = None
    component_weights: np.ndarray | None = None
    num_pictures: int = 1

    def __repr__(self) -> str:
        """Text, answers and facts, a line each."""
        lines = [self.text, *(f"  {chance:6.1%}  {answer}" for answer, chance in self.answers[:_SHOWN])]
        lines += [f"  gate {fact.gate:.2f}  {fact.sentence}" for fact in self.facts]
        return "\n".join(map(printable, lines))

    def _repr_html_(self) -> str:
        """The HTML that a notebook shows."""
        return self.to_html()

    def to_html(self) -> str:
        """The same as a piece of HTML that needs nothing else."""
        return render(TEMPLATES / "explanation_fragment.html.jinja", {"shown": self.template_values()})

    def to_page(self) -> str:
        """The same as a page."""
        return render(TEMPLATES / "explanation_page.html.jinja", {"shown": self.template_values()}) + "\n"

    def template_values(self) -> dict[str, Any]:
        """What the macro `section` of `explanation.html.jinja` shows."""
        picture = thumbnail(self.picture)
        return {
            "text": self.text,
            "picture": picture,
            "pictures": self._pictures,
            "maps": [
                {"picture": highlighted(picture, weights), "caption": self._caption(number)}
                for number, weights in enumerate(self._maps())
            ],
            "answers": self.answers[:_SHOWN],
            "facts": [
                (fact, "" if fact.span is None else self.text[slice(*fact.span)]) for fact in self.facts
            ],
        }

    def plot(self) -> Figure:
        """The picture, where each component of the fit lies, the answers, and the facts with their gates.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        from matplotlib.figure import Figure

        maps = self._maps()
        columns = 1 + len(maps) + 1 + bool(self.facts)
        figure = Figure(figsize=(3.2 * columns, 3.4), layout="constrained")
        axes = iter(figure.subplots(1, columns, squeeze=False)[0])
        picture = next(axes)
        picture.imshow(self.picture)
        picture.set_title(self._pictures, fontsize=10)
        extent = (0, self.picture.width, 0, self.picture.height)
        for number, weights in enumerate(maps):
            axis = next(axes)
            axis.imshow(self.picture, extent=extent)
            axis.imshow(weights, cmap="magma", alpha=0.6, extent=extent, vmin=0)
            axis.set_title(self._caption(number), fontsize=10)
        for axis in figure.axes[: 1 + len(maps)]:
            axis.set_axis_off()
        _draw_bars(next(axes), self.answers[:_SHOWN], "answers")
        if self.facts:
            gates = [(fact.sentence, fact.gate) for fact in self.facts[: 2 * _SHOWN]]
            _draw_bars(next(axes), gates, "facts: gate")
        figure.suptitle(printable(self.text), fontsize=11, parse_math=False)
        return figure

    def _maps(self) -> list[np.ndarray]:
        if self.patches is None or (
            len(self.patches) == 1 and self.patches.min() > _FLAT * self.patches.max()
        ):
            return []
        return list(self.patches)

    @property
    def _pictures(self) -> str:
        """What stands below what the model was shown."""
        return "picture" if self.num_pictures == 1 else f"{self.num_pictures} pictures"

    def _caption(self, number: int) -> str:
        """What stands beside a component's map."""
        assert self.patches is not None
        share = "" if self.component_weights is None else f", {self.component_weights[number]:.0%}"
        nowhere = "" if self.patches[number].any() else ", in no patch"
        return f"component {number + 1}{share}{nowhere}"


def _draw_bars(axis: Any, items: Sequence[tuple[str, float]], title: str) -> None:
    names = [printable(name if len(name) <= 34 else f"{name[:32]}…") for name, _ in items]
    axis.barh(range(len(items)), [value for _, value in items], color="#4c78a8")
    axis.set_yticks(range(len(items)), names, fontsize=8, parse_math=False)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_title(title, fontsize=10)
