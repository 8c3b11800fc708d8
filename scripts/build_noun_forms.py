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
import csv
import gzip
import lzma
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from vkood.knowledge.facts import normalise_concept
from vkood.knowledge.language.lemmas import is_plural, plural, singulars
from vkood.knowledge.language.phrases import COUNTED, ends_as_mass
from vkood.knowledge.language.word_lists import ADVERBS, COLOURS, FIXED, MASSES, MATERIALS_TOO, PREPOSITIONS

_RANK = re.compile(r" (?:genus|family|order|class)$")
"""What genera and families are: the default store leaves them out."""


def words_of(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


OUTPUT = Path(__file__).resolve().parent.parent / "src" / "vkood" / "knowledge" / "data" / "noun_forms.txt.xz"
CORRECTIONS = Path(__file__).resolve().parent / "noun_corrections.txt"

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
    "society police bridge version amendment"
)
_THE_GROUPS = words_of(
    "church organization organisation center centre community convention bank system command legion nations forces "
    "activity cabinet general network world services fund club committee movement line empire dynasty congress "
    "authority directorate"
)
_SUBSTANCES = words_of(
    "acid oxide chloride sulfate sulphate nitrate nitrite carbonate hydroxide phosphate bromide iodide fluoride "
    "cyanide gum glass paper wax oil resin steel iron gas sodium red blue green yellow white black orange violet "
    "tissue board leather cloth ink paint cement clay salt soap lead silver gold copper sulfide sulphide acetate "
    "dioxide"
)
_COUNTED_SUBSTANCES = words_of(
    "drug rock solution material propellant body agent factor hormone enzyme compound element mixture chemical toxin "
    "explosive log inhibitor polymer alloy number substance particle nucleotide molecule stain dye pigment fuel blank "
    "remover carrier brick tile slab ball stick block chip fragment ingot pellet lump stone gem diamond filter product"
)
_COUNTED_STATES = words_of(
    "abscess scotoma neoplasm reflux arrhythmia mole dyscrasia tumor tumour cyst account dysfunction"
)
_MASS_HEADS = words_of(
    "disease infection language matter copy talk evidence modulation authority failure transmission attraction power "
    "light force emission flow fusion property capital issue pay rent interest income aid duty stock development birth "
    "action contact room competition agreement ejaculation descent sense culture crime land rank work music "
    "distortion acceleration propagation conduction exercise therapy control support communication art philosophy "
    "literature law education training behavior behaviour growth pressure energy heat memory belief knowledge judgment "
    "time money credit debt insurance taxation trade commerce business labor labour warfare"
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
        plurals: Plurals of nouns, as `read_plurals` gives them.
        corrections: Classes of nouns, as `read_corrections` gives them.
    """

    def __init__(
        self,
        folder: Path,
        plurals: Mapping[str, frozenset[str]] | None = None,
        corrections: Mapping[str, str] | None = None,
    ) -> None:
        self.plurals = plurals or {}
        self.corrections = corrections or {}
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
        if word in self.corrections:
            return self.corrections[word] == "u"
        synset = self.synsets[number]
        above = {normalise_concept(word) for word in self.above(number)}
        if self.plurals.get(word) == {word} and synset.file == STATE and above & {"disease", "illness"}:
            return True  # "diabetes"
        if word in COUNTED or singulars(word)[0] != word:
            return False
        if self._has_beings(word, (ANIMAL, PERSON) if synset.file == SUBSTANCE else (ANIMAL, PERSON, PLANT)):
            return False
        first = _first_word(synset.gloss)
        head = word.rsplit(" ", 1)[-1]
        is_never_counted = not (word in self.plurals or self.counted[head] or self.seen[plural(head)])
        if head.endswith("ing") and synset.file in _DEEDS and is_never_counted:
            return True
        is_deed = head.endswith("ing") and synset.file in _DEEDS and first not in _COUNTING
        shown = self.shown(word)
        if shown == "mass" and not (synset.file == ARTIFACT and first in _COUNTING):
            return True
        if shown == "count" and not _MASS_ENDING.search(head) and not is_deed:
            return False
        counted = self.counted[head] + 0.7 * self.seen[plural(head)] + _FOR_COUNT.get(synset.file, 1)
        uncounted = 1.5 * self.uncounted[head] + _FOR_MASS.get(synset.file, 0)
        if first in _COUNTING:
            counted += 0 if synset.file == SUBSTANCE else 4  # "a mineral that ..."
        elif first != "the":
            uncounted += 3 if synset.file in _FOR_MASS else 1
        if synset.file in _FOR_MASS and any(_MASS_ENDING.search(kind) for kind in above):
            uncounted += 3
        if above & {"disease", "illness"} and first in _COUNTING:
            counted -= 4  # "an acute disease that"
        if "drug" in self.above(number) and _DRUG_ENDING.search(head):
            uncounted += 9
        if (_MASS_ENDING.search(head) and synset.file not in _BODIES) or is_deed:
            uncounted += 9
        elif _DEED_ENDING.search(head) and synset.file in _DEEDS and first not in _COUNTING:
            uncounted += 3
        return uncounted > counted

    def shown(self, word: str) -> Literal["mass", "count"] | None:
        """What the plurals of a word show: that it has none, or that there is nothing else than plurals."""
        plurals = self.plurals.get(word)
        if plurals is None or (word in plurals and len(plurals) > 1):
            return None
        if word not in plurals:
            return "count"
        return None if word.endswith("s") and not word.endswith(("ss", "sis", "itis", "us")) else "mass"

    def is_mass_word(self, word: str) -> bool:
        """Whether a word goes without an article in its first sense, by our own lists or by WordNet."""
        if word in MASSES | MATERIALS_TOO | FIXED or word not in self.senses:
            return word in MASSES or ends_as_mass(word)
        return self.is_mass(word, self.senses[word][0])

    def is_mass_phrase(self, phrase: str, number: str) -> bool:
        """Whether a phrase goes without an article though the word on which it hangs may be counted."""
        if phrase in self.corrections:
            return self.corrections[phrase] == "u"
        synset = self.synsets[number]
        words = phrase.split(" ")
        head = words[-1]
        first = _first_word(synset.gloss)
        is_counted = first in _COUNTING or self.shown(head) == "count" or " of " in phrase
        if synset.file == FOOD and " and " in phrase:
            return True  # "gin and tonic"
        if is_plural(head) or " and " in phrase or synset.file in _BODIES:
            return False
        if head.endswith("ing") and synset.file in _DEEDS and self._is_deed(head):
            return not is_counted
        if words[0].endswith("ing") and synset.file == ACT and words[1] in ADVERBS | PREPOSITIONS:
            return True  # "running away"
        if synset.file == SUBSTANCE:
            return head in _SUBSTANCES or (
                not head.isdigit() and head not in _COUNTED_SUBSTANCES and not is_counted
            )
        if synset.file == ATTRIBUTE and head in COLOURS:
            return True
        if head not in self.senses and synset.file in _DEEDS and _DEED_ENDING.search(head):
            return not is_counted
        if synset.file == STATE and (
            head not in self.senses or head in ("cancer", "fever", "anemia", "anaemia")
        ):
            return not is_counted or head not in _COUNTED_STATES
        return head in _MASS_HEADS and not is_counted and synset.file in _DEEDS | {14, 21, 27}

    def _is_deed(self, word: str) -> bool:
        senses = self.senses.get(word)
        return senses is None or self.is_mass(word, senses[0])

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
        return self.written(concept, number) != concept and self.class_of(concept, number) in ("n", "t", "p")

    def says_counted(self, number: str) -> bool:
        """Whether a definition begins as those of count nouns do."""
        return _first_word(self.synsets[number].gloss) in _COUNTING

    def _has_beings(self, word: str, files: tuple[int, ...]) -> bool:
        """Whether a noun has a sense that is a person, an animal or a plant."""
        return any(self.synsets[number].file in files for number in self.senses.get(word, ()))

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
        if written in self.corrections:
            return self.corrections[written]
        words = concept.split(" ")
        kinds = self.above(number)
        if re.match(r"(?:sub)?(?:division|class|kingdom|phylum) [A-Z]", written):
            return "t"
        if words[0] in ("bachelor", "doctor", "master") and "of" in words:
            return "c"
        if re.match(r"(?:(?:First|Second|Third) )?Epist(?:le|el) |Gospel ", written):
            return "t"
        if synset.file == GROUP and written[0].isupper() and len(words) > 1 and words[-1] in _THE_GROUPS:
            return "t"
        if synset.is_instance:
            if words[0].endswith("'s") and synset.file != GROUP and "republic" not in words:
                return "n"  # "Hadrian's Wall"
            if written.lower().startswith("the "):
                return "n"
            if written == concept and not any(map(str.isupper, written)):
                return "t"  # "the pole star"
            return "t" if self._takes_the(synset, words) else "n"
        taxa = {
            "genus",
            "family",
            "order",
            "class",
            "phylum",
            "division",
            "subphylum",
            "suborder",
            "superfamily",
        }
        if self.hypernym(number) in taxa or re.search(r"(?:idae|aceae|iformes|viridae|virales)$", written):
            return "n"
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
        if "deity" in kinds and words[-1] not in ("deity", "god", "goddess"):
            return "n"
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
        if len(words) > 1 and self.is_mass_word(words[-1]):
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
            return words[-1] == "state"
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
        ranks = {LOCATION: 0, OBJECT: 1}  # states before the rivers of their name
        name = min(names, key=lambda number: ranks.get(nouns.synsets[number].file, 2), default=None)
        mark = ""
        if (written != concept or nouns.synsets[first].is_instance) and not nouns.is_common(concept, numbers):
            mark = nouns.class_of(concept, first)
            found.append(f"{mark}{re.sub('^The ', 'the ', written)}")
        if name is not None and (name_mark := nouns.class_of(concept, name)) != mark:
            is_place = name_mark != "n" or nouns.synsets[name].file in (LOCATION, OBJECT, TIME)
            found.append(f"{name_mark.upper() if is_place else 'M'}{nouns.written(concept, name)}")
        if mark:
            continue
        if "law of " in concept or re.fullmatch(r"\d+s", concept):
            found.append(f"{'p' if concept[0].isdigit() else 't'}{concept}")
            continue
        if concept in nouns.corrections:
            found.append(f"{nouns.corrections[concept]}{concept}")
            continue
        mass = nouns.is_mass(concept, first)
        head = concept.rsplit(" ", 1)[-1]
        if " " in concept and nouns.is_mass_phrase(concept, first):
            found.append(f"u{concept}")
        elif " " in concept:
            is_piece = nouns.synsets[first].file in (ARTIFACT, COMMUNICATION)
            is_single = (
                _looks_plural(head) and head not in nouns.senses and singulars(head)[0] not in nouns.senses
            ) or (
                concept.split(" ")[0].endswith("ing")
                and nouns.synsets[first].file in _BODIES
                and not (_looks_plural(head) or nouns.is_mass_word(head))
            )
            if is_single or (
                nouns.is_mass_word(head) and nouns.says_counted(first) and (is_piece or not mass)
            ):
                found.append(f"a{concept}")  # "white paper"
        elif mass:
            found.append(f"u{concept}")
        elif (
            _looks_plural(concept)
            and concept.endswith(("es", "as", "ns", "ls", "os"))
            and (nouns.is_single(concept, first) or nouns.shown(concept) == "count")
        ):
            found.append(f"a{concept}")  # "materfamilias"
        elif (concept.endswith(_NO_PLURAL) and not nouns.is_plural(concept)) or (
            ends_as_mass(concept) and not concept.endswith(_ALWAYS_MASS)
        ):
            found.append(f"a{concept}")  # which the rules take for a plural, a deed or a mass
    return found + sense_lines(nouns) + [f"k{kind}" for kind in sorted(nouns.name_kinds)]


def sense_lines(nouns: Nouns) -> list[str]:
    """Lines of words that are written otherwise where they are of one kind: "PA" as a communication system."""
    found: set[str] = set()
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
                    found.add(f"s{nouns.class_of(concept, number)}{written}\t{kind}")
    return sorted(found)


def read_plurals(path: Path) -> dict[str, frozenset[str]]:
    """The plurals of nouns in lemminflect's table, the noun itself among them where it has none."""
    plurals: dict[str, frozenset[str]] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            if row[1] == "noun":
                plurals[row[0]] = frozenset(row[2].split("/"))
    return plurals


def read_corrections(path: Path) -> dict[str, str]:
    """The class of each noun that was corrected by hand."""
    found: dict[str, str] = {}
    mark = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            mark = line[1:-1]
        elif not line.startswith("#"):
            found |= {noun.strip(): mark for noun in line.split(";") if noun.strip()}
    return found


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
