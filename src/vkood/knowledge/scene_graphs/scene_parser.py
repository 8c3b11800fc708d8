"""From a text to its scene graph: by a dependency parse where spaCy is installed, else by neighbouring words."""

from __future__ import annotations

import functools
from dataclasses import replace

from vkood.knowledge.linking.linker import Linker, default_linker, plain_form
from vkood.knowledge.scene_graphs.dependency_graph import graph_of
from vkood.knowledge.scene_graphs.graph import SceneGraph
from vkood.knowledge.scene_graphs.neighbour_graph import neighbour_graph
from vkood.knowledge.scene_graphs.spacy_model import find_parser


class SceneParser:
    """Finds what a text says of a scene: its things, what they are like, and how they stand to each other.

    It can be pickled: the model of spaCy loads again where it is needed.

    Args:
        linker: Finds the concepts that become things; by default in the store that comes with vkood.
        parser: "auto" for spaCy where it is installed, "none" for neighbouring words alone, or a model of spaCy.

    Raises:
        ParserMissingError: If a model that was named is not installed.

    Example:
        >>> SceneParser(parser="none").parse("Two brown dogs on a sofa").triplets()
        [('dog', 'is', 'brown'), ('dog', 'count', 'two'), ('dog', 'on', 'sofa')]
    """

    def __init__(self, linker: Linker | None = None, parser: str = "auto") -> None:
        self._parser = find_parser(parser)
        self._linker = default_linker() if linker is None else linker

    @property
    def parser(self) -> str:
        """The name of the model of spaCy, or "none"."""
        return "none" if self._parser is None else self._parser.model

    def parse(self, text: str) -> SceneGraph:
        """Return the scene graph of a text.

        Raises:
            ValueError: If `text` is no text, is too long, or has a sentence that is too long for a parse.
        """
        plain = plain_form(text)
        [(concepts, words)] = self._linker.link_plain([plain.text])
        names = {concept.span: (concept.entry, concept.negated) for concept in concepts}
        if self._parser is None:
            graph = neighbour_graph(words, names)
        else:
            graph = graph_of(self._parser.parsed(plain.text), names)
        objects = tuple(replace(item, span=plain.span(*item.span)) for item in graph.objects)
        return replace(graph, objects=objects)


@functools.lru_cache(maxsize=1)
def _default_scene_parser() -> SceneParser:
    return SceneParser()


def parse(text: str) -> SceneGraph:
    """Return the scene graph of a text: its things, what they are like, and how they stand to each other.

    Args:
        text: A caption or a question.

    Raises:
        ValueError: If `text` is no text, or is too long.

    Example:
        >>> parse("A man is holding a red umbrella.").triplets()
        [('umbrella', 'is', 'red'), ('man', 'hold', 'umbrella')]
    """
    return _default_scene_parser().parse(text)
