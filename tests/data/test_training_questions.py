"""Questions of both kinds about one picture: shares, epochs, and that none is lost."""

import numpy as np
import pytest

from vkood.data import KNOWLEDGE_ENTITIES, TrainingQuestions, easy_vqa_answers, joint_answers, load_easy_vqa


def of_knowledge(questions):
    return [question.answer in KNOWLEDGE_ENTITIES for question in questions]


def test_answers_of_both_kinds():
    assert joint_answers() == easy_vqa_answers() + KNOWLEDGE_ENTITIES
    assert len(set(joint_answers())) == 77


@pytest.mark.parametrize(("facts_share", "low", "high"), [(0.0, 0, 0), (0.5, 0.42, 0.47), (1.0, 0.86, 0.92)])
def test_share_of_plain_questions_with_facts(facts_share, low, high):
    data = load_easy_vqa("train")
    drawn = TrainingQuestions(0, plain=4, knowledge=0, plain_facts_share=facts_share)
    questions = [question for picture in range(0, 4000, 3) for question in drawn.about(picture, epoch=0)]
    # 11 % of the pictures are not described
    assert low <= np.mean([bool(question.facts) for question in questions]) <= high
    known = set(data.described.tolist())
    for question in questions:
        assert not question.facts or question.picture in known
        assert len(question.facts) == len(question.matches)
        assert sum(question.matches) == (2 if question.facts else 0)


@pytest.mark.parametrize(("plain", "knowledge"), [(5, 3), (0, 2), (4, 0)])
def test_all_are_about_one_picture(plain, knowledge):
    data = load_easy_vqa("train")
    known = set(data.described.tolist())
    own = [set() for _ in data.images]
    for text, answer, picture in zip(data.questions, data.answers, data.image_index.tolist(), strict=True):
        own[picture].add((text, answer))
    num_questions = np.bincount(data.image_index.numpy(), minlength=len(data.images))
    drawn = TrainingQuestions(0, plain=plain, knowledge=knowledge)
    assert len(drawn) == 4000
    for picture in range(60):
        questions = drawn.about(picture, epoch=2)
        assert all(question.picture == picture for question in questions)
        if picture in known:
            expected = [False] * min(plain, num_questions[picture]) + [True] * knowledge
        else:  # what it lacks in knowledge questions it makes up for in plain ones
            expected = [False] * min(plain + knowledge, num_questions[picture])
        assert of_knowledge(questions) == expected
        plain_ones = {(q.text, q.answer) for q in questions if q.answer not in KNOWLEDGE_ENTITIES}
        assert plain_ones <= own[picture]


def test_a_picture_that_is_not_described_has_no_facts():
    data = load_easy_vqa("train")
    unknown = sorted(set(range(len(data.images))) - set(data.described.tolist()))
    drawn = TrainingQuestions(0, plain_facts_share=1.0)
    assert not any(question.facts for picture in unknown for question in drawn.about(picture, epoch=0))
    assert all(question.facts for question in drawn.about(int(data.described[0]), epoch=0))


def test_a_knowledge_question_is_about_its_picture():
    """The facts that match name the picture's own colour and shape."""
    data = load_easy_vqa("train")
    drawn = TrainingQuestions(3, plain=0, knowledge=2)
    for picture in data.described[:50].tolist():
        for question in drawn.about(picture, epoch=1):
            facts = zip(question.facts, question.matches, strict=True)
            matching = " ".join(fact for fact, match in facts if match)
            assert sum(question.matches) == 2
            assert question.answer in matching
            assert data.colours[picture] in matching
            assert data.shapes[picture] in matching


def test_epochs_are_fresh_and_repeat():
    drawn, again = TrainingQuestions(0), TrainingQuestions(0)
    first, second = ([drawn.about(picture, epoch=epoch) for picture in range(40)] for epoch in (0, 1))
    assert second == [again.about(picture, epoch=1) for picture in range(40)]
    assert not any(a == b for a, b in zip(first, second, strict=True))
    assert first != [TrainingQuestions(1).about(picture, epoch=0) for picture in range(40)]


def test_epochs_bring_all_plain_questions():
    data = load_easy_vqa("train")
    own = {text for text, row in zip(data.questions, data.image_index.tolist(), strict=True) if row == 5}
    drawn = TrainingQuestions(0, plain=3, knowledge=0, plain_facts_share=0.0)
    assert len(own) > 3
    assert {question.text for epoch in range(12) for question in drawn.about(5, epoch=epoch)} == own


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"knowledge": -1}, "`knowledge`"),
        ({"plain": 1.5}, "plain"),
        ({"plain": 0, "knowledge": 0}, "cannot both be 0"),
        ({"plain_facts_share": -0.1}, "`plain_facts_share`"),
        ({"seed": "a"}, "seed"),
    ],
)
def test_bad_arguments(arguments, named):
    with pytest.raises((ValueError, TypeError), match=named):  # TypeError if types are checked
        TrainingQuestions(**{"seed": 0, **arguments})
