"""Taggers of random models: classifiers with labels, models that compare with texts, captioners, captions."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from support.tiny_picture_models import save_captioner, save_classifier, save_two_towers
from vkood import ConceptTagger
from vkood.knowledge import Fact, FactStore, build_store
from vkood.knowledge.linking.hypernyms import hypernyms_of
from vkood.models.loading import LoadingError
from vkood.pipelines.concept_tagger import Cut, pretrained
from vkood.pipelines.concept_tagger.captioner import Captioner
from vkood.pipelines.concept_tagger.imagenet import NUM_CLASSES, synsets
from vkood.pipelines.concept_tagger.labels import classes_of_labels
from vkood.pipelines.concept_tagger.visual_nouns import visual_nouns

PICTURES = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "navy")]
ALL = Cut(mass=1.0)
FACTS = [
    Fact("great white shark", "IsA", "shark"),
    Fact("shark", "IsA", "fish"),
    Fact("fish", "IsA", "animal"),
    Fact("animal", "CapableOf", "move"),
    Fact("couch", "IsA", "furniture"),
    Fact("furniture", "AtLocation", "house"),
    Fact("crane", "IsA", "machine"),
    Fact("crane", "IsA", "poet", 0.5),
    Fact("machine", "IsA", "thing"),
    Fact("thing", "HasProperty", "anything"),
    Fact("wolf spider", "IsA", "spider"),
    Fact("dog", "HasProperty", "furry"),
    Fact("idea", "IsA", "thought"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FactStore:
    path = tmp_path_factory.mktemp("store") / "facts.db"
    build_store(path, [FACTS])
    return FactStore.open(path)


def test_labels_are_linked_with_what_the_store_says_they_are_kinds_of(store):
    labels = ["great white shark, white shark, man-eater", "striped_couch", "crane", "gribble"]
    shark, couch, crane, unknown = classes_of_labels(labels, store, where="x")
    assert (shark.name, shark.entries) == ("great white shark", ("great white shark",))
    assert shark.hypernyms == ("shark", "fish", "animal")
    assert (couch.name, couch.entries, couch.hypernyms) == ("striped couch", ("couch",), ("furniture",))
    assert crane.hypernyms == ("machine",)  # not the poet's, of a further sense, nor a thing
    assert (unknown.entries, unknown.hypernyms) == ((), ())


def test_offsets_in_labels_are_synsets(store):
    bird, machine = classes_of_labels(["n02012849 crane", "n03126707"], store, where="x")
    assert bird.name == "crane"
    assert "bird" in bird.hypernyms
    assert "machine" in machine.hypernyms


def imagenet_labels() -> list[str]:
    return [f"{synset.entries[-1]}, Latina nomen" for synset in synsets().values()]


@pytest.mark.parametrize("background", [[], ["background"]])
def test_imagenets_labels_in_its_order_are_its_synsets(store, background):
    labels = [*background, *imagenet_labels()]
    classes = classes_of_labels(labels, store, where="x")
    start = len(background)
    assert len(classes) == NUM_CLASSES + start
    assert [named.hypernyms for named in classes[start:]] == [
        synset.hypernyms for synset in synsets().values()
    ]
    mixed = classes_of_labels([*labels[:start], *reversed(labels[start:])], store, where="x")
    assert (
        sum(named.hypernyms == () for named in mixed) > 900
    )  # another thousand, which this store does not know


def test_a_classifier_in_a_folder(tmp_path, store):
    folder = save_classifier(tmp_path / "model", ["great white shark", "couch", "dog"])
    tagger = ConceptTagger.from_pretrained(folder, store, cut=ALL)
    shown = tagger(PICTURES)
    assert list(tagger.names) == ["great white shark", "couch", "dog"]
    for picture in shown:
        assert sum(probability for _, probability in picture.names) == pytest.approx(1, abs=1e-4)
        probability = dict(picture.concepts)
        own = pytest.approx(dict(picture.names)["great white shark"], abs=1e-5)
        assert probability["great white shark"] == probability["fish"] == own
    assert shown[0] == tagger(PICTURES[0])
    other = save_classifier(tmp_path / "other", ["great white shark", "dog", "couch"])
    assert ConceptTagger.from_pretrained(other, store, cut=ALL).fingerprint != tagger.fingerprint
    assert ConceptTagger.from_pretrained(folder, store, cut=ALL).fingerprint == tagger.fingerprint
    assert (
        ConceptTagger.from_pretrained(folder, store, cut=ALL, temperature=2.0).fingerprint
        != tagger.fingerprint
    )


def test_classes_that_do_not_exclude_each_other_are_judged_by_themselves(tmp_path, store):
    folder = save_classifier(
        tmp_path / "model", ["great white shark", "couch"], problem_type="multi_label_classification"
    )
    [shown] = ConceptTagger.from_pretrained(folder, store, cut=ALL)(PICTURES[:1])
    assert sum(probability for _, probability in shown.names) != pytest.approx(1, abs=1e-3)


def test_labels_that_name_nothing_are_refused(tmp_path, store):
    folder = save_classifier(tmp_path / "model", ["LABEL_0", "LABEL_1"])
    with pytest.raises(
        ValueError, match=r"no usable labels: the `id2label` .* 'LABEL_0', .* Write the names"
    ):
        ConceptTagger.from_pretrained(folder, store)


def test_labels_in_another_language_are_refused(tmp_path, store):
    folder = save_classifier(tmp_path / "model", ["Haifisch", "Sofa"])
    with pytest.raises(ValueError, match=r"knows none of the 2 classes .*'Haifisch', 'Sofa'"):
        ConceptTagger.from_pretrained(folder, store)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_model_that_compares_with_texts_tells_nouns_apart(tmp_path, store, kind, monkeypatch):
    folder = save_two_towers(tmp_path / kind, kind)
    nouns = ["great white shark", "couch", "Dog", "dog"]
    tagger = ConceptTagger.from_pretrained(folder, store, nouns=nouns, cut=ALL)
    assert list(tagger.names) == ["great white shark", "couch", "dog"]
    shown = tagger(PICTURES)
    probability = dict(shown[0].concepts)
    assert probability["animal"] == probability["great white shark"]
    assert sum(share for _, share in shown[0].names) == pytest.approx(1, abs=1e-4)

    # the same by the model's own forward pass, of one prompt
    of_one_prompt = ConceptTagger.from_pretrained(folder, store, nouns=nouns, prompts=["a {}"], cut=ALL)
    classifier = of_one_prompt._source._classifier
    tokenizer = pretrained.load_tokenizer(folder)
    tokens = tokenizer(
        [f"a {noun}" for noun in tagger.names],
        padding="max_length" if kind == "siglip" else True,
        max_length=32,
        truncation=True,
        return_tensors="pt",
    )
    if kind == "siglip":
        tokens.pop("attention_mask")
    tokens.pop("token_type_ids", None)
    pixels = classifier._prepare(PICTURES, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = classifier._network(**tokens, pixel_values=pixels).logits_per_image.softmax(-1)
    for row, picture in enumerate(of_one_prompt(PICTURES)):
        own = dict(picture.names)
        torch.testing.assert_close(
            torch.tensor([own[name] for name in of_one_prompt.names]), expected[row], rtol=1e-3, atol=1e-5
        )

    # vectors of texts are kept
    monkeypatch.setattr(pretrained, "load_tokenizer", None)
    assert ConceptTagger.from_pretrained(folder, store, nouns=nouns, cut=ALL)(PICTURES) == shown
    with pytest.raises(TypeError):
        ConceptTagger.from_pretrained(folder, store, nouns=nouns, prompts=["the {}"], cut=ALL)


def test_vectors_of_texts_that_cannot_be_kept(tmp_path, store, monkeypatch):
    folder = save_two_towers(tmp_path / "clip", "clip")
    (tmp_path / "file").touch()
    monkeypatch.setenv("VKOOD_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"could not be added to .* the environment variable VKOOD_CACHE\."):
        ConceptTagger.from_pretrained(folder, store, nouns=["dog"], cut=ALL)


def test_nouns_are_the_visible_things_of_the_store(store, tmp_path):
    assert visual_nouns(store) == ["animal", "dog", "furniture", "thing"]
    assert len(visual_nouns(store, limit=2)) == 2
    build_store(tmp_path / "ideas.db", [[Fact("idea", "IsA", "thought")]])
    with FactStore.open(tmp_path / "ideas.db") as ideas:
        assert visual_nouns(ideas) == []
        folder = save_two_towers(tmp_path / "clip", "clip")
        with pytest.raises(ValueError, match="there are no nouns to tell apart: none of the store's facts"):
            ConceptTagger.from_pretrained(folder, ideas)


def test_options_for_the_other_kind_are_refused(tmp_path, store):
    folder = save_classifier(tmp_path / "model", ["couch"])
    with pytest.raises(ValueError, match="`nouns` are for models that compare pictures with texts"):
        ConceptTagger.from_pretrained(folder, store, nouns=["dog"])
    two = save_two_towers(tmp_path / "clip", "clip")
    with pytest.raises(ValueError, match="`prompts` must be texts with"):
        ConceptTagger.from_pretrained(two, store, nouns=["dog"], prompts=["a photo"])
    with pytest.raises(ValueError, match="there are no nouns"):
        ConceptTagger.from_pretrained(two, store, nouns=[])


def test_other_models_are_refused_with_what_to_do(tmp_path, store):
    folder = save_captioner(tmp_path / "blip")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"architectures": ["BertModel"], "model_type": "bert"})
    )
    with pytest.raises(LoadingError, match=r"classifies no pictures: .* `ConceptTagger.from_captioner`"):
        ConceptTagger.from_pretrained(folder, store)
    with pytest.raises(LoadingError, match="describes no pictures by itself"):
        ConceptTagger.from_captioner(folder, store)
    with pytest.raises(LoadingError, match="There is no folder"):
        ConceptTagger.from_pretrained(tmp_path / "none", store)


def test_a_captioner_in_a_folder_describes(tmp_path, store):
    folder = save_captioner(tmp_path / "blip")
    captioner = Captioner(folder, num_captions=2)
    captions = captioner(PICTURES)
    assert [len(own) for own in captions] == [2, 2, 2]
    assert captions[:1] == captioner(PICTURES[:1])
    shown = ConceptTagger.from_captioner(folder, store)(PICTURES)  # of random letters
    assert [picture.concepts for picture in shown] == [(), (), ()]


def describe(pictures: Sequence[Image.Image]) -> list[list[str]]:
    return [["A dog on a couch.", "Two dogs, no shark."] for _ in pictures]


def test_concepts_have_the_share_of_descriptions_that_name_them(store):
    tagger = ConceptTagger.from_captioner(describe, store)
    shown = tagger(PICTURES[0])
    assert shown.names == (("dog", 1.0),)  # a couch is no visible thing of this store
    assert shown.concepts == (("dog", 1.0), ("couch", 0.5), ("furniture", 0.5))
    assert tagger.names == ("animal", "dog", "furniture", "thing")
    with pytest.raises(ValueError, match="captions, which have no probabilities to calibrate"):
        tagger.calibrated(PICTURES, ["dog"] * 3)


def test_a_function_that_describes_too_few_is_refused(store):
    with pytest.raises(ValueError, match="must return descriptions of each of 3 pictures; got 1"):
        ConceptTagger.from_captioner(lambda pictures: [["a dog"]], store)(PICTURES)


def test_captions_are_found_by_files_names(store):
    tagger = ConceptTagger.from_captions({"a.jpg": ["a dog"], "x/b.jpg": ["a couch"]}, store)
    dog, couch = tagger([Path("somewhere/a.jpg"), "x/b.jpg"])
    assert dog.concepts == (("dog", 1.0),)
    assert couch.concepts == (("couch", 1.0), ("furniture", 1.0))
    with pytest.raises(ValueError, match=r"image, 'c.jpg', has no captions"):
        tagger("c.jpg")
    with pytest.raises(ValueError, match=r"image must be a file's name, by which its captions"):
        tagger(PICTURES[0])
    assert tagger.fingerprint != ConceptTagger.from_captions({"a.jpg": ["a cat"]}, store).fingerprint


def test_all_facts_of_the_heaviest_sense_are_followed(tmp_path):
    facts = [
        Fact("dog", "IsA", "animal", 2.0),
        Fact("dog", "IsA", "pet", 1.9),
        Fact("dog", "IsA", "chap", 1.0),
    ]
    build_store(tmp_path / "facts.db", [facts])
    with FactStore.open(tmp_path / "facts.db") as own:
        assert hypernyms_of(["dog", "cat"], own) == {"dog": ("animal", "pet"), "cat": ()}
