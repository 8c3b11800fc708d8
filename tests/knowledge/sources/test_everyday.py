"""The everyday set: what is in it, how it hangs together, and how its tables are read."""

import re
from collections import Counter, defaultdict

import pytest

from vkood.knowledge.facts import Fact
from vkood.knowledge.sources.everyday import SOURCE, WEIGHT, everyday_facts, read_tables

COCO = """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, handbag,
tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis
racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog,
pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard, cell
phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush"""

OPPOSITES = [
    ({"large", "huge", "very large"}, {"small", "tiny"}),
    ({"hot", "warm"}, {"cold", "cool", "very cold"}),
    ({"hard", "stiff"}, {"soft"}),
    ({"light", "lightweight"}, {"heavy"}),
    ({"wet"}, {"dry"}),
    ({"long", "tall", "very long", "very tall"}, {"short", "low"}),
    ({"sharp", "pointed"}, {"blunt"}),
    ({"rough", "bumpy"}, {"smooth", "sleek"}),
    ({"thick", "fat"}, {"thin", "slender"}),
    ({"wide", "broad"}, {"narrow"}),
    ({"bright"}, {"dark"}),
    ({"fast", "very fast"}, {"slow"}),
    ({"deep"}, {"shallow", "flat"}),
    ({"loud", "noisy"}, {"quiet"}),
    ({"straight"}, {"curved", "spiral", "twisted", "bent"}),
    ({"square", "rectangular"}, {"round", "oval"}),
    ({"horizontal"}, {"vertical", "upright"}),
    ({"tight"}, {"loose"}),
    ({"salty", "sour", "bitter"}, {"sweet"}),
    ({"friendly", "gentle"}, {"fierce", "dangerous"}),
]
"""What cannot both be typical of one thing."""


@pytest.fixture(scope="module")
def facts() -> list[Fact]:
    return everyday_facts()


@pytest.fixture(scope="module")
def objects(facts: list[Fact]) -> dict[tuple[str, str], set[str]]:
    qualities: dict[tuple[str, str], set[str]] = defaultdict(set)
    for fact in facts:
        qualities[fact.subject, fact.relation].add(fact.object)
    return qualities


def test_there_are_enough_facts_of_enough_concepts(facts: list[Fact]) -> None:
    assert len(facts) >= 8_000
    assert len({fact.subject for fact in facts}) >= 1_500
    assert {fact.source for fact in facts} == {SOURCE}


def test_no_fact_comes_twice(facts: list[Fact]) -> None:
    assert max(Counter((fact.subject, fact.relation, fact.object) for fact in facts).values()) == 1


def test_every_category_of_coco_is_described_from_several_sides(facts: list[Fact]) -> None:
    categories = [name.strip() for name in COCO.replace("\n", " ").split(",")]
    assert len(categories) == 80
    for category in categories:
        own = [fact for fact in facts if fact.subject == category]
        assert len(own) >= 7, category
        assert len({fact.relation for fact in own}) >= 4, category


def test_relations_are_balanced(facts: list[Fact]) -> None:
    counts = Counter(fact.relation for fact in facts)
    asked_for = ["HasProperty", "UsedFor", "AtLocation", "HasA", "PartOf", "IsA", "MadeOf", "CapableOf"]
    assert min(counts[relation] for relation in asked_for) >= 200
    assert max(counts.values()) <= 0.25 * len(facts)


def test_nothing_contradicts_itself(objects: dict[tuple[str, str], set[str]]) -> None:
    for (subject, relation), named in objects.items():
        if relation == "HasProperty":
            for values, others in OPPOSITES:
                assert not (named & values and named & others), (subject, named)


def test_nothing_is_denied_and_affirmed(objects: dict[tuple[str, str], set[str]]) -> None:
    denied = {key: named for key, named in objects.items() if key[1].startswith("Not")}
    assert sum(map(len, denied.values())) >= 30
    for (subject, relation), named in denied.items():
        affirmed = objects.get((subject, relation.removeprefix("Not")), set())
        assert not named & affirmed, (subject, relation)


def test_no_concept_is_a_kind_or_part_of_itself(objects: dict[tuple[str, str], set[str]]) -> None:
    for relation in ("IsA", "PartOf", "MadeOf"):
        for subject in {subject for subject, of in objects if of == relation}:
            reached, frontier = set(), {subject}
            while frontier:
                frontier = set().union(*(objects.get((name, relation), set()) for name in frontier)) - reached
                reached |= frontier
            assert subject not in reached, (subject, relation)


def test_parts_and_wholes_are_not_mixed_up(objects: dict[tuple[str, str], set[str]]) -> None:
    for (subject, relation), named in objects.items():
        if relation == "PartOf":
            for whole in named:
                assert whole not in objects.get((subject, "HasA"), set()), (subject, whole)


def test_the_wording_of_objects_is_that_of_their_relation(facts: list[Fact]) -> None:
    for fact in facts:
        assert not re.match(r"(an?|the) ", fact.object), fact
        assert not re.match(r"no ", fact.object), fact
        if fact.relation == "CapableOf":
            assert not fact.object.split()[0].endswith("ing") or fact.object.split()[0] in {
                "sing",
                "swing",
            } | {
                "bring",
                "cling",
                "sting",
                "ring",
            }, fact


def test_every_fact_can_be_said(facts: list[Fact]) -> None:
    for fact in facts:
        sentence = fact.sentence
        assert sentence.endswith(".") and len(sentence.split()) >= 3, fact
        assert "  " not in sentence, fact
        if fact.relation != "UsedFor":  # which may turn "cut" into "cutting"
            assert fact.object.split()[-1][:3] in sentence.lower(), fact


def test_the_first_facts_of_a_concept_are_one_of_each_kind(facts: list[Fact]) -> None:
    dog = sorted((fact for fact in facts if fact.subject == "dog"), key=lambda fact: -fact.weight)
    assert dog[0] == Fact("dog", "IsA", "animal", WEIGHT, SOURCE)
    assert len({fact.relation for fact in dog[:5]}) == 5


def test_a_fourth_column_holds_the_weight() -> None:
    assert [fact.weight for fact in read_tables([("a.tsv", "cup\tIsA\tcontainer; vessel\t1.5")])] == [
        1.5,
        1.45,
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cup\tIsA", "line 1: a line must have"),
        ("\n\tIsA\tcontainer", "line 2: the first line must begin with a concept"),
        ("cup\tISA\tcontainer", "Did you mean 'IsA'"),
        ("cup\tIsA\tContainer", "line 1: the object must be lower-case"),
        ("Cup\tIsA\tcontainer", "line 1: the concept must be lower-case"),
        ("cup\tIsA\tcontainer;vessel", 'Separate objects by "; "'),
        ("cup\tIsA\tcontainer; ", "line 1: the object must be"),
        ("cup\tIsA\tcontainer\tmuch", "the weight must be a number"),
        ("cup\tIsA\tcontainer\t-1", "weight"),
        ("# says nothing\ncup\tIsA\tcontainer\n\n\tIsA\tcontainer", "line 4: .* stands in a.tsv, line 2"),
    ],
)
def test_a_bad_line_is_named(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"a.tsv, .*{problem}"):
        read_tables([("a.tsv", text)])
