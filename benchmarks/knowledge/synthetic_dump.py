"""Synthetic assertions, in the exact form of ConceptNet's dump.

Like the English part of ConceptNet 5.7, of which 3.4 million assertions relate 1.2 million terms: a few terms are in
very many assertions, most are in one or two.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

_NUM_TERMS = 1_600_000
_SKEW = 6
"""With this power of a uniform number, 3.4 million assertions name 1.19 million different terms."""
_SYLLABLES = [first + second for first in "bcdfghklmnprstvw" for second in "aeiou"]
_RELATIONS = (
    *("RelatedTo",) * 50,
    *("FormOf",) * 11,
    *("DerivedFrom",) * 9,
    *("HasContext",) * 7,
    *("IsA",) * 7,
    *("Synonym",) * 6,
    "UsedFor",
    "AtLocation",
    "SimilarTo",
    "CapableOf",
    "HasProperty",
    "PartOf",
    "HasA",
    "MannerOf",
    "Antonym",
    "EtymologicallyRelatedTo",
)
_DATASETS = (
    *("/d/wiktionary/en",) * 6,
    "/d/verbosity",
    "/d/wordnet/3.1",
    "/d/conceptnet/4/en",
    "/d/dbpedia/en",
)
_WEIGHTS = (
    *("1.0",) * 8,
    "2.0",
    "0.5",
    "2.8284271247461903",
    "0.24",
    "1.7320508075688772",
    "4.47213595499958",
)
_SENSES = ("", "", "", "", "/n", "/v", "/a", "/n/wn/animal", "/n/wikt/en_1")
_OTHER = ("fr", "de", "ja", "es", "zh", "fi", "la", "it", "ru")
_PIECE = 50_000


def write_dump(path: Path, num_lines: int, *, english: float = 1.0, seed: int = 0) -> None:
    """Write synthetic assertions.

    Args:
        path: The file.
        num_lines: How many.
        english: Share of them that are English; the others are of other languages, as nine of ten lines of the real
            dump are.
        seed: Of everything that is drawn.
    """
    generator = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for start in range(0, num_lines, _PIECE):
            file.write("".join(_lines(generator, min(_PIECE, num_lines - start), english)))


def _lines(generator: np.random.Generator, number: int, english: float) -> list[str]:
    def drawn(values: tuple[str, ...]) -> list[str]:
        return [values[place] for place in generator.integers(0, len(values), number).tolist()]

    def terms() -> list[str]:
        return [
            _term(place) for place in (_NUM_TERMS * generator.random(number) ** _SKEW).astype(int).tolist()
        ]

    other = drawn(_OTHER)
    languages = ["en" if draw < english else other[row] for row, draw in enumerate(generator.random(number))]
    columns = (
        languages,
        terms(),
        drawn(_SENSES),
        drawn(_RELATIONS),
        terms(),
        drawn(_SENSES),
        drawn(_DATASETS),
        drawn(_WEIGHTS),
    )
    return [_line(*row) for row in zip(*columns, strict=True)]


def _line(*row: str) -> str:
    language, start, start_sense, relation, end, end_sense, dataset, weight = row
    start_term, end_term = f"/c/{language}/{start}{start_sense}", f"/c/{language}/{end}{end_sense}"
    about = (
        f'{{"dataset": "{dataset}", "license": "cc:by-sa/4.0", "sources": [{{"activity": '
        '"/s/process/wikiparsec/2", "contributor": "/s/resource/wiktionary/en"}], '
        f'"surfaceEnd": "{end}", "surfaceStart": "{start}", "weight": {weight}}}'
    )
    return (
        f"/a/[/r/{relation}/,{start_term}/,{end_term}/]\t/r/{relation}\t{start_term}\t{end_term}\t{about}\n"
    )


def _term(number: int) -> str:
    """One word for two terms of five, two for two, three for the fifth."""
    words = {
        0: (number,),
        1: (number,),
        2: (number * 7 % 1_000_003, number),
        3: (number * 7 % 1_000_003, number),
    }
    return "_".join(map(_word, words.get(number % 5, (number, number * 13 % 10_007, number * 3 % 997))))


def _word(number: int) -> str:
    word = ""
    while True:
        number, syllable = divmod(number, len(_SYLLABLES))
        word += _SYLLABLES[syllable]
        if not number:
            return word
