"""From pictures to concepts: sums over kinds, cuts, calibration, fingerprints, and what is refused."""

import sys
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image

from support.small_store import SmallStore
from support.word_encoder import new_filter
from vkood import ConceptTagger
from vkood.knowledge import Fact, FactStore, build_store
from vkood.pipelines.concept_tagger.vocabulary import ClassConcepts, Cut, PictureConcepts, Vocabulary

RETRIEVER = ClassConcepts("Golden Retriever", ("golden retriever",), ("retriever", "dog", "animal"))
PUG = ClassConcepts("pug", ("pug",), ("dog", "animal"))
CRANE = ClassConcepts("crane bird", ("crane bird", "crane"), ("bird", "animal"))
OTHER_CRANE = ClassConcepts("construction crane", ("tower crane", "crane"), ("machine",))
CLASSES = [RETRIEVER, PUG, CRANE, OTHER_CRANE]
STORE = SmallStore("golden retriever", "retriever", "dog", "pug", "animal", "crane", "bird", "machine")


class ColourClassifier:
    """Sees the class whose number is a picture's red, with that many times the evidence in its green."""

    def __init__(self, classes: Sequence[ClassConcepts] = CLASSES, exclusive: bool = True) -> None:
        self.classes, self.exclusive = classes, exclusive
        self.temperature = 1.0
        self.fingerprint = "colours"
        self.batches: list[int] = []

    def __call__(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        self.batches.append(len(pictures))
        logits = torch.zeros(len(pictures), len(self.classes))
        for row, picture in enumerate(pictures):
            red, green, _ = np.asarray(picture)[0, 0]
            logits[row, int(red)] = int(green) / 10
        return logits


def picture(number: int, evidence: int = 40) -> Image.Image:
    return Image.new("RGB", (4, 4), (number, evidence, 0))


def new_tagger(store=STORE, temperature: float | None = None, **cut) -> ConceptTagger:
    return ConceptTagger.from_classifier(ColourClassifier(), store, temperature=temperature, cut=Cut(**cut))


def test_a_concept_has_what_its_kinds_have():
    shown = new_tagger(mass=1.0)(picture(0))
    own = float(np.exp(4) / (np.exp(4) + 3))
    rest = (1 - own) / 3
    probability = dict(shown.concepts)
    assert probability["golden retriever"] == probability["retriever"] == pytest.approx(own, abs=1e-6)
    assert probability["dog"] == pytest.approx(own + rest, abs=1e-6)
    assert probability["animal"] == pytest.approx(own + 2 * rest, abs=1e-6)
    assert probability["crane"] == pytest.approx(
        2 * rest, abs=1e-6
    )  # of two senses: the store has no other word
    assert [concept for concept, _ in shown.concepts[:4]] == [
        "animal",
        "dog",
        "golden retriever",
        "retriever",
    ]
    assert shown.names[0] == ("Golden Retriever", pytest.approx(own, abs=1e-6))
    assert len(shown.names) == 4


def test_a_spelling_that_the_store_has_is_used_and_the_sense_is_told_by_what_it_is_a_kind_of():
    bird, machine = new_tagger(mass=0.5)([picture(2), picture(3)])
    assert {concept for concept, _ in bird.concepts} == {"crane", "bird", "animal"}
    assert {concept for concept, _ in machine.concepts} == {"crane", "machine"}


def test_only_classes_within_the_mass_give_concepts_and_no_more_than_the_maximum():
    certain = picture(1, 250)
    assert {concept for concept, _ in new_tagger(mass=0.9)(certain).concepts} == {"pug", "dog", "animal"}
    assert len(new_tagger(mass=1.0, max_concepts=2)(certain).concepts) == 2
    assert len(new_tagger(num_names=3)(certain).names) == 3


def test_classes_of_one_name_are_one():
    vocabulary = Vocabulary([PUG, RETRIEVER, PUG], STORE)
    assert vocabulary.names == ("pug", "Golden Retriever")
    [shown] = vocabulary.shown(torch.tensor([[0.3, 0.1, 0.6]]), Cut())
    assert shown.names == (("pug", pytest.approx(0.9)), ("Golden Retriever", pytest.approx(0.1)))
    assert dict(shown.concepts)["pug"] == pytest.approx(0.9)
    assert vocabulary.classes_of("pug") == [0, 2]


def test_where_classes_do_not_exclude_each_other_a_concept_has_the_largest():
    tagger = ConceptTagger.from_classifier(ColourClassifier(exclusive=False), STORE, cut=Cut(mass=1.0))
    probability = dict(tagger(picture(0)).concepts)
    assert (
        probability["dog"] == probability["golden retriever"] == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-6)
    )
    assert probability["bird"] == 0.5


def test_a_picture_alone_is_as_among_others():
    tagger = new_tagger()
    pictures = [picture(number % 4, 10 * number) for number in range(19)]
    assert tagger(pictures) == [tagger(image) for image in pictures]
    assert tagger([]) == []


def test_many_pictures_go_in_batches():
    classifier = ColourClassifier()
    ConceptTagger.from_classifier(classifier, STORE)([picture(0)] * 19)
    assert sum(classifier.batches) == 19
    assert max(classifier.batches) <= 8


def test_a_temperature_is_fitted_to_what_pictures_show():
    pictures = [picture(number, 40) for number in (0, 1, 2, 3)] * 10
    pictured = ["golden retriever", "pug", "bird", "machine"] * 10
    # of the last ten of 40 the classifier is wrong
    tagger = new_tagger().calibrated(pictures, [*pictured[:30], *pictured[33:], *pictured[30:33]])
    assert tagger.temperature != 1
    for image, own in zip(pictures[:4], CLASSES, strict=True):
        assert tagger(image).names[0] == (own.name, pytest.approx(0.75, abs=0.01))
    assert tagger.fingerprint != new_tagger().fingerprint


def test_calibration_says_what_it_needs():
    tagger = new_tagger()
    with pytest.raises(
        ValueError, match=r"'retreiver' in `concepts` is no concept .* did you mean 'retriever'"
    ):
        tagger.calibrated([picture(0)], ["retreiver"])
    with pytest.raises(ValueError, match="one for each of the `images`"):
        tagger.calibrated([picture(0)], [])


@pytest.mark.parametrize(
    "other",
    [
        lambda: new_tagger(SmallStore("dog", "pug")),
        lambda: new_tagger(temperature=2.0),
        lambda: new_tagger(mass=0.5),
        lambda: ConceptTagger.from_classifier(ColourClassifier(CLASSES[:3]), STORE),
    ],
)
def test_fingerprints_change_with_what_may_change_the_answer(other):
    assert other().fingerprint != new_tagger().fingerprint == new_tagger().fingerprint


def test_stores_with_other_facts_have_other_fingerprints(tmp_path):
    prints = []
    for number, colour in enumerate(("brown", "black")):
        path = tmp_path / f"{number}.db"
        build_store(path, [[Fact("dog", "HasProperty", colour)]])
        with FactStore.open(path) as store:
            prints.append(new_tagger(store).fingerprint)
    assert prints[0] != prints[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mass": 0.0}, "`mass` must be a finite number above 0 to 1; got 0.0"),
        ({"num_names": 0}, "`num_names` must be a whole number of at least 1; got 0"),
        ({"max_concepts": 0}, "`max_concepts` must be a whole number of at least 1; got 0"),
        ({"temperature": -1.0}, "`temperature` must be a number above 0; got -1.0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        new_tagger(**options)


def test_a_store_without_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match=r"knows none of the 4 classes .*'Golden Retriever', 'pug'"):
        new_tagger(SmallStore("spoon"))


def test_an_empty_store_is_refused():
    class Empty(SmallStore):
        @property
        def longest_entry(self) -> int:
            return 0

    with pytest.raises(ValueError, match="the fact store is empty"):
        new_tagger(Empty())


def test_a_picture_that_is_none_is_named(tmp_path):
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    tagger = new_tagger()
    with pytest.raises(ValueError, match=r"images\[1\], '.*page.jpg', must be a picture, but is a web page"):
        tagger([picture(0), tmp_path / "page.jpg"])
    with pytest.raises(
        FileNotFoundError, match=r"image, '.*none.jpg', must be a picture, but there is no such file"
    ):
        tagger(tmp_path / "none.jpg")


def test_a_filter_takes_it_as_its_tagger():
    things = [ClassConcepts(name, (name,)) for name in ("umbrella", "violin")]
    tagger = ConceptTagger.from_classifier(ColourClassifier(things), SmallStore("umbrella"))
    hits = new_filter(tagger=tagger).rank(picture(1, 250), ["rain", "music"])
    assert [hit["corpus_id"] for hit in hits] == [1, 0]


def test_a_filter_makes_the_default_tagger_by_its_name(monkeypatch):
    monkeypatch.setattr(ConceptTagger, "default", classmethod(lambda cls: new_tagger()))
    assert isinstance(new_filter(tagger="default").tagger, ConceptTagger)
    with pytest.raises(
        ValueError, match=r"`tagger` must be \"default\", a tagger or None; got the text 'clip'"
    ):
        new_filter(tagger="clip")


def test_without_its_packages_the_default_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ImportError, match=r'pip install -e "\.\[photos\]"'):
        ConceptTagger.default(STORE)


def test_it_iterates_over_names():
    assert list(PictureConcepts((("a", 0.5),), (("b", 0.1),))) == [("a", 0.5)]
