"""What is known about photographs, with a tagger that goes by their colour."""

import json

import numpy as np
import pytest
from PIL import Image

import vkood
from support.every_model import two_stream_config
from support.tiny_pictures import image_processor
from support.tiny_vqa import tiny_tokenizer
from vkood.demo.photographs import demo_photographs
from vkood.models import VkoodForVisualQuestionAnswering
from vkood.pipelines import VkoodProcessor
from vkood.pipelines.concept_tagger import PictureConcepts
from vkood.pipelines.photo_explainer import PhotoExplainer, explain
from vkood.reporting.explanation import Explanation

DOG = PictureConcepts(
    names=(("Golden Retriever", 0.8), ("tennis ball", 0.1)), concepts=(("dog", 0.9), ("tennis ball", 0.1))
)
SHIP = PictureConcepts(
    names=(("container ship", 0.7), ("dock", 0.2)), concepts=(("ship", 0.7), ("dock", 0.2))
)
NOTHING = PictureConcepts(names=(("dock", 1.0),), concepts=())


class ColourTagger:
    """Brown is a dog, blue a ship, black nothing that the store knows."""

    names = (
        "Golden Retriever",
        "tennis ball",
        "container ship",
        "dock",
        "espresso",
        "tree frog",
        "banana",
        "castle",
    )
    fingerprint = "colours"

    def __call__(self, images):
        return [
            {(99, 66, 33): DOG, (0, 0, 255): SHIP, (0, 0, 0): NOTHING}[image.getpixel((0, 0))]
            for image in images
        ]


BROWN, BLUE, BLACK = (Image.new("RGB", (40, 30), colour) for colour in ((99, 66, 33), "blue", "black"))


@pytest.fixture(scope="module", name="explainer")
def _explainer():
    return PhotoExplainer(tagger=ColourTagger(), threshold=-0.4)


def test_facts_of_what_is_there_are_kept(explainer):
    shown = explainer(BROWN, "Is this a dog or a ship?")
    assert shown.concepts == DOG.concepts
    assert len(shown.kept) + len(shown.dropped) == 20
    assert sum("dog" in fact.sentence for fact in shown.kept) >= 5
    assert sum("ship" in fact.sentence for fact in shown.dropped) >= 3
    assert not any("ship" in fact.sentence for fact in shown.kept)
    for fact in (*shown.kept, *shown.dropped):
        assert fact.margin == pytest.approx(-0.4 - fact.score)
        assert fact.kept == (fact.score <= -0.4)
    assert "fits golden retriever (80%)" in {fact.reason for fact in shown.kept}
    assert "fits container ship better, which is not in the picture" in {
        fact.reason for fact in shown.dropped
    }


@pytest.mark.parametrize("text", ["", "Is this a dog or a ship?"])
def test_the_clearest_come_first(explainer, text):
    shown = explainer(BROWN, text)
    assert len(shown.kept) >= 5
    for facts in (shown.kept, shown.dropped):
        margins = [fact.margin for fact in facts]
        assert margins == sorted(margins, reverse=True)
    assert all(fact.margin < 0 for fact in shown.dropped)


def test_own_facts_are_judged_with_the_others(explainer):
    own = ["a ship has a deck.", "golden retrievers like balls."]
    alone = explainer(BROWN, "Is this a dog or a ship?")
    shown = explainer(BROWN, "Is this a dog or a ship?", facts=own)
    (liked,) = [fact for fact in shown.kept if fact.sentence == own[1]]
    assert liked.place == 1
    assert own[0] in [fact.sentence for fact in shown.dropped]
    others = [fact.sentence for fact in shown.kept if fact is not liked]
    assert others == [fact.sentence for fact in alone.kept]
    assert liked.as_dict().keys() >= {"sentence", "score", "reason"}
    notes = explainer(BLACK, facts=own).notes
    assert notes == ("The store has no fact about what this photograph shows.",)
    with pytest.raises(ValueError, match="`facts` must be a list of sentences"):
        explainer(BROWN, facts="dogs bark.")


def test_another_threshold_without_running_anything(explainer):
    for text in ("", "Is this a dog or a ship?"):
        shown = explainer(BROWN, text)
        strict = PhotoExplainer(tagger=ColourTagger(), threshold=-2.0)(BROWN, text)
        assert shown.at_threshold(-2.0).as_dict() == strict.as_dict() != shown.as_dict()
        assert strict.at_threshold(-0.4).as_dict() == shown.as_dict()


def test_no_photograph_depends_on_the_others(explainer):
    together = explainer([BROWN, BLUE, BLACK], "Is this a dog or a ship?")
    for picture, shown in zip((BROWN, BLUE, BLACK), together, strict=True):
        alone = explainer(picture, "Is this a dog or a ship?")
        assert [fact.sentence for fact in alone.kept] == [fact.sentence for fact in shown.kept]
        assert [fact.score for fact in alone.kept] == pytest.approx(
            [fact.score for fact in shown.kept], abs=1e-5
        )
    assert explainer([]) == []


def test_every_form_of_picture(explainer, tmp_path):
    path = tmp_path / "brown.png"
    BROWN.save(path)
    forms = [path, str(path), path.read_bytes(), BROWN, np.asarray(BROWN)]
    shown = explainer(forms)
    assert [photo.name for photo in shown] == [str(path), str(path), "picture 3", "picture 4", "picture 5"]
    assert len({tuple(fact.sentence for fact in photo.kept) for photo in shown}) == 1


def test_notes(explainer):
    assert explainer(BLACK).notes == ("The store has no fact about what this photograph shows.",)
    assert explainer(BLACK).kept == explainer(BLACK).dropped == ()
    assert "English" in explainer(BROWN, "Was für ein Tier liegt dort drüben?").notes[0]
    assert explainer(BROWN, "What is it used for?").notes == ()


def test_own_facts_from_an_iterator_are_judged_for_every_photograph(explainer):
    shown = explainer([BROWN, BLUE], facts=iter(["a dog barks."]))
    for photo in shown:
        assert "a dog barks." in [fact.sentence for fact in (*photo.kept, *photo.dropped)]


@pytest.mark.usefixtures("unchecked")
def test_bad_input(explainer, tmp_path):
    (tmp_path / "notes.jpg").write_text("not a picture")
    with pytest.raises(ValueError, match=r"notes\.jpg.* must be a picture"):
        explainer(tmp_path / "notes.jpg")
    with pytest.raises(FileNotFoundError, match=r"^'[^']*none\.jpg' must be .* no such file or folder\.$"):
        explainer(str(tmp_path / "none.jpg"))
    for limit in (0, 2.5, "3"):
        with pytest.raises(ValueError, match="`limit` must be a whole number from 1 to 1,000"):
            PhotoExplainer(tagger=ColourTagger(), limit=limit)
    with pytest.raises(ValueError, match="`limit` must be a whole number from 1 to 1,000; got 1001"):
        PhotoExplainer(tagger=ColourTagger(), limit=1001)
    for threshold in (float("nan"), "0.5"):
        with pytest.raises(ValueError, match="`threshold` must be a finite number"):
            PhotoExplainer(tagger=ColourTagger(), threshold=threshold)
    with pytest.raises(TypeError, match="`tagger` must be of type PictureTagger"):
        PhotoExplainer(tagger=3)
    with pytest.raises(ValueError, match="`facts` must be a list of sentences; got 3 in it"):
        explainer(BROWN, facts=["a dog barks.", 3])
    with pytest.raises(ValueError, match="`facts` must be a list of sentences, but number 1 is blank"):
        explainer(BROWN, facts=["a dog barks.", " "])
    with pytest.raises(ValueError, match="`model` must be a model of vkood's with a head"):
        PhotoExplainer(tagger=ColourTagger(), model=object())
    with pytest.raises((ValueError, OSError), match="is not a fact store"):
        PhotoExplainer(tmp_path / "notes.jpg", tagger=ColourTagger())


def test_a_cache_that_cannot_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VKOOD_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        OSError, match=r"could not be added to .* chosen by the environment variable VKOOD_CACHE\."
    ):
        PhotoExplainer(tagger=ColourTagger())


class Answers:
    """A model that answers "yes", and remembers what it was handed."""

    def explain(self, image, text, facts):
        self.facts = facts
        return Explanation(text=text, picture=image, answers=[("yes", 0.75), ("no", 0.25)])


def test_a_model_answers_with_the_facts_that_are_kept():
    model = Answers()
    explainer = PhotoExplainer(tagger=ColourTagger(), model=model, threshold=-0.4)
    shown = explainer(BROWN, "Is this a dog?")
    assert shown.answers == [("yes", 0.75), ("no", 0.25)]
    assert model.facts == [fact.sentence for fact in shown.kept]
    explainer(BLACK, "Is it?")
    assert model.facts is None
    with pytest.raises(ValueError, match="`text` must be a question"):
        explainer(BROWN)


def test_a_saved_model(tmp_path):
    config = two_stream_config(fact_dim=384, num_labels=3, id2label={0: "yes", 1: "no", 2: "kite"})
    config.text_config.vocab_size = len(tiny_tokenizer())
    folder = tmp_path / "model"
    VkoodForVisualQuestionAnswering(config).save_pretrained(folder)
    VkoodProcessor(image_processor(), tiny_tokenizer()).save_pretrained(folder)
    shown = PhotoExplainer(tagger=ColourTagger(), model=folder, threshold=-0.4)(
        BROWN, "Is this a dog or a ship?"
    )
    assert {answer for answer, _ in shown.answers} == {"yes", "no", "kite"}
    assert shown.model.patches is not None
    assert {fact.sentence for fact in shown.model.facts} == {fact.sentence for fact in shown.kept}
    shown.save(tmp_path / "page.html")
    assert "component 1" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_vectors_are_encoded_once(monkeypatch):
    PhotoExplainer(tagger=ColourTagger())(BROWN)
    from vkood.pipelines import encoding

    def refuse(self):
        raise AssertionError("all vectors are known")

    encoding._fact_encoder.cache_clear()
    monkeypatch.setattr(encoding.LazySentenceEncoder, "_encoder", refuse)
    assert PhotoExplainer(tagger=ColourTagger())(BROWN).kept


def test_explain_works_at_once():
    """The five lines of the documentation, with the default tagger."""
    assert vkood.explain is explain
    shown = vkood.explain(demo_photographs()["cat"], "Does it bark, or does it purr?")
    assert dict(shown.concepts)["cat"] > 0.8
    assert "a cat can purr." in [fact.sentence for fact in shown.kept]
    assert "a dog can bark." in [fact.sentence for fact in shown.dropped]
    assert json.loads(json.dumps(shown.as_dict()))["kept"][0]["sentence"] == shown.kept[0].sentence
