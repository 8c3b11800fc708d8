"""From the files of a data set to tables, with the facts of each text linked once."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from vkood import fields
from vkood.data.concepts import Likely, PictureTagger, RowConcepts
from vkood.data.layout import CONCEPTS, FACTS_SCHEMA, SCHEMAS, TEXTS_OF, empty_facts
from vkood.data.readers import BadRows, Source, SourceError
from vkood.data.readers.captions import (
    read_coco,
    read_conceptual_captions,
    read_flickr30k,
    read_sbu,
    read_visual_genome,
)
from vkood.data.readers.easy_vqa import read_easy_vqa, read_easy_vqa_knowledge
from vkood.data.readers.fvqa import read_fvqa
from vkood.data.readers.nlvr2 import read_nlvr2
from vkood.data.readers.tables import read_tables
from vkood.data.readers.vqa import read_okvqa, read_vqav2
from vkood.data.tables import FACTS_ENDING, table_writer, write_manifest
from vkood.files import complete_files
from vkood.knowledge import FactQuery, FactStore
from vkood.spelling import nearest

READERS: dict[str, Callable[..., Source]] = {
    "vqav2": read_vqav2,
    "okvqa": read_okvqa,
    "fvqa": read_fvqa,
    "nlvr2": read_nlvr2,
    "coco": read_coco,
    "flickr30k": read_flickr30k,
    "visual-genome": read_visual_genome,
    "sbu": read_sbu,
    "conceptual-captions": read_conceptual_captions,
    "tables": read_tables,
}
"""The data sets that lie in a folder as their owners distribute them, by their names in `vkood data prepare`."""

OWN = "own"
"""The name of a file of one's own, which `read_own` reads."""

PACKAGED: dict[str, Callable[..., Source]] = {
    "easy-vqa": read_easy_vqa,
    "easy-vqa-knowledge": read_easy_vqa_knowledge,
}
"""The data sets that a Python package brings."""

OnRows = Callable[[str, int, int | None], None]
"""Takes a table's name, how many of its rows are done, and how many there are, or None."""

_OPTIONS = {"min_occurrences": "--min-answers"}
"""Options of `vkood data prepare` that are called otherwise than the readers' arguments."""
_ROWS_AT_ONCE = 64
_MAX_NAME_BYTES = 200


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The result of preparing a data set.

    Rows are those of the data set's files: lines, questions, images with captions. `num_read` is the sum of `num_kept`,
    `num_left_out` and all of `skipped`. Tables that share rows, as VQAv2's val and rest_val do, count them each.

    Attributes:
        rows: Number of rows of each table.
        texts: Number of texts of each table.
        facts: Number of different facts linked.
        num_kept: Number of rows of the files that are in the tables.
        num_left_out: Number of rows that could not be read.
        left_out: File, row and reason of the first thousand of them in each table.
        skipped: Number of rows left out on purpose, by reason.
        notes: Further remarks, with the number of rows that each concerns.
    """

    rows: dict[str, int]
    texts: dict[str, int]
    facts: int
    num_kept: int
    num_left_out: int
    left_out: list[str]
    skipped: dict[str, int]
    notes: dict[str, int]

    @property
    def num_read(self) -> int:
        """Number of rows of the files."""
        return self.num_kept + self.num_left_out + sum(self.skipped.values())


@dataclass
class _Facts:
    """Numbers the facts of texts."""

    store: FactStore | None
    limit: int
    concepts: RowConcepts
    ids: dict[str, int] = field(default_factory=dict)

    def linked(self, queries: Sequence[FactQuery]) -> list[list[int]]:
        """The numbers of each query's facts, which are looked up in the store."""
        from vkood.knowledge.linking.linker import default_linker

        facts_of_texts = default_linker(self.store).facts_for_many(queries, self.limit)
        return [self.numbers(dict.fromkeys(fact.sentence for fact in facts)) for facts in facts_of_texts]

    def numbers(self, sentences: Iterable[str]) -> list[int]:
        """The numbers of facts."""
        return [self.ids.setdefault(sentence, len(self.ids)) for sentence in sentences]


def read_source(name: str, root: str | Path | None = None, **options: Any) -> Source:
    """Read the data set in a folder or a package.

    Args:
        name: One of `READERS`, or of `PACKAGED`.
        root: The folder; not needed for a data set of a package.
        options: Options of the reader; any other is an error.

    Raises:
        SourceError: If the folder or a file in it is missing.
        ValueError: If there is no such reader, or it takes no such option.
    """
    reader = (READERS | PACKAGED).get(name)
    if name == OWN:
        raise ValueError("a file of one's own is read by `vkood.data.readers.own.read_own`.")
    if reader is None:
        names = (*READERS, *PACKAGED, OWN)
        near = nearest(name, names)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}."
        raise ValueError(f"there is no data set {name!r}; {hint}")
    taken = inspect.signature(reader).parameters
    if unknown := [option for option in options if option not in taken]:
        raise ValueError(f"{name} takes no {option_name(unknown[0])}.")
    if name in PACKAGED:
        return reader(**options)
    if root is None or not Path(root).is_dir():
        raise SourceError(
            "`root` must be the folder of the data set's files."
            if root is None
            else f"there is no folder {str(root)!r}."
        )
    return reader(Path(root), **options)


def option_name(argument: str) -> str:
    """How an argument of a reader is called in Python and on the command line."""
    option = _OPTIONS.get(argument, f"--{argument.replace('_', '-')}")
    return f"`{argument}` (`{option}`)"


def prepare(
    source: Source,
    output: str | Path,
    *,
    facts: FactStore | str | None = "default",
    max_facts: int = 20,
    tagger: PictureTagger | None = None,
    captions: Mapping[int, Sequence[str]] | None = None,
    max_bad: float = 0.01,
    on_rows: OnRows | None = None,
) -> Prepared:
    """Write the tables of a data set, all or none.

    They take their places in the folder together, with a manifest of what belongs together (`NAME.prepared.json`),
    which readers check: a process that is killed leaves the old tables or the new ones.

    Args:
        source: What a reader read.
        output: The folder of the tables; created if there is none. Tables of the same names are replaced.
        facts: The store in which the words of texts are looked up; "default" for the one that comes with vkood; None
            for no facts. A source that has facts of its own keeps those.
        max_facts: Max number of facts of a text, the most relevant first.
        tagger: Says which concepts of the store pictures show, such as a `ConceptTagger`, or a `CachedTagger` that
            resumes where it was interrupted. Facts are then looked up for text and picture, and the tables have the
            concepts in `concepts` and `concept_probabilities`.
        captions: Descriptions of pictures by `image_id`, for which facts are looked up too.
        max_bad: Max share of a table's rows that may be left out because they cannot be read.
        on_rows: Called with a table's name, how many rows of it are written, and how many there are in all (None where
            the source does not know): before the first row, and after each few.

    Returns:
        What was written, and which rows were left out.

    Raises:
        SourceError: If too many rows cannot be read, a table has no rows, or concepts of pictures are asked for where
            they do not belong. Nothing is written then.
        ValueError: If an argument is out of range.
    """
    if isinstance(facts, str) and facts != "default":
        raise ValueError(
            f'`facts` must be a store, "default" or None; got {facts!r}. Open it with `FactStore.open`.'
        )
    if not 0 <= max_bad <= 1:
        raise ValueError(f"`max_bad` (`--max-bad`) must be a share from 0 to 1; got {max_bad}.")
    if max_facts < 1:
        raise ValueError(f"`max_facts` (`--max-facts`) must be 1 or more; got {max_facts}.")
    source.bad.require_few(max_bad)
    if not source.tables:
        raise SourceError(f"{source.name} has no rows.{source.bad.first}")
    for table in source.tables:
        if not table.isprintable() or len(table.encode()) > _MAX_NAME_BYTES:
            raise SourceError(
                f"the table's name {fields.shown(table)} must be printable text of at most {_MAX_NAME_BYTES} bytes; it "
                "comes from the name of the file or folder and from the split, one of which must be changed."
            )
    concepts = RowConcepts(tagger, captions or {})
    _require_fitting(source, concepts)
    if source.has_facts:
        facts = None
    store = FactStore.open() if isinstance(facts, str) else facts
    linked = _Facts(store, max_facts, concepts)
    output = Path(output)
    new = [folder for folder in (output, *output.parents) if not folder.exists()]
    output.mkdir(parents=True, exist_ok=True)
    try:
        with complete_files(output, source.name) as folder:
            return _write(source, folder, linked, max_bad, on_rows or (lambda table, done, total: None))
    except BaseException:
        with suppress(OSError):  # another process has put something there
            for folder in new:
                folder.rmdir()
        raise


def _require_fitting(source: Source, concepts: RowConcepts) -> None:
    """Refuse concepts of pictures where they say nothing, or too much."""
    if concepts.tagger is None and not concepts.captions:
        return
    if source.kind == "captions":
        raise SourceError(
            f"{source.name} has captions, whose facts must not depend on their own pictures: whether the two belong "
            "together is what is asked. Prepare it without concepts (`--concepts none`)."
        )
    if source.has_facts:
        raise SourceError(
            f"{source.name} has facts of its own: prepare it without concepts (`--concepts none`)."
        )
    if concepts.captions and source.kind == "pairs":
        raise SourceError(
            f"{source.name} has pairs of pictures without an `image_id`, by which descriptions are found: take a "
            "tagger (`--concepts tagger`)."
        )


def _write(
    source: Source,
    folder: Path,
    facts: _Facts,
    max_bad: float,
    on_rows: OnRows,
) -> Prepared:
    """Write tables, their facts and the manifest into a folder."""
    rows: dict[str, int] = {}
    texts: dict[str, int] = {}
    counts = [source.bad]
    facts_table = source.name + FACTS_ENDING
    metadata = {"name": source.name, "kind": source.kind, "answers": source.answers or ()}
    with_facts = source.has_facts or facts.store is not None
    metadata |= {"facts": facts_table} if with_facts else {}
    schema, tagger = SCHEMAS[source.schema], facts.concepts.tagger
    if tagger is not None:
        metadata |= {"tagger": tagger.fingerprint}
        schema = pa.schema([*schema, *CONCEPTS])
    for table, read in source.tables.items():
        bad = BadRows(max_bad)
        size = source.sizes.get(table)
        on_rows(table, 0, size)
        with table_writer(folder / f"{table}.arrow", schema, metadata) as writer:
            num_texts = 0
            for batch in _with_facts(read(bad), source, facts):
                for row in batch:
                    writer.add(row)
                    num_texts += len(row[TEXTS_OF[source.kind]])
                on_rows(table, writer.num_rows, size)
        bad.require_few()
        if not num_texts:
            first = bad.first or source.bad.first
            raise SourceError(f"the table {table} would have no rows. Nothing was written.{first}")
        rows[table], texts[table] = writer.num_rows, num_texts
        counts.append(bad)
    if with_facts:
        with table_writer(folder / f"{facts_table}.arrow", FACTS_SCHEMA) as writer:
            for sentence in facts.ids:
                writer.add({"sentence": sentence})
    prepared = Prepared(
        rows=rows,
        texts=texts,
        facts=len(facts.ids),
        num_kept=sum(count.kept for count in counts),
        num_left_out=sum(count.num_bad for count in counts),
        left_out=[reason for count in counts for reason in count.reasons],
        skipped=dict(sum((count.skipped for count in counts), Counter[str]())),
        notes={what: number for count in counts for what, number in count.notes.items()},
    )
    names = [*rows, *([facts_table] if with_facts else [])]
    write_manifest(folder, source.name, names, asdict(prepared))
    return prepared


def _with_facts(
    rows: Iterator[dict[str, Any]], source: Source, facts: _Facts
) -> Iterator[list[dict[str, Any]]]:
    """Rows with the numbers of their texts' facts, which are looked up for many rows at once."""
    column = TEXTS_OF[source.kind]
    while batch := list(islice(rows, _ROWS_AT_ONCE)):
        if source.has_facts:
            yield [row | {"fact_ids": [facts.numbers(of_text) for of_text in row["facts"]]} for row in batch]
            continue
        shown = facts.concepts.of(batch, source.kind)
        batch = [row | _columns(likely) for row, likely in zip(batch, shown, strict=True)]
        if facts.store is None:
            yield [row | {"fact_ids": empty_facts(row, source.kind)} for row in batch]
            continue
        queries = [
            FactQuery(text, facts.concepts.captions_of(row), likely)
            for row, likely in zip(batch, shown, strict=True)
            for text in row[column]
        ]
        numbers = iter(facts.linked(queries))
        yield [row | {"fact_ids": [next(numbers) for _ in row[column]]} for row in batch]


def _columns(likely: Likely) -> dict[str, list[Any]]:
    """The columns that have a picture's concepts."""
    names, probabilities = CONCEPTS
    return {
        names.name: [name for name, _ in likely],
        probabilities.name: [probability for _, probability in likely],
    }
