"""The benchmark of gates in front of a small vision-language model: its prompts, its arms, and how it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from benchmarks.gated_vlm.__main__ import ARMS
from benchmarks.gated_vlm.__main__ import test as measure
from benchmarks.gated_vlm.questions import of_one_kind
from benchmarks.gated_vlm.training import Plan, calibrated_gate, gated, some_facts
from benchmarks.gated_vlm.vlm import SmallVlm
from benchmarks.knowledge_noise.materials import Facts, Materials, Pictures

from vkood.data import COLOURS, SHAPES, load_easy_vqa
from vkood.data.easy_vqa_knowledge import EasyVqaKnowledge, entity_facts, joint_answers
from vkood.demo.jobs import all_facts
from vkood.gating import OutlierLayer

WIDTH, TOKENS = 8, 4


@pytest.fixture(scope="module")
def vlm() -> SmallVlm:
    return SmallVlm(0, TOKENS, WIDTH).eval()


def materials() -> Materials:
    test, held_out = (
        Pictures(
            rows=data.described.tolist()[:30], tokens=torch.randn(len(data.images), TOKENS, WIDTH), data=data
        )
        for data in (load_easy_vqa("test"), load_easy_vqa("train"))
    )
    sentences = all_facts()
    facts = Facts(
        {sentence: row for row, sentence in enumerate(sentences)}, torch.randn(len(sentences), WIDTH)
    )
    return Materials(
        seed=0, tokenizer=None, facts=facts, train=held_out, held_out=held_out, test=test, empty=None
    )


def test_facts_are_of_the_kind_that_is_asked_for() -> None:
    drawn = EasyVqaKnowledge("test", 0, irrelevant=5)
    for place in range(40):
        question = of_one_kind(drawn[place])
        target, other = (COLOURS, SHAPES) if "colo" in question.text else (SHAPES, COLOURS)
        about_things = [fact for fact in question.facts if fact in entity_facts()]
        assert len(about_things) == 3
        assert len(question.facts) == 8
        for fact in about_things:
            words = set(fact.rstrip(".").split())
            assert words & set(target)
            assert not words & set(other)
        matching = [fact for fact, match in zip(question.facts, question.matches, strict=True) if match]
        assert len(matching) == 1
        assert question.answer in matching[0]


def test_a_model_is_trained_on_the_fact_of_the_answer_and_on_any_others() -> None:
    drawn, generator = EasyVqaKnowledge("train", 0), np.random.default_rng(0)
    sizes = set()
    for place in range(40):
        question = of_one_kind(drawn[place])
        facts = some_facts(question, generator)
        sizes.add(len(facts))
        assert set(facts) <= set(question.facts)
        assert any(question.answer in fact for fact in facts)
    assert sizes == {1, 2, 3}
    assert some_facts(replace(question, facts=(), matches=()), generator) == []


def test_every_word_is_a_token(vlm: SmallVlm) -> None:
    texts = [*all_facts(), *joint_answers(), *load_easy_vqa("test").questions[:50]]
    assert not any(vlm.tokenizer.unk_token_id in ids for ids in vlm.tokenizer(texts)["input_ids"])
    answers = vlm.tokenizer(list(joint_answers()))["input_ids"]
    assert all(len(ids) == 1 for ids in answers)  # so that one generated token is an answer


def test_what_is_trained_is_what_is_generated(vlm: SmallVlm) -> None:
    drawn = EasyVqaKnowledge("test", 0)
    questions = [drawn[place] for place in range(3)]
    prompts = vlm.prompts(questions, [question.facts for question in questions])
    pictures = torch.randn(3, TOKENS, WIDTH)
    with torch.no_grad():
        assert torch.equal(vlm(prompts, pictures).argmax(-1), vlm.answer(prompts, pictures))


def test_arms(vlm: SmallVlm) -> None:
    """With open gates all facts reach the model by each way; with closed gates none does."""
    own = materials()
    layer = OutlierLayer(WIDTH, WIDTH, 4).eval()
    tokens = {}
    for name, threshold in (("open", 1e4), ("closed", -1e4)):
        with torch.no_grad():
            layer.gate.threshold.fill_(threshold)
        calibrated = calibrated_gate(own, layer, Plan(), 0.9)
        result = measure(own, vlm, layer, calibrated, 2, limit=6)
        assert result["questions"] == 6
        assert list(result["accuracy"]) == list(ARMS)
        assert result["open gates"] == dict.fromkeys(("matching", "others"), float(name == "open"))
        tokens[name] = result["tokens a prompt"]
    for counts in tokens.values():
        assert counts["filtered by attention (soft)"] == counts["all facts"]
        assert counts["no facts"] < counts["matching facts alone"] < counts["all facts"]
    hard = "filtered by prompt (hard)"
    assert tokens["open"][hard] == tokens["open"]["all facts"]
    assert tokens["closed"][hard] == tokens["closed"]["no facts"]
    for counts in tokens.values():  # whatever the threshold was, that of held-out facts takes its place
        assert counts["the same, calibrated"] == tokens["open"]["the same, calibrated"]


def test_the_gates_of_a_question_are_of_its_own_facts() -> None:
    own = materials()
    layer = OutlierLayer(WIDTH, WIDTH, 4).eval()
    drawn = EasyVqaKnowledge("test", 0, irrelevant=(0, 3))
    questions = [drawn[place] for place in range(4)]
    pictures = own.test.tokens[[question.picture for question in questions]]
    with torch.no_grad():
        together = gated(layer, own, questions, pictures).score
        for row, question in enumerate(questions):
            alone = gated(layer, own, [question], pictures[row : row + 1]).score
            torch.testing.assert_close(together[row, : len(question.facts)], alone[0])
