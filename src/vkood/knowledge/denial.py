"""Which words of a text name what it says is absent: "no dog", "without a hat", "is not wearing shoes"."""

from __future__ import annotations

from vkood.knowledge.word_lists import NOT_DENYING, words_of
from vkood.knowledge.words import Words

_ASKING = words_of(
    "is are was were am do does did has have had can could will would should must may might isn aren "
    "wasn weren don doesn didn hasn haven hadn won can couldn wouldn shouldn"
)
_SHORT_NOT = words_of(
    "isn aren wasn weren don doesn didn hasn haven hadn won wouldn shouldn couldn ain mustn can ca wo"
)
_ALWAYS = frozenset(("no", "without", "lacks", "lacking"))
_OPEN_AFTER_NOT = frozenset(("a", "an", "any", "one"))
_IN_A_NAME = words_of("parking smoking entry trespassing dumping swimming fishing turn")


def denied_words(words: Words) -> list[bool]:
    """Tell for each word whether it stands where a thing is denied.

    "No" and "without" deny the things that follow, up to the next clause or the next place; "not" does so after a
    form of "be" or before a verb with an object. A question that only turns a "not" around denies nothing.

    Args:
        words: The words, with their kinds.
    """
    denied = [False] * len(words)
    state = _Scan(words)
    for place in range(len(words)):
        denied[place] = state.step(place)
    return denied


class _Scan:
    """Walks along the words; remembers what a denial still reaches."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._question = bool(words.lower) and words.lower[0] in _ASKING
        self._active = ""  # what began the denial that is now in force
        self._seen_thing = False
        self._pending = False  # "neither ..." waits for its verb

    def step(self, place: int) -> bool:
        """Take the next word; whether it is denied."""
        words = self._words
        word, kind = words.lower[place], words.kinds[place]
        following = words.lower[place + 1] if place + 1 < len(words) else ""
        new_clause = place > 0 and words.gaps[place - 1] == "," and word not in ("or", "nor", "no", "and")
        if new_clause and not (self._active and self._list_goes_on(place)):
            # A comma goes on with a list ("no cats, dogs or birds"), but not past a full stop.
            self._end()
        if word in _ALWAYS and not (word == "no" and (following in NOT_DENYING or following in _IN_A_NAME)):
            self._begin(word)
            return False
        if word == "not" or (word == "t" and place and words.lower[place - 1] in _SHORT_NOT):
            if not self._question and following != "only":
                self._begin("not")
            return False
        if word in ("neither", "none"):
            # "Neither" before a thing waits for the verb; "neither X nor Y" denies what follows.
            self._pending = True
            return False
        if self._pending and (kind == "verb" or kind == "auxiliary"):
            self._pending = False
            self._begin("neither")
            return False
        return bool(self._active) and self._reaches(place, word, kind)

    def _reaches(self, place: int, word: str, kind: str) -> bool:
        """Whether the denial in force reaches this word; ends it where it does not."""
        if kind in ("noun", "adjective", "determiner", "number"):
            if kind == "noun":
                self._seen_thing = True
            return kind in ("noun", "adjective")
        if word in ("or", "nor") or word == "of":
            return False
        if word == "and":
            self._maybe_end_at_and(place)
            return False
        if kind == "verb" or kind == "auxiliary":
            # "not wearing shoes": up to the object; "no dogs are there": the thing was before.
            if self._seen_thing or (self._active in _ALWAYS and kind == "auxiliary"):
                self._end()
            return False
        if kind == "preposition" and (self._seen_thing or self._active in ("not", "neither")):
            self._end()
        if kind == "conjunction":
            self._end()
        return False

    def _maybe_end_at_and(self, place: int) -> None:
        following = place + 1
        bare = following < len(self._words) and self._words.kinds[following] in ("noun", "adjective")
        if not bare and not (following < len(self._words) and self._words.lower[following] == "no"):
            self._end()

    def _list_goes_on(self, place: int) -> bool:
        words = self._words
        between = words.text[words.ends[place - 1] : words.starts[place]]
        return between.strip() == "," and words.kinds[place] in ("noun", "adjective")

    def _begin(self, word: str) -> None:
        self._active, self._seen_thing, self._pending = word, False, False

    def _end(self) -> None:
        self._active, self._seen_thing, self._pending = "", False, False
