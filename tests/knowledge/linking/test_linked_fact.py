"""The facts of a text: one record, whether a concept led to it or the user gave the sentence."""

import pickle

from vkood.knowledge import Concept, Fact, LinkedFact


def test_a_fact_that_a_concept_led_to():
    fact = Fact("dog", "IsA", "pet", 2.0, "ours")
    linked = LinkedFact(fact, (Concept((2, 5), "dog", "dog"),), 3.5)
    assert (linked.id, linked.sentence, linked.span, linked.source) == (
        fact.id,
        "a dog is a pet.",
        (2, 5),
        "ours",
    )
    assert linked.why == "'dog' in the text; relevance 3.50; from ours."
    assert linked.as_dict() == {**fact.as_dict(), "relevance": 3.5, "why": linked.why}
    assert pickle.loads(pickle.dumps(linked)) == linked


def test_a_sentence_of_the_users_own():
    linked = LinkedFact("dogs bark.")
    assert (linked.sentence, linked.span, linked.source, linked.concept) == ("dogs bark.", None, "", None)
    assert linked.why == "a sentence of the user's own."
    assert linked.as_dict() == {"id": linked.id, "sentence": "dogs bark."}
    assert linked.id == LinkedFact("dogs bark.").id != LinkedFact("dogs sleep.").id


def test_a_fact_that_text_and_picture_led_to():
    of_text = Concept((0, 4), "rain", "rain")
    of_picture = Concept((0, 0), "umbrella", "umbrella", origin="picture")
    linked = LinkedFact(Fact("umbrella", "UsedFor", "rain"), (of_text, of_picture), 9.0)
    assert (linked.concept, linked.span) == (of_text, (0, 4))
    assert (
        linked.why == "'rain' in the text and 'umbrella' in the picture; relevance 9.00; of no stated source."
    )
    assert LinkedFact(linked.fact, (of_picture,)).span is None
