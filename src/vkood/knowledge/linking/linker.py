"""From a text to the concepts of a store that it names, and to their facts."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from vkood.knowledge.facts import Fact
from vkood.knowledge.language.lemmas import singular
from vkood.knowledge.language.plain_text import PlainText, plain_text
from vkood.knowledge.language.words import Words, guess_kinds, split_words
from vkood.knowledge.linking.linked_fact import Concept, LinkedFact
from vkood.knowledge.linking.matching import Wanted, candidates, choose
from vkood.knowledge.scene_graphs.parsing import find_parser, kinds_of

if TYPE_CHECKING:
    from vkood.knowledge.scene_graphs.graph import SceneGraph

BATCH = 512
"""Texts that are looked at together: the store is asked once for all of them."""

MAX_NAMES = 500_000
"""Names of which a linker remembers whether the store has them, at most."""

MAX_TEXTS = 50_000
"""Texts and entries of which a linker remembers the concepts and the facts, at most."""

MAX_CHARACTERS = 100_000
"""More is no caption and no question, but a file passed by mistake."""

LONGEST_REMEMBERED = 1_000
"""Characters of a text that is remembered, at most."""


@runtime_checkable
class Store(Protocol):
    """What a linker needs of a `FactStore`."""

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
    nothing. It can be pickled, for the workers of a data loader: the store is opened again there, the parser loads
    again, and what was remembered stays behind.

    Args:
        store: Where concepts are looked up; by default the store that comes with vkood.
        parser: "auto" for spaCy where it is installed, "none" for longest match alone, or a model of spaCy.
        wanted: "things" for names of things and colours; "all" for verbs and adjectives too.

    Raises:
        ValueError: If the parser is not installed, or `wanted` is something else.

    Example:
        >>> linker = Linker(parser="none")
        >>> [concept.entry for concept in linker.link("Two dogs near a fire hydrant, but no cat.")]
        ['dog', 'fire hydrant', 'cat']
        >>> linker.link("no cat")[0]
        Concept(span=(3, 6), lemma='cat', entry='cat', negated=True)
    """

    def __init__(self, store: Store | None = None, parser: str = "auto", wanted: Wanted = "things") -> None:
        if wanted not in ("things", "all"):
            raise ValueError(f"`wanted` must be 'things' or 'all'; got {wanted!r}.")
        self._parser = find_parser(parser)
        self._wanted: Wanted = wanted
        if store is None:
            from vkood.knowledge.store.fact_store import FactStore

            store = FactStore.open()
        self._store = store
        self.forget()

    def forget(self) -> None:
        """Forget texts, names and facts: all that was read and looked up."""
        self._known: dict[str, bool] = {}
        self._concepts: dict[str, tuple[Concept, ...]] = {}
        self._facts: dict[tuple[str, int | None], tuple[Fact, ...]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Pickle what the linker was made of, not what it remembers."""
        return {"_store": self._store, "_parser": self._parser, "_wanted": self._wanted}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin anew with nothing remembered."""
        self.__dict__.update(state)
        self.forget()

    @property
    def store(self) -> Store:
        """Where concepts are looked up."""
        return self._store

    @property
    def parser(self) -> str:
        """The name of the parser's model, or "none"."""
        return "none" if self._parser is None else self._parser.model

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
        """Return the concepts of each text; faster than one by one.

        Raises:
            ValueError: If `texts` is a single text, one of them is no text, or one is too long.
        """
        texts = _require_texts(texts)
        found = {text: self._concepts[text] for text in texts if text in self._concepts}
        new = [text for text in dict.fromkeys(texts) if text not in found]
        plain = _plain(new)
        linked = self._linked(one.text for one in plain)
        for text, one, (concepts, _) in zip(new, plain, linked, strict=True):
            if one.starts is not None:
                concepts = [replace(concept, span=one.span(*concept.span)) for concept in concepts]
            found[text] = tuple(concepts)
        if len(self._concepts) + len(new) > MAX_TEXTS:
            self._concepts = {}
        self._concepts.update(
            (text, found[text]) for text in new[:MAX_TEXTS] if len(text) <= LONGEST_REMEMBERED
        )
        return [list(found[text]) for text in texts]

    def facts_for(self, text: str, limit: int | None = 5, *, negated: bool = False) -> list[LinkedFact]:
        """Return the facts of the concepts of a text, each once, with what led to it.

        Args:
            text: A caption or a question.
            limit: Most facts of a concept, the heaviest first; None for all.
            negated: Also facts of what the text says is absent.

        Raises:
            ValueError: If `text` is no text or is too long, or `limit` is below 1.
        """
        return self.facts_for_many([text], limit, negated=negated)[0]

    def facts_for_many(
        self, texts: Iterable[str], limit: int | None = 5, *, negated: bool = False
    ) -> list[list[LinkedFact]]:
        """Return the facts of each text, as `facts_for` does; faster than one by one."""
        linked = self.link_many(texts)
        wanted = {
            concept.entry for concepts in linked for concept in concepts if negated or not concept.negated
        }
        self._look_up(wanted, limit)
        facts = self._facts
        found: list[list[LinkedFact]] = []
        for concepts in linked:
            entries: dict[str, Concept] = {}
            for concept in concepts:
                if negated or not concept.negated:
                    entries.setdefault(concept.entry, concept)
            found.append([LinkedFact(fact, entries[name]) for name in entries for fact in facts[name, limit]])
        return found

    def parse(self, text: str) -> SceneGraph:
        """Return the scene graph of a text: its things, what they are like, and how they stand to each other.

        Raises:
            ValueError: If `text` is no text, or is too long.
        """
        from vkood.knowledge.scene_graphs.graph import coarse_graph
        from vkood.knowledge.scene_graphs.scene_parsing import graph_of

        [plain] = _plain(_require_texts([text]))
        [(concepts, words)] = self._linked([plain.text])
        names = {concept.span: (concept.entry, concept.negated) for concept in concepts}
        if self._parser is None:
            graph = coarse_graph(words, names)
        else:
            [doc] = self._parser.docs([plain.text])
            graph = graph_of(self._parser.with_lemmas(doc), names)
        objects = tuple(replace(item, span=plain.span(*item.span)) for item in graph.objects)
        return replace(graph, objects=objects)

    def _linked(self, texts: Iterable[str]) -> Iterator[tuple[list[Concept], Words]]:
        """The concepts of texts in their plain form, with their places there."""
        rest = iter(texts)
        while batch := list(islice(rest, BATCH)):
            split = [split_words(text) for text in batch]
            self._set_kinds(batch, split)
            runs = [candidates(words, self._store.longest_entry) for words in split]
            self._ask({form for text in runs for place in text for run in place for form in run.forms})
            known = self._known.__getitem__
            for words, places in zip(split, runs, strict=True):
                matches = choose(words, places, known, self._wanted)
                yield (
                    [
                        _concept(words, match.first, match.last, match.entry, match.negated)
                        for match in matches
                    ],
                    words,
                )

    def _set_kinds(self, batch: list[str], split: list[Words]) -> None:
        if self._parser is None:
            for words in split:
                words.kinds = guess_kinds(words)
        else:
            for words, doc in zip(split, self._parser.docs(batch), strict=True):
                words.kinds = kinds_of(words, doc)

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


def _require_texts(texts: Iterable[str]) -> list[str]:
    if isinstance(texts, str):
        raise ValueError(f"`texts` must be a list of texts; got one text: write [{texts[:40]!r}].")
    texts = list(texts)
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"`text` must be a text; got {type(text).__name__}.")
        if len(text) > MAX_CHARACTERS:
            raise ValueError(
                f"`text` must have at most {MAX_CHARACTERS:,} characters; got {len(text):,}. Split it into sentences."
            )
    return texts


def _plain(texts: Iterable[str]) -> list[PlainText]:
    return [plain_text(text) for text in texts]


def _concept(words: Words, first: int, last: int, entry: str, negated: bool) -> Concept:
    words_of_entry = len(entry.replace("-", " ").split())
    lemma = entry
    if words_of_entry != last - first + 1:
        # Written apart in the text, together in the store: "sail boats".
        lemma = " ".join([*words.lower[first:last], singular(words.lower[last])])
    return Concept((words.starts[first], words.ends[last]), lemma, entry, negated)


@functools.lru_cache(maxsize=2)
def default_linker(store: Store | None = None) -> Linker:
    """Return the linker that `link`, `parse` and `facts_for` share."""
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


def parse(text: str) -> SceneGraph:
    """Return the scene graph of a text: its things, what they are like, and how they stand to each other.

    Args:
        text: A caption or a question.

    Raises:
        ValueError: If `text` is no text, or is too long.

    Example:
        >>> parse("A man is holding a red umbrella.").triplets()
        [('umbrella', 'is', 'red'), ('man', 'hold', 'umbrella')]
    """
    return default_linker().parse(text)


def facts_for(text: str, store: Store | None = None, limit: int | None = 5) -> list[LinkedFact]:
    """Find the facts of what a text names, each with the concept that led to it.

    Args:
        text: A caption or a question.
        store: By default the store that comes with vkood.
        limit: Most facts of a concept, the heaviest first; None for all.

    Raises:
        ValueError: If `text` is no text or is too long, or `limit` is below 1.

    Example:
        >>> found = facts_for("A man holding an umbrella", limit=3)
        >>> {fact.concept.entry for fact in found} == {"man", "umbrella"}
        True
    """
    return default_linker(store).facts_for(text, limit)
