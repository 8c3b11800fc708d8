"""Our own everyday, visual common sense: read from the tables in the folder `data`, which people edit by hand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files

from vkood.knowledge.facts import Fact, normalise_concept

SOURCE = "vkood everyday"
"""The `source` of these facts."""
LICENCE = "Apache-2.0"

WEIGHT = 2.0
"""Of a line that gives none: everyday facts come before WordNet's, which weigh 1 at most."""

# Within a concept the first of every line comes before the second of any, and so on: whoever asks for five facts
# gets one of each kind.
_LATER_IN_LINE = 0.05
_LATER_LINE = 0.002


@dataclass(frozen=True, slots=True)
class _Line:
    """Where a fact stands: for errors, and for its weight."""

    file: str
    number: int

    def error(self, problem: str) -> ValueError:
        return ValueError(f"{self.file}, line {self.number}: {problem}")


def everyday_facts() -> list[Fact]:
    """Read all facts of the everyday set, in the order of the files.

    Raises:
        ValueError: If a line cannot be read, or says what another says; with the file and the line's number.

    Example:
        >>> facts = everyday_facts()
        >>> [fact.object for fact in facts if (fact.subject, fact.relation) == ("lemon", "HasProperty")]
        ['yellow', 'sour', 'oval', ...]
    """
    folder = files("vkood.knowledge.sources") / "data"
    names = sorted(table.name for table in folder.iterdir() if table.name.endswith(".tsv"))
    return read_tables((name, (folder / name).read_text(encoding="utf-8")) for name in names)


def read_tables(tables: Iterable[tuple[str, str]]) -> list[Fact]:
    r"""Read facts from tables as the files of the everyday set have them.

    Args:
        tables: Names of files, for errors, and what stands in them. A line is a concept, a relation, objects
            separated by "; ", and possibly a weight, separated by tabs; without a concept it continues the
            one above. Empty lines and those that begin with "#" are passed over.

    Raises:
        ValueError: If a line cannot be read, or says what another says; with the file and the line's number.

    Example:
        >>> facts = read_tables([("fruit.tsv", "lemon\tIsA\tfruit\n\tHasProperty\tyellow; sour\n")])
        >>> [(fact.subject, fact.object) for fact in facts]
        [('lemon', 'fruit'), ('lemon', 'yellow'), ('lemon', 'sour')]
    """
    facts: list[Fact] = []
    first_lines: dict[tuple[str, str, str], _Line] = {}
    for name, text in tables:
        for line, fact in _read(name, text):
            key = (fact.subject, fact.relation, fact.object)
            if key in first_lines:
                first = first_lines[key]
                raise line.error(
                    f"`{' '.join(key)}` stands in {first.file}, line {first.number} already; take one away."
                )
            first_lines[key] = line
            facts.append(fact)
    return facts


def _read(name: str, text: str) -> Iterator[tuple[_Line, Fact]]:
    subject, lines_of_subject = "", 0
    for number, content in enumerate(text.splitlines(), start=1):
        line = _Line(name, number)
        if not content.strip() or content.startswith("#"):
            continue
        cells = content.split("\t")
        if len(cells) not in (3, 4):
            raise line.error(
                "a line must have a concept, a relation, objects and possibly a weight, separated by tabs; "
                f"got {len(cells)} of them."
            )
        if cells[0]:
            subject, lines_of_subject = cells[0], 0
        elif not subject:
            raise line.error("the first line must begin with a concept; got none.")
        weight = _weight(line, cells[3]) if len(cells) == 4 else WEIGHT
        for place, object_ in enumerate(cells[2].split("; ")):
            lighter = _LATER_IN_LINE * place + _LATER_LINE * lines_of_subject
            yield line, _fact(line, subject, cells[1], object_, round(max(weight - lighter, 0.0), 3))
        lines_of_subject += 1


def _weight(line: _Line, cell: str) -> float:
    try:
        weight = float(cell)
    except ValueError:
        weight = 0.0
    if not 0 < weight < math.inf:
        raise line.error(f"the weight must be a number above 0; got {cell!r}.")
    return weight


def _fact(line: _Line, subject: str, relation: str, object_: str, weight: float) -> Fact:
    for part, words in (("concept", subject), ("object", object_)):
        if not words or ";" in words or normalise_concept(words) != words:
            raise line.error(
                f"the {part} must be lower-case words separated by single spaces; got {words!r}"
                + ('. Separate objects by "; ".' if ";" in words else ".")
            )
    try:
        return Fact(subject, relation, object_, weight, SOURCE)
    except ValueError as error:
        raise line.error(str(error)) from None
