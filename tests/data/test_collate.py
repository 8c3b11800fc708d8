"""Rows to tensors: values, padding, masks, and every refusal."""

import pytest
import torch
from transformers import BertTokenizer

from vkood.data import (
    EasyVqaKnowledge,
    FactTable,
    VqaCollator,
    VqaExample,
    load_easy_vqa,
    normalise_images,
)

FACTS = ("The kite is teal.", "The mug is red.", "A lemon is sour.")
ANSWER_TO_ID = {"yes": 0, "no": 1, "kite": 2}


def vectors(sentences):
    """A stand-in for a text encoder: a sentence's vector depends on its text alone."""
    return torch.tensor([[len(text), ord(text[4]), ord(text[-2])] for text in sentences], dtype=torch.float32)


def image(value=0):
    return torch.full((3, 64, 64), value, dtype=torch.uint8)


@pytest.fixture
def table():
    return FactTable.build(FACTS, vectors)


@pytest.fixture(scope="module")
def tokenizer():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "which", "what", "a", "b", "c", "d", "?"]
    return BertTokenizer(vocab={word: index for index, word in enumerate(words)})


def test_collate(table, tokenizer):
    rows = [
        VqaExample(
            image=image(255), question="which a b ?", answer="kite", facts=FACTS[:2], matches=(True, False)
        ),
        VqaExample(image=image(0), question="what ?", answer="no"),
        VqaExample(
            image=image(51), question="which a b ?", answer="yes", facts=FACTS[::-1], matches=(False,) * 3
        ),
    ]
    batch = VqaCollator(tokenizer, table, ANSWER_TO_ID, with_matches=True)(rows)
    assert list(batch) == [
        "pixel_values",
        "input_ids",
        "attention_mask",
        "fact_features",
        "fact_mask",
        "labels",
        "fact_matches",
    ]
    assert batch["pixel_values"].dtype == torch.float32
    torch.testing.assert_close(batch["pixel_values"][:, 1, 2, 3], torch.tensor([1.0, -1.0, -0.6]))
    expected = tokenizer(["which a b ?", "what ?", "which a b ?"], padding=True, return_tensors="pt")
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    assert torch.equal(batch["attention_mask"], expected["attention_mask"])
    assert batch["fact_mask"].tolist() == [[True, True, False], [False] * 3, [True] * 3]
    assert batch["fact_features"].shape == (3, 3, 3)
    assert torch.equal(batch["fact_features"][0, :2], vectors(FACTS[:2]))
    assert torch.equal(batch["fact_features"][2], vectors(FACTS[::-1]))
    assert batch["fact_features"][~batch["fact_mask"]].abs().sum() == 0
    assert batch["labels"].tolist() == [2, 1, 0]
    assert batch["fact_matches"].tolist() == [[True, False, False], [False] * 3, [False] * 3]


@pytest.mark.parametrize("use_facts", [True, False])
def test_no_facts(table, tokenizer, use_facts):
    facts = () if use_facts else FACTS
    rows = [VqaExample(image=image(), question="what ?", answer="no", facts=facts)] * 2
    batch = VqaCollator(tokenizer, table, ANSWER_TO_ID, use_facts=use_facts, with_matches=True)(rows)
    assert batch["fact_features"].shape == (2, 0, 3)
    assert batch["fact_mask"].shape == batch["fact_matches"].shape == (2, 0)
    assert batch["fact_mask"].dtype == torch.bool


def test_a_tokenizer_without_padding_is_refused(table, tokenizer):
    bare = BertTokenizer(vocab=tokenizer.get_vocab())
    bare.pad_token = None
    with pytest.raises(ValueError, match="`tokenizer` must have a padding token"):
        VqaCollator(bare, table, ANSWER_TO_ID)


def test_without_answers_there_are_no_labels(table, tokenizer):
    batch = VqaCollator(tokenizer, table, ANSWER_TO_ID)([VqaExample(image=image(), question="what ?")])
    assert set(batch) == {"pixel_values", "input_ids", "attention_mask", "fact_features", "fact_mask"}


def test_rows_without_pictures_take_them_by_index(table, tokenizer):
    data = load_easy_vqa("test")
    questions = EasyVqaKnowledge("test", 0)
    table = FactTable.build(questions.sentences(), vectors)
    rows = [questions[5], questions[80]]
    answers = {row.answer: index for index, row in enumerate(rows)}
    batch = VqaCollator(tokenizer, table, answers, data.images)(rows)
    assert torch.equal(
        batch["pixel_values"], normalise_images(data.images[[row.image_index for row in rows]])
    )
    with pytest.raises(ValueError, match="`images` must be given"):
        VqaCollator(tokenizer, table, answers)(rows)


def test_a_row_does_not_depend_on_its_neighbours(table, tokenizer):
    collate = VqaCollator(tokenizer, table, ANSWER_TO_ID)
    row = VqaExample(image=image(9), question="what ?", answer="no", facts=FACTS[:1])
    other = VqaExample(image=image(1), question="which a b c d ?", answer="no", facts=FACTS)
    alone, together = collate([row]), collate([other, row])
    for name in ("input_ids", "attention_mask", "fact_features", "fact_mask"):
        width = alone[name].shape[1]
        assert torch.equal(together[name][1, :width], alone[name][0])
        assert not together[name][1, width:].any()


def test_each_question_is_tokenised_once(table, tokenizer):
    calls = []

    class Counting(BertTokenizer):
        def __call__(self, texts, **options):
            calls.extend(texts)
            return super().__call__(texts, **options)

    collate = VqaCollator(Counting(vocab=tokenizer.get_vocab()), table, ANSWER_TO_ID)
    for question in ("what ?", "which ?", "what ?"):
        collate([VqaExample(image=image(), question=question, answer="no")] * 3)
    assert calls == ["what ?", "which ?"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "`rows` must have at least one"),
        ([VqaExample(image=image(), question="what ?", answer="maybe")], "`answer_to_id`.*'maybe'"),
        (
            [VqaExample(image=image(), question="q"), VqaExample(image=image(), question="q", answer="no")],
            "Every row of a batch must have an answer",
        ),
        (
            [VqaExample(image=image(), question="q", facts=("Unheard of.",))],
            "no vector for 'Unheard of.'.*extend",
        ),
        ([VqaExample(image=image(), question="q", facts=FACTS)], "3 facts and 0 matches"),
    ],
)
def test_bad_rows(table, tokenizer, rows, says):
    with pytest.raises(ValueError, match=says):
        VqaCollator(tokenizer, table, ANSWER_TO_ID, with_matches=True)(rows)


def test_rows_that_share_a_picture(table, tokenizer):
    def example(question, answer, facts=()):
        return VqaExample(
            image=image(255), question=question, answer=answer, facts=facts, matches=(True,) * len(facts)
        )

    groups = [
        (example("what ?", "no", FACTS[:1]), example("which a b ?", "kite"), example("a ?", "yes", FACTS)),
        (example("which ?", "yes", FACTS[1:]),),
    ]
    collate = VqaCollator(tokenizer, table, ANSWER_TO_ID, with_matches=True)
    batch = collate(groups)
    assert batch["pixel_values"].shape == (2, 3, 64, 64)
    assert batch["labels"].tolist() == [[1, 2, 0], [0, -100, -100]]
    assert batch["fact_mask"].sum(-1).tolist()[0] == [1, 0, 3]
    assert batch["fact_features"].shape == (2, 3, 3, 3)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, 3, 6)
    assert (
        batch["attention_mask"].sum(-1).min() > 0
    )  # padding questions have words too: no row attends to nothing
    for place, group in enumerate(groups):
        for turn, row in enumerate(group):
            alone = collate([row])
            words, facts = alone["input_ids"].shape[1], alone["fact_mask"].shape[1]
            assert torch.equal(batch["input_ids"][place, turn, :words], alone["input_ids"][0])
            assert torch.equal(batch["fact_features"][place, turn, :facts], alone["fact_features"][0])
            assert torch.equal(batch["fact_matches"][place, turn, :facts], alone["fact_matches"][0])


def test_groups_may_not_be_empty(table, tokenizer):
    with pytest.raises(ValueError, match="every group in `rows`"):
        VqaCollator(tokenizer, table, ANSWER_TO_ID)([()])
