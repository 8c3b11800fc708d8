"""The order of facts: how well each fits a text and a picture, by the words that they share.

A shared word counts by its rarity among the store's names (inverse document frequency): in full if it is the text's,
and in part if it is the picture's. The words of a fact that are not shared count against it. Facts of a relation that
the text asks for ("used for", "where"), facts that join a concept of the text with one of the picture, and facts that
their source trusts come first; "is a kind of" says least, and facts about another thing of the pictured kind are left
out. Of facts that share nothing but their concept, those of several concepts alternate. The weights of these were
chosen on half of FVQA's questions (`benchmarks/fvqa`); recall hardly depends on them.

Facts of a concept are indexed once by their words, so that a text costs what it shares with them, and not their number.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vkood.knowledge.facts import Fact
from vkood.knowledge.language import word_lists as lists
from vkood.knowledge.language.lemmas import stem
from vkood.knowledge.language.words import split_words

PICTURE_WEIGHT = 0.5
"""What a word of the picture counts, where one of the text counts 1; times the share of captions that have it."""
UNSHARED = 0.2
"""What the rarity of a fact's words costs; that of the other end is divided by the root of their number."""
CUE = 3.0
"""What the relation counts that the text asks for."""
JOIN = 3.0
"""What it counts that a fact joins a concept of the text with one of the picture."""
TRUST = 1.0
"""What the logarithm of a fact's weight counts."""
SPREAD = 0.3
"""What the logarithm of the number of a concept's facts that come before costs those which share nothing else."""
IS_A = 1.0
"""What it costs that a fact only says what something is called, or what kind of thing it is."""
_SMALLEST_WEIGHT = 0.001
"""Stores keep thousandths."""

ASKING = lists.words("questions", "asking")
"""Words that say that something is asked, and not what."""
_NOT_SHARED = ASKING | lists.EMPTY_NOUNS | lists.PICTURES
_NO_CONTENT = lists.FUNCTION_WORDS
_OF_NOUNS = frozenset(("IsA", "Synonym"))
_CUES = lists.pairs("questions", "cues")
_WEAK_CUES = lists.pairs("questions", "weak_cues")


def cues(words: Sequence[str]) -> frozenset[str]:
    """Return the relations that a text asks for.

    Args:
        words: Its words in lower case.

    Example:
        >>> cues("where can i find a dog".split()), cues("what can a dog do".split())
        (frozenset({'AtLocation'}), frozenset({'CapableOf'}))
    """
    strong = frozenset(_CUES[word] for word in words if word in _CUES)
    return strong or frozenset(_WEAK_CUES[word] for word in words if word in _WEAK_CUES)


def content_stems(words: Iterable[str]) -> Iterator[str]:
    """Yield the stems of those words of a text that facts can share.

    Args:
        words: Words in lower case.
    """
    return (stem(word) for word in words if word not in _NO_CONTENT and word not in _NOT_SHARED)


def name_stems(name: str) -> tuple[str, ...]:
    """The different stems of a concept's words, without function words unless it has no others.

    Args:
        name: A subject or an object.

    Example:
        >>> name_stems("keeping food cold")
        ('keep', 'food', 'cold')
    """
    words = name.split() if name.isascii() and name.replace(" ", "").isalnum() else split_words(name).lower
    return tuple(dict.fromkeys(stem(word) for word in words if word not in _NO_CONTENT)) or tuple(words)


def ends_in(fact: Fact, phrase: str) -> bool:
    """Whether a fact ends in a phrase as a text has it; a verb ("dry") is no noun of which something is a kind.

    Args:
        fact: The fact.
        phrase: The phrase.
    """
    return fact.object == phrase and (fact.relation not in _OF_NOUNS or " " in phrase)


class Rarity:
    """How rare each word is among the names of a store.

    Args:
        names: The names of all concepts.
    """

    def __init__(self, names: Iterable[str]) -> None:
        counts: Counter[str] = Counter()
        total = 0
        for name in names:
            total += 1
            counts.update(name.replace("-", " ").split())
        by_stem: Counter[str] = Counter()
        for word, count in counts.items():
            by_stem[stem(word)] += count
        self._of = {word: math.log1p(total / (1 + count)) for word, count in by_stem.items() if count > 1}
        self._of_others = math.log1p(total / 2)

    def __call__(self, word: str) -> float:
        """The rarity of a stem, from 0."""
        return self._of.get(word, self._of_others)


@dataclass(frozen=True, slots=True)
class Shared:
    """What facts can share with a text and a picture.

    Args:
        words: What each stem counts: its weight times its rarity.
        cues: The relations that the text asks for.
        of_text: The entries of the text.
        of_picture: The entries of the picture.
    """

    words: Mapping[str, float]
    cues: frozenset[str]
    of_text: frozenset[str]
    of_picture: frozenset[str]

    def joins(self, fact: Fact) -> bool:
        """Whether a fact leads from the text to something that only the picture has, or the other way round."""
        return self._joins(fact.subject, fact.object) or self._joins(fact.object, fact.subject)

    def is_about_another(self, entry: str, fact: Fact) -> bool:
        """Whether a fact is about another thing of the kind that the picture shows ("a bull is an animal" for a dog).

        Args:
            entry: The concept that led to the fact; a text that names it may ask for things of that kind.
            fact: The fact.
        """
        of_kind = fact.relation == "IsA" and fact.object == entry and entry not in self.of_text
        return of_kind and fact.subject not in self.of_text and fact.subject not in self.of_picture

    def _joins(self, of_text: str, of_picture: str) -> bool:
        return of_text in self.of_text and of_picture in self.of_picture and of_picture not in self.of_text


@dataclass(slots=True)
class ConceptFacts:
    """The facts of a concept, indexed by what they can share.

    Args:
        entry: The concept.
        facts: Its facts.
        rarity: Of the words of the store.
    """

    entry: str
    facts: list[Fact]
    rarity: Rarity
    own: tuple[str, ...] = field(init=False)
    """The concept's own stems, which all of its facts have."""
    ids: list[str] = field(init=False)
    """The id of each fact."""
    base: list[float] = field(init=False)
    """What each fact counts before anything is shared."""
    order: list[int] = field(init=False)
    """The facts by what they count then, the best first."""
    by_relation: dict[str, list[int]] = field(init=False)
    """The same for each relation."""
    by_word: dict[str, list[int]] = field(init=False)
    """The facts that have a stem besides the concept's own."""

    def __post_init__(self) -> None:
        """Index the facts."""
        rarity = self.rarity
        self.own = name_stems(self.entry)
        self.ids = [fact.id for fact in self.facts]
        self.base, self.by_word, self.by_relation = [], {}, {}
        cost_of_own = sum(map(rarity, self.own))
        for place, fact in enumerate(self.facts):
            other = fact.object if fact.subject == self.entry else fact.subject
            rest = [word for word in name_stems(other) if word not in self.own]
            for word in rest:
                self.by_word.setdefault(word, []).append(place)
            trust = TRUST * math.log(max(fact.weight, _SMALLEST_WEIGHT))
            cost_of_rest = sum(map(rarity, rest)) / math.sqrt(max(len(rest), 1))
            cost = UNSHARED * (cost_of_own + cost_of_rest)
            self.base.append(trust - cost - IS_A * (fact.relation in _OF_NOUNS))
        self.order = sorted(
            range(len(self.facts)),
            key=lambda place: (-self.base[place], -self.facts[place].weight, self.ids[place]),
        )
        for place in self.order:
            self.by_relation.setdefault(self.facts[place].relation, []).append(place)

    def scored(self, shared: Shared, limit: int | None) -> Iterator[tuple[float, int]]:
        """Yield relevance and place of facts, the `limit` best among them.

        Args:
            shared: What they can share.
            limit: How many are needed; None for all.
        """
        words, base, facts = shared.words, self.base, self.facts
        hits: dict[int, float] = {}
        for word, value in words.items():
            for place in self.by_word.get(word, ()):
                hits[place] = hits.get(place, 0.0) + value
        own = sum(words.get(word, 0.0) for word in self.own)
        for place, value in hits.items():
            fact = facts[place]
            if shared.is_about_another(self.entry, fact):
                continue
            value += CUE * (fact.relation in shared.cues) + JOIN * shared.joins(fact)
            yield own + base[place] + value, place
        rest = [self.by_relation[relation] for relation in shared.cues if relation in self.by_relation]
        for places, value in (*((places, own + CUE) for places in rest), (self.order, own)):
            number = 0
            for place in places:
                if place in hits or (value == own and facts[place].relation in shared.cues):
                    continue
                if shared.is_about_another(self.entry, facts[place]):
                    continue
                yield value + base[place] - SPREAD * math.log1p(number), place
                number += 1
                if number == limit:
                    break


def best(concepts: Iterable[ConceptFacts], shared: Shared, limit: int | None) -> list[tuple[Fact, float]]:
    """The facts of some concepts with their relevance, the best first, each once.

    Args:
        concepts: The facts of each concept.
        shared: What they can share.
        limit: How many facts; None for all. What is equally relevant is ordered by weight, then by id.
    """
    scores: dict[str, tuple[float, float, str, Fact]] = {}
    for concept in concepts:
        ids, facts = concept.ids, concept.facts
        for relevance, place in concept.scored(shared, limit):
            fact = facts[place]
            id_ = ids[place]
            if id_ not in scores:
                scores[id_] = (-round(relevance, 4), -fact.weight, id_, fact)
    chosen = sorted(scores.values()) if limit is None else heapq.nsmallest(limit, scores.values())
    return [(fact, -negative) for negative, _, _, fact in chosen]
