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


def same_row(a, b):
    return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))


def facts(row):
    return [example.facts for example in row]


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


def asks_knowledge(row):
    return [example.answer in KNOWLEDGE_ENTITIES for example in row]


@pytest.mark.parametrize(("plain", "knowledge"), [(5, 3), (0, 2), (4, 0)])
def test_a_row_has_the_questions_of_one_picture(plain, knowledge):
    data = load_easy_vqa("test")
    known = set(data.described.tolist())
    num_questions = np.bincount(data.image_index.numpy(), minlength=len(data.images))
    own = [
        {
            (q, a)
            for q, a, i in zip(data.questions, data.answers, data.image_index.tolist(), strict=True)
            if i == p
        }
        for p in range(60)
    ]
    dataset = JointVqa("test", 0, plain=plain, knowledge=knowledge)
    assert len(dataset) == 1000
    for picture in range(60):
        row = dataset[picture]
        assert all(torch.equal(example.image, data.images[picture]) for example in row)
        if picture in known:
            expected = [False] * min(plain, num_questions[picture]) + [True] * knowledge
        else:  # what it lacks in knowledge questions it makes up for in plain ones
            expected = [False] * min(plain + knowledge, num_questions[picture])
        assert asks_knowledge(row) == expected
        asked = [
            (example.question, example.answer) for example in row if example.answer not in KNOWLEDGE_ENTITIES
        ]
        assert set(asked) <= own[picture]
        assert len({example.facts for example in row if example.facts}) == sum(bool(e.facts) for e in row)


def test_a_picture_that_is_not_described_has_no_facts():
    data = load_easy_vqa("train")
    unknown = sorted(set(range(len(data.images))) - set(data.described.tolist()))
    dataset = JointVqa("train", 0, plain_facts_share=1.0)
    assert not any(example.facts for picture in unknown for example in dataset[picture])
    assert all(example.facts for example in dataset[data.described[0].item()])


def test_a_knowledge_question_is_about_its_picture():
    """The facts that match name the picture's own colour and shape."""
    data = load_easy_vqa("test")
    dataset = JointVqa("test", 3, plain=0, knowledge=2)
    for picture in data.described[:50].tolist():
        for example in dataset[picture]:
            matching = " ".join(
                fact for fact, match in zip(example.facts, example.matches, strict=True) if match
            )
            assert sum(example.matches) == 2
            assert str(example.answer) in matching
            assert data.colours[picture] in matching
            assert data.shapes[picture] in matching


def test_epochs_are_fresh_and_repeat():
    dataset, again = JointVqa("train", 0, size=40), JointVqa("train", 0, size=40)
    first = [dataset[index] for index in range(40)]
    assert dataset.epoch == 0
    dataset.set_epoch(1)
    again.set_epoch(1)
    second = [dataset[index] for index in range(40)]
    assert dataset.epoch == 1
    assert all(same_row(dataset[index], again[index]) for index in range(40))
    assert not any(same_row(a, b) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(a[0].image, b[0].image) for a, b in zip(first, second, strict=True))


def test_a_seed_chooses_the_pictures():
    def pictures(seed, **options):
        return {
            dataset[i][0].image.data_ptr()
            for dataset in [JointVqa("train", seed, size=40, **options)]
            for i in range(40)
        }

    assert len(pictures(0)) == 40
    assert pictures(0) == pictures(0, plain=1, knowledge=1)
    assert pictures(0) != pictures(1)


def test_test_split_stays():
    dataset = JointVqa("test", 0, size=40)
    before = [dataset[index] for index in range(40)]
    dataset.set_epoch(3)
    assert all(same_row(dataset[index], row) for index, row in enumerate(before))


def test_negative_indices_count_from_the_end():
    dataset = JointVqa("test", 0, size=7)
    assert same_row(dataset[-1], dataset[6])
    for index in (7, -8):
        with pytest.raises(IndexError):
            dataset[index]


def test_other_epochs_bring_other_plain_questions():
    dataset = JointVqa("train", 0, plain=3, knowledge=0, plain_facts_share=0.0)
    own = {
        q for q, i in zip(dataset.plain._data.questions, dataset.plain._image_index, strict=True) if i == 5
    }
    seen = set()
    for epoch in range(12):
        dataset.set_epoch(epoch)
        seen |= {example.question for example in dataset[5]}
    assert len(own) > 3
    assert seen == own


def test_workers_see_the_epoch():
    """Also workers that outlive an epoch, whose copy of the dataset is never refreshed."""
    dataset = JointVqa("train", 0, size=8)
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size=8,
        num_workers=1,
        persistent_workers=True,
        collate_fn=lambda rows: [facts(r) for r in rows],
    )
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        assert next(iter(loader)) == [facts(dataset[index]) for index in range(8)]


def test_sentences_cover_every_row():
    train, test = JointVqa("train", 0), VqaDataset(EasyVqaKnowledge("test", 0, irrelevant=12))
    sentences = all_sentences(train, test)
    assert len(sentences) == len(set(sentences))
    for dataset in (train, test):
        assert set(dataset.sentences()) <= set(sentences)
    for index in range(0, len(train), 40):
        assert all(set(example.facts) <= set(train.sentences()) for example in train[index])
    assert all(set(test[index].facts) <= set(test.sentences()) for index in range(0, len(test), 40))
    assert EasyVqaQuestions("test", 0, facts_share=0.0).sentences() == ()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"knowledge": -1}, "`knowledge`"),
        ({"plain": 1.5}, "plain"),
        ({"plain": 0, "knowledge": 0}, "cannot both be 0"),
        ({"plain_facts_share": -0.1}, "`plain_facts_share`"),
        ({"size": 0}, "`size`"),
        ({"size": 4001}, "`size`"),
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
