"""Explicit knowledge, offline: facts, where they are kept, and how a text finds them.

Each name is imported when it is first used, so that a store can be read without what building or parsing needs.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vkood.knowledge.building.builder import BuildProgress, BuildReport, build_store
    from vkood.knowledge.embeddings.fact_encoder import FactEncoder, SentenceTower
    from vkood.knowledge.embeddings.vector_cache import VectorCache
    from vkood.knowledge.facts import RELATIONS, Fact, normalise_concept
    from vkood.knowledge.linking.linked_fact import Concept, LinkedFact
    from vkood.knowledge.linking.linker import Linker, facts_for, link
    from vkood.knowledge.scene_graphs.graph import Attribute, Relation, SceneGraph, SceneObject
    from vkood.knowledge.scene_graphs.scene_parser import SceneParser, parse
    from vkood.knowledge.scene_graphs.spacy_model import ParserMissingError
    from vkood.knowledge.sources.batches import Batch, Source, Tally, UnreadableLine, UnreadableSourceError
    from vkood.knowledge.sources.conceptnet import ConceptNetSource
    from vkood.knowledge.sources.fact_tables import TableSource
    from vkood.knowledge.sources.wordnet import WordNetSource
    from vkood.knowledge.store.fact_store import FactStore, Neighbour, StoreStats
    from vkood.knowledge.store.schema import SourceInfo, StoreError, StoreHeader
    from vkood.knowledge.verbalize.wording import verbalise

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
    "SceneParser",
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
    "Attribute": "scene_graphs.graph",
    "Batch": "sources.batches",
    "BuildProgress": "building.builder",
    "BuildReport": "building.builder",
    "Concept": "linking.linked_fact",
    "ConceptNetSource": "sources.conceptnet",
    "Fact": "facts",
    "FactEncoder": "embeddings.fact_encoder",
    "FactStore": "store.fact_store",
    "LinkedFact": "linking.linked_fact",
    "Linker": "linking.linker",
    "Neighbour": "store.fact_store",
    "ParserMissingError": "scene_graphs.spacy_model",
    "Relation": "scene_graphs.graph",
    "SceneGraph": "scene_graphs.graph",
    "SceneObject": "scene_graphs.graph",
    "SceneParser": "scene_graphs.scene_parser",
    "SentenceTower": "embeddings.fact_encoder",
    "Source": "sources.batches",
    "SourceInfo": "store.schema",
    "StoreError": "store.schema",
    "StoreHeader": "store.schema",
    "StoreStats": "store.fact_store",
    "TableSource": "sources.fact_tables",
    "Tally": "sources.batches",
    "UnreadableLine": "sources.batches",
    "UnreadableSourceError": "sources.batches",
    "VectorCache": "embeddings.vector_cache",
    "WordNetSource": "sources.wordnet",
    "build_store": "building.builder",
    "facts_for": "linking.linker",
    "link": "linking.linker",
    "normalise_concept": "facts",
    "parse": "scene_graphs.scene_parser",
    "verbalise": "verbalize.wording",
}


def __getattr__(name: str) -> object:
    """Import a public name at its first use, and keep it."""
    if name in _MODULE_OF:
        value: object = getattr(importlib.import_module(f"vkood.knowledge.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'vkood.knowledge' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, also those that are not imported yet."""
    return sorted({*globals(), *__all__})
