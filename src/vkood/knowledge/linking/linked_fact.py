"""The facts of a query: each with the concepts that led to it, and how well it fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from vkood.knowledge.facts import Fact, text_id

Span = tuple[int, int]
"""Where something stands in a text: the first character, and the one after the last."""

Origin = Literal["text", "caption", "picture"]
"""What names a concept: the text itself, a description of the picture, or whoever looked at the picture."""

_WHERE: dict[Origin, str] = {"text": "in the text", "caption": "in a caption", "picture": "in the picture"}


@dataclass(frozen=True, slots=True)
class Concept:
    """A concept that a text or a picture has.

    Args:
        span: Where it stands in the text, or in its caption; (0, 0) for a concept of the picture.
        lemma: Its words as they stand there, in lower case and in the singular.
        entry: The name in the store under which its facts are; all of its senses.
        negated: Whether the text says that there is none: "no dog", "without a hat".
        origin: What names it.
    """

    span: Span
    lemma: str
    entry: str
    negated: bool = False
    origin: Origin = "text"


@dataclass(frozen=True, slots=True)
class LinkedFact:
    """A fact, the concepts that led to it, and how well it fits.

    Args:
        fact: The fact, or a sentence of the user's own.
        concepts: The concepts of text and picture that are its subject or object; those of the text first. Empty if
            none led to it.
        relevance: How well the fact fits text and picture: larger is better. It compares facts of one query.

    Example:
        >>> linked = LinkedFact(Fact("dog", "IsA", "pet", source="ours"), (Concept((2, 5), "dog", "dog"),), 4.2)
        >>> linked.sentence, linked.span
        ('a dog is a pet.', (2, 5))
        >>> linked.why
        "'dog' in the text; relevance 4.20; from ours."
        >>> LinkedFact("dogs bark.").sentence
        'dogs bark.'
    """

    fact: Fact | str
    concepts: tuple[Concept, ...] = ()
    relevance: float = 0.0

    @property
    def concept(self) -> Concept | None:
        """The first of the concepts that led to it; None if no concept did."""
        return self.concepts[0] if self.concepts else None

    @property
    def id(self) -> str:
        """The fact's stable id; of a sentence, a hash of the sentence."""
        return text_id(self.fact) if isinstance(self.fact, str) else self.fact.id

    @property
    def sentence(self) -> str:
        """The fact in English."""
        return self.fact if isinstance(self.fact, str) else self.fact.sentence

    @property
    def span(self) -> Span | None:
        """Where in the text its first concept stands; None if none of the text led to it."""
        concept = self.concept
        return concept.span if concept is not None and concept.origin == "text" else None

    @property
    def source(self) -> str:
        """Where the fact comes from; empty for a sentence of the user's own."""
        return "" if isinstance(self.fact, str) else self.fact.source

    @property
    def why(self) -> str:
        """Why the fact is here, in a short sentence: concepts, relevance, source."""
        if isinstance(self.fact, str):
            return "a sentence of the user's own."
        named = " and ".join(f"{concept.entry!r} {_WHERE[concept.origin]}" for concept in self.concepts)
        source = f"from {self.fact.source}" if self.fact.source else "of no stated source"
        return f"{named or 'no concept'}; relevance {self.relevance:.2f}; {source}."

    def as_dict(self) -> dict[str, Any]:
        """The fact as JSON has it, with its relevance and the reason; of a sentence, its id and the sentence."""
        if isinstance(self.fact, str):
            return {"id": self.id, "sentence": self.fact}
        return {**self.fact.as_dict(), "relevance": self.relevance, "why": self.why}
