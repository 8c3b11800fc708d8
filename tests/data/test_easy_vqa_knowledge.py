"""Knowledge questions: one fact answers, floods change nothing else, draws repeat."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vkood.data import (
    COLOURS,
    KNOWLEDGE_ENTITIES,
    SHAPES,
    EasyVqaKnowledge,
    FactDraw,
    entity_facts,
    irrelevant_facts,
    load_easy_vqa,
)
from vkood.data.easy_vqa_knowledge import COLOUR_FACTS, COLOUR_QUESTIONS, SHAPE_FACTS, SHAPE_QUESTIONS

PATTERNS = [
    re.compile(f.format(entity="(?P<entity>[a-z]+)", value="(?P<value>[a-z]+)"))
    for f in COLOUR_FACTS + SHAPE_FACTS
]


def parse(fact):
    """(entity, value) of a fact about an entity, or None."""
    for pattern in PATTERNS:
        match = pattern.fullmatch(fact)
        if match and match["entity"] in KNOWLEDGE_ENTITIES and match["value"] in COLOURS + SHAPES:
            return match["entity"], match["value"]
    return None


def check(example, data, *, irrelevant, contradicting):
    colour, shape = data.colours[example.picture], data.shapes[example.picture]
    parsed = [parse(fact) for fact in example.facts]
    known = [pair for pair in parsed if pair]
    assert len(example.facts) == len(example.matches) == 6 + irrelevant + contradicting
    assert len(known) == 6 + contradicting
    assert len({entity for entity, _ in known}) == len(known)
    asks_colour = example.text in COLOUR_QUESTIONS
    assert asks_colour != (example.text in SHAPE_QUESTIONS)
    assert [entity for entity, value in known if value == (colour if asks_colour else shape)] == [
        example.answer
    ]
    assert list(example.matches) == [pair is not None and pair[1] in (colour, shape) for pair in parsed]
    assert sum(example.matches) == 2
    wrong = Counter(
        "colour" if value in COLOURS else "shape" for _, value in known if value not in (colour, shape)
    )
    assert wrong["colour"] >= 2
    assert wrong["shape"] >= 2


@pytest.mark.parametrize(
    ("irrelevant", "contradicting"), [(0, 0), (3, 0), (150, 0), (0, 6), (0, 48), (12, 58)]
)
def test_exactly_one_fact_answers(irrelevant, contradicting):
    data = load_easy_vqa("test")
    questions = EasyVqaKnowledge("test", 0, irrelevant=irrelevant, contradicting=contradicting)
    assert len(questions) == 888
    for index in range(0, len(questions), 7):
        check(questions[index], data, irrelevant=irrelevant, contradicting=contradicting)


def test_training_examples():
    data = load_easy_vqa("train")
    questions = EasyVqaKnowledge("train", 0, irrelevant=(0, 2))
    numbers = Counter()
    for index in range(300):
        example = questions[index]
        numbers[len(example.facts) - 6] += 1
        check(example, data, irrelevant=len(example.facts) - 6, contradicting=0)
    assert set(numbers) == {0, 1, 2}
    assert min(numbers.values()) > 60


@pytest.mark.parametrize(
    "flood", [{"irrelevant": 3}, {"irrelevant": 150}, {"contradicting": 6}, {"contradicting": 48}]
)
def test_floods_change_nothing_but_the_flood(flood):
    plain, flooded = EasyVqaKnowledge("test", 5), EasyVqaKnowledge("test", 5, **flood)
    for index in range(0, 888, 11):
        before, after = plain[index], flooded[index]
        assert (before.text, before.answer, before.picture) == (after.text, after.answer, after.picture)
        assert set(before.facts) <= set(after.facts)
        matching = {fact for fact, match in zip(after.facts, after.matches, strict=True) if match}
        assert matching == {fact for fact, match in zip(before.facts, before.matches, strict=True) if match}


def test_smaller_floods_are_part_of_larger_ones():
    for flood in ("irrelevant", "contradicting"):
        sets = [set(EasyVqaKnowledge("test", 1, **{flood: number})[17].facts) for number in (0, 6, 12, 48)]
        assert sets[0] < sets[1] < sets[2] < sets[3]


def test_draws_repeat_and_seeds_differ():
    assert EasyVqaKnowledge("test", 3)[8] == EasyVqaKnowledge("test", 3)[8]
    assert EasyVqaKnowledge("test", 3)[8] != EasyVqaKnowledge("test", 4)[8]
    train = EasyVqaKnowledge("train", 3)
    first = [train.question(place) for place in range(5)]
    assert first == [train.question(place) for place in range(5)] == [train[place] for place in range(5)]
    for other in ({"epoch": 1}, {"number": 1}):
        second = [train.question(place, **other) for place in range(5)]
        assert all(a.facts != b.facts and a.picture == b.picture for a, b in zip(first, second, strict=True))


def test_links_cannot_be_memorised():
    """Entities, answers and kinds are even; neither the place nor the wording of a fact gives the answer away."""
    questions = EasyVqaKnowledge("train", 0)
    examples = [questions[index] for index in range(3000)]
    answers = Counter(example.answer for example in examples)
    assert len(answers) == 64
    assert max(answers.values()) < 3 * np.mean(list(answers.values()))
    assert 0.45 < np.mean([example.text in COLOUR_QUESTIONS for example in examples]) < 0.55
    places = Counter(place for example in examples for place, match in enumerate(example.matches) if match)
    assert all(0.9 < places[place] / 1000 < 1.1 for place in range(6))
    assert len({example.text for example in examples}) == len(COLOUR_QUESTIONS) + len(SHAPE_QUESTIONS)


def test_wrong_values_are_even():
    draw = FactDraw((), contradicting=58)
    generator = np.random.default_rng(0)
    values = Counter()
    for _ in range(200):
        facts, matches, *_ = draw(generator, colour="teal", shape="circle")
        values.update(parse(fact)[1] for fact, match in zip(facts, matches, strict=True) if not match)
    assert set(values) == {*COLOURS, *SHAPES} - {"teal", "circle"}
    for kind in (COLOURS, SHAPES):
        counts = [values[value] for value in kind if value in values]
        assert min(counts) > 0.85 * max(counts)


def test_all_facts_about_entities():
    assert len(set(entity_facts())) == len(entity_facts()) == 64 * 11 * 3
    known = {*entity_facts(), *irrelevant_facts("test")}
    flooded = EasyVqaKnowledge("test", 0, irrelevant=48, contradicting=48)
    assert all(known.issuperset(flooded[index].facts) for index in range(0, len(flooded), 50))


@pytest.mark.parametrize("index", [-1, 888])
def test_there_is_no_other_question(index):
    with pytest.raises(IndexError, match="from 0 to 887"):
        EasyVqaKnowledge("test", 0)[index]


@settings(max_examples=25, deadline=None)
@given(
    pool=st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=7),
    number=st.integers(0, 40),
    seed=st.integers(0, 9),
)
def test_any_pool_serves_any_number(pool, number, seed):
    draw = FactDraw(pool, irrelevant=number)
    facts, matches, *_ = draw(np.random.default_rng(seed), colour="red", shape="triangle")
    others = Counter(fact for fact in facts if parse(fact) is None)
    assert len(facts) == len(matches) == 6 + number
    assert sum(matches) == 2
    available = Counter(pool)
    for fact, count in others.items():  # as evenly as the number allows
        assert number // len(pool) * available[fact] <= count <= (number // len(pool) + 1) * available[fact]


def test_a_users_single_fact():
    example = EasyVqaKnowledge("test", 0, irrelevant=4, irrelevant_facts=["A lemon is sour."])[0]
    assert example.facts.count("A lemon is sour.") == 4


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"split": "valid"}, "split"),
        ({"seed": -1}, "seed"),
        ({"seed": 0.5}, "seed"),
        ({"irrelevant": -1}, "`irrelevant`"),
        ({"irrelevant": (3, 2)}, "`irrelevant`"),
        ({"contradicting": 59}, "`contradicting`.*0 to 58.*59"),
        ({"irrelevant": 1, "irrelevant_facts": []}, "`irrelevant_facts`"),
        ({"irrelevant_facts": "A lemon is sour."}, "`irrelevant_facts`"),
    ],
)
def test_bad_arguments_are_named(arguments, named):
    with pytest.raises((ValueError, TypeError), match=named):  # TypeError if types are checked
        EasyVqaKnowledge(**{"split": "test", "seed": 0, **arguments})


def test_entities():
    assert len(KNOWLEDGE_ENTITIES) == len(set(KNOWLEDGE_ENTITIES)) == 64
    assert all(re.fullmatch("[a-z]+", entity) for entity in KNOWLEDGE_ENTITIES)
    assert len(COLOUR_FACTS) == len(SHAPE_FACTS) == 3
    for questions in (COLOUR_QUESTIONS, SHAPE_QUESTIONS):
        assert len(set(questions)) == len(questions) >= 6
    assert any("colour" in q for q in COLOUR_QUESTIONS)
    assert any("color" in q for q in COLOUR_QUESTIONS)


def test_default_pools_are_of_the_split():
    assert EasyVqaKnowledge("train", 0).draw_facts.pool == irrelevant_facts("train")
    assert EasyVqaKnowledge("test", 0).draw_facts.pool == irrelevant_facts("test")
