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
    from vkood.knowledge.linking.query import FactQuery
    from vkood.knowledge.scene_graphs.graph import Attribute, Relation, SceneGraph, SceneObject
    from vkood.knowledge.scene_graphs.scene_parser import SceneParser, parse
    from vkood.knowledge.scene_graphs.spacy_model import ParserMissingError
    from vkood.knowledge.sources.batches import Batch, Source, Tally, UnreadableLine, UnreadableSourceError
    from vkood.knowledge.sources.conceptnet import ConceptNetSource
    from vkood.knowledge.sources.fact_tables import TableSource
    from vkood.knowledge.sources.wordnet import WordNetSource
    from vkood.knowledge.store.fact_store import FactStore, Neighbour, StoreStats
    from vkood.knowledge.store.schema import SourceInfo, StoreError, StoreHeader

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
    "FactQuery",
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
]

_OFFERED_BY = {
    "building.builder": ["BuildProgress", "BuildReport", "build_store"],
    "embeddings.fact_encoder": ["FactEncoder", "SentenceTower"],
    "embeddings.vector_cache": ["VectorCache"],
    "facts": ["Fact", "RELATIONS", "normalise_concept"],
    "linking.linked_fact": ["Concept", "LinkedFact"],
    "linking.linker": ["Linker", "facts_for", "link"],
    "linking.query": ["FactQuery"],
    "scene_graphs.graph": ["Attribute", "Relation", "SceneGraph", "SceneObject"],
    "scene_graphs.scene_parser": ["SceneParser", "parse"],
    "scene_graphs.spacy_model": ["ParserMissingError"],
    "sources.batches": ["Batch", "Source", "Tally", "UnreadableLine", "UnreadableSourceError"],
    "sources.conceptnet": ["ConceptNetSource"],
    "sources.fact_tables": ["TableSource"],
    "sources.wordnet": ["WordNetSource"],
    "store.fact_store": ["FactStore", "Neighbour", "StoreStats"],
    "store.schema": ["SourceInfo", "StoreError", "StoreHeader"],
}
_MODULE_OF = {name: module for module, names in _OFFERED_BY.items() for name in names}


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
