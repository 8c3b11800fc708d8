"""Knowledge questions as they come out of a search that read the question, and not the picture."""

from __future__ import annotations

from dataclasses import replace

from vkood.data import COLOURS, SHAPES
from vkood.data.easy_vqa_knowledge import COLOUR_QUESTIONS, Question, entity_facts

_VALUES = {"colour": frozenset(COLOURS), "shape": frozenset(SHAPES)}
_OF_KIND = {
    kind: frozenset(fact for fact in entity_facts() if values.intersection(fact.rstrip(".").split()))
    for kind, values in _VALUES.items()
}


def of_one_kind(question: Question) -> Question:
    """The question without facts about shapes where it asks for a colour, and the other way round.

    Of three facts about entities one then agrees with the picture, and that one answers. Irrelevant facts stay.

    Args:
        question: With or without facts.
    """
    other = _OF_KIND["shape" if question.text in COLOUR_QUESTIONS else "colour"]
    kept = [place for place, fact in enumerate(question.facts) if fact not in other]
    return replace(
        question,
        facts=tuple(question.facts[place] for place in kept),
        matches=tuple(question.matches[place] for place in kept),
    )
