"""From a text to the concepts of a store that it names, and to their facts."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from vkood.fields import as_count, require_kind
from vkood.knowledge.facts import Fact
from vkood.knowledge.language.plain_text import PlainText, plain_text
from vkood.knowledge.language.words import Words, guess_kinds, split_words
from vkood.knowledge.linking.linked_fact import Concept, LinkedFact
from vkood.knowledge.linking.matching import MAX_NAME_WORDS, Match, Scope, candidates, choose
from vkood.knowledge.linking.query import FactQuery, as_query, require_texts
from vkood.knowledge.linking.reading import Gathered, Reading, concept_of, gather, located, read
from vkood.knowledge.linking.relevance import ConceptFacts, Rarity, best, ends_in

_Value = TypeVar("_Value")

BATCH = 512
"""Texts that are looked at together: the store is asked once for all of them."""

MAX_NAMES = 500_000
"""Names of which a linker remembers whether the store has them, at most."""

MAX_TEXTS = 50_000
"""Texts that a linker remembers, at most."""

MAX_FACTS = 200_000
"""Facts that a linker remembers from one batch to the next, at most."""

MAX_FACTS_OF_CONCEPT = 1_000
"""Facts that are considered of a concept as subject, and as many as object: the heaviest."""

MAX_REMEMBERED_LENGTH = 1_000
"""Characters of a text that is remembered, at most."""


MAX_STORES = 4
"""Stores whose counts of words are remembered in a process, at most."""

_RARITIES: dict[str, Rarity] = {}
"""By the store's content hash."""


@runtime_checkable
class Store(Protocol):
    """The part of a `FactStore` that a linker uses."""

    @property
    def longest_entry(self) -> int:
        """Most words in a subject."""
        ...

    @property
    def content_hash(self) -> str:
        """Tells stores of different facts apart."""
        ...

    def known(self, names: Iterable[str], *, objects: bool = False) -> frozenset[str]:
        """Return which of the names are subjects of facts, or objects too."""
        ...

    def about(self, concepts: Sequence[str], limit: int | None = 1000) -> dict[str, list[Fact]]:
        """Return the facts that have each concept at either end."""
        ...

    def names(self) -> Iterable[str]:
        """Return all subjects and objects."""
        ...


class Linker:
    """Finds the concepts of a store in texts, and their facts.

    It remembers the texts that it read and the facts that it looked up, so that a second epoch costs next to
    nothing. It can be pickled, for the workers of a data loader: the store is opened again there, and what was
    remembered stays behind.

    Args:
        store: Where concepts are looked up; by default the store that comes with vkood.
        scope: "things" for names of things and colours; "all" for verbs and adjectives too.

    Raises:
        ValueError: If `scope` is something else.

    Example:
        >>> linker = Linker()
        >>> [concept.entry for concept in linker.link("Two dogs near a fire hydrant, but no cat.")]
        ['dog', 'fire hydrant', 'cat']
        >>> linker.link("no cat")[0]
        Concept(span=(3, 6), lemma='cat', entry='cat', negated=True, origin='text')
    """

    def __init__(self, store: Store | None = None, scope: Scope = "things") -> None:
        if scope not in ("things", "all"):
            raise ValueError(f"`scope` must be 'things' or 'all'; got {scope!r}.")
        self._scope: Scope = scope
        if store is None:
            from vkood.knowledge.store.fact_store import FactStore

            store = FactStore.open()
        elif isinstance(store, str | Path):
            path = str(store)
            raise TypeError(f"`store` must be a store, not its path: open it by `FactStore.open({path!r})`.")
        require_kind("store", store, Store)
        self._store = store
        self.forget()

    def forget(self) -> None:
        """Forget texts, names and facts: all that was read and looked up."""
        self._known: dict[str, bool] = {}
        self._named: dict[str, bool] = {}
        self._facts: dict[tuple[str, bool], ConceptFacts] = {}
        self._num_facts = 0
        self.forget_texts()

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the linker's options, not its caches."""
        return {"_store": self._store, "_scope": self._scope}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start with empty caches."""
        self.__dict__.update(state)
        self.forget()

    @property
    def store(self) -> Store:
        """Where concepts are looked up."""
        return self._store

    def forget_texts(self) -> None:
        """Forget the texts that were read; names and facts stay."""
        self._concepts: dict[str, tuple[Concept, ...]] = {}
        self._readings: dict[str, Reading] = {}

    def link(self, text: str) -> list[Concept]:
        """Return the concepts of a text, in its order.

        Raises:
            ValueError: If `text` is no text, or is too long.
        """
        return self.link_many([text])[0]

    def link_many(self, texts: Iterable[str]) -> list[list[Concept]]:
        """Return the concepts of each text; faster than text by text.

        Raises:
            ValueError: If `texts` is a single text, an item is no text, or a text is too long.
        """
        texts = require_texts(texts)
        concepts_of = {text: self._concepts[text] for text in texts if text in self._concepts}
        new = [text for text in dict.fromkeys(texts) if text not in concepts_of]
        plain = [plain_text(text) for text in new]
        linked = self._matches((form.text for form in plain), phrases=False)
        for text, form, (words, matches, _) in zip(new, plain, linked, strict=True):
            concepts_of[text] = tuple(located(words, matches, form))
        self._concepts = _remembered(self._concepts, {text: concepts_of[text] for text in new})
        return [list(concepts_of[text]) for text in texts]

    def facts_for(
        self, query: str | FactQuery, limit: int | None = 20, *, negated: bool = False
    ) -> list[LinkedFact]:
        """Return the facts of a text, or of a text and a picture: the most relevant first, each once.

        They are facts that begin or end in a concept of text, captions or picture. Which of them fit best, the words
        decide that they share with text and captions, the relation that the text asks for, and whether they join a
        concept of the text with one of the picture.

        Args:
            query: A caption or a question; or a `FactQuery`, that has descriptions and concepts of the picture too.
            limit: Max number of facts in all; None for all.
            negated: Also facts of what a text says is absent.

        Raises:
            ValueError: If `query` is neither, a text is too long, or `limit` is below 1.
        """
        return self.facts_for_many([query], limit, negated=negated)[0]

    def facts_for_many(
        self, queries: Iterable[str | FactQuery], limit: int | None = 20, *, negated: bool = False
    ) -> list[list[LinkedFact]]:
        """Return the facts of each query, as `facts_for` does; faster than query by query."""
        require_kind("queries", queries, Iterable)
        if isinstance(queries, str | FactQuery):
            raise ValueError(f"`queries` must be a list; got one query: write [{queries!r:.60}].")
        limit = None if limit is None else as_count("limit", limit)
        rest = map(as_query, queries)
        facts: list[list[LinkedFact]] = []
        while batch := list(islice(rest, BATCH)):
            readings = self._read(text for query in batch for text in (query.text, *query.captions))
            of_queries = [gather(query, readings, negated=negated) for query in batch]
            self._look_up(dict.fromkeys(key for gathered in of_queries for key in gathered.keys))
            facts.extend(self._ranked(gathered, limit) for gathered in of_queries)
        return facts

    def link_plain(self, texts: Iterable[str]) -> Iterator[tuple[list[Concept], Words]]:
        """Yield the concepts and the words of texts in their plain form, with their places there.

        Args:
            texts: Texts as `plain_text` gives them.
        """
        for words, matches, _ in self._matches(texts, phrases=False):
            yield [concept_of(words, match) for match in matches], words

    def _matches(
        self, texts: Iterable[str], *, phrases: bool
    ) -> Iterator[tuple[Words, list[Match], list[Match]]]:
        """Yield the words of texts, which of them name subjects, and, if asked for, which name any end of a fact."""
        rest = iter(texts)
        while batch := list(islice(rest, BATCH)):
            split = [split_words(text) for text in batch]
            for words in split:
                words.kinds = guess_kinds(words)
            longest = MAX_NAME_WORDS if phrases else self._store.longest_entry
            runs = [candidates(words, longest) for words in split]
            names = {form for text in runs for place in text for run in place for form in run.forms}
            known = self._known = self._asked(names, self._known, objects=False)
            named = self._named = self._asked(names, self._named, objects=True) if phrases else self._named
            for words, places in zip(split, runs, strict=True):
                further = choose(words, places, named.__getitem__, "phrases") if phrases else []
                yield words, choose(words, places, known.__getitem__, self._scope), further

    def _asked(self, names: set[str], answers: dict[str, bool], *, objects: bool) -> dict[str, bool]:
        """What is known of names, with the answers for those that are new."""
        new = names.difference(answers)
        if not new:
            return answers
        if len(answers) + len(new) > MAX_NAMES:
            answers, new = {}, names
        known = self._store.known(new, objects=objects)
        answers.update((name, name in known) for name in new)
        return answers

    def _read(self, texts: Iterable[str]) -> Mapping[str, Reading]:
        """What each text has in it."""
        readings = {text: self._readings.get(text) for text in texts}
        new = [text for text, reading in readings.items() if reading is None]
        plain = [plain_text(text) for text in new]
        of_new: dict[str, Reading] = {}
        matches = self._matches((form.text for form in plain), phrases=True)
        for text, form, (words, concepts, phrases) in zip(new, plain, matches, strict=True):
            of_new[text] = read(words, concepts, phrases, form)
        self._readings = _remembered(self._readings, of_new)
        return {text: reading or of_new[text] for text, reading in readings.items()}

    def _rarity(self) -> Rarity:
        """How rare words are in the store; counted once in a process."""
        key = self._store.content_hash
        if key not in _RARITIES:
            while len(_RARITIES) >= MAX_STORES:
                del _RARITIES[next(iter(_RARITIES))]
            _RARITIES[key] = Rarity(self._store.names())
        return _RARITIES[key]

    def _look_up(self, keys: Mapping[tuple[str, bool], None]) -> None:
        """Have the facts of entries at hand."""
        new = [key for key in keys if key not in self._facts]
        if not new:
            return
        if self._num_facts > MAX_FACTS:
            self._facts, self._num_facts, new = {}, 0, list(keys)
        rarity = self._rarity()
        about = self._store.about(list(dict.fromkeys(entry for entry, _ in new)), MAX_FACTS_OF_CONCEPT)
        for entry, is_phrase in new:
            facts = [fact for fact in about[entry] if not is_phrase or ends_in(fact, entry)]
            self._facts[entry, is_phrase] = ConceptFacts(entry, facts, rarity)
            self._num_facts += len(facts)

    def _ranked(self, gathered: Gathered, limit: int | None) -> list[LinkedFact]:
        """The best facts of a query."""
        if not gathered.concepts:
            return []
        shared = gathered.shared(self._rarity())
        facts = [self._facts[key] for key in gathered.keys]
        return [
            LinkedFact(fact, gathered.leading_to(fact), relevance)
            for fact, relevance in best(facts, shared, limit)
        ]


def plain_form(text: str) -> PlainText:
    """Return the plain form of a text that a user gave.

    Raises:
        ValueError: If it is no text, or is too long.
    """
    [text] = require_texts([text])
    return plain_text(text)


def _remembered(before: dict[str, _Value], new: Mapping[str, _Value]) -> dict[str, _Value]:
    """What is remembered of texts, with what is new; all from before is forgotten if that is too much."""
    if len(before) + len(new) > MAX_TEXTS:
        before = {}
    for text, value in islice(new.items(), MAX_TEXTS):
        if len(text) <= MAX_REMEMBERED_LENGTH:
            before[text] = value
    return before


@functools.lru_cache(maxsize=2)
def default_linker(store: Store | None = None) -> Linker:
    """Return the linker that `link`, `facts_for` and `parse` share."""
    return Linker(store)


def link(text: str, store: Store | None = None) -> list[Concept]:
    """Find the concepts of a store that a text names, in its order.

    Args:
        text: A caption or a question.
        store: By default the store that comes with vkood.

    Raises:
        ValueError: If `text` is no text, or is too long.

    Example:
        >>> [concept.entry for concept in link("What color is the man's umbrella?")]
        ['man', 'umbrella']
    """
    return default_linker(store).link(text)


def facts_for(query: str | FactQuery, store: Store | None = None, limit: int | None = 20) -> list[LinkedFact]:
    """Find the facts of a text, or of a text and a picture: the most relevant first.

    Args:
        query: A caption or a question; or a `FactQuery`, that has descriptions and concepts of the picture too.
        store: By default the store that comes with vkood.
        limit: Max number of facts in all; None for all.

    Raises:
        ValueError: If `query` is neither, a text is too long, or `limit` is below 1.

    Example:
        >>> facts_for("What is an umbrella used for?", limit=1)[0].fact.relation
        'UsedFor'
    """
    return default_linker(store).facts_for(query, limit)
