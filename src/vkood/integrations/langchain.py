"""`FactFilter` as a document compressor of LangChain (extra `langchain`)."""

# The framework need not be installed where types are checked.
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, Field

from vkood.pipelines import FactFilter


class FactFilterCompressor(BaseDocumentCompressor):
    """Keeps the documents that belong to the query, the most relevant first, for `ContextualCompressionRetriever`.

    Each has its score, from 0 to 1, as `metadata["relevance_score"]`.

    Args:
        fact_filter: The filter.
        top_n: How many documents to keep at most; all that belong if None.
        min_score: The least score of a document that belongs.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    fact_filter: FactFilter = Field(default_factory=FactFilter, exclude=True)
    top_n: int | None = None
    min_score: float = 0.5

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> Sequence[Document]:
        """The documents that belong to the query; none is changed."""
        hits = self.fact_filter.rank(query, [document.page_content for document in documents], self.top_n)
        scored = [
            (documents[hit["corpus_id"]], hit["score"]) for hit in hits if hit["score"] >= self.min_score
        ]
        return [
            document.model_copy(update={"metadata": document.metadata | {"relevance_score": score}})
            for document, score in scored
        ]
