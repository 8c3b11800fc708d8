"""The facts of a text: each with the concept that led to it."""

from __future__ import annotations

from dataclasses import dataclass

from vkood.knowledge.facts import Fact, text_id

Span = tuple[int, int]
"""Where something stands in a text: the first character, and the one after the last."""


@dataclass(frozen=True, slots=True)
class Concept:
    """A concept that a text names.

    Args:
        span: Where it stands.
        lemma: Its words as they stand there, in lower case and in the singular.
        entry: The subject in the store under which its facts are; all of its senses.
        negated: Whether the text says that there is none: "no dog", "without a hat".
    """

    span: Span
    lemma: str
    entry: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class LinkedFact:
    """A fact of a text, and the concept that led to it.

    Args:
        fact: The fact, or a sentence of the user's own.
        concept: The concept whose fact it is; None if no concept led to it.

    Example:
        >>> linked = LinkedFact(Fact("dog", "IsA", "pet"), Concept((2, 5), "dog", "dog"))
        >>> linked.sentence, linked.span
        ('a dog is a pet.', (2, 5))
        >>> LinkedFact("dogs bark.").sentence
        'dogs bark.'
    """

    fact: Fact | str
    concept: Concept | None = None

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
        """Where in the text its concept stands; None if no concept led to it."""
        return None if self.concept is None else self.concept.span

    @property
    def source(self) -> str:
        """Where the fact comes from; empty for a sentence of the user's own."""
        return "" if isinstance(self.fact, str) else self.fact.source

    def as_dict(self) -> dict[str, str | float]:
        """The fact as JSON has it: of a sentence, its id and the sentence."""
        return {"id": self.id, "sentence": self.fact} if isinstance(self.fact, str) else self.fact.as_dict()
