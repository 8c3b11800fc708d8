# pyright: reportMissingImports=false

import pytest
from PIL import Image

from support.word_encoder import new_filter, tagger

pytest.importorskip("llama_index.core", reason="needs the extra `llama-index`")

from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from vkood.integrations.llama_index import FactFilterPostprocessor


def nodes():
    return [
        NodeWithScore(node=TextNode(text=text, id_=text), score=0.1) for text in ("music", "umbrella", "wet")
    ]


def texts(kept):
    return [node.node.get_content() for node in kept]


def test_nodes_of_a_text():
    postprocessor = FactFilterPostprocessor(fact_filter=new_filter())
    kept = postprocessor.postprocess_nodes(nodes(), query_str="rain")
    assert texts(kept) == ["umbrella", "wet"]
    assert kept[0].score == pytest.approx(0.997, abs=1e-3)
    assert texts(
        FactFilterPostprocessor(fact_filter=new_filter(), top_n=1).postprocess_nodes(
            nodes(), query_str="rain"
        )
    ) == ["umbrella"]


def test_nodes_of_a_picture(tmp_path):
    Image.new("RGB", (3, 3)).save(tmp_path / "piano.png")
    postprocessor = FactFilterPostprocessor(fact_filter=new_filter(tagger=tagger), min_score=0.9)
    bundle = QueryBundle("", image_path=str(tmp_path / "piano.png"))
    assert texts(postprocessor.postprocess_nodes(nodes(), bundle)) == ["music"]
    both = QueryBundle("rain", image_path=str(tmp_path / "piano.png"))
    assert texts(postprocessor.postprocess_nodes(nodes(), both))[0] == "umbrella"


def test_nodes_need_a_query():
    with pytest.raises(ValueError, match="the nodes' query must be passed"):
        FactFilterPostprocessor(fact_filter=new_filter()).postprocess_nodes(nodes())
