"""Scores on both jobs, and which facts are encoded for them."""

import logging

import pytest
import torch

from support.tiny_vqa import HashedFacts, tiny_config, tiny_tokenizer
from vkood.data import EasyVqaKnowledge, FactTable, VqaCollator, VqaDataset, load_easy_vqa
from vkood.metrics import auroc, false_positive_rate
from vkood.models import VkoodForVisualQuestionAnswering
from vkood.tasks import (
    FACT_ENCODER,
    encode_facts,
    evaluate_easy_vqa,
    evaluate_easy_vqa_knowledge,
    fact_encoder,
    facts_of,
    knowledge,
)
from vkood.tasks.saved import answer_ids


@pytest.fixture
def encoders(monkeypatch):
    """The stand-ins that were made, in their order."""
    made = []

    def encoder(on_sentences=None):
        made.append(HashedFacts(on_sentences))
        return made[-1]

    monkeypatch.setattr(knowledge, "fact_encoder", encoder)
    return made


@pytest.fixture
def model():
    return VkoodForVisualQuestionAnswering(tiny_config())


def test_knowledge_questions(model):
    questions = EasyVqaKnowledge("test", 0, irrelevant=3, contradicting=2)
    table = FactTable.build(facts_of(questions, limit=70), HashedFacts())
    rows = []
    scores = evaluate_easy_vqa_knowledge(
        model, tiny_tokenizer(), questions, table, limit=70, on_rows=rows.append
    )
    assert (scores.num_questions, scores.num_facts, sum(rows)) == (70, 70 * 11, 70)
    assert scores.seconds > 0
    # Once more, one question at a time; rounding swaps some of an untrained gate's scores.
    collate = VqaCollator(tiny_tokenizer(), table, answer_ids(model.config), with_matches=True)
    dataset = VqaDataset(questions)
    right, outlying, matching = 0, [], []
    with torch.inference_mode():
        for index in range(70):
            batch = collate([dataset[index]])
            matching.append(batch.pop("fact_matches")[0])
            output = model(**batch)
            right += int(output.logits.argmax()) == int(batch["labels"])
            outlying.append(output.fact_score[0])
    assert scores.accuracy == pytest.approx(right / 70)
    assert scores.filter is not None
    score, outlier = torch.cat(outlying), ~torch.cat(matching)
    assert scores.filter.auroc == pytest.approx(auroc(score, outlier), abs=0.01)
    assert scores.filter.fpr95 == pytest.approx(false_positive_rate(score, outlier), abs=0.02)


def test_without_gate_or_facts_there_are_no_filter_scores(model):
    questions = EasyVqaKnowledge("test", 0)
    table = FactTable.build(facts_of(questions, limit=3), HashedFacts())
    blind = evaluate_easy_vqa_knowledge(model, tiny_tokenizer(), questions, table, use_facts=False, limit=3)
    assert (blind.num_questions, blind.num_facts, blind.filter) == (3, 0, None)
    ungated = VkoodForVisualQuestionAnswering(tiny_config(gate={"kind": "none"}))
    assert evaluate_easy_vqa_knowledge(ungated, tiny_tokenizer(), questions, table, limit=3).filter is None


def test_a_great_flood_changes_the_batch_size_only(model, monkeypatch):
    questions = EasyVqaKnowledge("test", 0, irrelevant=40)
    table = FactTable.build(facts_of(questions, limit=20), HashedFacts())
    rows = []
    scores = [evaluate_easy_vqa_knowledge(model, tiny_tokenizer(), questions, table, limit=20)]
    monkeypatch.setattr(knowledge, "_FACTS_AT_ONCE", 100)
    scores.append(
        evaluate_easy_vqa_knowledge(model, tiny_tokenizer(), questions, table, limit=20, on_rows=rows.append)
    )
    assert rows == [2] * 10
    assert scores[0].accuracy == scores[1].accuracy
    assert scores[0].num_facts == scores[1].num_facts == 20 * 46


def test_vectors_of_another_width(model):
    questions = EasyVqaKnowledge("test", 0)
    table = FactTable.build(facts_of(questions, limit=1), lambda texts: torch.ones(len(texts), 5))
    with pytest.raises(ValueError, match=r"`fact_table` must have vectors of width 384.*got 5"):
        evaluate_easy_vqa_knowledge(model, tiny_tokenizer(), questions, table, limit=1)


def test_plain_questions(model):
    scores = evaluate_easy_vqa(model, tiny_tokenizer(), limit=30)
    assert (scores.num_questions, scores.num_facts, scores.filter) == (30, 0, None)
    ids = answer_ids(model.config)
    # A model that always says the same is right as often as that is the answer.
    with torch.no_grad():
        model.answer_head[3].weight.zero_()
        model.answer_head[3].bias.zero_()[ids["yes"]] = 9.0
    expected = sum(answer == "yes" for answer in load_easy_vqa("test").answers[:30]) / 30
    assert evaluate_easy_vqa(model, tiny_tokenizer(), limit=30).accuracy == pytest.approx(expected)
    assert expected > 0


@pytest.mark.parametrize("limit", [0, -1])
def test_limits_are_positive(model, limit):
    with pytest.raises(ValueError, match="`limit`"):
        evaluate_easy_vqa(model, tiny_tokenizer(), limit=limit)


def test_facts_of_questions():
    questions = EasyVqaKnowledge("test", 0, irrelevant=2)
    facts = facts_of(questions, limit=5)
    assert len(facts) == len(set(facts))
    assert set(facts) == {fact for index in range(5) for fact in questions[index].facts}
    assert set(facts_of(EasyVqaKnowledge("test", 0, size=2))) == set(
        facts_of(EasyVqaKnowledge("test", 0, size=2), limit=99)
    )


class TestEncodeFacts:
    def test_without_a_file(self, encoders):
        ready = []
        table = encode_facts(["A.", "B.", "A."], on_sentences=ready.append)
        assert table.sentences == ("A.", "B.")
        assert ready == [0, 2]
        assert encoders[0].encoded == ["A.", "B."]

    def test_only_what_is_missing(self, encoders, tmp_path):
        saved = tmp_path / "facts.safetensors"
        known = FactTable.build(["A.", "B."], HashedFacts())
        known.save(saved, encoder=FACT_ENCODER)
        ready = []
        table = encode_facts(["B.", "C."], saved=saved, on_sentences=ready.append)
        assert encoders[0].encoded == ["C."]
        assert ready == [1, 2]
        expected = FactTable.build(["B.", "C."], HashedFacts())
        assert torch.equal(table.padded([["B.", "C."]])[0], expected.padded([["B.", "C."]])[0])

    def test_no_encoder_if_all_is_known(self, encoders, tmp_path):
        saved = tmp_path / "facts.safetensors"
        FactTable.build(["A.", "B."], HashedFacts()).save(saved, encoder=FACT_ENCODER)
        assert "A." in encode_facts(["A."], saved=saved)
        assert encoders == []

    def test_a_file_that_cannot_be_used_is_told_of(self, encoders, tmp_path, caplog):
        saved = tmp_path / "facts.safetensors"
        FactTable.build(["A."], HashedFacts()).save(saved, encoder="another")
        with caplog.at_level(logging.WARNING):
            assert encode_facts(["A."], saved=saved).sentences == ("A.",)
        assert "anew" in caplog.text
        assert "'another'" in caplog.text
        assert encoders[0].encoded == ["A."]

    def test_a_file_that_is_not_there(self, encoders, tmp_path):
        assert encode_facts(["A."], saved=tmp_path / "none").sentences == ("A.",)

    def test_no_facts(self, encoders):
        with pytest.raises(ValueError, match="at least one sentence"):
            encode_facts([])


def test_the_encoder_itself():
    ready = []
    vectors = fact_encoder(ready.append)(["The kite is red.", "The kite is red.", "Bees make honey."])
    assert vectors.shape == (3, 384)
    assert ready == [3]
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(3))
    assert vectors[0] @ vectors[1] > 0.999 > vectors[0] @ vectors[2]
