"""The things of a parsed text, and what they are like: nouns with what stands before them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from vkood.knowledge.language import word_lists as lists
from vkood.knowledge.linking.linked_fact import Span
from vkood.knowledge.scene_graphs.dependency_reading import (
    ASKING,
    NOT_ATTRIBUTES,
    NOUNS,
    RELATIVE,
    TRANSPARENT,
    child_of,
    heads_of_names,
    is_denied,
    is_modifier,
    is_owned,
    is_quality,
    objects_of,
    singular_of,
)
from vkood.knowledge.scene_graphs.graph import ASKED, Attribute, Relation, SceneGraph, SceneObject

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token


class SceneThings:
    """Collects the things of one text, their attributes, and what joins them.

    Args:
        doc: The text, tagged, parsed and with base forms.
        names: The concepts that were found in it: where they stand, their entries, and whether they are denied.
    """

    def __init__(self, doc: Doc, names: Mapping[Span, tuple[str, bool]]) -> None:
        self.doc = doc
        self.objects: list[SceneObject] = []
        self.thing_of: dict[int, int] = {}  # by the place of its head word
        self.attributes: dict[Attribute, None] = {}
        self.relations: dict[Relation, None] = {}
        self.is_question = len(doc) > 0 and doc[0].tag_ in ("VBZ", "VBP", "VBD", "MD")
        self._heads, self._inside = heads_of_names(doc, names)
        self._add_things()

    def in_order(self) -> SceneGraph:
        """The graph, with its things in the order of the text."""
        order = sorted(range(len(self.objects)), key=lambda thing: self.objects[thing].span)
        place = {thing: new for new, thing in enumerate(order)}
        return SceneGraph(
            tuple(self.objects[thing] for thing in order),
            tuple(replace(item, object=place[item.object]) for item in self.attributes),
            tuple(
                replace(item, subject=place[item.subject], object=place[item.object])
                for item in self.relations
                if item.subject != item.object
            ),
        )

    # --- Things ---------------------------------------------------------------------------------------------------

    def _add_things(self) -> None:
        for token in self.doc:
            if token.i in self._heads:
                span, name, negated = self._heads[token.i]
                transparent = name in TRANSPARENT and child_of(token, "prep", "of") is not None
                if not transparent and not self._is_quality_of_another(token, name):
                    self._add(token, name, span, negated)
            elif token.i not in self._inside and token.tag_ in NOUNS and not self._is_no_thing(token):
                self._add(token, singular_of(token), (token.idx, token.idx + len(token)), is_denied(token))

    def _add(self, token: Token, name: str, span: Span, negated: bool) -> None:
        modifiers = [child for child in token.lefts if is_modifier(child) and child.i not in self._inside]
        parts = [singular_of(child) for child in modifiers if not is_quality(child)]
        for child in modifiers:
            if not is_quality(child):
                span = (min(span[0], child.idx), span[1])
        numbers = [child.lower_ for child in token.lefts if child.dep_ == "nummod" and child.tag_ == "CD"]
        full = " ".join([*parts, name])
        self.thing_of[token.i] = len(self.objects)
        self.objects.append(SceneObject(full, name.rsplit(" ", 1)[-1], span, "".join(numbers[:1]), negated))

    def _is_no_thing(self, token: Token) -> bool:
        """Whether a noun only belongs to another, or says nothing of the scene."""
        word = singular_of(token)
        if is_modifier(token):
            return True
        if token.lower_ in lists.COLOURS and token.dep_ in ("acomp", "attr", "conj", "amod"):
            return True
        if word in lists.EMPTY_NOUNS or (word in lists.PLACES and not is_owned(token)):
            return True
        if word in TRANSPARENT and child_of(token, "prep", "of") is not None:
            return True
        return word in lists.PICTURES or token.lower_ in lists.NUMBERS or not token.is_alpha

    def _is_quality_of_another(self, token: Token, name: str) -> bool:
        """Whether a concept is a quality of something else: a colour, or what another thing is made of."""
        if is_modifier(token):
            return True
        return name in lists.COLOURS and token.dep_ not in ("nsubj", "pobj", "dobj", "ROOT")

    def asked(self, token: Token) -> int:
        """The thing that a question word stands for."""
        if token.i not in self.thing_of:
            self.thing_of[token.i] = len(self.objects)
            span = (token.idx, token.idx + len(token))
            self.objects.append(SceneObject(ASKED, ASKED, span))
        return self.thing_of[token.i]

    def things(self, token: Token) -> list[int]:
        """The things that a word stands for: itself, those beside it, or what it refers to."""
        beside = [word for word in token.lefts if word.dep_ == "nmod" and child_of(word, "cc") is not None]
        beside += [word for word in token.conjuncts if word.i > token.i]
        return [thing for word in (token, *beside) for thing in self.thing(word)]

    def thing(self, token: Token) -> list[int]:
        """The thing that one word stands for; several where it is an amount of several, none for a pronoun."""
        if token.i in self.thing_of:
            return [self.thing_of[token.i]]
        if token.lower_ in RELATIVE:
            clause = next((word for word in token.ancestors if word.dep_ == "relcl"), None)
            if clause is not None:
                return self.thing(clause.head)
        if token.lower_ in ASKING and token.tag_ in ("WP", "WDT", "WP$") and token.dep_ != "det":
            return [self.asked(token)]
        of = child_of(token, "prep", "of")
        if of is not None and not (token.tag_ in NOUNS and singular_of(token) in lists.PICTURES):
            # An amount: what comes after "of" is meant.
            for inner in objects_of(of):
                things = self.things(inner)
                if token.tag_ == "CD" and len(things) == 1 and not self.objects[things[0]].count:
                    self.objects[things[0]] = replace(self.objects[things[0]], count=token.lower_)
                return things
        return []

    # --- What they are like ----------------------------------------------------------------------------------------

    def describe(self, token: Token) -> None:
        """Note what stands before the noun of a thing: adjectives, materials, and whose it is."""
        thing = self.thing_of[token.i]
        # The parser may hang an adjective on an inner word of a name: "a yellow [school bus]".
        for child in self._lefts_of_name(token):
            if self.is_misread(child):
                continue
            if child.dep_ in ("amod", "compound", "nmod") and (child.tag_ not in NOUNS or is_quality(child)):
                for word in (child, *(other for other in child.conjuncts if other.i < token.i)):
                    self.add_attribute(thing, word)
            elif child.dep_ == "poss" and child.tag_ in NOUNS:
                for owner in self.thing(child):
                    self.relate(owner, "have", thing)

    def _lefts_of_name(self, token: Token) -> Iterator[Token]:
        for child in token.lefts:
            if child.i in self._inside:
                yield from self._lefts_of_name(child)
            else:
                yield child

    def add_attribute(self, thing: int, word: Token, negated: bool = False) -> None:
        """Note what a thing is like, unless the word only says which one it is."""
        if word.lower_ not in NOT_ATTRIBUTES and word.is_alpha and word.tag_ not in ("CD", "DT", "PDT"):
            value = self._heads[word.i][1] if word.i in self._heads else word.lower_
            self.attributes[Attribute(thing, value, negated=negated)] = None

    def relate(self, subject: int, name: str, other: int, negated: bool = False) -> None:
        """Note how a thing stands to another; denied also where one of them is said to be absent."""
        absent = self.objects[subject].negated or self.objects[other].negated
        negated = negated or (absent and name != "without")
        self.relations[Relation(subject, name, other, negated)] = None

    def is_misread(self, word: Token) -> bool:
        """Whether the parser took what someone does for a kind of thing: "a cowboy riding horses"."""
        return (
            word.tag_ == "VBG"
            and word.i - 1 in self.thing_of
            and word.nbor(-1).dep_ in ("npadvmod", "compound", "nmod")
        )
