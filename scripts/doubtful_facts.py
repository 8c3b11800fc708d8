"""Which of WordNet's facts a sentence may word wrongly: those are not in the default store."""

from __future__ import annotations

import re
from functools import lru_cache

from wordnet_nouns import (
    ANIMAL,
    ARTIFACT,
    ATTRIBUTE,
    FOOD,
    PERSON,
    PHENOMENON,
    PLANT,
    QUANTITY,
    STATE,
    SUBSTANCE,
    TIME,
    Nouns,
    Synset,
    looks_plural,
    words_of,
)

from vkood.knowledge.facts import normalise_concept
from vkood.knowledge.language.lemmas import plural
from vkood.knowledge.language.noun_forms import may_be_place, noun_form
from vkood.knowledge.language.phrases import head, is_activity, is_many, is_mass, noun_phrase, written
from vkood.knowledge.language.word_lists import ADJECTIVES, ADVERBS, COLOURS, PREPOSITIONS

_THINGS = frozenset(("person", "animal", "plant", "whole", "location", "body part", "object"))
_MATERIALS = words_of("fabric drug substance matter food bark hair wood covering cannabis")
"""What is above things that are not counted: "cassia bark" is a natural object."""
_TOOLS = words_of("instrumentality structure plaything facility way clothing")
"""Artifacts that are counted, other than works and materials: "a pinata" is a plaything, "decoupage" is an art."""
_ABBREVIATION_ALONE = re.compile(r"\ban? (?:[A-Z][A-Za-z]?[A-Z]\w*|[A-Z]\. ?[A-Za-z.]+)(?: (?:is|has)\b|$)")
_NUMBERED = re.compile(
    r"\ban? (?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth) (?!is |has )\w"
)
_BINOMIAL = re.compile(r"[A-Z][a-z]+(?: [a-z-]+)+")
_KINDS_OF_MASSES = frozenset((ATTRIBUTE, FOOD, PHENOMENON, PLANT, QUANTITY, STATE, SUBSTANCE, TIME))
"""Lexicographer files of counted nouns of which masses are one: "penicillamine is an amino acid"."""
_NO_NOUNS = (ADJECTIVES | ADVERBS | PREPOSITIONS) - COLOURS
_BEGINNINGS = words_of("at by from in of off on to")
_VERB = re.compile(r" (?:is|are) ")


class Doubts:
    """What nothing shows to be worded rightly.

    Args:
        nouns: WordNet's nouns.
    """

    def __init__(self, nouns: Nouns) -> None:
        self.nouns = nouns
        self._shows_counted = lru_cache(maxsize=None)(self._shows_counted_in_sense)

    def is_doubtful(self, subject: str, relation: str, object_: str, sentence: str) -> bool:
        """Whether a fact with nouns may be worded wrongly.

        Args:
            subject: A concept.
            relation: "IsA", "PartOf", "HasA" or "MadeOf".
            object_: A concept.
            sentence: Its wording, without the full stop.
        """
        if _ABBREVIATION_ALONE.search(sentence):
            return True  # "an ELF is a radio frequency"
        if _NUMBERED.search(sentence):
            return True  # "a tenth cranial nerve", "a second base"
        if any(
            " of the " in concept and f"the {concept}" in sentence and written(concept) == concept
            for concept in (subject, object_)
        ):
            return True  # "the cirrhosis of the liver"
        pairs = self._senses(subject, object_)
        if all(
            self._is_doubtful_noun(subject, sense) or self._is_doubtful_noun(object_, other_sense)
            for sense, other_sense in pairs
        ):
            return True
        if relation != "IsA":
            return (
                is_many(subject)
                or is_many(object_)
                or (self._is_species(subject) and may_be_place(object_))  # "Bison bison has Buffalo"
                or (self._is_species(object_) and may_be_place(subject))
            )
        return self._is_doubtful_kind(subject, object_, sentence)

    def _senses(self, subject: str, object_: str) -> list[tuple[str, str]]:
        """The senses of two nouns in which one is above or a part of the other, their first ones if there are none."""
        senses, synsets = self.nouns.senses, self.nouns.synsets
        pairs = [
            (number, other)
            for number in senses[subject]
            for _, other in synsets[number].pointers
            if other in synsets and normalise_concept(synsets[other].words[0]) == object_
        ]
        return pairs or [(senses[subject][0], senses[object_][0])]

    def _is_doubtful_noun(self, concept: str, number: str) -> bool:
        phrase = noun_phrase(concept)
        if phrase.startswith(("a ", "an ")):
            return not self._shows_counted(concept, number)
        words = concept.split(" ")
        is_no_noun = concept in _NO_NOUNS and phrase == concept and not is_mass(concept)
        if is_no_noun or (len(words) > 1 and words[0] in _BEGINNINGS):
            return True  # "opposite is a word", "on the qui vive is a kind of attentiveness"
        return phrase.startswith("the ") and looks_plural(head(concept)) and not is_many(concept)

    def _shows_counted_in_sense(self, concept: str, number: str) -> bool:
        """Whether a noun is a thing or a being in a sense, or its use or its plural shows that it is counted.

        A definition that begins with "a" shows too little: "dada" is "a nihilistic art movement".
        """
        nouns = self.nouns
        if concept in nouns.corrections and number == nouns.senses[concept][0]:
            return True
        synset = nouns.synsets[number]
        word = head(concept)
        shown = nouns.shown(word)
        above = nouns.above(number) | {synset.words[0]}
        is_thing = bool(above & _THINGS) and not above & _MATERIALS
        if "plant disease" in above:
            return False  # "yellow spot"
        if shown == "mass":
            return is_thing and synset.file in (PERSON, ANIMAL)
        is_rare = concept in nouns.rare
        is_defined = nouns.says_counted(number)
        is_used = nouns.counted[word] + nouns.seen[plural(word)] >= 3 * (nouns.uncounted[word] + 1)
        if shown == "count":
            return is_thing or is_defined or synset.file != SUBSTANCE
        if is_thing:
            is_tool = synset.file != ARTIFACT or bool(above & _TOOLS)
            return is_tool or is_defined or is_used or not is_rare
        if synset.file == QUANTITY:
            return is_defined or not is_rare
        if is_used:
            has_kinds = any(symbol == "~" for symbol, _ in synset.pointers)
            return synset.file != ARTIFACT and (is_defined or has_kinds or not is_rare)
        return is_defined and not is_rare and not word.endswith("ing")

    def _is_doubtful_kind(self, subject: str, object_: str, sentence: str) -> bool:
        predicate = _VERB.split(sentence, maxsplit=1)[1]
        is_counted = predicate.startswith(("a ", "an "))
        if " are " in sentence:
            last = predicate.rsplit(" ", 1)[-1]
            plurals = self.nouns.plurals.get(head(object_), {last})
            return is_counted or predicate == written(object_) or last not in plurals  # "are labiums"
        if predicate.startswith("a kind of "):
            # "Dunkirk is a kind of evacuation", "a kind of November 5"
            form = noun_form(subject)
            return (form is not None and form.is_name) or written(object_)[:1].isupper()
        if object_ == "wood":
            # "log is a wood", for all that is no tree
            trees = (number for number in self.nouns.senses[subject] if "tree" in self.nouns.above(number))
            return not (is_mass(subject) or subject.endswith("wood") or any(trees))
        if "'s" in object_ and not is_counted:
            return True  # "Kepler's third law is Kepler's law"
        if predicate == written(object_) != object_ and self._is_kind_of_person_or_day(object_):
            return True  # "Thetis is Nereid"
        if predicate == object_ and self._may_be_counted(object_):
            return True
        if written(subject) != subject:
            return not self._first_synset(subject).is_instance and self._is_doubtful_name(subject, sentence)
        if not is_counted or not sentence.startswith(f"{subject} is ") or is_activity(subject):
            return False
        # A mass is no army and no place: "armour is a military unit", "cod oil is a cod-liver oil".
        return (
            self._first_synset(object_).file not in _KINDS_OF_MASSES
            or (" " in object_ and head(subject) == head(object_))
            or not self._is_in_first_sense(subject, object_)
        )

    def _is_doubtful_name(self, subject: str, sentence: str) -> bool:
        """Whether a name of many may lack its article, or a species is said to be a mass.

        "Euclidean axiom is an axiom", "Oncorhynchus keta is salmon"
        """
        text = written(subject)
        if (
            "'s " in text
            and sentence.startswith(text)
            and self._first_synset(subject).file in (ANIMAL, PLANT)
            and head(subject) not in words_of(sentence.removeprefix(text))
        ):
            return True  # "Adam's needle is a yucca", but "Jeffrey's pine is a pine"
        if _BINOMIAL.fullmatch(text):
            return not self._is_species(subject) or not sentence.startswith(
                (f"{text} is a ", f"{text} is an ")
            )
        return sentence.startswith(text) and self.nouns.shown(head(subject)) == "count"

    def _is_species(self, concept: str) -> bool:
        is_binomial = _BINOMIAL.fullmatch(written(concept)) is not None
        return is_binomial and self._first_synset(concept).file in (ANIMAL, PLANT)

    def _may_be_counted(self, concept: str) -> bool:
        """Whether a mass is also counted: "acrylamide is amide", "favus is fungal infection"."""
        word = head(concept)
        return self.nouns.shown(word) != "mass" and self._first_synset(concept).file in (SUBSTANCE, STATE)

    def _is_kind_of_person_or_day(self, concept: str) -> bool:
        synset = self._first_synset(concept)
        return synset.file in (PERSON, TIME) and not synset.is_instance and " of " not in concept

    def _first_synset(self, concept: str) -> Synset:
        return self.nouns.synsets[self.nouns.senses[concept][0]]

    def _is_in_first_sense(self, subject: str, object_: str) -> bool:
        """Whether something is one of a kind in its first sense: "juice is a current" is of a later one."""
        first = self._first_synset(subject)
        return any(
            normalise_concept(self.nouns.synsets[number].words[0]) == object_ for number in first.hypernyms
        )
