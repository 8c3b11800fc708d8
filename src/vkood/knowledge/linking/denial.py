"""Which words of a text name what it says is absent: "no dog", "without a hat", "lack of water", "dog-free"."""

from __future__ import annotations

from dataclasses import dataclass, field

from vkood.knowledge.language.word_lists import words as listed
from vkood.knowledge.language.words import Words

_NOT_IN_ONE = listed("denial", "not_in_one")
_ASKING = listed("denial", "asking") | _NOT_IN_ONE
_SHORT_NOT = listed("denial", "short_not")
_NOT = listed("denial", "not") | _NOT_IN_ONE
_NOT_ALONE = listed("denial", "not_alone")
_NOT_DENYING = listed("denial", "not_denying")
_ALWAYS = listed("denial", "always")
_IN_A_NAME = listed("denial", "in_a_name")
_BE = listed("denial", "be")
_RUN_OUT = listed("denial", "run_out")
_OPENINGS = {tuple(phrase.split()) for phrase in listed("denial", "openings")}
_FIRST_OF_OPENINGS = frozenset(phrase[0] for phrase in _OPENINGS)
_ALL = listed("denial", "all")
_NONE = listed("denial", "none")
_EXCEPTING = sorted(
    (tuple(phrase.split()) for phrase in listed("denial", "excepting")), key=len, reverse=True
)
"""The longest phrases first."""
_FIRST_OF_EXCEPTING = frozenset(phrase[0] for phrase in _EXCEPTING)
_NEED_ALL = frozenset(("but", "apart", "aside", "save"))
"""Without "all" before them, these say something else: "apart from a dog there is a cat"."""
_AWAY = listed("denial", "away")
_HERE = listed("denial", "here")
_SUFFIXES = frozenset(("free", "less"))
_TRIGGERS = (
    _NOT | _ALWAYS | _FIRST_OF_OPENINGS | _AWAY | _SUFFIXES | _NONE | listed("denial", "other_triggers")
)


@dataclass(frozen=True, slots=True)
class Denials:
    """What a text denies, word by word.

    Args:
        denied: Whether each word stands where a thing is denied.
        denying: Whether each word belongs to what says so, and is itself no thing ("lack", "free").
    """

    denied: list[bool]
    denying: list[bool]


def find_denials(words: Words) -> Denials:
    """Return for each word whether it stands where a thing is denied.

    "No", "without", "a lack of" deny the things that follow, up to the next clause or the next place; "not" does so
    after a form of "be" or before a verb with an object; "is missing" denies the thing before it, "-free" that to which
    it is joined. What is excepted from nothing is there, what is excepted from all is not. A question that only turns a
    "not" around denies nothing.

    Args:
        words: The words, with their kinds.
    """
    denials = Denials([False] * len(words), [False] * len(words))
    if not _TRIGGERS.isdisjoint(words.lower):
        scan = _Scan(words, denials)
        place = 0
        while place < len(words):
            place += scan.step(place)
    return denials


@dataclass(slots=True)
class _Scan:
    """Walks along the words; remembers what a denial still reaches."""

    words: Words
    denials: Denials
    active: str = ""
    """What began the denial that is now in force."""
    since: int = 0
    """Where it began."""
    seen_thing: bool = False
    pending: bool = False
    """Whether "neither" or "nobody" waits for its verb."""
    among_all: bool = False
    """Whether "all" came before, in the same phrase."""
    among_none: bool = False
    """Whether "no" or "nothing" came before, in the same sentence."""
    question: bool = field(init=False)

    def __post_init__(self) -> None:
        self.question = bool(self.words.lower) and self.words.lower[0] in _ASKING

    def step(self, place: int) -> int:
        """Take the next word, or phrase; return how many words that were."""
        words = self.words
        word, kind = words.lower[place], words.kinds[place]
        new_clause = place > 0 and words.gaps[place - 1] == "," and word not in ("or", "nor", "no", "and")
        if new_clause and not (self.active and self._list_goes_on(place)) and word not in ("o", "out"):
            # A comma continues a list ("no cats, dogs or birds"), but not past a full stop.
            if not self._continues(place):
                self.among_none = False
            self.among_all &= (word,) in _EXCEPTING
            self._end()
        taken = self._exception(place) or self._opening(place) or self._not(place) or self._away(place)
        if taken:
            return taken
        if word == "neither" or word in _NONE:
            # "Neither" before a thing waits for the verb; "neither X nor Y" denies what follows.
            self.among_none = True
            if word == "neither" and "nor" in words.lower[place:]:
                self._begin("neither", place)
            else:
                self.pending = word != "nothing"
            return 1
        if word in _ALL:
            self.among_all, self.among_none = True, False
        if kind == "verb" or kind == "auxiliary":
            self.among_all = False
            if self.pending:
                self._begin("neither", place)
                return 1
        if self._is_suffixed(place):
            self.denials.denied[place] = self.denials.denying[place + 1] = True
            return 2
        self.denials.denied[place] = bool(self.active) and self._reaches(place, word, kind)
        return 1

    # --- What begins a denial --------------------------------------------------------------------------------------

    def _opening(self, place: int) -> int:
        """Begin the denial that a word or phrase opens here; return its length, 0 if it opens none."""
        lower = self.words.lower
        word = lower[place]
        following = lower[place + 1] if place + 1 < len(lower) else ""
        if word in _FIRST_OF_OPENINGS:
            for length in (3, 2):
                if tuple(lower[place : place + length]) in _OPENINGS:
                    return self._open(place, length)
        if word == "out" and following == "of" and place and lower[place - 1] in _RUN_OUT:
            return self._open(place, 2)
        if word == "no" and following == "longer":
            return 2 if "than" in lower[place + 2 : place + 3] else self._open(place, 2, "not")
        if word == "no" and following == "one":
            self.among_none = self.pending = True
            return 2
        if word == "no" and following in _NOT_DENYING:
            self.denials.denying[place + 1] = following in ("doubt", "matter")
            return 2
        if word in ("no", "non") and following and self.words.gaps[place] == "-" and following != "one":
            self.denials.denied[place + 1] = True  # "a no-dog zone"
            return 2
        if word == "lack" and not (place and self.words.kinds[place - 1] in ("noun", "other")):
            return 0
        if word in ("zero", "0") and (
            self._kind(place + 1) not in ("noun", "adjective") or self._follows_digits(place)
        ):
            return 0
        if (word in _ALWAYS and not (word == "no" and following in _IN_A_NAME)) or word in (
            "lack",
            "zero",
            "0",
        ):
            if self.active == "not" and not self.seen_thing and place - self.since <= 2:
                self._end()  # "not without a hat"
                return 1
            self.among_none |= word == "no"
            return self._open(place, 1)
        return 0

    def _not(self, place: int) -> int:
        """Begin the denial of a "not"."""
        lower = self.words.lower
        word = lower[place]
        if not (word in _NOT or (word == "t" and place and lower[place - 1] in _SHORT_NOT)):
            return 0
        if place and lower[place - 1] == "n":
            self.denials.denying[place - 1] = True
        following = lower[place + 1] if place + 1 < len(lower) else ""
        if self.question or following in _NOT_ALONE or (place and lower[place - 1] == "why"):
            return 1
        if following in _HERE:
            self._deny_before(place)
            return 2
        self._begin("not", place)
        return 1

    def _away(self, place: int) -> int:
        """Read "the dog is missing", "a missing dog" and "a dog missing its tail"."""
        word = self.words.lower[place]
        if word not in _AWAY or self.question:
            return 0
        if word == "missing" and self._kind(place + 1) in ("determiner", "noun", "adjective"):
            return self._open(place, 1, "missing")
        if place and (self.words.lower[place - 1] in _BE or self.words.kinds[place - 1] == "noun"):
            self._deny_before(place)
            self.denials.denying[place] = True
            return 1
        return 0

    def _exception(self, place: int) -> int:
        """Read "nothing but a dog", where there is one, and "all animals except dogs", where there is none."""
        lower = self.words.lower
        if lower[place] not in _FIRST_OF_EXCEPTING:
            return 0
        phrase = next(
            (entry for entry in _EXCEPTING if tuple(lower[place : place + len(entry)]) == entry),
            None,
        )
        if phrase is None:
            return 0
        if self.active or self.among_none:
            excepted = False  # from nothing
        elif phrase[0] in _NEED_ALL:
            excepted = self.among_all
        else:
            excepted = place > 0 or phrase[0] != "other"
        if phrase == ("but",) and not excepted:
            self._end()
            return 1
        self._end()
        return self._open(place, len(phrase)) if excepted else len(phrase)

    def _is_suffixed(self, place: int) -> bool:
        """Whether a thing is that of which something is free: "dog-free", "a dog free park"."""
        lower, gaps = self.words.lower, self.words.gaps
        if (
            self._kind(place + 1) == ""
            or lower[place + 1] not in _SUFFIXES
            or self._kind(place) not in ("noun", "adjective")
        ):
            return False
        if gaps[place] == "-":
            return True
        return (
            lower[place + 1] == "free"
            and gaps[place] == gaps[place + 1] == " "
            and self._kind(place + 2) == "noun"
        )

    # --- How far it reaches ----------------------------------------------------------------------------------------

    def _reaches(self, place: int, word: str, kind: str) -> bool:
        """Whether the denial in force reaches this word; ends it where it does not."""
        if kind in ("noun", "adjective", "determiner", "number"):
            if kind == "noun":
                self.seen_thing = True
            return kind in ("noun", "adjective")
        if word in ("or", "nor") or (word == "of" and not (self.active == "missing" and self.seen_thing)):
            return False
        if word == "and":
            self._maybe_end_at_and(place)
            return False
        if kind == "verb" or kind == "auxiliary":
            # "not wearing shoes": up to the object; "no dogs are there": the thing was before.
            if self.seen_thing or (self.active not in ("not", "neither") and kind == "auxiliary"):
                self._end()
            return False
        if kind == "preposition" and (self.seen_thing or self.active in ("not", "neither")):
            self._end()
        if kind == "conjunction":
            self._end()
        return False

    def _deny_before(self, place: int) -> None:
        """Deny the things before a place: the head of "the dog in the park is missing", both of "cats and dogs are"."""
        kinds, lower = self.words.kinds, self.words.lower
        last = place - 1
        while last >= 0 and (lower[last] in _SHORT_NOT or kinds[last] in ("auxiliary", "other")):
            last -= 1
        group: list[int] = []
        while last >= 0 and (last == place - 1 or self.words.gaps[last] != ","):
            if kinds[last] == "preposition":
                group = []
            elif kinds[last] in ("noun", "adjective"):
                group.append(last)
            elif kinds[last] != "determiner" and not (group and lower[last] in ("and", "or")):
                break
            last -= 1
        for position in group:
            self.denials.denied[position] = True

    def _maybe_end_at_and(self, place: int) -> None:
        following = place + 1
        if not self._is_thing(following) and not (
            following < len(self.words) and self.words.lower[following] == "no"
        ):
            self._end()

    def _list_goes_on(self, place: int) -> bool:
        words = self.words
        return self._continues(place) and words.kinds[place] in ("noun", "adjective")

    def _continues(self, place: int) -> bool:
        """Whether nothing but a comma separates a word from the one before."""
        words = self.words
        return words.text[words.ends[place - 1] : words.starts[place]].strip() == ","

    def _kind(self, place: int) -> str:
        """The kind of a word, "" beyond the last and before a comma."""
        if place >= len(self.words) or (place and self.words.gaps[place - 1] == ","):
            return ""
        return self.words.kinds[place]

    def _is_thing(self, place: int) -> bool:
        return self._kind(place) in ("noun", "adjective")

    def _follows_digits(self, place: int) -> bool:
        return place > 0 and self.words.lower[place - 1].isdigit()

    def _open(self, place: int, length: int, active: str = "without") -> int:
        for position in range(place, place + length):
            self.denials.denying[position] = True
        self._begin(active, place)
        return length

    def _begin(self, active: str, place: int) -> None:
        self.active, self.since, self.seen_thing, self.pending = active, place, False, False

    def _end(self) -> None:
        self.active, self.seen_thing, self.pending = "", False, False
