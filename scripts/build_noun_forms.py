"""Build the table of how nouns are written in sentences, from WordNet's files: capital letters, and which article.

    python scripts/build_noun_forms.py DICT INFLECTIONS

DICT is WordNet's folder with data.noun and index.noun, as for `build_default_store.py`. Stores keep concepts in lower
case; WordNet knows which are names ("Vicente Lopez"), and its 82,000 definitions show which nouns are counted: "a
bridge", but "much distrust". INFLECTIONS is `resources/infl_lu.csv.gz` of the package lemminflect 0.2.3: the plurals of
the SPECIALIST Lexicon's 23,000 nouns, where "weaponry" has none and "pall" has only "palls". What all three leave wrong
is corrected by hand in `noun_corrections.txt`. Read by `vkood.knowledge.language.noun_forms`, which says what the
classes mean.
"""

from __future__ import annotations

import argparse
import lzma
import re
from pathlib import Path

from wordnet_nouns import (
    ARTIFACT,
    BODIES,
    COMMUNICATION,
    LOCATION,
    OBJECT,
    PERSON,
    TIME,
    Nouns,
    looks_plural,
    read_corrections,
    read_plurals,
)

from vkood.knowledge.facts import normalise_concept
from vkood.knowledge.language.lemmas import singulars
from vkood.knowledge.language.phrases import ends_as_mass

_RANK = re.compile(r" (?:genus|family|order|class)$")
"""What genera and families are: the default store leaves them out."""

OUTPUT = Path(__file__).resolve().parent.parent / "src" / "vkood" / "knowledge" / "data" / "noun_forms.txt.xz"
CORRECTIONS = Path(__file__).resolve().parent / "noun_corrections.txt"

_NO_PLURAL = ("ing", "os", "us", "is", "ops", "eps", "aps")
_ALWAYS_MASS = ("ness", "wear", "ware")


def lines(nouns: Nouns) -> list[str]:
    """The lines of the table."""
    lines: list[str] = []
    for concept, numbers in sorted(nouns.senses.items()):
        first = numbers[0]
        if _RANK.search(normalise_concept(nouns.hypernym(first))):
            continue
        written = nouns.written(concept, first)
        names = [number for number in numbers if nouns.is_name(concept, number)]
        ranks = {LOCATION: 0, OBJECT: 1}  # states before the rivers of their name
        name = min(names, key=lambda number: ranks.get(nouns.synsets[number].file, 2), default=None)
        mark = ""
        if (written != concept or nouns.synsets[first].is_instance) and not nouns.is_common(concept, numbers):
            mark = nouns.class_of(concept, first)
            lines.append(f"{mark}{re.sub('^The ', 'the ', written)}")
        if name is not None and (name_mark := nouns.class_of(concept, name)) != mark:
            is_place = name_mark != "n" or nouns.synsets[name].file in (LOCATION, OBJECT, TIME)
            lines.append(f"{name_mark.upper() if is_place else 'M'}{nouns.written(concept, name)}")
        if mark:
            continue
        if re.match(r"(?:labia|(?:ven|arteri|glandul|valvul)ae) ", concept):
            lines.append(f"b{concept}")
            continue
        if "law of " in concept or re.fullmatch(r"\d+s", concept):
            lines.append(f"{'p' if concept[0].isdigit() else 't'}{concept}")
            continue
        if concept in nouns.corrections:
            lines.append(f"{nouns.corrections[concept]}{concept}")
            continue
        is_person = nouns.synsets[first].file == PERSON and nouns.says_counted(first)
        if is_person and " of the " in concept and not concept.startswith("one "):
            lines.append(f"a{concept}")  # such as a title at court
            continue
        mass = nouns.is_mass(concept, first)
        head = concept.rsplit(" ", 1)[-1]
        if " " in concept and nouns.is_mass_phrase(concept, first):
            lines.append(f"u{concept}")
        elif " " in concept:
            is_piece = nouns.synsets[first].file in (ARTIFACT, COMMUNICATION)
            is_single = (
                looks_plural(head) and head not in nouns.senses and singulars(head)[0] not in nouns.senses
            ) or (
                concept.split(" ")[0].endswith("ing")
                and nouns.synsets[first].file in BODIES
                and not (looks_plural(head) or nouns.is_mass_word(head))
            )
            if is_single or (
                nouns.is_mass_word(head) and nouns.says_counted(first) and (is_piece or not mass)
            ):
                lines.append(f"a{concept}")  # "white paper"
        elif mass:
            lines.append(f"u{concept}")
        elif (
            looks_plural(concept)
            and concept.endswith(("es", "as", "ns", "ls", "os"))
            and (nouns.is_single(concept, first) or nouns.shown(concept) == "count")
        ):
            lines.append(f"a{concept}")  # "materfamilias"
        elif (concept.endswith(_NO_PLURAL) and not nouns.is_plural(concept)) or (
            ends_as_mass(concept) and not concept.endswith(_ALWAYS_MASS)
        ):
            lines.append(f"a{concept}")  # which the rules take for a plural, a deed or a mass
    return (
        lines
        + _lines_of_corrections(nouns)
        + sense_lines(nouns)
        + [f"k{kind}" for kind in sorted(nouns.name_kinds)]
    )


def _lines_of_corrections(nouns: Nouns) -> list[str]:
    """Lines of nouns that WordNet lacks or writes otherwise ("French fries"), and of one meaning ("alpaca" as wool)."""
    lines: list[str] = []
    for noun, mark in nouns.corrections.items():
        noun, _, kind = noun.partition(" IsA ")
        concept = normalise_concept(noun)
        known = {nouns.written(concept, number) for number in nouns.senses.get(concept, ())}
        if kind:
            lines.append(f"s{mark}{noun}\t{kind}")
        elif not known or (mark in "bc" and noun not in known | {concept}):
            lines.append(f"{mark}{noun}")
    return lines


def sense_lines(nouns: Nouns) -> list[str]:
    """Lines of words that are written otherwise where they are of one kind: "PA" as a communication system."""
    lines: set[str] = set()
    for concept, numbers in nouns.senses.items():
        is_common = nouns.is_common(concept, numbers)
        default = concept if is_common else nouns.written(concept, numbers[0])
        default_class = "" if is_common else nouns.class_of(concept, numbers[0])
        for number in numbers:
            written = nouns.written(concept, number)
            if written == default and default_class == nouns.class_of(concept, number):
                continue
            for hypernym in nouns.synsets[number].hypernyms:
                kind = normalise_concept(nouns.synsets[hypernym].words[0])
                if (
                    written not in (default, concept)
                    and kind not in nouns.name_kinds
                    and not _RANK.search(kind)
                ):
                    lines.add(f"s{nouns.class_of(concept, number)}{written}\t{kind}")
    return sorted(lines)


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dict", type=Path, help="WordNet's folder with data.noun and index.noun")
    parser.add_argument("inflections", type=Path, help="infl_lu.csv.gz of lemminflect")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    nouns = Nouns(arguments.dict, read_plurals(arguments.inflections), read_corrections(CORRECTIONS))
    text = "\n".join(lines(nouns)) + "\n"
    # Text has no alignment to exploit (`pb`); every byte counts in the wheel.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "pb": 0, "nice_len": 112}]
    arguments.output.write_bytes(lzma.compress(text.encode(), check=lzma.CHECK_CRC32, filters=filters))
    print(f"{arguments.output}: {text.count(chr(10)):,} nouns, {arguments.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
