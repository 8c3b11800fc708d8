"""Both jobs in one dataset: shares, epochs, and that no row is lost."""

import numpy as np
import pytest
import torch

from vkood.data import (
    KNOWLEDGE_ENTITIES,
    EasyVqaKnowledge,
    EasyVqaQuestions,
    JointVqa,
    VqaDataset,
    all_sentences,
    easy_vqa_answers,
    joint_answers,
    load_easy_vqa,
)


def same(a, b):
    return torch.equal(a.image, b.image) and (a.question, a.answer, a.facts, a.matches) == (
        b.question,
        b.answer,
        b.facts,
        b.matches,
    )


def test_answers_of_both_jobs():
    assert joint_answers() == easy_vqa_answers() + KNOWLEDGE_ENTITIES
    assert len(set(joint_answers())) == 77


@pytest.mark.parametrize(("facts_share", "low", "high"), [(0.0, 0, 0), (0.5, 0.42, 0.47), (1.0, 0.86, 0.92)])
def test_share_of_plain_questions_with_facts(facts_share, low, high):
    data = load_easy_vqa("test")
    questions = EasyVqaQuestions("test", 0, facts_share=facts_share)
    assert len(questions) == 9673
    rows = [questions[index] for index in range(0, 9673, 3)]
    assert low <= np.mean([bool(row.facts) for row in rows]) <= high  # 11 % of the pictures are not described
    known = set(data.described.tolist())
    for row in rows:
        assert not row.facts or row.image_index in known
        assert len(row.facts) == len(row.matches)
        assert sum(row.matches) == (2 if row.facts else 0)


def test_plain_questions_are_the_packages():
    data = load_easy_vqa("test")
    questions = EasyVqaQuestions("test", 0)
    for index in (0, 17, 9672, -1):
        row = questions[index]
        assert (row.question, row.answer) == (data.questions[index], data.answers[index])
        assert row.image_index == data.image_index[index]
    assert questions[-1] == questions[9672]
    with pytest.raises(IndexError):
        questions[9673]


def test_plain_facts_change_with_the_epoch_in_train_only():
    for split, changes in (("train", True), ("test", False)):
        questions = EasyVqaQuestions(split, 0, facts_share=1.0)
        index = next(i for i in range(99) if questions[i].facts)
        before = questions[index]
        questions.set_epoch(2)
        assert (questions[index].facts != before.facts) == changes
        assert questions[index].question == before.question


def test_sources_one_after_the_other():
    train, test = EasyVqaQuestions("train", 0), EasyVqaKnowledge("test", 0)
    dataset = VqaDataset(train, test)
    assert len(dataset) == 38575 + 888
    assert torch.equal(dataset[38575].image, load_easy_vqa("test").images[test[0].image_index])
    assert dataset[38575].question == test[0].question
    assert torch.equal(dataset[38574].image, load_easy_vqa("train").images[-1])
    with pytest.raises(IndexError):
        dataset[len(dataset)]
    with pytest.raises(ValueError, match="`sources`"):
        VqaDataset()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_share_of_knowledge(share):
    dataset = JointVqa("test", 0, knowledge_share=share, size=200)
    assert len(dataset) == 200
    rows = [dataset[index] for index in range(200)]
    knowledge = [row.answer in KNOWLEDGE_ENTITIES for row in rows]
    assert sum(knowledge) == round(200 * share)
    assert knowledge == sorted(knowledge)


def test_epochs_are_fresh_and_repeat():
    dataset, again = JointVqa("train", 0, size=40), JointVqa("train", 0, size=40)
    first = [dataset[index] for index in range(40)]
    dataset.set_epoch(1)
    again.set_epoch(1)
    second = [dataset[index] for index in range(40)]
    assert all(same(dataset[index], again[index]) for index in range(40))
    assert not any(same(a, b) for a, b in zip(first, second, strict=True))
    assert not any(same(JointVqa("train", 1, size=40)[index], first[index]) for index in range(40))


def test_test_split_stays():
    dataset = JointVqa("test", 0, size=40)
    before = [dataset[index] for index in range(40)]
    dataset.set_epoch(3)
    assert all(same(dataset[index], row) for index, row in enumerate(before))


def test_all_plain_questions_come_before_one_comes_again():
    dataset = JointVqa("train", 0, knowledge_share=0.0, size=9644, plain_facts_share=0.0)  # a quarter, rounded up
    data = load_easy_vqa("train")
    seen = []
    for epoch in range(4):
        dataset.set_epoch(epoch)
        seen += [(dataset[i].question, dataset[i].image.data_ptr()) for i in range(len(dataset))]
    wanted = [
        (question, data.images[row].data_ptr())
        for question, row in zip(data.questions, data.image_index.tolist(), strict=True)
    ]
    assert len(seen) == len(wanted) + 1
    assert sorted(seen[:-1]) == sorted(wanted)


def test_workers_see_the_epoch():
    """Also workers that outlive an epoch, whose copy of the dataset is never refreshed."""
    dataset = JointVqa("train", 0, size=8)
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=8, num_workers=1, persistent_workers=True, collate_fn=lambda rows: [r.facts for r in rows]
    )
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        assert next(iter(loader)) == [dataset[index].facts for index in range(8)]


def test_sentences_cover_every_row():
    train, test = JointVqa("train", 0), VqaDataset(EasyVqaKnowledge("test", 0, irrelevant=12))
    sentences = all_sentences(train, test)
    assert len(sentences) == len(set(sentences))
    for dataset in (train, test):
        assert set(dataset.sentences()) <= set(sentences)
        assert all(set(dataset[index].facts) <= set(dataset.sentences()) for index in range(0, len(dataset), 40))
    assert EasyVqaQuestions("test", 0, facts_share=0.0).sentences() == ()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"knowledge_share": 1.5}, "`knowledge_share`"),
        ({"plain_facts_share": -0.1}, "`plain_facts_share`"),
        ({"size": 0}, "`size`"),
        ({"split": "valid"}, "split"),
        ({"seed": "a"}, "seed"),
    ],
)
def test_bad_arguments(arguments, named):
    with pytest.raises((ValueError, TypeError), match=named):  # TypeError if types are checked
        JointVqa(**{"split": "train", "seed": 0, **arguments})


def test_epochs_are_not_negative():
    with pytest.raises(ValueError, match="`epoch`"):
        JointVqa("train", 0).set_epoch(-1)
