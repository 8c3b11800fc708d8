"""Explicit knowledge, offline: facts, where they are kept, and how a text finds them.

Each name is imported when it is first used, so that a store can be read without what building or parsing needs.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vkood.knowledge.batches import Batch, Source, Tally, UnreadableLine, UnreadableSourceError
    from vkood.knowledge.build import BuildProgress, BuildReport, build_store
    from vkood.knowledge.conceptnet import ConceptNetSource
    from vkood.knowledge.fact_encoder import FactEncoder, SentenceTower
    from vkood.knowledge.facts import RELATIONS, Fact, normalise_concept
    from vkood.knowledge.linking import Concept, LinkedFact, Linker, facts_for, link, parse
    from vkood.knowledge.parsing import ParserMissingError
    from vkood.knowledge.scene_graph import Attribute, Relation, SceneGraph, SceneObject
    from vkood.knowledge.schema import SourceInfo, StoreError, StoreHeader
    from vkood.knowledge.store import FactStore, Neighbour, StoreStats
    from vkood.knowledge.tables import TableSource
    from vkood.knowledge.vector_cache import VectorCache
    from vkood.knowledge.wording import verbalise
    from vkood.knowledge.wordnet import WordNetSource

__all__ = [
    "RELATIONS",
    "Attribute",
    "Batch",
    "BuildProgress",
    "BuildReport",
    "Concept",
    "ConceptNetSource",
    "Fact",
    "FactEncoder",
    "FactStore",
    "LinkedFact",
    "Linker",
    "Neighbour",
    "ParserMissingError",
    "Relation",
    "SceneGraph",
    "SceneObject",
    "SentenceTower",
    "Source",
    "SourceInfo",
    "StoreError",
    "StoreHeader",
    "StoreStats",
    "TableSource",
    "Tally",
    "UnreadableLine",
    "UnreadableSourceError",
    "VectorCache",
    "WordNetSource",
    "build_store",
    "facts_for",
    "link",
    "normalise_concept",
    "parse",
    "verbalise",
]

_MODULE_OF = {
    "RELATIONS": "facts",
    "Attribute": "scene_graph",
    "Batch": "batches",
    "BuildProgress": "build",
    "BuildReport": "build",
    "Concept": "linking",
    "ConceptNetSource": "conceptnet",
    "Fact": "facts",
    "FactEncoder": "fact_encoder",
    "FactStore": "store",
    "LinkedFact": "linking",
    "Linker": "linking",
    "Neighbour": "store",
    "ParserMissingError": "parsing",
    "Relation": "scene_graph",
    "SceneGraph": "scene_graph",
    "SceneObject": "scene_graph",
    "SentenceTower": "fact_encoder",
    "Source": "batches",
    "SourceInfo": "schema",
    "StoreError": "schema",
    "StoreHeader": "schema",
    "StoreStats": "store",
    "TableSource": "tables",
    "Tally": "batches",
    "UnreadableLine": "batches",
    "UnreadableSourceError": "batches",
    "VectorCache": "vector_cache",
    "WordNetSource": "wordnet",
    "build_store": "build",
    "facts_for": "linking",
    "link": "linking",
    "normalise_concept": "facts",
    "parse": "linking",
    "verbalise": "wording",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for, and keep it."""
    if name in _MODULE_OF:
        value: object = getattr(importlib.import_module(f"vkood.knowledge.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'vkood.knowledge' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, also those that are not imported yet."""
    return sorted({*globals(), *__all__})
