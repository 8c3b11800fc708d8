"""What the app does, without its page."""

import io

import pytest
from PIL import Image

from vkood.app import views
from vkood.app.workbench import MAX_BYTES, MAX_PIXELS, Photograph, Refused, Workbench, lines, read_photograph
from vkood.demo.photographs import demo_photographs
from vkood.knowledge import LinkedFact
from vkood.reporting.explanation import Explanation
from vkood.reporting.photo_explanation import JudgedFact, PhotoExplanation, split_facts


def content(picture, kind="PNG"):
    file = io.BytesIO()
    picture.save(file, format=kind)
    return file.getvalue()


class Explainer:
    """Judges the user's facts: every one scores as far as it is long, less ten."""

    threshold = 0.0

    def __call__(self, picture, text, *, facts):
        judged = [
            JudgedFact(
                fact=LinkedFact(fact),
                score=len(fact) - 10.0,
                margin=0.0,
                reason="is short",
                otherwise="is long",
                place=place,
            ).at_threshold(self.threshold)
            for place, fact in enumerate(facts)
        ]
        kept, dropped = split_facts(judged)
        return PhotoExplanation(
            name="picture 1",
            text=text,
            picture=picture,
            concepts=(("cat", 0.9),),
            kept=kept,
            dropped=dropped,
            threshold=self.threshold,
        )


class Model:
    """Answers with the number of facts."""

    images_per_text = 1

    def explain(self, picture, text, facts):
        return Explanation(text=text, picture=picture, answers=[(f"{len(facts or ())} facts", 1.0)])


CAT = Photograph("cat.png", Image.new("RGB", (40, 30), "brown"))
FACTS = "a cat is furry\ndogs bark\ncats purr\n\n"


def test_uploads_are_decoded_reduced_and_named():
    photograph = read_photograph(
        content(Image.new("RGB", (4_096, 1_024), "red")), "C:\\fakepath\\../my cat.png"
    )
    assert photograph.name == "my cat.png"
    assert photograph.picture.size == (2_048, 512)
    assert photograph.picture.getpixel((0, 0)) == (255, 0, 0)
    assert read_photograph(content(CAT.picture), "../..").name


@pytest.mark.parametrize(
    ("upload", "reason"),
    [
        (b"not a picture", "is in no format"),
        (b"", "is empty"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is in no format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (content(CAT.picture)[:-40], "truncated"),
        (bytes(MAX_BYTES + 1), "at most 20 MB"),
        (content(Image.new("1", (8_000, MAX_PIXELS // 8_000 + 1))), "40,000,000 pixels"),
    ],
    ids=["text", "empty", "postscript", "svg", "truncated", "bytes", "pixels"],
)
def test_what_is_no_photograph_is_refused_by_name(upload, reason):
    with pytest.raises(Refused, match=reason) as error:
        read_photograph(upload, "holiday.png")
    assert "holiday.png" in str(error.value)


def test_facts_of_ones_own():
    assert lines(FACTS) == ["a cat is furry", "dogs bark", "cats purr"]
    with pytest.raises(Refused, match=r"at most 50, one a line; there are 51"):
        lines("cats purr\n" * 51)
    with pytest.raises(Refused, match="fact 2 has 301"):
        lines("cats purr\n" + "a" * 301)


def test_another_threshold_needs_no_model():
    explained = Workbench(Explainer()).explain(CAT, " Does it purr? ", FACTS, 0.0)
    shown = explained.explanation
    assert (shown.name, shown.text, shown.model) == ("cat.png", "Does it purr?", None)
    assert [fact.sentence for fact in shown.kept] == ["dogs bark", "cats purr"]
    wide = explained.at(10.0)
    assert [fact.sentence for fact in wide.kept] == ["dogs bark", "cats purr", "a cat is furry"]
    assert [fact.reason for fact in wide.kept] == ["is short"] * 3
    assert wide.threshold == 10.0 and wide.kept[-1].margin == 10.0 - 4.0
    narrow = wide.at_threshold(-5.0)
    assert not narrow.kept
    assert [fact.sentence for fact in narrow.dropped] == ["dogs bark", "cats purr", "a cat is furry"]
    assert {fact.reason for fact in narrow.dropped} == {"is long"}
    assert narrow.at_threshold(0.0).as_dict() == shown.as_dict()


def test_the_model_answers_questions_with_what_is_kept_at_the_threshold():
    workbench = Workbench(Explainer(), Model())
    assert workbench.explain(CAT, "", FACTS, 0.0).explanation.model is None
    assert workbench.explain(CAT, "How many?", FACTS, 0.0).explanation.answers == [("2 facts", 1.0)]
    assert workbench.explain(CAT, "How many?", FACTS, 9.0).explanation.answers == [("3 facts", 1.0)]
    assert workbench.explain(CAT, "How many?", "", 9.0).explanation.answers == [("0 facts", 1.0)]


def test_a_long_question_is_refused():
    with pytest.raises(Refused, match="at most 300 characters; it has 301"):
        Workbench(Explainer()).explain(CAT, "a" * 301, "", 0.0)


def test_a_model_for_two_pictures_is_refused():
    model = Model()
    model.images_per_text = 2
    with pytest.raises(ValueError, match="a model for one picture; Model takes 2"):
        Workbench(Explainer(), model)


def test_panes_escape_what_users_write():
    hostile = "<img src=x onerror=alert(1)>\"' \u202e"
    photograph = Photograph(hostile, CAT.picture)
    shown = Workbench(Explainer(), Model()).explain(photograph, hostile, hostile, 0.0).explanation
    for pane in (views.photograph(shown), views.facts(shown), views.answers(shown), views.message(hostile)):
        assert "<img src=x" not in pane and "\u202e" not in pane
        assert "&lt;img src=x onerror=alert(1)&gt;&#34;&#39;" in pane


def test_the_table_says_with_which_facts_the_model_answered():
    explained = Workbench(Explainer(), Model()).explain(CAT, "How many?", FACTS, 0.0)
    sentence = "The answer was given with the facts that were kept at 0.00"
    assert sentence not in views.facts(explained.at(0.0), answered_at=0.0)
    assert sentence in views.facts(explained.at(-2.0), answered_at=0.0)


def test_examples_are_shown_by_their_buttons():
    examples = demo_photographs()
    style = views.example_style(examples)
    assert all(f"#example-{name} " in style for name in examples)
    assert len(style) < 60_000
