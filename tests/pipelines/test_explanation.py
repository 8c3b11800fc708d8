"""What a model answers, which facts it used, and where the components of its fit lie."""

import numpy as np
import pytest
import torch

from support.every_model import KINDS, two_stream_config
from support.html_page import Page
from support.tiny_pictures import image_processor, picture
from support.tiny_vqa import tiny_tokenizer
from vkood.images import ImageProblem
from vkood.knowledge import Concept, LinkedFact
from vkood.mixture import Diagonal, Prior, em_step, fit_mixture, responsibilities
from vkood.models import VkoodForVisualQuestionAnswering
from vkood.pipelines import ExplainedFact, Explanation, VkoodProcessor

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
    explanation = model.explain(picture(), "is there a kite?", FACTS)
    chances = [chance for _, chance in explanation.answers]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) == pytest.approx(1.0, abs=1e-5)
    assert sorted(fact.sentence for fact in explanation.facts) == sorted(FACTS)
    batch = processor(picture(), "is there a kite?", FACTS)
    with torch.no_grad():
        output = model.eval()(**batch)
    assert explanation.answers[0][0] == model.config.id2label[int(output.logits.argmax())]
    for fact in explanation.facts:
        place = FACTS.index(fact.sentence)
        assert fact.gate == pytest.approx(float(output.fact_gate[0, place]), abs=1e-6)
        assert fact.score == pytest.approx(float(output.fact_score[0, place]), abs=1e-5)
    assert explanation.patches.shape == (2, 4, 4)
    np.testing.assert_allclose(explanation.patches.sum((1, 2)), 1.0, rtol=1e-5)
    assert explanation.component_weights.sum() == pytest.approx(1.0, abs=1e-5)
    page = explanation.to_html()
    assert "&lt;b&gt;a mug breaks." in page
    assert "http" not in page
    assert page.count("<img") == 3
    for source in (page, explanation.to_page()):
        read = Page(source)
        read.require_accessible()
        assert len(read.named("caption")) == len(read.named("table")) == 2
        assert all(fact in read.text for fact in FACTS)
    assert read.named("html") == [{"lang": "en"}]
    explanation.plot().savefig(tmp_path / "plot.png")
    assert "gate" in str(explanation)


def test_without_facts_or_fit(processor):
    model = answering(gate={"kind": "none"})
    model.processor = processor
    explanation = model.explain(picture(), "is there a kite?", None)
    assert explanation.facts == []
    assert explanation.patches is None
    assert 'class="bars facts"' not in explanation.to_html()
    assert [fact.gate for fact in model.explain(picture(), "is it?", FACTS).facts] == [1.0] * 3


def test_facts_are_the_default_stores_unless_it_is_said_otherwise(processor):
    """As `vkood predict` has it."""
    model = answering()
    model.processor = processor
    assert (
        model.explain(picture(), "is there a kite?").facts
        == model.explain(picture(), "is there a kite?", "default").facts
    )
    assert model.explain(picture(), "is there a kite?").facts


HOSTILE = "[/b] <script>'\"</script> \x1b[2J \u202e \ud800 $\\frac$ \n $5"


def test_hostile_text_is_shown_as_it_is_written(tmp_path):
    """In lines, pages and plots: neither markup, nor elements, nor formulas, nor escapes of terminals."""
    explanation = Explanation(
        text=HOSTILE,
        picture=picture(),
        answers=[(HOSTILE, 0.5)],
        facts=[ExplainedFact(LinkedFact(HOSTILE, (Concept((0, len(HOSTILE)), "a", "a"),)), 0.5, 1.0)],
    )
    assert len(str(explanation).splitlines()) == 3
    assert repr(explanation) == str(explanation)
    for shown in (str(explanation), explanation.to_html()):
        assert not set("\x1b\u202e\ud800") & set(shown)
    page = explanation.to_html()
    assert page.count("&lt;script&gt;") == 4
    assert "<script" not in page
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    explanation.plot().savefig(tmp_path / "plot.png")


def test_the_caption_counts_the_pictures():
    for number, caption in ((1, "picture"), (2, "2 pictures")):
        explanation = Explanation(text="", picture=picture(), answers=[], num_pictures=number)
        assert f"<figcaption>{caption}</figcaption>" in explanation.to_html()
        assert explanation.plot().axes[0].get_title() == caption


def test_a_notebook_shows_the_page(processor):
    model = answering()
    model.processor = processor
    explanation = model.explain(picture(), "is there a kite?", FACTS)
    assert explanation._repr_html_() == explanation.to_html()


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_maps_in_half_precision(processor, precision):
    """Narrow components overflow half precision; a component may also lie in no patch, which is then said."""
    for variance in (1.0, 1e-3):
        model = answering(
            gate={"joint_dim": 8, "num_components": 2, "family": "diagonal", "variance": variance}
        )
        model.processor = processor
        whole = model.explain(picture(), "is there a kite?", FACTS)
        with torch.autocast("cpu", precision):
            mixed = model.explain(picture(), "is there a kite?", FACTS)
        halved = model.to(precision).explain(picture(), "is there a kite?", FACTS)
        for explanation in (whole, mixed, halved):
            np.testing.assert_allclose(explanation.patches, whole.patches, atol=0.02)
            empty = [number for number, patches in enumerate(explanation.patches) if not patches.any()]
            assert empty == ([] if variance == 1.0 else [0])
            assert explanation.to_html().count("in no patch") == len(empty)
            np.testing.assert_allclose(
                explanation.patches.sum((1, 2)), [float(n not in empty) for n in (0, 1)], rtol=1e-5
            )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_every_model_answers_in_half_precision(processor, kind, precision):
    model = judging(kind)
    model.processor = processor
    pictures = [picture()] * KINDS[kind].images
    whole = model.explain(pictures, "there is a kite.", FACTS)
    halved = model.to(precision).explain(pictures, "there is a kite.", FACTS)
    # later tokens of a random model's answer are near ties, which rounding decides
    assert halved.answers[0][0].split()[:4] == whole.answers[0][0].split()[:4]
    assert halved.answers[0][1] == pytest.approx(whole.answers[0][1], rel=0.1, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_or_too_few_pictures(processor, kind):
    model, images = judging(kind), KINDS[kind].images
    model.processor = processor
    for number in {0, 1, 2, 3} - {images}:
        with pytest.raises(
            ValueError, match=r"`image` must be (one picture|a list of 2 pictures) .*; got \d"
        ):
            model.explain([picture()] * number, "there is a kite.", FACTS)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 2)])
def test_pictures_of_odd_sizes(processor, size, tmp_path):
    model = answering()
    model.processor = processor
    explanation = model.explain(picture(*size), "is there a kite?", FACTS)
    assert explanation.to_html().count("<img") == 3
    explanation.plot().savefig(tmp_path / "plot.png")


def test_a_bad_picture_is_named(processor):
    model = judging("two-stream reasoning")
    model.processor = processor
    with pytest.raises(ImageProblem, match=r"^image\[1\] must be a picture"):
        model.explain([picture(), b"no"], "there is a kite.", FACTS)


def test_what_led_to_a_fact(processor):
    model = answering()
    model.processor = processor
    text = "is there an umbrella?"
    explanation = model.explain(picture(), text, "default")
    assert {text[slice(*fact.span)] for fact in explanation.facts} == {"umbrella"}
    assert "<small>umbrella</small>" in explanation.to_html()


def test_blip_tells_what_it_writes(processor):
    model = judging("BLIP answers")
    model.processor = processor
    ((answer, chance),) = model.explain(picture(), "is there a kite?", FACTS).answers
    assert isinstance(answer, str)
    assert 0 < chance <= 1


def judging(kind, **changes):
    torch.manual_seed(0)
    config = KINDS[kind].config(fact_dim=384, **changes)
    config.text_config.vocab_size = max(60, len(tiny_tokenizer()))
    return KINDS[kind].model(config)


TRUE_OR_FALSE, MATCHING = {"true", "false"}, {"matches", "does not match"}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("two-stream reasoning", TRUE_OR_FALSE),
        ("two-stream retrieval", MATCHING),
        ("two-stream pre-training", MATCHING),
        ("BLIP reasoning", TRUE_OR_FALSE),
        ("BLIP retrieval", MATCHING),
    ],
)
def test_models_that_judge(processor, kind, names):
    model, images = judging(kind), KINDS[kind].images
    model.processor = processor
    pictures = [picture(), picture().rotate(90)][:images]
    explanation = model.explain(pictures if images > 1 else pictures[0], "there is a kite.", FACTS)
    assert {name for name, _ in explanation.answers} == names
    assert sum(chance for _, chance in explanation.answers) == pytest.approx(1.0, abs=1e-5)
    assert explanation.picture.width == images * picture().width
    assert explanation.patches.shape == (2, 4, 4 * images)
    np.testing.assert_allclose(explanation.patches.sum((1, 2)), 1.0, rtol=1e-5)
    explanation.to_html()


def test_pictures_side_by_side_keep_their_patches(processor):
    """The same two pictures the other way round: the patches change places with them."""
    model = judging("two-stream reasoning")
    model.processor = processor
    first, second = picture(), picture().rotate(90)
    there, back = (
        model.explain(pictures, "it is.", FACTS) for pictures in ([first, second], [second, first])
    )
    order = there.component_weights.argsort(), back.component_weights.argsort()
    swapped = np.concatenate([back.patches[..., 4:], back.patches[..., :4]], axis=2)
    np.testing.assert_allclose(there.patches[order[0]], swapped[order[1]], atol=1e-3)


def test_patches_are_weighed_as_the_question_says(processor):
    """With steering the fit is another for another question, and so is what is shown of it."""
    model = answering(gate={"steering": "weights", "joint_dim": 8})
    torch.nn.init.normal_(model.vkood.steering.query.weight)
    model.processor = processor
    first, second = (model.explain(picture(), text, FACTS).patches for text in ("is there?", "a kite on a"))
    assert not np.allclose(first, second, atol=1e-4)


def test_a_model_without_a_head_to_answer_with(processor):
    model = judging("two-stream pre-training", matching=False)
    model.processor = processor
    model.train()
    with pytest.raises(ValueError, match="no head to answer with"):
        model.explain(picture(), "it is.")
    assert model.training  # left as it was


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
