# pyright: reportMissingImports=false

import os

import pytest
from PIL import Image

from support.word_encoder import new_filter, tagger

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # read when it is imported
pytest.importorskip("haystack", reason="needs the extra `haystack`")

from haystack import Document, Pipeline
from haystack.core.component import Component

from vkood.integrations.haystack import FactFilterRanker


def documents():
    return [Document(content=text, meta={"from": "a book"}) for text in ("music", "umbrella", "wet")]


def test_in_a_pipeline():
    pipeline = Pipeline()
    pipeline.add_component("ranker", FactFilterRanker(new_filter(), top_k=2))
    result = pipeline.run({"ranker": {"query": "rain", "documents": documents()}})["ranker"]["documents"]
    assert [document.content for document in result] == ["umbrella", "wet"]
    assert result[0].score == pytest.approx(0.997, abs=1e-3)
    assert result[0].meta == {"from": "a book"}


def test_with_a_picture(tmp_path):
    Image.new("RGB", (3, 3)).save(tmp_path / "piano.png")
    ranker = FactFilterRanker(new_filter(tagger=tagger), min_score=0.9)
    assert isinstance(ranker, Component)
    result = ranker.run(query="", documents=documents(), image=str(tmp_path / "piano.png"))
    assert [document.content for document in result["documents"]] == ["music"]


def test_pipelines_with_a_saved_filter_can_be_written_and_read(tmp_path):
    from vkood import FactFilter

    FactFilter().save_pretrained(tmp_path / "filter")
    pipeline = Pipeline()
    pipeline.add_component("ranker", FactFilterRanker(str(tmp_path / "filter"), min_score=0.4))
    ranker = Pipeline.loads(pipeline.dumps(), allowed_modules=["vkood.integrations.haystack"]).get_component(
        "ranker"
    )
    assert (ranker.fact_filter, ranker.min_score) == (str(tmp_path / "filter"), 0.4)
