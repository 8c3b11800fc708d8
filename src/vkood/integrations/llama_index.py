"""`FactFilter` as a node postprocessor of LlamaIndex (extra `llama-index`)."""

# The framework need not be installed where types are checked.
# pyright: reportMissingImports=false

from __future__ import annotations

from llama_index.core.bridge.pydantic import Field
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

from vkood.pipelines import FactFilter


class FactFilterPostprocessor(BaseNodePostprocessor):
    """Keeps the nodes that belong to the query's text, to its picture (`QueryBundle.image_path`), or to both.

    Nodes come back the most relevant first, with the filter's score, from 0 to 1.

    Args:
        fact_filter: The filter; it needs a `tagger` for queries with pictures.
        top_n: How many nodes to keep at most; all that belong if None.
        min_score: The least score of a node that belongs.
    """

    fact_filter: FactFilter = Field(default_factory=FactFilter, exclude=True)
    top_n: int | None = None
    min_score: float = 0.5

    @classmethod
    def class_name(cls) -> str:
        """The name by which LlamaIndex knows it."""
        return "FactFilterPostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise ValueError("the nodes' query must be passed, as `query_bundle` or `query_str`; got none.")
        query = {"text": query_bundle.query_str or None, "image": query_bundle.image_path}
        texts = [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
        hits = self.fact_filter.rank(query, texts, self.top_n)
        return [
            NodeWithScore(node=nodes[hit["corpus_id"]].node, score=hit["score"])
            for hit in hits
            if hit["score"] >= self.min_score
        ]
