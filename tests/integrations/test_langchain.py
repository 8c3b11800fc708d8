# pyright: reportMissingImports=false

import asyncio

import pytest

from support.word_encoder import new_filter

pytest.importorskip("langchain_core", reason="needs the extra `langchain`")

from langchain_core.documents import Document

from vkood.integrations.langchain import FactFilterCompressor


def documents():
    return [
        Document(text, metadata={"page": n}, id=str(n)) for n, text in enumerate(("music", "umbrella", "wet"))
    ]


def test_documents_that_belong():
    originals = documents()
    kept = FactFilterCompressor(fact_filter=new_filter()).compress_documents(originals, "rain")
    assert [(document.page_content, document.id) for document in kept] == [("umbrella", "1"), ("wet", "2")]
    assert kept[0].metadata == {"page": 1, "relevance_score": pytest.approx(0.997, abs=1e-3)}
    assert originals == documents()


def test_at_most_so_many_and_without_waiting():
    compressor = FactFilterCompressor(fact_filter=new_filter(), top_n=1)
    (document,) = asyncio.run(compressor.acompress_documents(documents(), "rain"))
    assert document.page_content == "umbrella"
