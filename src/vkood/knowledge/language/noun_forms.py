"""How nouns are written in sentences: capital letters, and which article they take, as WordNet shows it.

The table is built by `scripts/build_noun_forms.py`. Concepts come in lower case; it says that "vicente lopez" is
Vicente Lopez and takes no article, that "elbe" is the Elbe, and that "distrust" is not counted. It is read at the first
question.
"""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal

Article = Literal["none", "the", "a"]

_ARTICLES: dict[str, Article] = {
    "n": "none",
    "m": "none",
    "t": "the",
    "p": "the",
    "c": "a",
    "a": "a",
    "u": "none",
    "b": "none",
}
_KIND, _OF_KIND = "k", "s"


@dataclass(frozen=True, slots=True)
class NounForm:
    """How a noun is written.

    Args:
        text: The noun, with its capital letters.
        article: The article before it, in the singular.
        is_name: Whether it is the name of one thing, place or being.
        is_plural: Whether it is written with capital letters and takes "are".
    """

    text: str
    article: Article
    is_name: bool
    is_plural: bool = False


def noun_form(concept: str) -> NounForm | None:
    """Return how a noun is written in its first sense; None if rules suffice, or it is unknown.

    Example:
        >>> noun_form("vicente lopez")
        NounForm(text='Vicente Lopez', article='none', is_name=True, is_plural=False)
        >>> noun_form("elbe").article, noun_form("umbrella")
        ('the', None)
    """
    return _form(_table()[0].get(concept))


def name_form(concept: str) -> NounForm | None:
    """Return how a name is written, also of words that are more often no name ("turkey"); None if it is none.

    Example:
        >>> name_form("turkey").text, name_form("umbrella")
        ('Turkey', None)
    """
    lines, names, _, _ = _table()
    form = _form(names.get(concept) or lines.get(concept))
    return form if form is not None and form.is_name else None


def may_be_place(concept: str) -> bool:
    """Whether a word that is more often no name can be the name of a place or a time.

    Example:
        >>> may_be_place("turkey"), may_be_place("stone")
        (True, False)
    """
    line = _table()[1].get(concept)
    return line is not None and line[0] != "M"


def kind_form(concept: str, kind: str) -> NounForm | None:
    """Return how a noun is written where it is of one kind, None if no otherwise than elsewhere.

    Example:
        >>> kind_form("pa", "communication system").text, kind_form("pa", "father")
        ('PA', None)
    """
    return _form(_table()[3].get((concept, kind)))


def is_kind_of_name(concept: str) -> bool:
    """Whether most things of a kind go by names of their own.

    Example:
        >>> is_kind_of_name("city"), is_kind_of_name("dog")
        (True, False)
    """
    return concept in _table()[2]


@lru_cache(maxsize=65_536)
def _form(line: str | None) -> NounForm | None:
    if line is None:
        return None
    mark = line[0].lower()
    return NounForm(line[1:], _ARTICLES[mark], mark in "nmtp", mark in "pb")


@lru_cache(maxsize=1)
def _table() -> tuple[dict[str, str], dict[str, str], frozenset[str], dict[tuple[str, str], str]]:
    """Lines of first senses, of names in later senses, kinds of names, and lines of words of one kind."""
    packed = (files("vkood.knowledge") / "data" / "noun_forms.txt.xz").read_bytes()
    firsts: dict[str, str] = {}
    names: dict[str, str] = {}
    kinds: list[str] = []
    of_kinds: dict[tuple[str, str], str] = {}
    for line in lzma.decompress(packed).decode().splitlines():
        if line[0] == _KIND:
            kinds.append(line[1:])
        elif line[0] == _OF_KIND:
            line, _, kind = line[1:].partition("\t")
            of_kinds[line[1:].lower(), kind] = line
        else:
            (names if line[0].isupper() else firsts)[line[1:].lower()] = line
    return firsts, names, frozenset(kinds), of_kinds
