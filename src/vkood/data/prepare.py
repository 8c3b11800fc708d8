"""From the files of a data set to tables, with the facts of each text linked once and for all."""

from __future__ import annotations

import inspect
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from vkood.data.layout import FACTS_SCHEMA, SCHEMAS, TEXTS_OF, Kind, empty_facts
from vkood.data.readers import BadRows, Source, SourceError
from vkood.data.readers.captions import (
    read_coco,
    read_conceptual_captions,
    read_flickr30k,
    read_sbu,
    read_visual_genome,
)
from vkood.data.readers.nlvr2 import read_nlvr2
from vkood.data.readers.tables import read_tables
from vkood.data.readers.vqa import read_okvqa, read_vqav2
from vkood.data.tables import FACTS_ENDING, table_writer
from vkood.knowledge import FactStore

READERS: dict[str, Callable[..., Source]] = {
    "vqav2": read_vqav2,
    "okvqa": read_okvqa,
    "nlvr2": read_nlvr2,
    "coco": read_coco,
    "flickr30k": read_flickr30k,
    "visual-genome": read_visual_genome,
    "sbu": read_sbu,
    "conceptual-captions": read_conceptual_captions,
    "tables": read_tables,
}
"""The data sets that lie in a folder as their owners distribute them, by their names in `vkood data prepare`."""

_ROWS_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What became of a data set.

    Attributes:
        rows: How many rows each table has.
        texts: How many texts each table has.
        facts: How many different facts were linked.
        left_out: Rows that could not be read.
    """

    rows: dict[str, int]
    texts: dict[str, int]
    facts: int
    left_out: list[str]


@dataclass
class _Facts:
    """Numbers the facts of texts."""

    store: FactStore | None
    limit: int
    ids: dict[str, int] = field(default_factory=dict)

    def of_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """The numbers of each text's facts."""
        if self.store is None:
            return [[] for _ in texts]
        from vkood.knowledge.linking import default_linker

        found = default_linker(self.store).facts_for_many(texts, self.limit)
        return [
            [
                self.ids.setdefault(sentence, len(self.ids))
                for sentence in dict.fromkeys(f.sentence for f in some)
            ]
            for some in found
        ]


def read_source(name: str, root: str | Path, **options: Any) -> Source:
    """What a reader finds in a folder.

    Args:
        name: One of `READERS`.
        root: The folder.
        options: What the reader takes besides; what it does not is an error.

    Raises:
        SourceError: If the folder or a file in it is missing.
        ValueError: If there is no such reader, or it takes no such option.
    """
    if name not in READERS:
        raise ValueError(f"there is no data set {name!r}; there are {', '.join(READERS)}.")
    reader = READERS[name]
    taken = inspect.signature(reader).parameters
    if unknown := [option for option in options if option not in taken]:
        raise ValueError(f"{name} takes no `{unknown[0]}`.")
    if not Path(root).is_dir():
        raise SourceError(f"there is no folder {str(root)!r}.")
    return reader(Path(root), **options)


def prepare(
    source: Source,
    output: str | Path,
    *,
    facts: FactStore | str | None = "default",
    facts_per_concept: int = 5,
    max_bad: float = 0.01,
    on_rows: Callable[[str, int], None] | None = None,
) -> Prepared:
    """Write the tables of a data set, all or none.

    Args:
        source: What a reader found.
        output: The folder of the tables; made if there is none. Tables of the same names are replaced.
        facts: The store in which the words of texts are looked up; "default" for the one that comes with vkood; None
            for no facts.
        facts_per_concept: Most facts of each thing that a text names, the heaviest first.
        max_bad: Highest share of a table's rows that may be left out because they cannot be read.
        on_rows: Called with a table's name and how many rows of it are written.

    Returns:
        What was written, and which rows were left out.

    Raises:
        SourceError: If too many rows cannot be read. Nothing is written then.
        ValueError: If `facts` is another text than "default".
    """
    if isinstance(facts, str) and facts != "default":
        raise ValueError(
            f'`facts` must be a store, "default" or None; got {facts!r}. Open it with `FactStore.open`.'
        )
    store = FactStore.open() if isinstance(facts, str) else facts
    linked = _Facts(store, facts_per_concept)
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    rows: dict[str, int] = {}
    texts: dict[str, int] = {}
    left_out: list[str] = []
    facts_table = source.name + FACTS_ENDING
    told = {"name": source.name, "kind": source.kind, "answers": source.answers or ()}
    told |= {"facts": facts_table} if store is not None else {}
    aside = Path(tempfile.mkdtemp(prefix=".preparing.", dir=output))
    try:
        for table, read in source.tables.items():
            bad = BadRows(max_bad)
            with table_writer(aside / f"{table}.arrow", SCHEMAS[source.schema], told) as writer:
                num_texts = 0
                for row in _with_facts(read(bad), source.kind, linked):
                    writer.add(row)
                    num_texts += len(row[TEXTS_OF[source.kind]])
                    if on_rows is not None:
                        on_rows(table, writer.num_rows)
            bad.require_few()
            rows[table], texts[table] = writer.num_rows, num_texts
            left_out += bad.told
        if store is not None:
            with table_writer(aside / f"{facts_table}.arrow", FACTS_SCHEMA) as writer:
                for sentence in linked.ids:
                    writer.add({"sentence": sentence})
        for path in sorted(aside.iterdir()):
            path.replace(output / path.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Prepared(rows=rows, texts=texts, facts=len(linked.ids), left_out=left_out)


def _with_facts(rows: Iterator[dict[str, Any]], kind: Kind, facts: _Facts) -> Iterator[dict[str, Any]]:
    """Rows with the facts of their texts, looked up for many rows at once."""
    column = TEXTS_OF[kind]
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        if facts.store is None:
            yield from (row | {"fact_ids": empty_facts(row, kind)} for row in some)
            continue
        numbers = iter(facts.of_texts([text for row in some for text in row[column]]))
        for row in some:
            yield row | {"fact_ids": [next(numbers) for _ in row[column]]}
