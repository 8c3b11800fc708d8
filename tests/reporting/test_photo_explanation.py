"""Explained photographs as lines, as JSON and as pages."""

import json
from html.parser import HTMLParser

import pytest
from PIL import Image

from vkood.knowledge import LinkedFact
from vkood.reporting.explanation import Explanation
from vkood.reporting.photo_explanation import CAUTION, JudgedFact, PhotoExplanation, save_page


def photo(**changes):
    options = {
        "name": "holiday/<cat>.jpg",
        "text": "Is it & <b>a cat</b>?",
        "picture": Image.new("RGB", (400, 300), "brown"),
        "concepts": (("cat", 0.9), ("<dog>", 0.1)),
        "kept": (judged("a cat <i>purrs</i>.", -3.0, 2.6, "fits tabby cat (90%)"),),
        "dropped": (judged("a dog barks.", 0.5, -0.9, "fits Beagle better, which is not in the picture"),),
        "threshold": -0.4,
    }
    return PhotoExplanation(**(options | changes))


def judged(sentence, score, margin, reason):
    return JudgedFact(fact=LinkedFact(sentence), score=score, margin=margin, reason=reason)


class Page(HTMLParser):
    """The tags and the texts of a page; what is open at its end."""

    VOID = ("meta", "img", "source", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_lines():
    assert repr(photo()).splitlines() == [
        "holiday/<cat>.jpg: Is it & <b>a cat</b>?",
        "   90.0%  cat",
        "   10.0%  <dog>",
        "kept:",
        "   +2.60  a cat <i>purrs</i>.  (fits tabby cat (90%))",
        "dropped:",
        "   -0.90  a dog barks.  (fits Beagle better, which is not in the picture)",
    ]
    bare = photo(text="", concepts=(), kept=(), dropped=(), notes=("Nothing\x1b is known.",))
    assert repr(bare).splitlines() == ["holiday/<cat>.jpg", "Nothing\\x1b is known."]


def test_json():
    record = json.loads(json.dumps(photo().as_dict()))
    assert record["concepts"][0] == {"concept": "cat", "probability": 0.9}
    assert (
        record["kept"][0].items()
        >= {
            "sentence": "a cat <i>purrs</i>.",
            "score": -3.0,
            "margin": 2.6,
            "kept": True,
            "reason": "fits tabby cat (90%)",
        }.items()
    )
    assert record["dropped"][0]["kept"] is False
    assert record["answers"] == []


def test_a_page_is_whole_and_escaped(tmp_path):
    photo().save(tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert "Is it & <b>a cat</b>?" in page.texts
    assert not any(tag in ("b", "i", "dog") for tag, _ in page.tags)
    (picture,) = [attributes for tag, attributes in page.tags if tag == "img"]
    assert picture["src"].startswith("data:image/jpeg;base64,")
    assert not any(
        value and value.startswith("http") for _, attributes in page.tags for value in attributes.values()
    )
    assert {"+2.60", "-0.90", "fits tabby cat (90%)"} <= set(page.texts)


def test_a_page_says_a_reason_once_and_what_it_hangs_on():
    kept = tuple(judged(f"fact {n}.", -3.0, 2.6 - n, reason) for n, reason in enumerate(("a", "a", "b", "a")))
    page = Page(photo(kept=kept).to_page())
    assert [text for text in page.texts if text in "ab"] == ["a", "b", "a"]
    assert CAUTION in page.texts
    heads = [text for text in page.texts if text in ("margin", "score")]
    assert heads[-2:] == ["margin", "score"]


def test_a_page_of_several_with_problems(tmp_path):
    path = tmp_path / "page.html"
    save_page([photo(), photo(text="", dropped=())], path, problems=["'bad.jpg' must be a picture."])
    page = Page(path.read_text(encoding="utf-8"))
    assert sum(tag == "article" for tag, _ in page.tags) == 2
    assert "'bad.jpg' must be a picture." in page.texts
    assert "Which facts belong to these photographs?" in page.texts
    assert path.stat().st_size < 40_000


def test_a_model_shows_its_answers(tmp_path):
    model = Explanation(text="Is it?", picture=Image.new("RGB", (32, 32)), answers=[("yes", 0.75)])
    shown = photo(model=model)
    assert shown.answers == [("yes", 0.75)]
    assert "yes  (answer)" in repr(shown)
    assert "75.0%" in Page(shown._repr_html_()).texts
    shown.save(tmp_path / "page.html")
    assert "75.0%" in Page((tmp_path / "page.html").read_text(encoding="utf-8")).texts


def test_no_photograph_is_no_page(tmp_path):
    with pytest.raises(ValueError, match="`explanations` must"):
        save_page([], tmp_path / "page.html")


def test_what_is_no_page_is_not_written_over(tmp_path):
    (tmp_path / "notes.html").write_text("bread, milk")
    (tmp_path / "cat.png").write_bytes(b"a picture")
    for name, words in (("notes.html", "holds something else"), ("cat.png", "ends in .html or .htm")):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(ValueError, match=f"`path` must .*{words}"):
            photo().save(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    photo().save(tmp_path / "page.html")
    photo(text="").save(tmp_path / "page.html")
