"""From a text to the concepts of a store that it names, and to their facts."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from vkood.fields import require_kind
from vkood.knowledge.facts import Fact
from vkood.knowledge.language.lemmas import singular
from vkood.knowledge.language.plain_text import PlainText, plain_text
from vkood.knowledge.language.words import Words, guess_kinds, split_words
from vkood.knowledge.linking.linked_fact import Concept, LinkedFact
from vkood.knowledge.linking.matching import Match, Scope, candidates, choose

BATCH = 512
"""Texts that are looked at together: the store is asked once for all of them."""

MAX_NAMES = 500_000
"""Names of which a linker remembers whether the store has them, at most."""

MAX_TEXTS = 50_000
"""Texts and entries of which a linker remembers the concepts and the facts, at most."""

MAX_CHARACTERS = 100_000
"""More is no caption and no question, but a file passed by mistake."""

MAX_REMEMBERED_LENGTH = 1_000
"""Characters of a text that is remembered, at most."""


@runtime_checkable
class Store(Protocol):
    """The part of a `FactStore` that a linker uses."""

    @property
    def longest_entry(self) -> int:
        """Most words in a subject."""
        ...

    def known(self, names: Iterable[str]) -> frozenset[str]:
        """Return which of the names are subjects of facts."""
        ...

    def lookup(
        self, concepts: Sequence[str], relations: Iterable[str] | None = None, limit: int | None = 5
    ) -> dict[str, list[Fact]]:
        """Return the facts of each concept."""
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
        Concept(span=(3, 6), lemma='cat', entry='cat', negated=True)
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
        self._concepts: dict[str, tuple[Concept, ...]] = {}
        self._facts: dict[tuple[str, int | None], tuple[Fact, ...]] = {}

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
        self._concepts = {}

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
        texts = list(_checked(texts))
        concepts_of = {text: self._concepts[text] for text in texts if text in self._concepts}
        new = [text for text in dict.fromkeys(texts) if text not in concepts_of]
        plain = [plain_text(text) for text in new]
        for text, form, (concepts, _) in zip(
            new, plain, self.link_plain(form.text for form in plain), strict=True
        ):
            if form.starts is not None:
                concepts = [replace(concept, span=form.span(*concept.span)) for concept in concepts]
            concepts_of[text] = tuple(concepts)
        if len(self._concepts) + len(new) > MAX_TEXTS:
            self._concepts = {}
        self._concepts.update(
            (text, concepts_of[text]) for text in new[:MAX_TEXTS] if len(text) <= MAX_REMEMBERED_LENGTH
        )
        return [list(concepts_of[text]) for text in texts]

    def facts_for(self, text: str, limit: int | None = 5, *, negated: bool = False) -> list[LinkedFact]:
        """Return the facts of the concepts of a text, each once, with what led to it.

        Args:
            text: A caption or a question.
            limit: Max number of facts of a concept, the heaviest first; None for all.
            negated: Also facts of what the text says is absent.

        Raises:
            ValueError: If `text` is no text or is too long, or `limit` is below 1.
        """
        return self.facts_for_many([text], limit, negated=negated)[0]

    def facts_for_many(
        self, texts: Iterable[str], limit: int | None = 5, *, negated: bool = False
    ) -> list[list[LinkedFact]]:
        """Return the facts of each text, as `facts_for` does; faster than text by text."""
        first_concepts: list[dict[str, Concept]] = []
        for concepts in self.link_many(texts):
            first_concepts.append({})
            for concept in concepts:
                if negated or not concept.negated:
                    first_concepts[-1].setdefault(concept.entry, concept)
        self._look_up({entry for first in first_concepts for entry in first}, limit)
        facts = self._facts
        return [
            [LinkedFact(fact, concept) for entry, concept in first.items() for fact in facts[entry, limit]]
            for first in first_concepts
        ]

    def link_plain(self, texts: Iterable[str]) -> Iterator[tuple[list[Concept], Words]]:
        """Yield the concepts and the words of texts in their plain form, with their places there.

        Args:
            texts: Texts as `plain_text` gives them.
        """
        rest = iter(texts)
        while batch := list(islice(rest, BATCH)):
            split = [split_words(text) for text in batch]
            for words in split:
                words.kinds = guess_kinds(words)
            runs = [candidates(words, self._store.longest_entry) for words in split]
            self._ask({form for text in runs for place in text for run in place for form in run.forms})
            known = self._known.__getitem__
            for words, places in zip(split, runs, strict=True):
                matches = choose(words, places, known, self._scope)
                yield [_concept(words, match) for match in matches], words

    def _ask(self, names: set[str]) -> None:
        new = names.difference(self._known)
        if not new:
            return
        if len(self._known) + len(new) > MAX_NAMES:
            self._known = {}
            new = names
        known = self._store.known(new)
        self._known.update((name, name in known) for name in new)

    def _look_up(self, entries: set[str], limit: int | None) -> None:
        new = [entry for entry in entries if (entry, limit) not in self._facts]
        if not new and limit is not None and limit >= 1:
            return
        if len(self._facts) + len(new) > MAX_TEXTS:
            self._facts, new = {}, list(entries)
        for entry, facts in self._store.lookup(new, limit=limit).items():
            self._facts[entry, limit] = tuple(facts)


def plain_form(text: str) -> PlainText:
    """Return the plain form of a text that a user gave.

    Raises:
        ValueError: If it is no text, or is too long.
    """
    [text] = _checked([text])
    return plain_text(text)


def _checked(texts: Iterable[str]) -> Iterator[str]:
    if isinstance(texts, str):
        raise ValueError(f"`texts` must be a list of texts; got one text: write [{texts[:40]!r}].")
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"`text` must be a text; got {type(text).__name__}.")
        if len(text) > MAX_CHARACTERS:
            raise ValueError(
                f"`text` must have at most {MAX_CHARACTERS:,} characters; got {len(text):,}. Split it into sentences."
            )
        yield text


def _concept(words: Words, match: Match) -> Concept:
    first, last, entry = match.first, match.last, match.entry
    lemma = entry
    if len(entry.replace("-", " ").split()) != last - first + 1:
        # Written apart in the text, together in the store: "sail boats".
        lemma = " ".join([*words.lower[first:last], singular(words.lower[last])])
    return Concept((words.starts[first], words.ends[last]), lemma, entry, match.negated)


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


def facts_for(text: str, store: Store | None = None, limit: int | None = 5) -> list[LinkedFact]:
    """Find the facts of the concepts of a text, each with the concept that led to it.

    Args:
        text: A caption or a question.
        store: By default the store that comes with vkood.
        limit: Max number of facts of a concept, the heaviest first; None for all.

    Raises:
        ValueError: If `text` is no text or is too long, or `limit` is below 1.

    Example:
        >>> facts = facts_for("A man holding an umbrella", limit=3)
        >>> {fact.concept.entry for fact in facts} == {"man", "umbrella"}
        True
    """
    return default_linker(store).facts_for(text, limit)
