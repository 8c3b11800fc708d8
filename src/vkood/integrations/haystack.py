"""`FactFilter` as a ranker of Haystack (extra `haystack`)."""

# The framework need not be installed where types are checked.
# pyright: reportMissingImports=false

from __future__ import annotations

from dataclasses import replace

from haystack import Document, component

from vkood.pipelines import FactFilter


@component
class FactFilterRanker:
    """Keeps the documents that belong to the query's text, picture or both, the most relevant first.

    Each comes back with the filter's score, from 0 to 1.

    Args:
        fact_filter: The filter, or the folder of a saved one, which pipelines can be written to YAML with; an untrained
            one if None.
        top_k: How many documents to keep at most; all that belong if None.
        min_score: The least score of a document that belongs.
    """

    def __init__(
        self, fact_filter: FactFilter | str | None = None, top_k: int | None = None, min_score: float = 0.5
    ) -> None:
        self.fact_filter, self.top_k, self.min_score = fact_filter, top_k, min_score
        if isinstance(fact_filter, str):
            self._filter = FactFilter.from_pretrained(fact_filter)
        else:
            self._filter = fact_filter or FactFilter()

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, documents: list[Document], image: str | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Rank and filter.

        Args:
            query: The query's text; empty if there is none.
            documents: The documents.
            image: A picture's file; the filter then needs a `tagger`.
            top_k: In place of the component's own.
        """
        texts = [document.content or "" for document in documents]
        hits = self._filter.rank({"text": query or None, "image": image}, texts, top_k or self.top_k)
        kept = [hit for hit in hits if hit["score"] >= self.min_score]
        return {"documents": [replace(documents[hit["corpus_id"]], score=hit["score"]) for hit in kept]}
