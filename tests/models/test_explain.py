"""Looking inside."""

import numpy as np
import pytest
import torch
from test_processing import image_processor, picture

from every_model import blip_config, two_stream_config
from tiny_vqa import tiny_tokenizer
from vkood.mixture import Diagonal, Prior, em_step, fit_mixture, responsibilities
from vkood.models import (
    BlipVkoodForQuestionAnswering,
    VkoodForVisualQuestionAnswering,
    VkoodProcessor,
)

FACTS = ["a lemon is sour.", "a kite is used for flying.", "<b>a mug breaks.</b>"]


@pytest.fixture(scope="module", name="processor")
def _processor(tmp_path_factory):
    return VkoodProcessor(
        image_processor(), tiny_tokenizer(), fact_cache=str(tmp_path_factory.mktemp("facts"))
    )


def answering(**changes):
    torch.manual_seed(0)
    vocabulary = len(tiny_tokenizer())
    config = two_stream_config(
        fact_dim=384, num_labels=7, id2label={n: f"answer {n}" for n in range(7)}, **changes
    )
    config.text_config.vocab_size = vocabulary
    return VkoodForVisualQuestionAnswering(config)


def test_explanation(processor, tmp_path):
    model = answering()
    model.processor = processor
    told = model.explain(picture(), "is there a kite?", FACTS)
    chances = [chance for _, chance in told.answers]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) == pytest.approx(1.0, abs=1e-5)
    assert sorted(fact.sentence for fact in told.facts) == sorted(FACTS)
    batch = processor(picture(), "is there a kite?", FACTS)
    with torch.no_grad():
        output = model.eval()(**batch)
    assert told.answers[0][0] == model.config.id2label[int(output.logits.argmax())]
    for fact in told.facts:
        place = FACTS.index(fact.sentence)
        assert fact.gate == pytest.approx(float(output.fact_gate[0, place]), abs=1e-6)
        assert fact.score == pytest.approx(float(output.fact_score[0, place]), abs=1e-5)
    assert told.patches.shape == (2, 4, 4)
    np.testing.assert_allclose(told.patches.sum((1, 2)), 1.0, rtol=1e-5)
    assert told.component_weights.sum() == pytest.approx(1.0, abs=1e-5)
    page = told.to_html()
    assert "&lt;b&gt;a mug breaks." in page
    assert "http" not in page
    assert page.count("<img") == 3
    told.plot().savefig(tmp_path / "plot.png")
    assert "gate" in str(told)


def test_without_facts_or_fit(processor):
    model = answering(gate={"kind": "none"})
    model.processor = processor
    told = model.explain(picture(), "is there a kite?")
    assert told.facts == []
    assert told.patches is None
    assert 'vkood-facts"' not in told.to_html()
    assert [fact.gate for fact in model.explain(picture(), "is it?", FACTS).facts] == [1.0] * 3


def test_what_led_to_a_fact(processor):
    model = answering()
    model.processor = processor
    text = "is there an umbrella?"
    told = model.explain(picture(), text, "default")
    assert {text[slice(*fact.span)] for fact in told.facts} == {"umbrella"}
    assert "<small>umbrella</small>" in told.to_html()


def test_blip_tells_what_it_writes(processor):
    torch.manual_seed(0)
    config = blip_config(fact_dim=384)
    config.text_config.vocab_size = max(60, len(tiny_tokenizer()))
    model = BlipVkoodForQuestionAnswering(config)
    model.processor = processor
    ((answer, chance),) = model.explain(picture(), "is there a kite?", FACTS).answers
    assert isinstance(answer, str)
    assert 0 < chance <= 1


def test_the_processor_lies_with_the_model(processor, tmp_path):
    model = answering()
    model.save_pretrained(tmp_path / "model")
    loaded = VkoodForVisualQuestionAnswering.from_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match=r"no processor with the model .* set `model.processor`"):
        loaded.explain(picture(), "is it?")
    processor.save_pretrained(tmp_path / "model")
    loaded = VkoodForVisualQuestionAnswering.from_pretrained(tmp_path / "model")
    assert loaded.explain(picture(), "is it?").answers


def test_responsibilities_are_those_of_the_fit():
    """One more EM step from them alone leaves a converged fit where it is."""
    tokens = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mixture, _ = fit_mixture(tokens, num_components=2)
    shares = responsibilities(tokens, mixture, Diagonal())
    torch.testing.assert_close(shares.sum(-1), torch.ones(2, 30, dtype=torch.float64))
    counts = shares.sum(1)
    stepped = em_step(tokens, torch.ones(2, 30, dtype=torch.float64), mixture, Diagonal(), Prior())
    torch.testing.assert_close(stepped.log_weight.exp(), (1 + counts) / (1 + counts).sum(-1, keepdim=True))
