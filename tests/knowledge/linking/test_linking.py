"""From a text to concepts of a store: longest match, plurals, what is denied, what is no thing, and wrong input."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.odd_texts import LONG_TEXTS, WRITINGS
from support.small_store import SmallStore
from vkood.knowledge import Concept, FactQuery, FactStore, Linker, facts_for, link
from vkood.knowledge.linking import linker as linker_module
from vkood.knowledge.linking.linker import MAX_REMEMBERED_LENGTH
from vkood.knowledge.linking.query import MAX_CHARACTERS

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


@pytest.fixture(scope="module")
def linker():
    return Linker(STORE)


def entries(concepts):
    return ["!" * concept.negated + concept.entry for concept in concepts]


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
    assert Linker(STORE).link("Sail boats; FIRE hydrants") == [
        Concept((0, 10), "sail boat", "sailboat"),
        Concept((12, 25), "fire hydrant", "fire hydrant"),
    ]


def test_verbs_and_adjectives_are_linked_if_they_are_in_scope():
    store = SmallStore("man", "ride", "riding", "happy", "horse")
    assert entries(Linker(store).link("A happy man riding a horse")) == ["man", "horse"]
    everything = entries(Linker(store, scope="all").link("A happy man riding a horse"))
    assert everything == ["happy", "man", "riding", "horse"]


@pytest.mark.usefixtures("unchecked")
def test_facts_come_once_with_what_led_to_them():
    linker = Linker(STORE)
    facts = linker.facts_for("A dog, no cat, and another dog", limit=2)
    assert [linked.span for linked in facts] == [(2, 5), (2, 5)]
    assert {linked.fact.object for linked in linker.facts_for("A dog, no cat")} == {
        "dog thing",
        "dog sort",
        "dog kind",
    }
    assert len(linker.facts_for("A dog, no cat", limit=None, negated=True)) == 6
    assert linker.facts_for("nothing here") == []
    for limit in (0, 2.5, "3", True):
        with pytest.raises(ValueError, match="`limit` must be a whole number of at least 1"):
            linker.facts_for("A dog", limit=limit)
    assert len(linker.facts_for("A dog", limit=np.int64(2))) == 2


@pytest.mark.usefixtures("unchecked")
def test_queries_of_what_is_no_list_are_refused():
    for name, value in (("captions", None), ("concepts", None), ("concepts", 3)):
        with pytest.raises(ValueError, match=f"`{name}` must be a list; got"):
            FactQuery("A dog", **{name: value})
    with pytest.raises(ValueError, match="`concepts` must be pairs"):
        FactQuery("A dog", concepts=["a1"])  # two letters, the second of which is a number


def test_many_are_as_one_by_one(linker):
    texts = ["A dog", "", "no cat", "A dog", "Two fire hydrants"]
    assert linker.link_many(texts) == [linker.link(text) for text in texts]
    assert linker.facts_for_many(iter(texts)) == [linker.facts_for(text) for text in texts]


def test_the_store_is_asked_once_for_all_and_then_no_more():
    store = SmallStore("dog", "cat")
    linker = Linker(store)
    linker.link_many(["a dog", "a cat", "a dog and a cat"])
    assert store.questions == 1
    linker.link_many(["a cat and a dog", "a dog"])
    linker.facts_for("a dog")
    assert store.questions <= 4
    linker.facts_for("a dog")
    assert store.questions <= 4


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(linker_module, "MAX_TEXTS", 100)
    linker = Linker(SmallStore("dog"))
    linker.link_many(f"dog {number}" for number in range(110))
    linker.facts_for_many(f"dog {number}" for number in range(110))
    linker.link("dog")
    linker.link("dog " * MAX_REMEMBERED_LENGTH)
    for remembered in (linker._concepts, linker._readings):
        assert len(remembered) <= 100
        assert all(len(text) <= MAX_REMEMBERED_LENGTH for text in remembered)


def test_a_linker_can_be_pickled():
    with FactStore.open() as store:
        linker = Linker(store)
        before = linker.link("A man holding two umbrellas")
        again = pickle.loads(pickle.dumps(linker))
        assert len(pickle.dumps(linker)) < 2_000
        assert again.link("A man holding two umbrellas") == before


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
    assert all(text[slice(*concept.span)] == "dog" for concept in concepts)


@pytest.mark.parametrize("text", ["x" * 1_000_000, "a dog " * 200_000])
def test_texts_that_are_files(linker, text):
    with pytest.raises(ValueError, match="`text` must have at most 100,000 characters; got 1,"):
        linker.link(text)


def test_a_single_text_is_not_many():
    with pytest.raises(ValueError, match="`texts` must be a list"):
        Linker(STORE).link_many("a dog")


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
    for concept in Linker(STORE).link(text):
        assert concept.span[0] >= end
        assert concept.entry in STORE.entries
        assert text[slice(*concept.span)].strip() == text[slice(*concept.span)] != ""
        end = concept.span[1]


def test_functions_share_a_linker():
    assert [concept.entry for concept in link("a fire hydrant", STORE)] == ["fire hydrant"]
    assert [concept.fact.subject for concept in facts_for("a dog", STORE, limit=1)] == ["dog"]
    assert [concept.entry for concept in link("What color is the man's umbrella?")] == ["man", "umbrella"]


@pytest.mark.parametrize(("text", "expected"), WRITINGS)
def test_any_writing_of_a_word_is_the_same_word_and_stands_where_the_user_wrote_it(text, expected):
    assert [(concept.entry, text[slice(*concept.span)]) for concept in link(text)] == expected


@pytest.mark.parametrize("text", LONG_TEXTS)
def test_long_texts_without_words_are_read_in_a_moment(text):
    """Each took minutes, by time that grows with the square of the length; the test's time limit holds it."""
    assert Linker(SmallStore("dog")).link(text) == []


@pytest.mark.usefixtures("unchecked")
def test_a_path_is_no_store():
    with pytest.raises(TypeError, match=r"not its path: open it by `FactStore.open\('x.db'\)`"):
        facts_for("a dog", store="x.db")
    with pytest.raises(TypeError, match="`store` must be of type Store; got 5"):
        facts_for("a dog", store=5)
    with pytest.raises(TypeError, match="`path` must be of type str or Path; got 5"):
        FactStore.open(5)
