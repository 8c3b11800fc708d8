"""Facts and their words."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vkood.knowledge import RELATIONS, Fact, normalise_concept
from vkood.knowledge.facts import to_thousandths
from vkood.knowledge.sources.batches import normalise_all


def test_the_relations_of_conceptnet():
    assert len(RELATIONS) == len(set(RELATIONS)) == 40
    documented, negated = RELATIONS[:34], RELATIONS[34:]
    assert sorted(documented) == list(documented)
    assert {name.removeprefix("Not") for name in negated} < set(documented)
    assert {"IsA", "UsedFor", "AtLocation", "ReceivesAction", "ExternalURL"} <= set(RELATIONS)


def test_fact():
    fact = Fact("fire hydrant", "UsedFor", "fighting fire", 2.0, "ours")
    assert pickle.loads(pickle.dumps(fact)) == fact
    assert Fact("a", "IsA", "b") == Fact("a", "IsA", "b", 1.0, "")
    with pytest.raises(AttributeError):
        fact.weight = 3.0  # pyright: ignore[reportAttributeAccessIssue]


def test_a_facts_id_depends_on_what_is_known_alone():
    fact = Fact("fire hydrant", "UsedFor", "fighting fire", 2.0, "ours")
    assert fact.id == Fact("fire hydrant", "UsedFor", "fighting fire", 1.0, "theirs").id == "e476b93854d0d818"
    others = [
        ("fire", "UsedFor", "fighting fire"),
        ("fire hydrant", "IsA", "fighting fire"),
        ("a", "IsA", "b"),
    ]
    assert len({fact.id, *(Fact(*other).id for other in others)}) == 4
    record = fact.as_dict()
    assert (
        Fact(**{name: record[name] for name in ("subject", "relation", "object", "weight", "source")}) == fact
    )
    assert (record["id"], record["sentence"]) == (fact.id, "a fire hydrant is used for fighting fire.")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ("a", "UsdFor", "b"),
            r"`relation` must be one of.*40 relations; got 'UsdFor'. Did you mean 'UsedFor'\?",
        ),
        (("a", "isa", "b"), "Did you mean 'IsA'"),
        (("a", "InstanceOf", "b"), r"got 'InstanceOf'. Did you mean 'IsA'\?"),
        (("a", "CapabelOf", "b"), r"Did you mean 'CapableOf'\?$"),
        (("a", "NotCapabelOf", "b"), r"Did you mean 'NotCapableOf'\?$"),
        (("a", "/r/used_for", "b"), "Did you mean 'UsedFor'"),
        (("a", "zzzzzz", "b"), "They are Antonym, AtLocation"),
        (("Fire_hydrant", "IsA", "b"), "`subject` must be lower-case.*'fire hydrant'; got 'Fire_hydrant'"),
        (("a", "IsA", "b "), "`object` must be lower-case"),
        (("", "IsA", "b"), "`subject` must have at least one word"),
        (("a", "IsA", "\x00"), "`object` must have at least one word"),
        (("a", "IsA", "b", -1.0), "`weight` must be a number from 0"),
        (("a", "IsA", "b", float("nan")), "`weight` must be a number from 0"),
        (("a", "IsA", "b", float("inf")), "`weight` must be a number from 0"),
        (("a", "IsA", "b", "1"), "`weight` must be a number from 0"),
        (("a", "IsA", "b", None), "`weight` must be a number from 0"),
        (("a", "IsA", "b", True), "`weight` must be a number from 0"),
        ((3, "IsA", "b"), "`subject` must be a text; got 3"),
        (("a", ["IsA"], "b"), r"`relation` must be a text; got \['IsA'\]"),
        (("a", "IsA", None), "`object` must be a text; got None"),
        (("a", "IsA", "b", 1.0, None), "`source` must be a text; got None"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_no_facts(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        Fact(*arguments)


@pytest.mark.usefixtures("unchecked")
def test_weights_of_numpy_are_as_good():
    fact = Fact("a", "IsA", "b", np.float32(0.5))
    assert type(fact.weight) is float
    assert json.dumps(fact.as_dict()["weight"]) == "0.5"


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("Fire_hydrant ", "fire hydrant"),
        ("  a\t\tb\n", "a b"),
        ("\uff23\uff21\uff34", "cat"),  # wide letters
        ("cafe\u0301", "caf\u00e9"),
        ("caf\udcc3\udca9", "caf\u00e9"),  # bytes of a command line, in an ASCII locale
        ("fire\u200b hy\u00addrant\ufeff", "fire hydrant"),
        ("\u0645\u06cc\u200c\u062e\u0648", "\u0645\u06cc\u200c\u062e\u0648"),  # Persian words need it
        (
            "a" + "\u0315\u0300" * 50_000,
            "\u00e0" + "\u0300" * 14 + "\u0315" * 15,
        ),  # took a quarter of a minute
        ("nul\x00l", "nul l"),
        ("\ud800", ""),
        ("\u732b", "\u732b"),
        ("t-shirt", "t-shirt"),
        ("", ""),
        ("_", ""),
    ],
)
def test_normalised(text, normalised):
    assert normalise_concept(text) == normalised


@given(st.text())
def test_what_is_normalised_stays(text):
    once = normalise_concept(text)
    assert normalise_concept(once) == once
    assert once == once.strip()
    assert "  " not in once
    if once:
        assert Fact(once, "IsA", once).subject == once


@given(st.lists(st.text(max_size=6) | st.sampled_from(["a b", "A_b", " a", "a  b", "a\n"])))
def test_many_are_normalised_as_one_is(names):
    assert normalise_all(names) == [normalise_concept(name) for name in names]


@given(st.floats(0, 1e6))
def test_weights_in_thousandths(weight):
    thousandths = to_thousandths(weight)
    assert (thousandths == 0) == (weight == 0)
    assert abs(thousandths / 1000 - weight) <= 0.001


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf"), 1e7])
def test_no_weights(weight):
    with pytest.raises(ValueError, match="`weight`"):
        to_thousandths(weight)
