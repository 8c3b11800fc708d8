"""Reading a dependency parse word by word: what a preposition is called, whether a verb is passive, what a noun owns.

The roles are those of spaCy's English models ("nsubj", "pobj", ...), the tags those of the Penn Treebank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from vkood.knowledge.language import word_lists as lists
from vkood.knowledge.language.lemmas import gerund, singulars
from vkood.knowledge.linking.linked_fact import Span

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

NOUNS = frozenset(("NN", "NNS", "NNP", "NNPS"))
VERB_TAGS = frozenset(("VB", "VBD", "VBG", "VBN", "VBP", "VBZ"))

KINDS = {"kind": "kind", "type": "kind", "sort": "kind", "brand": "brand", "make": "make"}
ASKED_QUALITIES = frozenset(("color", "colour", "shape", "size", "brand", "make"))
TRANSPARENT = lists.AMOUNTS | frozenset(("species", "breed", "member", "image", "picture", "photo", "view"))
NOT_ATTRIBUTES = lists.words("scenes", "not_attributes")
PLACING = lists.words("scenes", "placing")
PLACED_IN = frozenset(("in", "on", "onto", "into", "out of", "inside", "to", "under", "over"))
OBJECTS = frozenset(("dobj", "dative", "oprd"))
SUBJECTS = frozenset(("nsubj", "nsubjpass", "csubj"))
SAYING_NOTHING = lists.words("scenes", "saying_nothing")
RELATIVE = frozenset(("who", "which", "that", "whom"))
ASKING = frozenset(("what", "who", "whom", "whose"))
TO_WORDS = frozenset(("next", "close", "adjacent", "nearest"))


def heads_of_names(
    doc: Doc, names: Mapping[Span, tuple[str, bool]]
) -> tuple[dict[int, tuple[Span, str, bool]], set[int]]:
    """The word on which each name hangs, and the other words of names."""
    heads: dict[int, tuple[Span, str, bool]] = {}
    inside: set[int] = set()
    for span, (name, negated) in names.items():
        tokens = [token for token in doc if span[0] <= token.idx < span[1]]
        if not tokens:
            continue
        places = {token.i for token in tokens}
        head = next((token for token in tokens if token.head.i not in places), tokens[-1])
        heads[head.i] = (span, name, negated)
        inside.update(places - {head.i})
    return heads, inside


def child_of(token: Token, dep: str, word: str | None = None) -> Token | None:
    """Return the first word under another with this role, and this form if one is given."""
    return next(
        (child for child in token.children if child.dep_ == dep and (word is None or child.lower_ == word)),
        None,
    )


def objects_of(preposition: Token) -> Iterator[Token]:
    """Return what stands after a preposition."""
    return (child for child in preposition.children if child.dep_ in ("pobj", "pcomp"))


def has_object(preposition: Token) -> bool:
    """Whether anything stands after a preposition."""
    return any(child.dep_ in ("pobj", "pcomp", "prep") for child in preposition.children)


def read_preposition(preposition: Token) -> tuple[str, list[Token], Token]:
    """The name of a preposition of one or more words, what follows it, and what it belongs to."""
    head = preposition.head
    name = preposition.lower_
    if name == "to" and head.lower_ in TO_WORDS:
        name, head = f"{head.lower_} to", head.head
    targets = list(objects_of(preposition))
    inner = child_of(preposition, "prep")
    if not targets and inner is not None:
        name, targets = f"{name} {inner.lower_}", list(objects_of(inner))
    if head.dep_ == "prep" and not list(objects_of(head)):
        return "", [], head  # the outer one says it
    if len(targets) == 1 and singular_of(targets[0]) in lists.PLACES and not is_owned(targets[0]):
        of = child_of(targets[0], "prep", "of")
        if of is None:
            return "", [], head
        name, targets = f"{name} {targets[0].lower_} of", list(objects_of(of))
    elif head.tag_ in NOUNS and singular_of(head) in lists.PLACES and name == "of" and not is_owned(head):
        return "", [], head  # the second half of "in front of"
    return name, targets, head


def with_particle(verb: Token) -> str:
    """Return a verb in its base form, with the particle that belongs to it ("blow out")."""
    particle = child_of(verb, "prt")
    return base_of(verb) if particle is None else f"{base_of(verb)} {particle.lower_}"


BASE_OF_GERUND = {gerund(verb): verb for verb in sorted(lists.BASE_VERBS)}


def base_of(verb: Token) -> str:
    """The base form; where our lists know it they are surer than the parser ("riding" is not "to rid")."""
    return BASE_OF_GERUND.get(verb.lower_, verb.lemma_) if verb.tag_ == "VBG" else verb.lemma_


def is_modifier(noun: Token) -> bool:
    """Whether a noun belongs to the one after it: "kitchen counter"."""
    head = noun.head
    if (
        noun.dep_ not in ("compound", "nmod")
        or noun.tag_ not in NOUNS
        or head.tag_ not in NOUNS
        or noun.i > head.i
    ):
        return False
    return not any(between.tag_ in ("CC", ",") for between in noun.doc[noun.i + 1 : head.i])


def is_stranded(token: Token) -> bool:
    """Whether a preposition has lost its object: "looking at?"."""
    return token.dep_ == "prep" and not has_object(token)


def completes(child: Token) -> bool:
    """Whether a word under a verb says more than that it happens."""
    if child.dep_ == "prep":
        return bool(read_preposition(child)[0])
    if child.lower_ in TO_WORDS and child_of(child, "prep", "to") is not None:
        return True  # "standing next to"
    return child.dep_ in ("xcomp", "ccomp", "dobj", "advcl", "agent", "acomp")


def is_passive(verb: Token) -> bool:
    """Whether a verb says what is done to its subject."""
    if verb.tag_ not in ("VBN", "VBD"):
        return False
    if any(child.dep_ in ("auxpass", "nsubjpass") for child in verb.children):
        return True
    has_subject = any(child.dep_ in SUBJECTS for child in verb.children)
    return verb.tag_ == "VBN" and not has_subject and not any(child.dep_ == "aux" for child in verb.children)


def is_denied(noun: Token) -> bool:
    """Whether "no" stands before a noun."""
    return any(child.lower_ in ("no", "neither") for child in noun.lefts)


def is_quality(noun: Token) -> bool:
    """Whether a noun before another says of what material or colour it is."""
    return noun.lower_ in lists.MATERIALS or noun.lower_ in lists.COLOURS or noun.lemma_ in lists.MATERIALS


def is_owned(noun: Token) -> bool:
    """Whether a noun has an owner: "its back"."""
    return any(child.dep_ == "poss" for child in noun.lefts)


def is_asking(token: Token) -> bool:
    """Whether a word asks."""
    return token.tag_ in ("WDT", "WP")


def is_asking_quality(noun: Token) -> bool:
    """Whether a noun says what is asked of a thing: "what color"."""
    return (
        noun.i > 0
        and noun.nbor(-1).lower_ in ("what", "which")
        and singular_of(noun) in ASKED_QUALITIES | set(KINDS)
    )


def singular_of(noun: Token) -> str:
    """Return a noun in the singular."""
    return singulars(noun.lower_)[0] if noun.tag_ in ("NNS", "NNPS") else noun.lower_


def listed_after(preposition: Token) -> list[Token]:
    """The rest of a list that the parser hangs elsewhere: "a bathroom with a toilet, a sink and a mirror"."""
    return [
        word
        for word in preposition.head.rights
        if word.dep_ == "appos" and word.i > preposition.i and child_of(word, "conj") is not None
    ]


def is_description(token: Token) -> bool:
    """Whether a word after "is" says what something is like."""
    return token.tag_ in ("JJ", "JJR", "JJS", "VBN", "VBG") or token.lower_ in lists.COLOURS
