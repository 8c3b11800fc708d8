"""From a dependency parse to a scene graph: nouns become things, verbs and prepositions join them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from vkood.knowledge.language.lemmas import gerund
from vkood.knowledge.linking.linked_fact import Span
from vkood.knowledge.scene_graphs.dependency_reading import (
    ASKED_QUALITIES,
    ASKING,
    KINDS,
    NOT_ATTRIBUTES,
    NOUNS,
    OBJECTS,
    PLACED_IN,
    PLACING,
    RELATIVE,
    SAYING_NOTHING,
    SUBJECTS,
    VERB_TAGS,
    base_of,
    child_of,
    completes,
    has_object,
    is_asking,
    is_asking_quality,
    is_description,
    is_passive,
    is_stranded,
    listed_after,
    objects_of,
    read_preposition,
    singular_of,
    with_particle,
)
from vkood.knowledge.scene_graphs.dependency_things import SceneThings
from vkood.knowledge.scene_graphs.graph import ASKED, Attribute, SceneGraph

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token


MAX_WORDS = 250
"""More is no sentence about a picture; and the way from a word to its subject is walked step by step."""


def graph_of(doc: Doc, names: Mapping[Span, tuple[str, bool]]) -> SceneGraph:
    """Build the scene graph of a parsed text.

    Args:
        doc: The text, tagged, parsed and with base forms.
        names: The concepts that were found in it: where they stand, their entries, and whether they are denied.

    Raises:
        ValueError: If a sentence has more than `MAX_WORDS` words.
    """
    sentences = list(doc.sents)
    graph = SceneGraph()
    for sentence in sentences:
        if len(sentence) > MAX_WORDS:
            raise ValueError(
                f"`text` must have sentences of at most {MAX_WORDS} words; got one of {len(sentence):,}. "
                "Concepts and facts can be had of it, but no scene graph."
            )
        part = doc if len(sentences) == 1 else sentence.as_doc()
        start, end = sentence.start_char, sentence.end_char
        offset = 0 if len(sentences) == 1 else start
        inside = {
            (span[0] - offset, span[1] - offset): name
            for span, name in names.items()
            if start <= span[0] < end
        }
        graph = _joined(graph, _SceneParse(part, inside).graph(), offset)
    return graph


def _joined(graph: SceneGraph, other: SceneGraph, offset: int) -> SceneGraph:
    """Add the graph of a sentence that begins later in the text."""
    before = len(graph.objects)
    moved = (replace(item, span=(item.span[0] + offset, item.span[1] + offset)) for item in other.objects)
    return SceneGraph(
        (*graph.objects, *moved),
        (*graph.attributes, *(replace(item, object=item.object + before) for item in other.attributes)),
        (
            *graph.relations,
            *(
                replace(item, subject=item.subject + before, object=item.object + before)
                for item in other.relations
            ),
        ),
    )


class _SceneParse(SceneThings):
    """Walks over the words of a text once, and notes what each says of its things."""

    def graph(self) -> SceneGraph:
        for token in self.doc:
            if token.i in self.thing_of:
                self.describe(token)
            if token.tag_ in VERB_TAGS and token.dep_ not in ("aux", "auxpass"):
                self._tell(token)
            elif token.dep_ == "prep":
                self._join_by_preposition(token)
        self._ask()
        return self.in_order()

    # --- Verbs -----------------------------------------------------------------------------------------------------

    def _tell(self, verb: Token) -> None:
        if verb.dep_ in ("amod", "compound"):
            self._tell_misread(verb)
            return
        negated = child_of(verb, "neg") is not None and not self.is_question
        if verb.lemma_ == "be":
            self._tell_being(verb, negated)
        elif is_passive(verb):
            self._tell_passive(verb, negated)
        else:
            self._tell_active(verb, negated)

    def _tell_misread(self, verb: Token) -> None:
        """Mend a frequent mistake of the parser: "a cowboy riding horses" read as horses of some kind."""
        if self.is_misread(verb):
            for thing in self.thing(verb.head):
                self.relate(self.thing_of[verb.i - 1], base_of(verb), thing)

    def _tell_being(self, verb: Token, negated: bool) -> None:
        subjects = self._subjects(verb)
        there = child_of(verb, "expl") is not None
        for child in verb.children:
            if child.dep_ in ("acomp", "attr", "oprd") and is_description(child):
                for word in (child, *child.conjuncts):
                    for subject in subjects:
                        self.add_attribute(subject, word, negated)
            elif child.dep_ == "attr" and not there and child.lower_ not in ASKING:
                if not any(is_asking(word) for word in child.lefts):
                    for subject in subjects:
                        for other in self.things(child):
                            self.relate(subject, "be", other, negated)
            elif child.lower_ == "where":
                for subject in subjects or self._things_beside(verb):
                    self.relate(subject, "at", self.asked(child))

    def _things_beside(self, verb: Token) -> list[int]:
        return [thing for child in verb.children if child.dep_ == "attr" for thing in self.things(child)]

    def _tell_passive(self, verb: Token, negated: bool) -> None:
        done_to = self._subjects(verb)
        by = child_of(verb, "agent")
        is_related = False
        if by is not None:
            for agent in objects_of(by):
                for subject in self.things(agent):
                    for thing in done_to:
                        is_related = True
                        self.relate(subject, base_of(verb), thing, negated)
        self._tell_rest(verb, done_to, negated, is_related, verb.lower_)

    def _tell_active(self, verb: Token, negated: bool) -> None:
        subjects = self._subjects(verb)
        name = with_particle(verb)
        objects = [
            thing
            for child in verb.children
            if child.dep_ in OBJECTS or (child.dep_ == "attr" and verb.lemma_ != "be")
            for thing in self.things(child)
        ]
        if not objects and verb.dep_ == "relcl":
            objects = self._object_of_clause(verb, subjects)
        if not objects:
            asked_objects = self._asked_object(verb)
            if asked_objects and verb.dep_ == "acl":
                subjects = self._first_thing() or subjects
            objects = [thing for thing in asked_objects if thing not in subjects]
        for subject in subjects:
            for thing in objects:
                self.relate(subject, name, thing, negated)
        self._tell_rest(verb, subjects, negated, bool(objects), gerund(base_of(verb)))

    def _asked_object(self, verb: Token) -> list[int]:
        """What a question asks for, if that is the object of its last verb: "what is the man holding?"."""
        doc = self.doc
        first = doc[0]
        if first.lower_ not in ("what", "which", "whom", "who") or verb.lemma_ in ("be", "call"):
            return []
        later = [word for word in doc if word.i > verb.i and (word.tag_ in VERB_TAGS or is_stranded(word))]
        has_subject = any(word.i in self.thing_of for word in doc if word.i < verb.i and word.i > 1)
        if later or not has_subject or (verb.i < 3 and doc[1].tag_ in VERB_TAGS):
            return []
        if first.dep_ in SUBJECTS and first.head.i == verb.i:
            return []
        if "pobj" in (first.dep_, first.head.dep_):
            return []
        if first.dep_ == "det":
            return [] if first.head.dep_ in SUBJECTS else self.thing(first.head)
        return [self.asked(first)]

    def _first_thing(self) -> list[int]:
        return next(
            ([self.thing_of[word.i]] for word in self.doc if word.i > 1 and word.i in self.thing_of), []
        )

    def _object_of_clause(self, verb: Token, subjects: list[int]) -> list[int]:
        """What "the dog (that) the man is holding" leaves out."""
        has_own = any(child.dep_ in SUBJECTS and child.lower_ not in RELATIVE for child in verb.children)
        stranded = any(child.dep_ == "prep" and not list(child.children) for child in verb.children)
        return (
            [thing for thing in self.thing(verb.head) if thing not in subjects]
            if has_own and not stranded
            else []
        )

    def _tell_rest(
        self, verb: Token, subjects: list[int], negated: bool, is_related: bool, word: str
    ) -> None:
        """Note where the subjects do it, or that they do it, if they are related to no object."""
        if is_related or not subjects:
            return
        if self.doc[0].lower_ == "where":
            for subject in subjects:
                self.relate(subject, f"{base_of(verb)} at", self.asked(self.doc[0]), negated)
        elif not any(completes(child) for child in verb.children):
            word = verb.lower_ if verb.tag_ in ("VBN", "VBD") else word
            if word.isalpha() and word not in SAYING_NOTHING and word not in NOT_ATTRIBUTES:
                for subject in subjects:
                    self.attributes[Attribute(subject, word, negated=negated)] = None
        for child in verb.children:
            if child.dep_ == "acomp" and is_description(child):
                for subject in subjects:
                    self.add_attribute(subject, child, negated)

    def _subjects(self, verb: Token) -> list[int]:
        """Who does it, or to whom it is done: the verb's own subject, or that of the clause around it."""
        for child in verb.children:
            if child.dep_ in SUBJECTS:
                return self.things(child)
        if child_of(verb, "expl") is not None:
            return [
                thing
                for child in verb.children
                if child.dep_ in ("attr", "dobj")
                for thing in self.things(child)
            ]
        if verb.lemma_ == "be":
            beside = [child for child in verb.children if child.dep_ == "attr" and child.tag_ in NOUNS]
            if beside and not is_asking_quality(beside[0]):
                return self.things(beside[0])
        if verb.dep_ in ("acl", "relcl"):
            return self._with_conjuncts(verb.head)
        if verb.dep_ in ("conj", "xcomp", "advcl", "ccomp", "pcomp") and verb.head.i != verb.i:
            around: Token = verb.head
            while around.tag_ not in VERB_TAGS and around.head.i != around.i and around.tag_ not in NOUNS:
                around = around.head
            if around.tag_ in NOUNS:
                return self.thing(around)
            if around.tag_ in VERB_TAGS:
                return self._subjects(around)
        return []

    def _with_conjuncts(self, noun: Token) -> list[int]:
        """A noun, and those before it that share what follows: "a knife and a fork lying on a plate"."""
        if noun.dep_ == "conj" and noun.head.dep_ in ("ROOT", "nsubj"):
            return [thing for word in (*noun.conjuncts, noun) for thing in self.thing(word)]
        return self.thing(noun)

    # --- Prepositions -----------------------------------------------------------------------------------------------

    def _join_by_preposition(self, preposition: Token) -> None:
        name, targets, head = read_preposition(preposition)
        others = [thing for target in [*targets, *listed_after(preposition)] for thing in self.things(target)]
        if not targets and not has_object(preposition):
            others = self._stranded(preposition)
        if not others or not name:
            return
        negated = False
        if head.tag_ in VERB_TAGS or head.tag_ == "MD":
            anchors, name, negated = self._anchors(head, name)
        elif head.tag_ in NOUNS or head.tag_ in ("CD", "DT", "WP"):
            if name == "of" and head.i not in self.thing_of:
                return
            anchors = self._with_conjuncts(head) if name not in ("of", "with") else self.thing(head)
        else:
            verb = next((word for word in head.ancestors if word.tag_ in VERB_TAGS), None)
            if verb is None or head.tag_ not in ("RB", "IN", "RP"):
                return
            anchors, name, negated = self._anchors(verb, name)
        for anchor in anchors:
            for other in others:
                self.relate(anchor, name, other, negated)

    def _anchors(self, verb: Token, name: str) -> tuple[list[int], str, bool]:
        """What a preposition after a verb is said of, and how both are named together."""
        negated = child_of(verb, "neg") is not None and not self.is_question
        subjects = self._subjects(verb)
        if verb.lemma_ == "be":
            return subjects or self._things_beside(verb), name, negated
        objects = [thing for child in verb.children if child.dep_ in OBJECTS for thing in self.things(child)]
        if is_passive(verb):
            return subjects, f"{base_of(verb)} {name}", negated
        if not objects and verb.dep_ == "relcl":
            objects = self._object_of_clause(verb, subjects)
        objects = objects or self._asked_object(verb)
        if not objects:
            return subjects, f"{with_particle(verb)} {name}", negated
        if not subjects:
            return objects, name, False  # "the picture shows a dog on a bed"
        if verb.lemma_ in PLACING and name in PLACED_IN:
            return objects, name, False
        return subjects, name, False

    def _stranded(self, preposition: Token) -> list[int]:
        """The question word or the head of a clause that a preposition at the end belongs to."""
        question_words = [
            word
            for word in self.doc
            if word.lower_ in ASKING and word.dep_ != "det" and word.i < preposition.i
        ]
        if question_words and question_words[0].i == 0:
            return [self.asked(question_words[0])]
        which = next((word for word in self.doc if word.tag_ == "WDT" and word.dep_ == "det"), None)
        if which is not None and which.i == 0:
            return self.thing(which.head)
        clause = next((word for word in preposition.ancestors if word.dep_ == "relcl"), None)
        return self.thing(clause.head) if clause is not None else []

    # --- Questions -------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        """Add what is asked of things: how many, which colour, which kind."""
        for token in self.doc:
            # How many?
            if token.lower_ in ("many", "much") and token.i and self.doc[token.i - 1].lower_ == "how":
                for thing in self.things(token.head)[:1]:
                    self.objects[thing] = replace(self.objects[thing], count=ASKED)
            quality = singular_of(token)
            if not is_asking_quality(token):
                continue
            of = child_of(token, "prep", "of")
            if quality in KINDS and of is not None:
                for inner in objects_of(of):
                    for thing in self.thing(inner):
                        self.attributes[Attribute(thing, ASKED, KINDS[quality])] = None
            elif quality in ASKED_QUALITIES:
                verb = next((word for word in self.doc[token.i :] if word.lemma_ == "be"), None)
                subject = next((word for word in self.doc[token.i + 1 :] if word.i in self.thing_of), None)
                if verb is not None and subject is not None:
                    owned = self._owned(subject)
                    self.attributes[Attribute(owned, ASKED, quality.replace("colour", "color"))] = None

    def _owned(self, token: Token) -> int:
        """The thing itself where its owner comes first: "the man's shirt"."""
        while token.dep_ == "poss" and token.head.i in self.thing_of:
            token = token.head
        return self.thing_of[token.i]
