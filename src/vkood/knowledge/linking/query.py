"""What facts are looked up for: a text, descriptions of a picture, and the picture's concepts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vkood.knowledge.facts import normalise_concept

MAX_CHARACTERS = 100_000
"""More is no caption and no question, but a file passed by mistake."""


@dataclass(frozen=True, slots=True)
class FactQuery:
    """What facts are looked up for.

    Args:
        text: A question, or a caption.
        captions: Descriptions of the picture that the question is about.
        concepts: Concepts of the picture, as the store names them, each with its probability from 0 to 1; the
            likeliest first.

    Raises:
        ValueError: If a text is no text or is too long, or a probability is not from 0 to 1.

    Example:
        >>> from vkood.knowledge import facts_for
        >>> query = FactQuery("What is it used for?", concepts=(("umbrella", 0.9), ("rain", 0.4)))
        >>> facts_for(query, limit=1)[0].fact.subject
        'umbrella'
    """

    text: str = ""
    captions: tuple[str, ...] = ()
    concepts: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        """Refuse invalid values; lists become tuples."""
        _require_text("`text`", self.text)
        if isinstance(self.captions, str):
            raise ValueError(
                f"`captions` must be a list of texts; got one text: write [{self.captions[:40]!r}]."
            )
        for name, items in (("captions", self.captions), ("concepts", self.concepts)):
            if not isinstance(items, Iterable):
                raise ValueError(f"`{name}` must be a list; got {type(items).__name__}.")
        captions = tuple(self.captions)
        for number, caption in enumerate(captions):
            _require_text(f"captions[{number}]", caption)
        object.__setattr__(self, "captions", captions)
        object.__setattr__(self, "concepts", tuple(map(_concept, self.concepts)))


def together(of_pictures: Sequence[Sequence[tuple[str, float]]]) -> tuple[tuple[str, float], ...]:
    """The concepts of several pictures, each with its largest probability, the likeliest first.

    Example:
        >>> together([(("dog", 0.5), ("cat", 0.4)), (("cat", 0.9),)])
        (('cat', 0.9), ('dog', 0.5))
    """
    largest: dict[str, float] = {}
    for name, probability in (pair for concepts in of_pictures for pair in concepts):
        largest[name] = max(probability, largest.get(name, 0.0))
    return tuple(sorted(largest.items(), key=lambda pair: -pair[1]))


def as_query(query: Any) -> FactQuery:
    """Return a query as it is, and a text as a query.

    Args:
        query: A `FactQuery`, or a text.

    Raises:
        ValueError: If it is neither, or the text is too long.
    """
    return query if isinstance(query, FactQuery) else FactQuery(query)


def require_texts(texts: Any) -> list[str]:
    """Return texts as a list.

    Raises:
        ValueError: If it is a single text, an item is no text, or a text is too long.
    """
    if isinstance(texts, str):
        raise ValueError(f"`texts` must be a list of texts; got one text: write [{texts[:40]!r}].")
    texts = list(texts)
    for text in texts:
        _require_text("`text`", text)
    return texts


def _require_text(argument: str, text: object) -> None:
    if not isinstance(text, str):
        raise ValueError(f"{argument} must be a text; got {type(text).__name__}.")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(
            f"{argument} must have at most {MAX_CHARACTERS:,} characters; got {len(text):,}. Split it into sentences."
        )


def _concept(item: Any) -> tuple[str, float]:
    try:
        name, probability = item
        valid = not isinstance(item, str) and isinstance(name, str) and 0 <= float(probability) <= 1
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise ValueError(
            f"`concepts` must be pairs of a name and a probability from 0 to 1, such as ('dog', 0.9); got {item!r:.80}."
        )
    return normalise_concept(name), float(probability)
