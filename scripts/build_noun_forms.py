"""Build the table of how nouns are written in sentences, from WordNet's files: capital letters, and which article.

    python scripts/build_noun_forms.py DICT

DICT is WordNet's folder with data.noun and index.noun, as for `build_default_store.py`. Stores keep concepts in lower
case; WordNet knows which are names ("Vicente Lopez"), and its 82,000 definitions show which nouns are counted: "a
bridge", but "much distrust". Read by `vkood.knowledge.noun_forms`, which says what the classes mean.
"""

from __future__ import annotations

import argparse
import lzma
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vkood.knowledge.facts import normalise_concept
from vkood.knowledge.lemmas import plural, singulars
from vkood.knowledge.phrases import COUNTED, ends_as_mass, is_mass
from vkood.knowledge.word_lists import words_of

_RANK = re.compile(r" (?:genus|family|order|class)$|^(?:genus|family|order|class|phylum)$")
"""What genera and families are: the default store leaves them out."""

OUTPUT = Path(__file__).resolve().parent.parent / "src" / "vkood" / "knowledge" / "data" / "noun_forms.txt.xz"

ACT, ANIMAL, ARTIFACT, ATTRIBUTE, COGNITION, COMMUNICATION, EVENT, FEELING = 4, 5, 6, 7, 9, 10, 11, 12
FOOD, GROUP, LOCATION, OBJECT, PERSON, PLANT, STATE, SUBSTANCE, TIME = 13, 14, 15, 17, 18, 20, 26, 27, 28
"""Numbers of WordNet's lexicographer files."""

_FOR_MASS = {SUBSTANCE: 4, ATTRIBUTE: 3, FEELING: 3, 22: 3, STATE: 2, FOOD: 1, 19: 1}
_FOR_COUNT = {
    ANIMAL: 6,
    PERSON: 9,
    PLANT: 5,
    ARTIFACT: 3,
    LOCATION: 5,
    17: 4,
    8: 4,
    GROUP: 3,
    23: 4,
    25: 3,
    TIME: 3,
}
"""How much a lexicographer file speaks for either, in occurrences; others speak a little for count nouns."""
_MASS_ENDING = re.compile(
    r"(?:ness|itis|osis|ology|onomy|graphy|metry|pathy|phobia|mania|emia|uria|algia|plasia|sthesia|trophy|plegia|phagia|philia|emesis|"
    r"iasis|ectasis|stasis|genesis|kinesis|cardia|latry|urgy|philately|erastia|duggery|iatry|babble|lysis|itude|hood|ship|dom|ism|ity|ability|ibility|therapy|culture|tourism|nomics|istics)$"
)
_DRUG_ENDING = re.compile(r"(?:pril|olol|cillin|mycin|azole|statin|zepam|[^t]ine|one|ol)$")
_DEED_ENDING = re.compile(r"(?:tion|sion|ment|ance|ence|ancy|ency|acy)$")
_BODIES = frozenset((ARTIFACT, PERSON, ANIMAL, PLANT, LOCATION, GROUP, 8, 17))
_DEEDS = frozenset((ACT, ATTRIBUTE, COGNITION, COMMUNICATION, EVENT, FEELING, 19, 21, 22, 24, STATE))

_COUNT_NOUNS = words_of(
    "alarm bagel baguette barbecue cheesecake cling croissant crossing cupcake eggplant espresso freight "
    "glass icicle kebab lollipop meatball milkshake orchard pear pizza popsicle pretzel radio radish rings "
    "someone sunrise television waddle waffle walnut omelette sausage lime cob smell dribble front buzz order "
    "stock address touch return exchange constitution sale guinea anomaly fracture well mind search "
    "misfortune anchorage disadvantage blessing chuck irregularity chinkapin chincapin boast revival "
    "appellation roe headache atrocity prolapse filler pursuit denial trope fitting subtitle reverie appendix "
    "gauntlet slam puncture canvass charm lanseh hallucination excess caption remainder advance conserve "
    "principal appointment reference replacement annuity gratuity central militia biscuit confederation "
    "medium being dainty smear fever capital credit delivery separation birth development approval removal "
    "expansion addition passion royalty east west birthday stance sceptre infarct stroke advisory plaudit "
    "popover seventh mezuza chilblain positive supplement bombardment brouhaha quadrille enanthem parliament "
    "asterism embolism gin perception photogravure chili document instrument dysphemism euphemism aphorism "
    "anachronism truism syllogism schism ovation quality ostomy counterexample debenture repast puddle "
    "airdrop parallel extreme corps cold color colour shape flavorer flavourer nonesuch pollutant preliminary "
    "girth lord size particular limerick junket pompadour origin cobbling care massage depression fishbowl "
    "antiseptic stimulant"
)
"""Nouns that the counts below take for masses, seen in reading through the most frequent."""

_COUNTING = words_of("a an any one each either someone anyone")
_SAYING_NOTHING = re.compile(
    r"an? (?:\w+ ){0,2}(?:state|process|condition|feeling|quality|form|lack|branch|method|technique|science|disease|"
    r"disorder|inflammation|infection|sense|kind|degree|property|trait|ability|activity|attitude|belief|theory|doctrine|"
    r"drug|substance|emotion|illness|symptom|deficiency|absence|loss|reduction)\b"
)
"""Beginnings of definitions that fit masses as well as count nouns."""

_TOKEN = re.compile(r"[a-z'\-]+|[^\sa-z]")
_AFTER = words_of(
    '; , ) " of in on that which who for with and or to by from at is was has as used made usually but when where '
    "without . between into during under over than are were ( :"
)
_BEFORE_MASS = words_of("of in with by from for without as much little more less into through")
_BEFORE_COUNT = words_of("a an another each every one")
_KINDS = words_of("kind type sort species genus form variety piece class any kinds types")

_THE_KINDS = re.compile(
    r"\b(?:river|sea|ocean|gulf|strait|straits|channel|canal|desert|range|war|revolution|period|era|epoch|agency|dynasty|"
    r"empire|movement|galaxy|constellation of|alliance|political party|bureau|mountains|isthmus|rebellion|legislature|"
    r"parliament)$"
)
_THE_WORDS = words_of(
    "republic empire kingdom islands isles mountains alps desert river sea ocean canal war wars union states "
    "peninsula revolution gulf strait straits channel basin coast dynasty bible testament treaty party army "
    "age era netherlands philippines bahamas maldives seychelles arctic antarctic caribbean midwest levant "
    "balkans crimea rebellion crusade renaissance reformation inquisition dardanelles bosporus confederacy "
    "confederation commonwealth league federation association agency bureau department academy bloc zodiac "
    "kremlin vatican pentagon serengeti tundra us usa u.s. u.s.a. uk u.k. ussr uae dipper cia fbi un eu state "
    "antilles territories lowlands ridge canyon archipelago north south capital wall atlantic pacific east "
    "west manifesto judiciary apocrypha hagiographa corporation territory meridian dictionary encyclopedia "
    "office service force board commission administration council court countries navy corps guard institute "
    "society police"
)
_TITLES = words_of("duke earl king queen prince princess count marquis baron lord apostle")
_NO_PLURAL = ("ing", "os", "us", "is", "ops", "eps", "aps")
_ALWAYS_MASS = ("ness", "wear", "ware")
_NO_NAMES = words_of("month language religion week drug")


@dataclass(frozen=True, slots=True)
class Synset:
    """A set of synonyms."""

    file: int
    words: list[str]
    hypernyms: list[str]
    is_instance: bool
    gloss: str


class Nouns:
    """WordNet's nouns.

    Args:
        folder: WordNet's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.synsets: dict[str, Synset] = {}
        for line in (folder / "data.noun").read_text(encoding="utf-8").splitlines():
            if not line.startswith("  "):
                number, synset = _read_synset(line)
                self.synsets[number] = synset
        self.senses: dict[str, list[str]] = {}
        for line in (folder / "index.noun").read_text(encoding="utf-8").splitlines():
            if not line.startswith("  "):
                fields = line.split()
                self.senses[normalise_concept(fields[0])] = fields[6 + int(fields[3]) :]
        self._count_contexts()

    def _count_contexts(self) -> None:
        """Count how each word is used in all definitions and examples."""
        self.seen: Counter[str] = Counter()
        self.counted: Counter[str] = Counter()
        self.uncounted: Counter[str] = Counter()
        for synset in self.synsets.values():
            tokens = ["", "", *_TOKEN.findall(synset.gloss.lower()), "."]
            for place in range(2, len(tokens) - 1):
                two, one, word, following = tokens[place - 2 : place + 2]
                if following not in _AFTER:
                    continue
                self.seen[word] += 1
                if one in _BEFORE_COUNT or (two in ("a", "an") and one not in _AFTER):
                    self.counted[word] += 1
                elif one in _BEFORE_MASS and not (one == "of" and two in _KINDS):
                    self.uncounted[word] += 1

    def hypernym(self, number: str) -> str:
        """The first word of a synset's hypernym, "" if it has none."""
        hypernyms = self.synsets[number].hypernyms
        return self.synsets[hypernyms[0]].words[0] if hypernyms else ""

    def written(self, concept: str, number: str) -> str:
        """How a synset writes one of its words."""
        words = self.synsets[number].words
        return next((word for word in words if normalise_concept(word) == concept), concept)

    def is_mass(self, word: str, number: str) -> bool:
        """Whether a common noun, in one sense, goes without an article."""
        if word in _COUNT_NOUNS | COUNTED or singulars(word)[0] != word or self._has_beings(word):
            return False
        synset = self.synsets[number]
        first = _first_word(synset.gloss)
        head = word.rsplit(" ", 1)[-1]
        counted = self.counted[head] + 0.7 * self.seen[plural(head)] + _FOR_COUNT.get(synset.file, 1)
        uncounted = 1.5 * self.uncounted[head] + _FOR_MASS.get(synset.file, 0)
        if first in _COUNTING:
            counted += 0 if synset.file == SUBSTANCE else 4  # "a mineral that ..."
        elif first != "the":
            uncounted += 3 if synset.file in _FOR_MASS else 1
        above = {normalise_concept(word) for word in self.above(number)}
        if synset.file in _FOR_MASS and any(_MASS_ENDING.search(kind) for kind in above):
            uncounted += 3
        if above & {"disease", "illness"} and first in _COUNTING:
            counted -= 4  # "an acute disease that"
        if "drug" in self.above(number) and _DRUG_ENDING.search(head):
            uncounted += 9
        if (_MASS_ENDING.search(head) and synset.file not in _BODIES) or (
            head.endswith("ing") and synset.file in _DEEDS and first not in _COUNTING
        ):
            uncounted += 9
        elif _DEED_ENDING.search(head) and synset.file in _DEEDS and first not in _COUNTING:
            uncounted += 3
        return uncounted > counted

    def is_plural(self, concept: str) -> bool:
        """Whether a word is the plural of another noun."""
        one = singulars(concept)[0]
        return one != concept and any(self.written(one, number) == one for number in self.senses.get(one, ()))

    def is_single(self, concept: str, number: str) -> bool:
        """Whether a word in -s is no plural: its singular is no word, and its definition is that of one thing."""
        return (
            singulars(concept)[0] not in self.senses and _first_word(self.synsets[number].gloss) in _COUNTING
        )

    def is_common(self, concept: str, numbers: list[str]) -> bool:
        """Whether a word is also written in lower case, or is a plural: "crown" rather than "Crown", "bridges"."""
        if self.is_plural(concept):
            return True
        others = (number for number in numbers if not self.synsets[number].is_instance)
        return any(self.written(concept, number) == concept for number in others)

    def is_name(self, concept: str, number: str) -> bool:
        """Whether a word is a name with capital letters in one sense."""
        return self.written(concept, number) != concept and self.class_of(concept, number) in ("n", "t")

    def says_counted(self, number: str) -> bool:
        """Whether a definition begins as those of count nouns do."""
        return _first_word(self.synsets[number].gloss) in _COUNTING

    def _has_beings(self, word: str) -> bool:
        """Whether a noun has a sense that is a person, an animal or a plant."""
        return any(
            self.synsets[number].file in (ANIMAL, PERSON, PLANT) for number in self.senses.get(word, ())
        )

    @cached_property
    def name_kinds(self) -> set[str]:
        """Hypernyms of which most words are names: "city", "songwriter"."""
        names: Counter[str] = Counter()
        others: Counter[str] = Counter()
        for synset in self.synsets.values():
            for hypernym in synset.hypernyms:
                kind = normalise_concept(self.synsets[hypernym].words[0])
                (names if synset.is_instance else others)[kind] += 1
        return {kind for kind, number in names.items() if number >= 2 * others[kind]}

    def above(self, number: str) -> set[str]:
        """The first words of all hypernyms, up to the root."""
        found: set[str] = set()
        rest = [number]
        while rest:
            synset = self.synsets[rest.pop()]
            for hypernym in synset.hypernyms:
                word = self.synsets[hypernym].words[0]
                if word not in found:
                    found.add(word)
                    rest.append(hypernym)
        return found

    def class_of(self, concept: str, number: str) -> str:
        """The class of a word with capital letters, in one sense."""
        synset = self.synsets[number]
        written = self.written(concept, number)
        words = concept.split(" ")
        kinds = self.above(number)
        if synset.is_instance:
            if written.lower().startswith("the "):
                return "n"
            if written == concept and not any(map(str.isupper, written)):
                return "t"  # "the pole star"
            return "t" if self._takes_the(synset, words) else "n"
        is_latin = re.fullmatch(r"[A-Z][a-z]+(?: [A-Za-z-]+)+", written)
        is_english = words[-1] in self.senses or not written.rsplit(" ", 1)[-1].islower()
        is_latin = is_latin and (f"genus {words[0]}" in self.senses or not is_english)
        if is_latin and synset.file in (ANIMAL, PLANT, FOOD, 8):
            return "n"
        if words[0].endswith("'s") or (len(words) > 1 and words[-2].endswith("'s")):
            return "n"
        if kinds & {"geological time", "geologic time"} or (len(words) > 1 and words[-1] in ("age", "era")):
            return "t"
        if "drug" in kinds:
            return "n" if len(words) == 1 else "c"
        names = {"language", "calendar month", "holiday", "day of the week", "religion", "holy day"}
        if words[-1] in _THE_WORDS and len(words) > 1 and written.rsplit(" ", 1)[-1][0].isupper():
            return "t"
        if kinds & names and words[-1] not in _NO_NAMES and not concept.endswith("holy day"):
            return "n"
        is_abbreviation = re.search(r"[A-Z][a-z]?[A-Z]|[A-Z]\.[A-Z]", written) is not None
        if synset.file in (GROUP, LOCATION) and is_abbreviation:
            return "t"
        if synset.file in (STATE, ACT) and is_abbreviation:
            return "n"
        if (
            synset.file not in (PERSON, ANIMAL, PLANT, STATE, 23)
            and "of" in words[1:]
            and written[0].isupper()
        ):
            return "t"
        if len(words) > 1 and is_mass(words[-1]):
            return "u"
        is_day = words[-1] not in _NO_NAMES and not concept.endswith("holy day")
        if synset.file == TIME and is_day and not kinds & {"calendar"}:
            return "n"
        if synset.file in (SUBSTANCE, STATE, ACT, COGNITION, 12, 19, 22, 24) or _MASS_ENDING.search(
            words[-1]
        ):
            return (
                "c"
                if self.is_mass(concept, number) is False and synset.file not in (SUBSTANCE, COGNITION)
                else "u"
            )
        return "c"

    def _takes_the(self, synset: Synset, words: list[str]) -> bool:
        if words[0] in ("mount", "lake", "saint", "st", "cape", "fort", "port", "st."):
            return False
        if synset.file == PERSON:
            return "of" in words and words[words.index("of") - 1] in _TITLES
        if words == ["key", "west"]:
            return False
        kind = self.synsets[synset.hypernyms[0]].words[0] if synset.hypernyms else ""
        return (
            words[-1] in _THE_WORDS
            or (len(words) > 1 and "of" in words[1:])
            or _THE_KINDS.search(kind) is not None
            or (synset.file == GROUP and len(words) > 1)
            or (synset.file in (EVENT, ACT) and len(words) > 1 and words[-1] != "day")
        )


def _looks_plural(word: str) -> bool:
    return singulars(word)[0] != word


def _first_word(gloss: str) -> str:
    """The first word of a definition, "the" where it says nothing."""
    gloss = re.sub(r"^\([^)]*\)\s*", "", gloss).lower()
    return "the" if _SAYING_NOTHING.match(gloss) else gloss.split(" ", 1)[0]


def _read_synset(line: str) -> tuple[str, Synset]:
    head, gloss = line.split(" | ", 1)
    fields = head.split()
    num_words = int(fields[3], 16)
    start = 4 + 2 * num_words
    pointers = [
        (fields[place], fields[place + 1])
        for place in range(start + 1, start + 1 + 4 * int(fields[start]), 4)
    ]
    words = [re.sub(r"\((?:a|p|ip)\)$", "", word).replace("_", " ") for word in fields[4:start:2]]
    hypernyms = [number for symbol, number in pointers if symbol in ("@", "@i")]
    return fields[0], Synset(
        int(fields[1]), words, hypernyms, any(symbol == "@i" for symbol, _ in pointers), gloss.strip()
    )


def lines(nouns: Nouns) -> list[str]:
    """The lines of the table."""
    found: list[str] = []
    for concept, numbers in sorted(nouns.senses.items()):
        first = numbers[0]
        if _RANK.search(normalise_concept(nouns.hypernym(first))):
            continue
        written = nouns.written(concept, first)
        names = [number for number in numbers if nouns.is_name(concept, number)]
        places = [number for number in names if nouns.synsets[number].file in (LOCATION, OBJECT)]
        name = next(iter([*places, *names]), None)
        mark = ""
        if (written != concept or nouns.synsets[first].is_instance) and not nouns.is_common(concept, numbers):
            mark = nouns.class_of(concept, first)
            found.append(f"{mark}{re.sub('^The ', 'the ', written)}")
        if name is not None and (name_mark := nouns.class_of(concept, name)) != mark:
            found.append(f"{name_mark.upper()}{nouns.written(concept, name)}")
        if mark:
            continue
        mass = nouns.is_mass(concept, first)
        head = concept.rsplit(" ", 1)[-1]
        if " " in concept:
            is_piece = nouns.synsets[first].file in (ARTIFACT, COMMUNICATION)
            is_single = (
                _looks_plural(head) and head not in nouns.senses and singulars(head)[0] not in nouns.senses
            )
            if is_single or (is_mass(head) and nouns.says_counted(first) and (is_piece or not mass)):
                found.append(f"a{concept}")  # "white paper"
        elif mass:
            found.append(f"u{concept}")
        elif (
            _looks_plural(concept)
            and concept.endswith(("es", "as", "ns", "ls"))
            and nouns.is_single(concept, first)
        ):
            found.append(f"a{concept}")  # "materfamilias"
        elif (concept.endswith(_NO_PLURAL) and not nouns.is_plural(concept)) or (
            ends_as_mass(concept) and not concept.endswith(_ALWAYS_MASS)
        ):
            found.append(f"a{concept}")  # which the rules take for a plural, a deed or a mass
    return found + [f"k{kind}" for kind in sorted(nouns.name_kinds)]


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dict", type=Path, help="WordNet's folder with data.noun and index.noun")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    text = "\n".join(lines(Nouns(arguments.dict))) + "\n"
    arguments.output.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{arguments.output}: {text.count(chr(10)):,} nouns, {arguments.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
