"""The benchmark of relevance: its words, its gates, and what it measures."""

from pathlib import Path

import pytest
import torch
from benchmarks.knowledge_relevance import __main__ as benchmark
from benchmarks.knowledge_relevance.ambiguous_words import (
    NUM_FACTS,
    NUM_SENTENCES,
    Contexts,
    Material,
    read_words,
    shared_words,
)
from benchmarks.knowledge_relevance.gates import CosineGate, Mahalanobis, NearestTokensGate, start_alike
from scipy.spatial.distance import mahalanobis as by_scipy

WIDTH = 6


def material(num_words: int = 12) -> Material:
    """Words whose meanings lie in two directions, so that facts and sentences of one are near each other."""
    meanings = torch.nn.functional.normalize(torch.randn(num_words, 2, WIDTH), dim=-1)
    tokens = meanings[:, :, None, None] + 0.1 * torch.randn(num_words, 2, NUM_SENTENCES, 9, WIDTH)
    facts = meanings[:, :, None] + 0.1 * torch.randn(num_words, 2, NUM_FACTS, WIDTH)
    mask = torch.ones(tokens.shape[:-1], dtype=torch.bool)
    return Material(tokens=tokens, mask=mask, facts=torch.nn.functional.normalize(facts, dim=-1))


def contexts(num_words: int = 12) -> Contexts:
    return material(num_words).contexts(torch.arange(num_words), list(range(NUM_SENTENCES)))


def test_there_are_enough_words_and_every_sentence_has_its_word() -> None:
    words = read_words()
    assert len(words) >= 60
    for first, second in words:
        assert first.label != second.label
        assert not {(fact.relation, fact.object) for fact in first.facts} >= {
            (fact.relation, fact.object) for fact in second.facts
        }
        for meaning in (first, second):
            assert len(set(meaning.facts)) == NUM_FACTS
            for sentence in meaning.sentences:
                assert (
                    meaning.word
                    in sentence.lower().replace("?", " ").replace(".", " ").replace(",", " ").split()
                )


def test_letters_alone_tell_little() -> None:
    same, other = shared_words(read_words())
    assert other < same < 0.05


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "words.tsv"
    file.write_text("# a comment\nbat\tanimal\tA bat.\tIsA mammal\n")
    with pytest.raises(
        ValueError, match=r"words.tsv, line 2: a meaning must have 4 sentences and 4 facts; got 1"
    ):
        read_words(file)
    file.write_text("bat\tanimal\tA bat.\n")
    with pytest.raises(ValueError, match=r"words.tsv, line 1: .* four columns"):
        read_words(file)


def test_the_facts_of_the_other_meaning_are_the_wrong_ones() -> None:
    own = contexts()
    assert own.wrong.sum(1).tolist() == [NUM_FACTS] * len(own)
    nearness = torch.einsum("cfd,ctd->cf", own.candidates, own.tokens)
    assert benchmark.measured(-nearness, own.wrong)["within"] > 0.9


def test_clutter_adds_tokens_and_nothing_else() -> None:
    own = contexts()
    cluttered = own.cluttered(own, 3, torch.Generator().manual_seed(0))
    assert cluttered.tokens.shape[1] == cluttered.mask.shape[1] == 4 * own.tokens.shape[1]
    assert torch.equal(cluttered.tokens[:, : own.tokens.shape[1]], own.tokens)
    assert torch.equal(cluttered.candidates, own.candidates)


def test_no_word_is_both_learnt_and_tested() -> None:
    halves = benchmark.Halves.split(material(), seed=0)
    training_words = {tuple(row) for row in halves.training.candidates.flatten(1).tolist()}
    assert not training_words & {
        tuple(row) for row in halves.tests["new words"].candidates.flatten(1).tolist()
    }
    assert not training_words & {
        tuple(row) for row in halves.tests["cluttered"].candidates.flatten(1).tolist()
    }
    held_out = {tuple(row) for row in halves.held_out.candidates.flatten(1).tolist()}
    assert held_out < training_words
    assert not held_out & {tuple(row) for row in halves.tuning.candidates.flatten(1).tolist()}


@pytest.mark.parametrize("neighbours", [1, 9])
def test_cosines_are_cosines(neighbours: int) -> None:
    own = contexts(2)
    cosine, nearest = CosineGate(WIDTH, WIDTH), NearestTokensGate(WIDTH, WIDTH, neighbours)
    start_alike(cosine)
    start_alike(nearest)
    whole = torch.cosine_similarity(own.candidates, own.tokens.mean(1, keepdim=True), dim=-1)
    torch.testing.assert_close(benchmark.scores_of(cosine, own), -whole)
    each = torch.cosine_similarity(own.candidates[:, :, None], own.tokens[:, None], dim=-1)
    expected = -each.topk(neighbours, dim=-1).values.mean(-1)
    torch.testing.assert_close(benchmark.scores_of(nearest, own), expected)


def test_mahalanobis_distances_are_those_of_scipy() -> None:
    own = contexts(1)
    scores = Mahalanobis(ridge=0.5).scores(own)
    tokens = own.tokens[3] / own.tokens[3].mean(0).norm()
    covariance = torch.cov(tokens.T, correction=0)
    covariance = covariance + 0.5 * covariance.diagonal().mean() * torch.eye(WIDTH)
    inverse = torch.linalg.inv(covariance).numpy()
    expected = [by_scipy(fact.numpy(), tokens.mean(0).numpy(), inverse) ** 2 for fact in own.candidates[3]]
    torch.testing.assert_close(scores[3], torch.tensor(expected).float(), rtol=1e-3, atol=1e-3)


def test_a_tied_covariance_that_is_round_ranks_like_the_distance() -> None:
    own = contexts(3)
    scores = Mahalanobis(ridge=1e6).fitted(own).scores(own)
    means = torch.nn.functional.normalize(own.tokens.mean(1, keepdim=True), dim=-1)
    assert torch.equal(scores.argsort(1), torch.cdist(own.candidates, means)[..., 0].argsort(1))


def test_a_gate_that_starts_at_random_learns_what_it_is_shown() -> None:
    own = contexts(6)
    gate = benchmark.OutlierLayer(WIDTH, WIDTH, 64, 1)
    untrained = benchmark.measured(benchmark.scores_of(gate, own), own.wrong)["auroc"]
    states = benchmark.trained(gate, own, 0.01, [1, 100], seed=0)
    assert list(states) == [1, 100]
    assert benchmark.measured(benchmark.scores_of(gate, own), own.wrong)["auroc"] > max(untrained, 0.8)


def test_every_option_of_every_arm_makes_a_gate() -> None:
    own = contexts(1)
    for arm in benchmark.ARMS:
        for option in arm.options:
            assert benchmark.scores_of(arm.built(WIDTH, option), own).isfinite().all()
