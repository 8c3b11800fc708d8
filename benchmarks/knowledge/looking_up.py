"""How fast a batch of concepts is looked up, beside conceptnet-lite with the same facts, and how fast a store opens.

conceptnet-lite keeps its facts in SQLite too, and asks through peewee, one concept at a time. Its own models make its
file and answer, as its manual shows it: from the text of a label to its concepts, to the edges that begin there, and
from each edge to its relation and its other end. The variant that joins its tables, with one query for each concept, is
not in its manual; it is what a user could write who knows SQL.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from vkood.knowledge import Fact, FactStore, build_store

from ..measuring import interleaved

FACTS, QUICK_FACTS = 200_000, 20_000
NAMES = 100
LIMIT = 5
ROUNDS, QUICK_ROUNDS = 30, 5


def run(quick: bool) -> dict[str, object]:
    """Measure all, and return every number."""
    with FactStore.open() as store:
        facts = list(islice(store.facts(), QUICK_FACTS if quick else FACTS))
    subjects = sorted({fact.subject for fact in facts})
    names = random.Random(0).sample(subjects, NAMES)
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.db", Path(folder) / "theirs.db"
        build_store(ours, [facts])
        reference = _ConceptNetLite(theirs, facts)
        store = FactStore.open(ours)
        contestants: dict[str, Callable[[], Any]] = {
            "vkood": lambda: store.lookup(names, limit=LIMIT),
            "vkood, one concept at a time": lambda: {
                name: store.lookup([name], limit=LIMIT)[name] for name in names
            },
            "conceptnet-lite": lambda: reference.lookup(names),
            "conceptnet-lite's tables, joined": lambda: reference.joined(names),
        }
        _require_same_facts(contestants, store, names)
        seconds = interleaved(contestants, rounds)
        opening = interleaved({"open": lambda: FactStore.open(ours).close()}, rounds)["open"]
        default = interleaved({"open": lambda: FactStore.open().close()}, rounds)["open"]
        reference.close()
        store.close()
    return {"lookup": seconds, "open": opening, "open_default": default, "facts": len(facts)}


class _ConceptNetLite:
    """The same facts in conceptnet-lite's own tables."""

    def __init__(self, path: Path, facts: list[Fact]) -> None:
        import conceptnet_lite.db as lite  # pyright: ignore[reportMissingImports] - of the extra `bench`

        self._lite = lite
        lite._open_db(path)
        with lite.db.atomic():
            english = lite.Language.create(name="en")
            relations = {name: lite.Relation.create(name=name) for name in {fact.relation for fact in facts}}
            texts = sorted({text for fact in facts for text in (fact.subject, fact.object)})
            number = {text: place for place, text in enumerate(texts, 1)}
            self._insert(
                lite.Label, [{"id": number[text], "text": text, "language": english} for text in texts]
            )
            self._insert(
                lite.Concept,
                [{"id": number[text], "label": number[text], "sense_label": ""} for text in texts],
            )
            self._insert(
                lite.Edge,
                [
                    {
                        "relation": relations[fact.relation],
                        "start": number[fact.subject],
                        "end": number[fact.object],
                        "etc": {"weight": fact.weight, "dataset": fact.source},
                    }
                    for fact in facts
                ],
            )

    @staticmethod
    def _insert(model: Any, rows: list[dict[str, Any]]) -> None:
        for start in range(0, len(rows), 200):
            model.insert_many(rows[start : start + 200]).execute()

    def close(self) -> None:
        self._lite.db.close()

    def lookup(self, names: list[str]) -> dict[str, list[tuple[str, str, str]]]:
        """As its manual has it."""
        from conceptnet_lite import edges_from  # pyright: ignore[reportMissingImports] - of the extra `bench`

        lite = self._lite
        facts_of = {}
        for name in names:
            concepts = lite.Label.get(text=name, language="en").concepts
            edges = sorted(edges_from(concepts), key=lambda edge: -edge.etc["weight"])
            facts_of[name] = [(edge.start.text, edge.relation.name, edge.end.text) for edge in edges[:LIMIT]]
        return facts_of

    def joined(self, names: list[str]) -> dict[str, list[tuple[str, str, str]]]:
        """One query for each concept, which brings relations and ends along."""
        lite = self._lite
        start_label, end, end_label = lite.Label.alias(), lite.Concept.alias(), lite.Label.alias()
        facts_of = {}
        for name in names:
            query = (
                lite.Edge.select(lite.Edge.etc, lite.Relation.name, end_label.text)
                .join(lite.Relation)
                .switch(lite.Edge)
                .join(lite.Concept, on=lite.Edge.start == lite.Concept._meta.primary_key)
                .join(start_label, on=lite.Concept.label == start_label.id)
                .switch(lite.Edge)
                .join(end, on=lite.Edge.end == end.id)
                .join(end_label, on=end.label == end_label.id)
                .where(start_label.text == name)
                .tuples()
            )
            edges = sorted(query, key=lambda row: -row[0]["weight"])
            facts_of[name] = [(name, relation, text) for _, relation, text in edges[:LIMIT]]
        return facts_of


def _require_same_facts(
    contestants: dict[str, Callable[[], Any]], store: FactStore, names: list[str]
) -> None:
    """All give as many facts of each concept, and only facts that are in the store."""
    known = {
        (fact.subject, fact.relation, fact.object)
        for facts in store.lookup(names, limit=None).values()
        for fact in facts
    }
    expected = {name: len(facts) for name, facts in store.lookup(names, limit=LIMIT).items()}
    for contestant, answer in contestants.items():
        facts_of = answer()
        assert {name: len(facts) for name, facts in facts_of.items()} == expected, contestant
        for facts in facts_of.values():
            for fact in facts:
                row = (fact.subject, fact.relation, fact.object) if isinstance(fact, Fact) else fact
                assert row in known, (contestant, row)
