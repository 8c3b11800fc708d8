"""Building a store: facts from any number of sources into one file, sorted, joined and counted."""

from __future__ import annotations

import datetime
import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
import hashlib

from vkood.files import complete_file
from vkood.knowledge.facts import RELATIONS, Fact, to_thousandths
from vkood.knowledge.schema import APPLICATION_ID, INDICES, SCHEMA_VERSION, TABLES, StoreHeader
from vkood.knowledge.store import hashed_line


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    path: Path
    header: StoreHeader


def build_store(path: str | Path, sources: Iterable[Iterable[Fact]], *, append: bool = False) -> BuildReport:
    """Write a store (first version, all in memory)."""
    joined: dict[tuple[str, str, str], tuple[int, set[str]]] = {}
    for source in sources:
        for fact in source:
            key = (fact.subject, fact.relation, fact.object)
            weight, names = joined.get(key, (0, set()))
            joined[key] = (max(weight, to_thousandths(fact.weight)), {*names, fact.source})
    rows = sorted(
        (s, -w, RELATIONS.index(r), o, " + ".join(sorted(names)))
        for (s, r, o), (w, names) in joined.items()
    )
    concepts = sorted({row[0] for row in rows} | {row[3] for row in rows})
    ids = {text: number for number, text in enumerate(concepts, 1)}
    names = sorted({row[4] for row in rows})
    digest = hashlib.sha256()
    relations = Counter()
    positions: Counter[str] = Counter()
    facts = []
    for s, w, r, o, source in rows:
        digest.update(hashed_line(s, RELATIONS[r], o, -w, source))
        relations[RELATIONS[r]] += 1
        facts.append((ids[s], positions[s], r, ids[o], -w, names.index(source)))
        positions[s] += 1
    header = StoreHeader(
        date=datetime.date.today().isoformat(),
        sources=(),
        num_facts=len(rows),
        num_concepts=len(concepts),
        num_subjects=len(positions),
        longest_entry=max((s.count(" ") + 1 for s in positions), default=0),
        relations=relations,
        content_hash=digest.hexdigest(),
    )
    with complete_file(path) as unfinished:
        connection = sqlite3.connect(unfinished, isolation_level=None)
        connection.executescript(
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + TABLES
        )
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO relation VALUES (?, ?)", enumerate(RELATIONS))
        connection.executemany("INSERT INTO source VALUES (?, ?)", enumerate(names))
        connection.executemany("INSERT INTO concept VALUES (?, ?)", enumerate(concepts, 1))
        connection.executemany("INSERT INTO fact VALUES (?, ?, ?, ?, ?, ?)", facts)
        connection.executemany("INSERT INTO header VALUES (?, ?)", header.rows())
        connection.execute("COMMIT")
        connection.executescript(INDICES)
        connection.close()
    return BuildReport(path=Path(path), header=header)
