"""The order of facts: what question and picture share with them, and what does not depend on how they are asked for."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vkood.knowledge import Fact, FactQuery, FactStore, Linker, build_store
from vkood.knowledge.facts import RELATIONS
from vkood.knowledge.language import word_lists
from vkood.knowledge.linking import linker as linker_module
from vkood.knowledge.linking.relevance import Rarity, cues, name_stems

FACTS = (
    Fact("knife", "UsedFor", "cutting", 1.0, "ours"),
    Fact("knife", "AtLocation", "kitchen", 2.0, "ours"),
    Fact("knife", "IsA", "tool", 2.0, "ours"),
    Fact("knife", "HasProperty", "sharp", 1.0, "ours"),
    Fact("cat", "CapableOf", "eat fish", 1.0, "ours"),
    Fact("cat", "Desires", "milk", 1.0, "ours"),
    Fact("cat", "AtLocation", "sofa", 1.0, "ours"),
    Fact("dog", "CapableOf", "chase a cat", 1.0, "ours"),
    Fact("dog", "Desires", "cat", 1.0, "ours"),
    Fact("dog", "AtLocation", "kennel", 1.0, "ours"),
    Fact("trumpet", "AtLocation", "jazz club", 1.0, "ours"),
    Fact("person", "CapableOf", "laugh", 1.0, "ours"),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "facts.db"
    build_store(path, [FACTS])
    with FactStore.open(path) as store:
        yield store


@pytest.fixture
def linker(store):
    return Linker(store)


def ends(facts):
    return [(linked.fact.subject, linked.fact.object) for linked in facts]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("What is a knife used for?", ("knife", "cutting")),
        ("Where do I find a knife?", ("knife", "kitchen")),
        ("What kind of thing is a knife?", ("knife", "tool")),
        ("Is the knife sharp?", ("knife", "sharp")),
        # By its object, also where that is no subject of any fact, and no name of a thing.
        ("Which object in this image is capable of eat fish?", ("cat", "eat fish")),
        ("What can be heard in a jazz club?", ("trumpet", "jazz club")),
        # Forms of a word match.
        (FactQuery("Which object cuts?", ("a knife beside a cat",)), ("knife", "cutting")),
        # What joins text and picture, of facts that the picture's cat alone has too.
        (FactQuery("What does the dog want?", concepts=(("cat", 0.5),)), ("dog", "cat")),
        (FactQuery("Who can laugh?", ("people on a sofa",)), ("person", "laugh")),
    ],
)
def test_the_fact_that_fits_comes_first(linker, query, first):
    assert ends(linker.facts_for(query, 1)) == [first]


def test_what_led_to_a_fact(linker):
    query = FactQuery("What does the dog want?", ("a black cat",), (("cat", 0.5), ("dog", 0.5)))
    (linked,) = linker.facts_for(query, 1)
    origins = [(concept.entry, concept.origin, concept.span) for concept in linked.concepts]
    assert origins == [("dog", "text", (14, 17)), ("dog", "picture", (0, 0)), ("cat", "caption", (8, 11))]
    assert linked.why.startswith(
        "'dog' in the text and 'dog' in the picture and 'cat' in a caption; relevance"
    )


def test_likelier_concepts_come_first_and_so_do_those_of_more_captions(linker):
    for first, second in (("dog", "cat"), ("cat", "dog")):
        query = FactQuery("", concepts=((first, 0.9), (second, 0.1)))
        assert first in ends(linker.facts_for(query, 1))[0]
        query = FactQuery("", (f"a {first}", f"a {first} and a {second}", f"the {first}"))
        assert first in ends(linker.facts_for(query, 1))[0]


def test_other_things_of_a_pictured_kind_are_left_out_unless_the_text_asks(tmp_path):
    kinds = [Fact(name, "IsA", "animal", 1.0, "ours") for name in ("dog", "bull", "cat")]
    build_store(tmp_path / "facts.db", [[*kinds, Fact("animal", "Desires", "food", 1.0, "ours")]])
    with FactStore.open(tmp_path / "facts.db") as store:
        linker = Linker(store)
        shown = (("animal", 0.9), ("dog", 0.8))

        def subjects(query):
            return {subject for subject, _ in ends(linker.facts_for(query, None))}

        assert subjects(FactQuery("", concepts=shown)) == {"animal", "dog"}
        assert subjects(FactQuery("", ("an animal",))) == {"animal"}
        assert subjects(FactQuery("Is it a bull?", concepts=shown)) == {"animal", "dog", "bull"}
        assert subjects(FactQuery("Which animals are there?", concepts=shown)) == {
            "animal",
            "dog",
            "bull",
            "cat",
        }


def test_what_is_denied_leads_to_nothing_and_counts_for_nothing(linker):
    assert linker.facts_for(FactQuery("There is no cat.", ("no dog",))) == []
    assert {subject for subject, _ in ends(linker.facts_for("no cat", None, negated=True))} == {"cat", "dog"}
    facts = linker.facts_for("A dog and no cat")
    assert ends(facts)[-1] != ("dog", "cat")
    assert facts == sorted(facts, key=lambda linked: -linked.relevance)


def test_the_words_that_ask_are_no_concepts_unless_they_are_all():
    with FactStore.open() as store:
        linker = Linker(store)
        facts = linker.facts_for(FactQuery("Which object can cut you?", ("a knife",)), None)
        assert not any("object" in (linked.fact.subject, linked.fact.object) for linked in facts)
        assert linker.facts_for("an object")


def test_limit_is_of_all_and_cuts_the_same_order():
    texts = ["Where is the dog?", "A man with an umbrella and a dog in the rain", "What can a cat eat?"]
    with FactStore.open() as store:
        linker = Linker(store)
        for text in texts:
            everything = linker.facts_for(text, None)
            assert len({linked.id for linked in everything}) == len(everything) > 30
            keys = [(-linked.relevance, -linked.fact.weight, linked.id) for linked in everything]
            assert keys == sorted(keys)
            for limit in (1, 5, 20):
                assert ends(linker.facts_for(text, limit)) == ends(everything[:limit])


def test_several_concepts_take_turns():
    with FactStore.open() as store:
        facts = Linker(store).facts_for("a cat beside a dog", 20)
    assert {concept.entry for linked in facts for concept in linked.concepts} == {"cat", "dog"}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_the_order_depends_on_nothing_but_the_query(store, seed):
    """Not on the batch, on what was asked before, or on the order in which facts were written."""
    draw = random.Random(seed)
    texts = ["a dog", "What is a knife used for?", "eat fish", "a cat on a sofa", "no cat", "nothing"]
    queries = [
        FactQuery(
            draw.choice(texts), tuple(draw.sample(texts, 2)), ((draw.choice(["dog", "cat"]), draw.random()),)
        )
        for _ in range(4)
    ]
    linker = Linker(store)
    together = linker.facts_for_many(queries, 5)
    assert together == [Linker(store).facts_for(query, 5) for query in queries]
    assert together == linker.facts_for_many(queries, 5)


def test_one_query_for_each_thing_that_is_asked_of_a_batch(store):
    linker = Linker(store)
    linker.facts_for("a dog")  # counts the store's words
    linker.forget()
    queries = []
    store._connection().set_trace_callback(queries.append)
    linker.facts_for_many(["a cat", "a knife", FactQuery("a dog", ("a sofa",))])
    assert len(queries) == 3  # subjects, ends of facts, facts
    linker.facts_for_many(["a cat", "a knife", FactQuery("a dog", ("a sofa",))])
    store._connection().set_trace_callback(None)
    assert len(queries) == 3


def test_what_is_remembered_of_facts_is_bounded(store, monkeypatch):
    monkeypatch.setattr(linker_module, "MAX_FACTS", 3)
    linker = Linker(store)
    expected = [Linker(store).facts_for(text) for text in ("a dog", "a cat", "a knife")]
    for _ in range(2):
        assert [linker.facts_for(text) for text in ("a dog", "a cat", "a knife")] == expected
        assert len(linker._facts) < 3


@pytest.mark.usefixtures("unchecked")
def test_wrong_queries(linker):
    with pytest.raises(ValueError, match="`queries` must be a list; got one query"):
        linker.facts_for_many("a dog")
    with pytest.raises(ValueError, match="`text` must be a text; got int"):
        linker.facts_for(5)
    with pytest.raises(ValueError, match="`captions` must be a list of texts; got one text"):
        FactQuery("a", "b")
    with pytest.raises(ValueError, match=r"captions\[1\] must be a text; got NoneType"):
        FactQuery("a", ("b", None))
    for concept in (("dog", 1.5), ("dog", float("nan")), "dog", (5, 0.5), ("dog", "x"), 7):
        with pytest.raises(ValueError, match="`concepts` must be pairs of a name and a probability"):
            FactQuery("a", concepts=(concept,))
    assert FactQuery("a", ["b"], [["Fire_Hydrant", 1]]) == FactQuery("a", ("b",), (("fire hydrant", 1.0),))


def test_cues_name_relations():
    for name in ("cues", "weak_cues"):
        assert set(word_lists.pairs("questions", name).values()) <= set(RELATIONS)
    assert cues(["what", "is", "it", "used", "for"]) == {"UsedFor"}
    assert cues(["what", "can", "it", "do"]) == {"CapableOf"}
    assert cues(["a", "dog"]) == frozenset()


def test_rarity_and_stems():
    rarity = Rarity(["dog", "dogs", "dog house", "t-shirt", "the"])
    assert rarity("dog") < rarity("hous") == rarity("never heard of")
    assert rarity("shirt") > 0
    assert Rarity([])("dog") >= 0
    assert name_stems("the cutting of the knives") == ("cut", "knif")
    assert name_stems("the") == ("the",)
    assert name_stems("sail-boat") == ("sail", "boat")
    assert name_stems("日本") == ("日本",)
