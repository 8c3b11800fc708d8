"""What is known about a photograph, and which of it belongs to what it shows: as lines, as JSON and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from PIL import Image

from vkood.escaping import printable
from vkood.files import write_text
from vkood.knowledge import LinkedFact
from vkood.reporting.explanation import Explanation
from vkood.reporting.pages import TEMPLATES, page_problem, render
from vkood.reporting.pictures import thumbnail

CAUTION = (
    "Facts are judged against what the photograph was taken to show: if that is wrong, so are the facts."
)
_SHOWN_CONCEPTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedFact:
    """A fact with the gate's judgement.

    Attributes:
        fact: The fact, with what led to it.
        score: How outlying it is; larger = more.
        margin: How far the score lies below the threshold: at least 0 for a fact that is kept, in units of the score.
        reason: What it fits, in a few words.
        otherwise: The reason that it would have on the other side of the threshold.
        place: Its place in the order of what was looked up, from 0: by relevance to text and photograph.
    """

    fact: LinkedFact
    score: float
    margin: float
    reason: str
    otherwise: str = ""
    place: int = 0

    @property
    def sentence(self) -> str:
        """The fact in English."""
        return self.fact.sentence

    @property
    def kept(self) -> bool:
        """Whether the gate lets it through."""
        return self.margin >= 0

    def at_threshold(self, threshold: float) -> JudgedFact:
        """The fact as another threshold judges it."""
        margin = threshold - self.score
        if (margin >= 0) == self.kept:
            return replace(self, margin=margin)
        return replace(self, margin=margin, reason=self.otherwise, otherwise=self.reason)

    def as_dict(self) -> dict[str, Any]:
        """The fact as JSON has it, with score, margin and reason."""
        judgement = {"score": self.score, "margin": self.margin, "kept": self.kept, "reason": self.reason}
        return {**self.fact.as_dict(), **judgement}


@dataclass(frozen=True, kw_only=True, repr=False)
class PhotoExplanation:
    """What a photograph shows, and which facts about that and about a text belong to it.

    Attributes:
        name: What the photograph is called, such as its file's name.
        text: The question or other text about which facts were looked up too; may be empty.
        picture: The picture at a size for a page, RGB.
        concepts: What it shows, in the store's words, with probabilities, the likeliest first. A concept has what its
            kinds have, so they do not sum to 1.
        kept: The facts that belong to it, the largest margin first.
        dropped: The others, the largest margin first too: the nearest to the threshold.
        threshold: The largest score that is kept.
        notes: Sentences for the user, such as that the text names nothing that is known.
        model: What a model answers, and by which facts and patches; None without a model.
    """

    name: str
    text: str
    picture: Image.Image
    concepts: tuple[tuple[str, float], ...]
    kept: tuple[JudgedFact, ...]
    dropped: tuple[JudgedFact, ...]
    threshold: float
    notes: tuple[str, ...] = ()
    model: Explanation | None = None

    @property
    def label(self) -> str:
        """The last part of the name, which is a file's name alone."""
        return PurePath(self.name).name or self.name

    @property
    def answers(self) -> list[tuple[str, float]]:
        """The model's answers with their probabilities, the likeliest first; empty without a model."""
        return [] if self.model is None else self.model.answers

    def at_threshold(self, threshold: float) -> PhotoExplanation:
        """The same facts judged by another threshold, without running anything again.

        What the model answered stays: it was given the facts that were kept then.

        Args:
            threshold: The largest score that is kept.

        Example:
            >>> from vkood.demo.photographs import demo_photographs
            >>> from vkood.pipelines.photo_explainer import explain
            >>> shown = explain(demo_photographs()["rocket"])
            >>> len(shown.kept) > len(shown.at_threshold(-2.0).kept)
            True
        """
        facts = [fact.at_threshold(threshold) for fact in (*self.kept, *self.dropped)]
        kept, dropped = split_facts(facts)
        return replace(self, kept=kept, dropped=dropped, threshold=threshold)

    def __repr__(self) -> str:
        """Name, answers, concepts and facts, a line each."""
        lines = [f"{self.name}: {self.text}" if self.text else self.name]
        lines += [f"  {chance:6.1%}  {answer}  (answer)" for answer, chance in self.answers[:_SHOWN_CONCEPTS]]
        lines += [f"  {chance:6.1%}  {concept}" for concept, chance in self.concepts[:_SHOWN_CONCEPTS]]
        for title, facts in (("kept", self.kept), ("dropped", self.dropped)):
            lines += [f"{title}:"] if facts else []
            lines += [f"  {fact.margin:+6.2f}  {fact.sentence}  ({fact.reason})" for fact in facts]
        return "\n".join(map(printable, (*lines, *self.notes)))

    def _repr_html_(self) -> str:
        """The HTML that a notebook shows."""
        return render(TEMPLATES / "photo_fragment.html.jinja", {"photo": self.template_values()})

    def as_dict(self) -> dict[str, Any]:
        """All of it but the picture, as JSON has it."""
        return {
            "name": self.name,
            "text": self.text,
            "concepts": [
                {"concept": concept, "probability": probability} for concept, probability in self.concepts
            ],
            "threshold": self.threshold,
            "kept": [fact.as_dict() for fact in self.kept],
            "dropped": [fact.as_dict() for fact in self.dropped],
            "answers": [{"answer": answer, "probability": chance} for answer, chance in self.answers],
            "notes": list(self.notes),
        }

    def save(self, path: str | Path) -> None:
        """Write it as a page that needs nothing else.

        Args:
            path: The HTML file; its folder has to exist.

        Raises:
            ValueError: If the file is not named as a page is, or holds something else.
        """
        save_page([self], path)

    def to_page(self) -> str:
        """The same page as text."""
        return _page([self], self.label)

    def template_values(self) -> dict[str, Any]:
        """What the macro `photo` of `photo.html.jinja` shows."""
        widest = max((abs(fact.margin) for fact in (*self.kept, *self.dropped)), default=1.0) or 1.0
        return {
            "shown": self,
            "label": self.label,
            "picture": thumbnail(self.picture),
            "concepts": self.concepts[:_SHOWN_CONCEPTS],
            "widest": widest,
            "caution": CAUTION,
            "reasons": {"kept": reasons(self.kept), "dropped": reasons(self.dropped)},
            "model": None if self.model is None else self.model.template_values(),
        }


def split_facts(facts: Sequence[JudgedFact]) -> tuple[tuple[JudgedFact, ...], tuple[JudgedFact, ...]]:
    """Facts that are kept, and the others, each by margin, the largest first."""
    ordered = sorted(facts, key=lambda fact: (-fact.margin, fact.place))
    return tuple(fact for fact in ordered if fact.kept), tuple(fact for fact in ordered if not fact.kept)


def reasons(facts: Sequence[JudgedFact]) -> list[str]:
    """The reason of each fact; empty where it is that of the fact before, so that a table says it once."""
    before = ["", *(fact.reason for fact in facts)]
    return ["" if fact.reason == above else fact.reason for fact, above in zip(facts, before, strict=False)]


def save_page(
    explanations: Sequence[PhotoExplanation],
    path: str | Path,
    *,
    title: str = "Which facts belong to these photographs?",
    problems: Sequence[str] = (),
) -> None:
    """Write one page about several photographs.

    Args:
        explanations: What is known about each.
        path: The HTML file; its folder has to exist.
        title: The page's heading, unless it is about a single photograph.
        problems: Sentences about photographs that could not be read.

    Raises:
        ValueError: If there is no photograph, or the file is not named as a page is or holds something else.
    """
    if not explanations:
        raise ValueError("`explanations` must have at least one photograph; got none.")
    if problem := page_problem(path):
        raise ValueError(f"`path` {problem}")
    alone = len(explanations) == 1 and not problems
    write_text(path, _page(explanations, explanations[0].label if alone else title, problems))


def _page(explanations: Sequence[PhotoExplanation], title: str, problems: Sequence[str] = ()) -> str:
    values = {
        "title": title,
        "photos": [explanation.template_values() for explanation in explanations],
        "problems": list(problems),
    }
    return render(TEMPLATES / "photo_page.html.jinja", values) + "\n"
