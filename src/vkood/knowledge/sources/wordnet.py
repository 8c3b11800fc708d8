"""WordNet's files, as its folder `dict` has them: synsets in data.noun, a word's senses in index.noun.

A line of data.noun is a synset: its number, what it is, its words, pointers to other synsets, and a definition after
a bar. A line of index.noun is a word with the numbers of its synsets, the most common sense first.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vkood.fields import as_count
from vkood.files import open_regular
from vkood.knowledge.facts import normalise_concept, require_relations, to_thousandths
from vkood.knowledge.sources.batches import RELATION_CODES, Batch, Tally, lines_of
from vkood.knowledge.store.schema import SourceInfo

PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")

# What a pointer from a synset says of its words; other pointers (such as the mirror images of these) are passed over.
_RELATION_OF = {
    "noun": {
        "@": "IsA",  # hypernym
        "@i": "IsA",  # hypernym of an instance
        "#p": "PartOf",  # holonym
        "%p": "HasA",  # meronym
        "%s": "MadeOf",  # meronym, substance
        "=": "HasProperty",  # attribute: an adjective
        "!": "Antonym",
    },
    "verb": {"@": "MannerOf", "!": "Antonym"},
    "adj": {"&": "SimilarTo", "!": "Antonym"},
    "adv": {"!": "Antonym"},
}
_FILE_OF = {"n": "noun", "v": "verb", "a": "adj", "s": "adj", "r": "adv"}
_MARKER = re.compile(r"\((?:a|p|ip)\)$")
"""Says where an adjective may stand."""
_VERSION = re.compile(rb"WordNet (\d+(?:\.\d+)+)")
_UNLISTED_SENSE = 20
"""The rank of a sense that the index lacks."""


class _Pointer(NamedTuple):
    symbol: str
    target: tuple[str, str]
    """File and number of the synset."""
    words: tuple[int, int]
    """Which of its own words points to which of the other's, from 1; 0 for all of them."""


class _Synset(NamedTuple):
    words: list[str]
    pointers: list[_Pointer]


@dataclass(frozen=True, slots=True)
class WordNetSource:
    """The facts in WordNet's synsets about their words.

    A word IsA the first word of each hypernym, has parts (HasA) and is one (PartOf), is MadeOf substances, has
    the adjectives of an attribute (HasProperty), and is a Synonym of the words beside it. A fact about a word in
    its first sense weighs 1, in its second 1/2, in its third 1/3, and so on.

    Args:
        folder: The folder `dict`.
        parts_of_speech: Which words: of `PARTS_OF_SPEECH`.
        relations: Only these relations; by default all.
        max_sense: Only facts of a word in its first so many senses; by default in all.

    Raises:
        ValueError: If a file is missing in the folder, or an option cannot be.
    """

    folder: Path
    parts_of_speech: tuple[str, ...] = ("noun",)
    relations: frozenset[str] | None = None
    max_sense: int | None = None

    def __post_init__(self) -> None:
        """Refuse a folder that is not WordNet's."""
        require_relations("`relations`", self.relations)
        if self.max_sense is not None:
            object.__setattr__(self, "max_sense", as_count("max_sense", self.max_sense))
        unknown = [part for part in self.parts_of_speech if part not in PARTS_OF_SPEECH]
        if unknown or not self.parts_of_speech:
            raise ValueError(
                f"`parts_of_speech` must be of {', '.join(PARTS_OF_SPEECH)}; got {self.parts_of_speech!r}."
            )
        missing = [path.name for path in self._files() if not path.is_file()]
        if missing:
            name = repr(str(self.folder))
            if not self.folder.exists():
                raise ValueError(f"There is no folder {name}; WordNet's files are in its folder dict.")
            raise ValueError(
                f"{name} must be WordNet's folder dict, with data.noun and index.noun; it lacks "
                f"{', '.join(missing)}."
            )

    @property
    def info(self) -> SourceInfo:
        """What the store will say about it."""
        with open_regular(self.folder / f"data.{self.parts_of_speech[0]}", what="WordNet file") as file:
            version = _VERSION.search(file.read(4096))
        name = f"WordNet {version[1].decode()}" if version else "WordNet"
        options = [] if self.parts_of_speech == ("noun",) else [f"--words {','.join(self.parts_of_speech)}"]
        if self.relations is not None:
            options.append(f"--relations {','.join(sorted(self.relations))}")
        if self.max_sense is not None:
            options.append(f"--max-sense {self.max_sense}")
        return SourceInfo(
            name=name,
            licence=f"{name} license (Princeton University)",
            rebuild=" ".join(["wordnet", shlex.quote(self.folder.resolve().name), *options]),
        )

    @property
    def size(self) -> int | None:
        """Bytes of the files."""
        return sum(path.stat().st_size for path in self._files())

    def batches(self, tally: Tally) -> Iterator[Batch]:
        """Give all facts, part of speech by part of speech; WordNet is small enough to be held."""
        source = self.info.name
        synsets: dict[str, dict[str, _Synset]] = {}
        for part in self._parts():
            synsets[part] = self._synsets(part, tally)
        for part in self.parts_of_speech:
            senses = self._senses(part, tally)
            rows = [row for number in synsets[part] for row in _facts(part, number, synsets, senses)]
            kept = [row for row in rows if self._keeps(row)]
            tally.num_left_out += len(rows) - len(kept)
            rows = kept
            if not rows:
                continue
            subjects, relations, objects, weights = zip(*rows, strict=True)
            tally.num_facts += len(rows)
            yield Batch(
                list(subjects),
                [RELATION_CODES[relation] for relation in relations],
                list(objects),
                [to_thousandths(weight) for weight in weights],
                [source] * len(rows),
            )

    def _keeps(self, row: tuple[str, str, str, float]) -> bool:
        _, relation, _, weight = row
        lightest = 0 if self.max_sense is None else 1 / self.max_sense
        return weight >= lightest and (self.relations is None or relation in self.relations)

    def _parts(self) -> tuple[str, ...]:
        """The parts of speech to be read: attributes of nouns are adjectives."""
        attributes = "noun" in self.parts_of_speech and "adj" not in self.parts_of_speech
        return (*self.parts_of_speech, "adj") if attributes else self.parts_of_speech

    def _files(self) -> list[Path]:
        data = [self.folder / f"data.{part}" for part in self._parts()]
        return [*data, *(self.folder / f"index.{part}" for part in self.parts_of_speech)]

    def _lines(self, name: str, tally: Tally) -> Iterator[tuple[int, str]]:
        """The lines of a file with their numbers, without the licence at its beginning."""
        with open_regular(self.folder / name, what="WordNet file") as file:
            for number, line in enumerate(lines_of(file), 1):
                tally.bytes_read += len(line)
                if line.startswith(b"  "):
                    continue
                tally.num_lines += 1
                try:
                    yield number, line.decode()
                except UnicodeDecodeError:
                    tally.unreadable(name, number, "it is not UTF-8")

    def _synsets(self, part: str, tally: Tally) -> dict[str, _Synset]:
        name = f"data.{part}"
        synsets: dict[str, _Synset] = {}
        for number, line in self._lines(name, tally):
            try:
                synsets[line[: line.index(" ")]] = _parsed_synset(line)
            except (ValueError, IndexError, KeyError):
                tally.unreadable(name, number, "it is not a synset")
            tally.require_readable(finished=False)
        return synsets

    def _senses(self, part: str, tally: Tally) -> dict[tuple[str, str], int]:
        """The rank of each word's senses, from 1, by the word and the number of the synset."""
        name = f"index.{part}"
        ranks: dict[tuple[str, str], int] = {}
        for number, line in self._lines(name, tally):
            try:
                word, *numbers = _parsed_senses(line)
            except (ValueError, IndexError):
                tally.unreadable(name, number, "it is not a word with its senses")
                continue
            for rank, synset in enumerate(numbers, 1):
                ranks.setdefault((word, synset), rank)
        return ranks


def _parsed_synset(line: str) -> _Synset:
    """Read a line of a data file.

    Raises:
        ValueError, IndexError, KeyError: If it is none.
    """
    fields = line.split(" | ", 1)[0].split()
    if not (fields[0].isdecimal() and fields[2] in _FILE_OF):
        raise ValueError
    num_words = int(fields[3], 16)
    words = [normalise_concept(_MARKER.sub("", word)) for word in fields[4 : 4 + 2 * num_words : 2]]
    start = 4 + 2 * num_words
    num_pointers = int(fields[start])
    if len(words) != num_words or not all(words) or len(fields) < start + 1 + 4 * num_pointers:
        raise ValueError
    pointers = []
    for place in range(start + 1, start + 1 + 4 * num_pointers, 4):
        symbol, number, part, ends = fields[place : place + 4]
        pointers.append(_Pointer(symbol, (_FILE_OF[part], number), (int(ends[:2], 16), int(ends[2:], 16))))
    return _Synset(words, pointers)


def _parsed_senses(line: str) -> list[str]:
    """Read a line of an index file: the word, and the numbers of its synsets.

    Raises:
        ValueError, IndexError: If it is none.
    """
    fields = line.split()
    num_senses, num_symbols = int(fields[2]), int(fields[3])
    numbers = fields[6 + num_symbols :]
    if len(numbers) != num_senses or not all(number.isdecimal() for number in numbers):
        raise ValueError
    return [normalise_concept(fields[0]), *numbers]


def _facts(
    part: str,
    number: str,
    synsets: dict[str, dict[str, _Synset]],
    senses: dict[tuple[str, str], int],
) -> Iterator[tuple[str, str, str, float]]:
    """The facts in a synset about each of its words."""
    words, pointers = synsets[part][number]
    weights = {word: 1 / senses.get((word, number), _UNLISTED_SENSE) for word in words}
    relation_of = _RELATION_OF[part]
    for symbol, (target_part, target_number), (own, others) in pointers:
        relation = relation_of.get(symbol)
        target = synsets.get(target_part, {}).get(target_number)
        if relation is None or target is None or own > len(words) or others > len(target.words):
            continue
        # Synsets begin with their most usual word, which stands for all; a pointer between words names both.
        other = target.words[others - 1] if others else target.words[0]
        for word in [words[own - 1]] if own else words:
            if word != other:
                yield word, relation, other, weights[word]
    for word in words[1:]:
        if word != words[0]:
            yield word, "Synonym", words[0], weights[word]
            yield words[0], "Synonym", word, weights[words[0]]
