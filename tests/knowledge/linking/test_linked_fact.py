"""The facts of a text: one record, whether a concept led to it or the user gave the sentence."""

import pickle

from vkood.knowledge import Concept, Fact, LinkedFact


def test_a_fact_that_a_concept_led_to():
    fact = Fact("dog", "IsA", "pet", 2.0, "ours")
    linked = LinkedFact(fact, Concept((2, 5), "dog", "dog"))
    assert (linked.id, linked.sentence, linked.span, linked.source) == (
        fact.id,
        "a dog is a pet.",
        (2, 5),
        "ours",
    )
    assert linked.as_dict() == fact.as_dict()
    assert pickle.loads(pickle.dumps(linked)) == linked


def test_a_sentence_of_the_users_own():
    linked = LinkedFact("dogs bark.")
    assert (linked.sentence, linked.span, linked.source) == ("dogs bark.", None, "")
    assert linked.as_dict() == {"id": linked.id, "sentence": "dogs bark."}
    assert linked.id == LinkedFact("dogs bark.").id != LinkedFact("dogs sleep.").id
