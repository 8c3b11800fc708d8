"""What a text has in it that facts can share, and what a query has, of text and picture together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from vkood.knowledge.facts import Fact
from vkood.knowledge.language.lemmas import singular
from vkood.knowledge.language.plain_text import PlainText
from vkood.knowledge.language.words import Words
from vkood.knowledge.linking.linked_fact import Concept
from vkood.knowledge.linking.matching import Match
from vkood.knowledge.linking.query import FactQuery
from vkood.knowledge.linking.relevance import ASKING, PICTURE_WEIGHT, Shared, content_stems, cues, name_stems


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text has in it.

    Args:
        concepts: The concepts that it names.
        asking: Those that only say that something is asked ("which object"): of use where there are no others.
        phrases: Its further words and phrases in which facts end ("eat fish").
        stems: The stems of its words, save those that are denied.
        denied_stems: Of those.
        cues: The relations that it asks for.
    """

    concepts: tuple[Concept, ...]
    asking: tuple[Concept, ...]
    phrases: tuple[Concept, ...]
    stems: tuple[str, ...]
    denied_stems: tuple[str, ...]
    cues: frozenset[str]


def read(words: Words, concepts: Iterable[Match], phrases: Iterable[Match], form: PlainText) -> Reading:
    """Return what a text has in it.

    Args:
        words: Its words.
        concepts: Which of them name concepts.
        phrases: Which of them are an end of facts.
        form: The text's plain form, from which the words are.
    """
    concepts = list(concepts)
    entries = {match.entry for match in concepts}
    denied = {place for match in concepts if match.negated for place in range(match.first, match.last + 1)}
    affirmed = [word for place, word in enumerate(words.lower) if place not in denied]
    return Reading(
        concepts=tuple(located(words, (match for match in concepts if not _only_asks(match, words)), form)),
        asking=tuple(located(words, (match for match in concepts if _only_asks(match, words)), form)),
        phrases=tuple(
            located(words, (match for match in phrases if _is_phrase(match, words, entries)), form)
        ),
        stems=tuple(dict.fromkeys(content_stems(affirmed))),
        denied_stems=tuple(content_stems(words.lower[place] for place in sorted(denied))),
        cues=cues(words.lower),
    )


def _is_phrase(match: Match, words: Words, entries: set[str]) -> bool:
    """Whether a match is no concept, and says more than that something is asked."""
    return match.entry not in entries and not _only_asks(match, words)


def _only_asks(match: Match, words: Words) -> bool:
    """Whether a match is one of the words that ask ("which object")."""
    return match.first == match.last and words.lower[match.first] in ASKING


def located(words: Words, matches: Iterable[Match], form: PlainText) -> Iterator[Concept]:
    """Yield the concepts of matches, with their places in the text as the user wrote it.

    Args:
        words: The words of the plain form.
        matches: Which of them name what.
        form: The plain form.
    """
    for match in matches:
        concept = concept_of(words, match)
        yield concept if form.starts is None else replace(concept, span=form.span(*concept.span))


def concept_of(words: Words, match: Match) -> Concept:
    """Return the concept of a match, with its place in the plain form.

    Args:
        words: The words of the plain form.
        match: Which of them name what.
    """
    first, last, entry = match.first, match.last, match.entry
    lemma = entry
    if len(entry.replace("-", " ").split()) != last - first + 1:
        # Written apart in the text, together in the store: "sail boats".
        lemma = " ".join([*words.lower[first:last], singular(words.lower[last])])
    return Concept((words.starts[first], words.ends[last]), lemma, entry, match.negated)


@dataclass(slots=True)
class Gathered:
    """What a query has in it, of text and picture together.

    Args:
        concepts: What led to each entry: the text's concept, then the picture's.
        phrases: The entries of which only the facts that end in them are of use.
        weights: How much each stem counts, before its rarity.
        cues: The relations that the text asks for.
    """

    concepts: dict[str, tuple[Concept, ...]] = field(default_factory=dict)
    phrases: set[str] = field(default_factory=set)
    weights: dict[str, float] = field(default_factory=dict)
    cues: frozenset[str] = frozenset()

    @property
    def keys(self) -> Iterator[tuple[str, bool]]:
        """Each entry, and whether it is a phrase."""
        return ((entry, entry in self.phrases) for entry in self.concepts)

    def shared(self, rarity: Callable[[str], float]) -> Shared:
        """What facts can share with the query.

        Args:
            rarity: How much a stem counts.
        """
        origins = {entry: {concept.origin for concept in of} for entry, of in self.concepts.items()}
        return Shared(
            {word: weight * rarity(word) for word, weight in self.weights.items()},
            self.cues,
            frozenset(entry for entry, of in origins.items() if "text" in of),
            frozenset(entry for entry, of in origins.items() if of != {"text"}),
        )

    def leading_to(self, fact: Fact) -> tuple[Concept, ...]:
        """The concepts that are a fact's subject or object, those of the text first."""
        of_subject = self.concepts.get(fact.subject, ())
        of_object = self.concepts.get(fact.object, ()) if fact.object != fact.subject else ()
        if not (of_subject and of_object):
            return of_subject or of_object
        return tuple(sorted(of_subject + of_object, key=lambda concept: concept.origin != "text"))

    def add(self, concept: Concept, weight: float, *, phrase: bool = False) -> None:
        """Add a concept that led to facts, once for the text and once for the picture."""
        entry = concept.entry
        before = self.concepts.get(entry, ())
        if all((other.origin == "text") != (concept.origin == "text") for other in before):
            self.concepts[entry] = (*before, concept)
        if phrase:
            self.phrases.add(entry)
        else:
            self.phrases.discard(entry)
        # However the text has it: "people" is about a person.
        self.count(name_stems(entry), weight)

    def count(self, stems: Iterable[str], weight: float) -> None:
        """Let stems count at least this much."""
        weights = self.weights
        for stem in stems:
            if weights.get(stem, 0.0) < weight:
                weights[stem] = weight


def gather(query: FactQuery, readings: Mapping[str, Reading], *, negated: bool) -> Gathered:
    """Return what a query has in it.

    Args:
        query: Text and picture.
        readings: What each of its texts has in it.
        negated: Whether what is denied counts too.
    """
    text = readings[query.text]
    gathered = Gathered(cues=text.cues)
    gathered.count(text.stems, 1.0)
    if negated:
        gathered.count(text.denied_stems, 1.0)
    for concept in _affirmed(text.concepts, negated=negated):
        gathered.add(concept, 1.0)
    for concept in _affirmed(text.phrases, negated=negated):
        gathered.add(concept, 1.0, phrase=True)
    if query.captions:
        _gather_captions(gathered, [readings[caption] for caption in query.captions], negated=negated)
    for entry, probability in query.concepts:
        gathered.add(Concept((0, 0), entry, entry, origin="picture"), PICTURE_WEIGHT * probability)
    if not gathered.concepts:
        for concept in _affirmed(text.asking, negated=negated):
            gathered.add(concept, 1.0)
    return gathered


def _affirmed(concepts: Iterable[Concept], *, negated: bool) -> Iterator[Concept]:
    """The concepts that are not denied; all, if those are of use too."""
    return (concept for concept in concepts if negated or not concept.negated)


def _gather_captions(gathered: Gathered, captions: list[Reading], *, negated: bool) -> None:
    """Add what captions have in it; each counts by the share of captions that have it."""
    stems: Counter[str] = Counter()
    entries: Counter[str] = Counter()
    first: dict[str, Concept] = {}
    for caption in captions:
        stems.update({*caption.stems, *caption.denied_stems} if negated else caption.stems)
        named = {concept.entry: concept for concept in _affirmed(caption.concepts, negated=negated)}
        entries.update(named.keys())
        for entry, concept in named.items():
            first.setdefault(entry, concept)
    for stem, number in stems.items():
        gathered.count((stem,), PICTURE_WEIGHT * number / len(captions))
    for entry, concept in first.items():
        weight = PICTURE_WEIGHT * entries[entry] / len(captions)
        gathered.add(replace(concept, origin="caption"), weight)
