"""WordNet's nouns, and what its files and a lexicon of plurals show of how each is written in a sentence."""

from __future__ import annotations

import csv
import gzip
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


def words_of(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


ACT, ANIMAL, ARTIFACT, ATTRIBUTE, BODY, COGNITION, COMMUNICATION, EVENT, FEELING = range(4, 13)
FOOD, GROUP, LOCATION, OBJECT, PERSON, PHENOMENON, PLANT = 13, 14, 15, 17, 18, 19, 20
QUANTITY, STATE, SUBSTANCE, TIME = 23, 26, 27, 28
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
BODIES = frozenset((ARTIFACT, PERSON, ANIMAL, PLANT, LOCATION, GROUP, BODY, OBJECT))
_DEEDS = frozenset((ACT, ATTRIBUTE, COGNITION, COMMUNICATION, EVENT, FEELING, 19, 21, 22, 24, STATE))

_MAY_BE_MASS = _DEEDS | {BODY, FOOD, GROUP, OBJECT, SUBSTANCE, TIME, 16, 25}
"""Lexicographer files of which many nouns are masses."""

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
    "balkans crimea chain rebellion crusade renaissance reformation inquisition dardanelles bosporus confederacy "
    "confederation commonwealth league federation association agency bureau department academy bloc zodiac "
    "kremlin vatican pentagon serengeti tundra us usa u.s. u.s.a. uk u.k. ussr uae dipper cia fbi un eu state "
    "antilles territories lowlands ridge canyon archipelago north south capital wall atlantic pacific east "
    "west manifesto judiciary apocrypha hagiographa corporation territory meridian dictionary encyclopedia "
    "office service force board commission administration council court countries navy corps guard institute "
    "society police bridge version amendment"
)
_PEER = re.compile(
    r"(?:First|Second|Third|Fourth|\d+(?:st|nd|rd|th)) (?:Duke|Marquis|Marquess|Earl|Viscount|Baron)\b"
)
_FRENCH_PEER = re.compile(r"(?:Baron|Comte|Duc|Marquis|Vicomte) d(?:e |')")
_HOLY_DAY = re.compile(r"(?:Feast|Festival|Fast|Day|Assumption|Ascension|Epiphany|Ninth) of ")
_MANY_THE = words_of("states alps indies pamirs")
_THE_ALWAYS = words_of("dialect order calendar eon aeon pole hemisphere")
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
_NO_NAMES = words_of("month language religion week drug")


@dataclass(frozen=True, slots=True)
class Synset:
    """A set of synonyms."""

    file: int
    words: list[str]
    hypernyms: list[str]
    is_instance: bool
    gloss: str
    pointers: list[tuple[str, str]]
    """Symbols and synsets."""


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
        self.rare: set[str] = set()
        """Words that do not occur in the texts in which WordNet's senses were counted."""
        for line in (folder / "index.noun").read_text(encoding="utf-8").splitlines():
            if not line.startswith("  "):
                fields = line.split()
                num_pointers = int(fields[3])
                concept = normalise_concept(fields[0])
                self.senses[concept] = fields[6 + num_pointers :]
                if fields[5 + num_pointers] == "0":
                    self.rare.add(concept)
        self._count_contexts()

    def _count_contexts(self) -> None:
        """Count how each word is used in all definitions and examples."""
        self.seen: Counter[str] = Counter()
        self.counted: Counter[str] = Counter()
        self.uncounted: Counter[str] = Counter()
        for synset in self.synsets.values():
            tokens = ["", "", *_TOKEN.findall(synset.gloss.lower()), "."]
            for place in range(2, len(tokens) - 1):
                second_before, before, word, following = tokens[place - 2 : place + 2]
                if following not in _AFTER:
                    continue
                self.seen[word] += 1
                if before in _BEFORE_COUNT or (second_before in ("a", "an") and before not in _AFTER):
                    self.counted[word] += 1
                elif before in _BEFORE_MASS and not (before == "of" and second_before in _KINDS):
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
        if word in self.corrections and number == self.senses[word][0]:
            return self.corrections[word] == "u"
        synset = self.synsets[number]
        above = {normalise_concept(word) for word in self.above(number)}
        if self.plurals.get(word) == {word} and synset.file == STATE and above & {"disease", "illness"}:
            return True  # "diabetes"
        if "compass point" in above and not word.endswith(" point"):
            return True
        if above & {"unit of measurement", "rate"} and self.plurals.get(word) == {word}:
            return False  # "a kilohertz"
        if word in COUNTED or singulars(word)[0] != word:
            return False
        if self.is_body_substance(word, number):
            return True
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
        if (_MASS_ENDING.search(head) and synset.file not in BODIES) or is_deed:
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

    def may_be_mass(self, concept: str) -> bool:
        """Whether nothing shows that a rare noun is counted: not its plural, its definition or its use."""
        first = self.senses[concept][0]
        if concept not in self.rare or not self.may_be_mass_in_sense(concept, first):
            return False
        head = concept.rsplit(" ", 1)[-1]
        is_often_counted = self.counted[head] + self.seen[plural(head)] >= 3 * (self.uncounted[head] + 1)
        return not (self.shown(head) == "count" or is_often_counted)

    def may_be_unique(self, concept: str) -> bool:
        """Whether a rare phrase may be the name of one thing in its field: "the pleasure principle"."""
        synset = self.synsets[self.senses[concept][0]]
        definition = re.sub(r"^\([^)]*\)\s*", "", synset.gloss)
        has_kinds = any(symbol in ("~", "~i") for symbol, _ in synset.pointers)
        is_thing = synset.file in (ARTIFACT, PERSON, ANIMAL, PLANT, BODY, FOOD)
        is_rare_phrase = " " in concept and concept in self.rare and not (has_kinds or is_thing)
        return is_rare_phrase and definition.startswith("the ")

    @cached_property
    def foreign_plurals(self) -> frozenset[str]:
        """Plurals that are no nouns of the lexicon themselves: "spirilla" of "spirillum"."""
        plurals = (word for noun in self.plurals.keys() & self.senses.keys() for word in self.plurals[noun])
        return frozenset(plurals) - self.plurals.keys()

    def may_be_mass_in_sense(self, concept: str, number: str) -> bool:
        """Whether a common noun, no being and no thing, has a definition in one sense that does not count it."""
        is_common = concept not in self.corrections and self.written(concept, number) == concept
        return is_common and self.synsets[number].file in _MAY_BE_MASS and not self.says_counted(number)

    def is_mass_word(self, word: str) -> bool:
        """Whether a word goes without an article in its first sense, by our own lists or by WordNet."""
        if word in MASSES | MATERIALS_TOO | FIXED or word not in self.senses:
            return word in MASSES or ends_as_mass(word)
        return self.is_mass(word, self.senses[word][0])

    def is_mass_phrase(self, phrase: str, number: str) -> bool:
        """Whether a phrase goes without an article though the word on which it hangs may be counted."""
        if phrase in self.corrections and number == self.senses[phrase][0]:
            return self.corrections[phrase] == "u"
        synset = self.synsets[number]
        words = phrase.split(" ")
        head = words[-1]
        first = _first_word(synset.gloss)
        is_counted = first in _COUNTING or self.shown(head) == "count" or " of " in phrase
        if synset.file == FOOD and " and " in phrase:
            return True  # "gin and tonic"
        if self.is_body_substance(phrase, number):
            return True
        if is_plural(head) or " and " in phrase or synset.file in BODIES:
            return False
        if head == "disorder" and not any(symbol == "~" for symbol, _ in synset.pointers):
            return True  # "panic disorder", but "an anxiety disorder"
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

    def is_body_substance(self, concept: str, number: str) -> bool:
        """Whether a noun is something like blood or insulin, in one sense, and nothing shows that it is counted."""
        is_counted = self.shown(concept.rsplit(" ", 1)[-1]) == "count" or self.says_counted(number)
        return not is_counted and self.synsets[number].file == BODY and "body substance" in self.above(number)

    def _is_deed(self, word: str) -> bool:
        senses = self.senses.get(word)
        return senses is None or self.is_mass(word, senses[0])

    def is_plural(self, concept: str) -> bool:
        """Whether a word is the plural of another noun."""
        singular = singulars(concept)[0]
        return singular != concept and any(
            self.written(singular, number) == singular for number in self.senses.get(singular, ())
        )

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

    def form(self, concept: str, number: str) -> tuple[str, str]:
        """How a noun is written in one sense, and its class; "" if it is counted and has no capital letters."""
        written = self.written(concept, number)
        if written != concept or self.synsets[number].is_instance:
            return written, self.class_of(concept, number)
        return concept, self._common_class(concept, number)

    def first_form(self, concept: str) -> tuple[str, str]:
        """How a noun is written where nothing says in which sense."""
        numbers = self.senses[concept]
        if self.is_common(concept, numbers):
            return concept, self._common_class(concept, numbers[0])
        return self.form(concept, numbers[0])

    def _common_class(self, concept: str, number: str) -> str:
        is_mass = self.is_mass_phrase if " " in concept else self.is_mass
        return "u" if is_mass(concept, number) else ""

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
        words: set[str] = set()
        rest = [number]
        while rest:
            synset = self.synsets[rest.pop()]
            for hypernym in synset.hypernyms:
                word = self.synsets[hypernym].words[0]
                if word not in words:
                    words.add(word)
                    rest.append(hypernym)
        return words

    def class_of(self, concept: str, number: str) -> str:
        """The class of a word with capital letters, in one sense."""
        synset = self.synsets[number]
        written = self.written(concept, number)
        if written in self.corrections:
            return self.corrections[written]
        words = concept.split(" ")
        kinds = self.above(number)
        if (mark := _certain_class(written, synset)) is not None:
            return mark
        if synset.is_instance:
            if words[0].endswith("'s") and synset.file != GROUP and "republic" not in words:
                return "n"  # "Hadrian's Wall"
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
        # An order of monks is none of beetles.
        if (self.hypernym(number) in taxa and synset.file != GROUP) or re.search(
            r"(?:idae|aceae|iformes|viridae|virales)$", written
        ):
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
            return words[-1] in ("state", "river", "canal", "islands")
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


def _certain_class(written: str, synset: Synset) -> str | None:
    """The class of a noun with capital letters that its first or last word tells, whatever it is."""
    words = written.lower().split(" ")
    if re.match(r"(?:sub)?(?:division|class|kingdom|phylum) [A-Z]", written):
        return "t"
    if words[0] in ("bachelor", "doctor", "master") and "of" in words:
        return "c"
    if re.match(r"(?:(?:First|Second|Third) )?Epist(?:le|el) |Gospel ", written):
        return "t"
    if f"Department of {written}" in synset.words:
        return "n"  # "Health and Human Services"
    if synset.file == GROUP and written[0].isupper() and len(words) > 1 and words[-1] in _THE_GROUPS:
        return "t"
    if written.lower().startswith("the "):
        return "p" if words[-1] in _MANY_THE else "n"
    if synset.file == PERSON and (
        written.startswith("Secretary of ") or _PEER.match(written) or _FRENCH_PEER.match(written)
    ):
        return "t"
    if written[0].isupper() and words[-1] in _THE_ALWAYS and len(words) > 1:
        return "t"
    if synset.file == TIME and _HOLY_DAY.match(written):
        return "t"
    if synset.file == QUANTITY and re.fullmatch("[IVXLC]{2,}", written):
        return "n"
    return None


def looks_plural(word: str) -> bool:
    """Whether a word looks like the plural of another."""
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
        int(fields[1]),
        words,
        hypernyms,
        any(symbol == "@i" for symbol, _ in pointers),
        gloss.strip(),
        pointers,
    )


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
    marks: dict[str, str] = {}
    mark = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            mark = line[1:-1]
        elif not line.startswith("#"):
            marks |= {noun.strip(): mark for noun in line.split(";") if noun.strip()}
    return marks
