"""The running mixture of the population mode: what it learns, keeps, saves, and sums over ranks."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from support.ranks import on_two_ranks
from support.sets import FAMILIES, clusters, name, normal, numbers
from vkood.gating import OutlierLayer
from vkood.gating.population import PopulationMixture
from vkood.mixture import Diagonal, Prior, em_step

each_family = pytest.mark.parametrize("covariance", FAMILIES, ids=name)


def tokens_of(batch: int, items: int = 40) -> torch.Tensor:
    """A batch from two clusters around (-4, -4) and (4, 4), with standard deviations 0.5 and 1."""
    order = torch.randperm(items, generator=torch.Generator().manual_seed(batch))
    return clusters(sets=1, each=items // 2, apart=8.0, seed=batch).float()[:, order]


def learnt(covariance, batches: int = 80) -> PopulationMixture:
    population = PopulationMixture(2, 2, covariance, Prior(mean_strength=0.1))
    for batch in range(batches):
        population.update(tokens_of(batch), torch.ones(1, 40))
    return population


@each_family
def test_it_recovers_a_mixture_of_two(covariance):
    mixture = learnt(covariance).mixture()
    order = mixture.mean[0, :, 0].argsort()
    torch.testing.assert_close(
        mixture.mean[0, order], torch.tensor([[-4.0, -4.0], [4.0, 4.0]]), rtol=0, atol=0.15
    )
    torch.testing.assert_close(mixture.log_weight.exp(), torch.full((1, 2), 0.5), rtol=0, atol=0.02)
    variances = covariance.dense(mixture)[0, order].diagonal(dim1=-2, dim2=-1)
    expected = (
        torch.tensor([[0.25, 0.25], [1.0, 1.0]]) if name(covariance) != "Tied" else torch.full((2, 2), 0.625)
    )
    torch.testing.assert_close(variances, expected, rtol=0.15, atol=0)


@each_family
def test_the_first_update_is_an_em_step_on_the_batch(covariance):
    population, tokens = PopulationMixture(2, 2, covariance, Prior()), tokens_of(0)
    first = population.update(tokens, torch.ones(1, 40))
    guess = population._first_guess(tokens, torch.ones(1, 40))
    expected = em_step(tokens, torch.ones(1, 40), guess, covariance, Prior())
    for left, right in zip(numbers(first), numbers(expected), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4)
    for left, right in zip(numbers(population.mixture()), numbers(first), strict=True):
        torch.testing.assert_close(left, right)


def test_weights_of_zero_and_empty_batches_change_nothing():
    population, padded = learnt(Diagonal(), 3), learnt(Diagonal(), 2)
    half = torch.cat([tokens_of(2), torch.zeros(1, 10, 2)], 1)
    padded.update(half, torch.tensor([[1.0] * 40 + [0.0] * 10]))
    before = {key: value.clone() for key, value in padded.state_dict().items()}
    for key, value in population.state_dict().items():
        torch.testing.assert_close(before[key], value)
    padded.update(torch.zeros(1, 5, 2), torch.zeros(1, 5))
    padded.update(torch.zeros(1, 0, 2), torch.zeros(1, 0))
    for key, value in padded.state_dict().items():
        assert torch.equal(before[key], value)


def test_decay_weighs_the_batches():
    with pytest.raises(ValueError, match="`decay`"):
        PopulationMixture(2, 2, Diagonal(), Prior(), decay=0.5)
    even = PopulationMixture(
        1, 2, Diagonal(), Prior(), decay=1.0
    )  # one component: its mean is that of all tokens
    for batch in range(6):
        even.update(tokens_of(batch) + batch, torch.ones(1, 40))
    everything = torch.cat([tokens_of(batch) + batch for batch in range(6)], 1)
    torch.testing.assert_close(
        even.first[0, 0] / even.count[0, 0], everything.mean((0, 1)), rtol=1e-4, atol=1e-4
    )


# -- in the layer ----------------------------------------------------------------------------------


def layer_of(**options) -> OutlierLayer:
    torch.manual_seed(1)
    return OutlierLayer(6, None, 4, **({"num_components": 2} | options))


def batches(number: int, rows: int = 4):
    generator = torch.Generator().manual_seed(3)
    directions = torch.randn(2, 6, generator=generator)
    for _ in range(number):
        yield directions[torch.randint(0, 2, (rows, 5), generator=generator)] + 0.2 * torch.randn(
            rows, 5, 6, generator=generator
        )


@pytest.mark.parametrize("score", ["negative_log_density", "gem", "mahalanobis"])
@each_family
def test_what_was_common_in_training_is_an_inlier(covariance, score):
    layer = layer_of(family=covariance, score=score)
    with torch.no_grad():
        for facts in batches(60):
            layer(facts)
        layer.eval()
        common = layer(next(batches(1))).score
        other = layer(torch.randn(40, 5, 6, generator=torch.Generator().manual_seed(9))).score
    layer.calibrate(common)
    assert (common < other.median()).float().mean() > 0.95
    assert layer.gate.threshold < other.median()


def test_eval_is_frozen_and_needs_no_neighbours():
    layer = layer_of()
    for facts in batches(5):
        layer(facts)
    layer.eval()
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    facts = next(batches(1, rows=6))
    out = layer(facts)
    assert out.solution is None
    assert out.mixture.mean.shape == (1, 2, 4)
    torch.testing.assert_close(layer(facts[[4]]).gate, out.gate[[4]])
    torch.testing.assert_close(layer(facts[:, [3, 1]]).gate, out.gate[:, [3, 1]])
    for key, value in layer.state_dict().items():
        assert torch.equal(value, before[key])


def test_masked_candidates_are_not_learnt():
    layer, other = layer_of(), layer_of()
    for facts in batches(3):
        layer(facts)
        padded = torch.cat([torch.full((4, 2, 6), torch.nan), facts], 1)
        out = other(padded, candidate_mask=torch.tensor([[False] * 2 + [True] * 5] * 4))
        assert (out.gate[:, :2] == 0).all()
        assert torch.isfinite(out.gate).all()
    for key, value in layer.state_dict().items():
        torch.testing.assert_close(other.state_dict()[key], value)


def test_state_dict_round_trip(tmp_path):
    layer = layer_of()
    for facts in batches(5):
        layer(facts)
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    torch.manual_seed(99)
    other = OutlierLayer(6, None, 4, num_components=2)
    other.load_state_dict(torch.load(tmp_path / "layer.pt", weights_only=True))
    facts = next(batches(1))
    torch.testing.assert_close(other.eval()(facts).gate, layer.eval()(facts).gate, rtol=0, atol=0)
    other.train()
    layer.train()
    torch.testing.assert_close(other(facts).gate, layer(facts).gate, rtol=0, atol=0)  # and it goes on alike


def test_nothing_seen_is_an_error_that_says_what_to_do():
    with pytest.raises(
        RuntimeError, match="has seen no candidates yet: call the layer in training mode first"
    ):
        layer_of().eval()(next(batches(1)))
    layer = layer_of()
    layer(torch.zeros(2, 3, 6), candidate_mask=torch.zeros(2, 3, dtype=torch.bool))  # nothing but masked ones
    with pytest.raises(RuntimeError, match="has seen no candidates yet"):
        layer.eval()(next(batches(1)))


def test_gradients_reach_the_projection_through_the_batch():
    layer = layer_of()
    for facts in batches(3):
        loss = layer(facts).log_gate.sum()
        layer.zero_grad()
        loss.backward()  # each time: no graph of an earlier batch may be kept
        assert torch.isfinite(layer.joint.candidate_projection.weight.grad).all()
        assert (layer.joint.candidate_projection.weight.grad != 0).any()
    assert not any(buffer.requires_grad for buffer in layer.buffers())


def test_both_modes_in_one_layer():
    torch.manual_seed(1)
    layer = OutlierLayer(6, 5, 4, family=Diagonal())
    facts, image = next(batches(1)), torch.randn(4, 7, 5)
    conditional = layer(facts, context=image).gate
    layer(facts)
    torch.testing.assert_close(layer(facts, context=image).gate, conditional)


# -- ranks -----------------------------------------------------------------------------------------


def on_a_rank(rank: int):
    """What populations learn of this rank's share, and a layer in DDP, which broadcasts its buffers."""
    populations = []
    for covariance in FAMILIES:
        population = PopulationMixture(3, 2, covariance, Prior())
        for batch in range(4):  # shares of 15 and of 25 tokens
            share = tokens_of(batch)[:, :15] if rank == 0 else tokens_of(batch)[:, 15:]
            mixture = population.update(share, torch.ones(share.shape[:2]))
        populations.append([*numbers(mixture), *population.state_dict().values()])
    layer = torch.nn.parallel.DistributedDataParallel(layer_of())
    for facts in batches(4):
        layer(facts[2 * rank : 2 * rank + 2]).log_gate.mean().backward()
    gradient = layer.module.joint.candidate_projection.weight.grad
    return populations, [*layer.module.state_dict().values()], gradient


def test_two_ranks_learn_what_one_would_of_all():
    (populations, state, gradient), other = on_two_ranks(on_a_rank)
    for index, covariance in enumerate(FAMILIES):
        alone = PopulationMixture(3, 2, covariance, Prior())
        for batch in range(4):
            mixture = alone.update(tokens_of(batch), torch.ones(1, 40))
        expected = [*numbers(mixture), *alone.state_dict().values()]
        for first, second, expected_tensor in zip(populations[index], other[0][index], expected, strict=True):
            assert torch.equal(first, second)
            torch.testing.assert_close(first, expected_tensor, rtol=1e-4, atol=1e-4)

    layer = layer_of()
    for facts in batches(4):
        layer(facts)
    for first, second, expected_tensor in zip(state, other[1], layer.state_dict().values(), strict=True):
        assert torch.equal(first, second)
        torch.testing.assert_close(first, expected_tensor, rtol=1e-4, atol=1e-4)
    assert torch.equal(gradient, other[2])
    assert (gradient != 0).any()


# -- precision and checkpointing --------------------------------------------------------------------


@pytest.mark.parametrize("covariance", FAMILIES, ids=name)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_layer_of_another_type_learns_in_single_precision_all_the_same(covariance, dtype):
    candidates = normal(3, 40, 6, seed=1).float()
    learned = []
    for of_type in (torch.float32, dtype):
        layer = layer_of(family=covariance).to(of_type)
        for _ in range(4):
            layer(candidates.to(of_type))
        assert float(layer.population.seen) == pytest.approx(480)
        learned.append(layer.population.mixture().mean)
        layer = layer.to(torch.float16).to(torch.float32)  # and keeps what it has learned
        assert torch.equal(layer.population.mixture().mean, learned[-1])
    assert learned[1].dtype == torch.float32
    torch.testing.assert_close(*learned, rtol=0, atol=0.1)


def test_a_default_type_of_half_precision_does_not_reach_what_is_counted():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        layer = layer_of()
        layer(normal(3, 4, 6).bfloat16())
    finally:
        torch.set_default_dtype(before)
    assert layer.population.count.dtype == layer.population.seen.dtype == torch.float32


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_counts_a_batch_once_with_the_same_gradients(reentrant):
    gradients_and_state = []
    for checkpointed in (False, True):
        layer, gradients = layer_of(), []
        for step in range(3):
            candidates = normal(3, 4, 6, seed=step).float().requires_grad_()
            if checkpointed:
                gate = checkpoint(lambda x, layer=layer: layer(x).gate, candidates, use_reentrant=reentrant)
            else:
                gate = layer(candidates).gate
            gate.square().sum().backward()
            gradients.append(candidates.grad)
        assert int(layer.population.updates) == 3
        gradients_and_state.append(
            [*gradients, layer.population.count, layer.population.first, layer.population.seen]
        )
    for plain, checkpointed in zip(*gradients_and_state, strict=True):
        torch.testing.assert_close(checkpointed, plain)


def test_two_checkpointed_calls_before_a_backward_are_refused():
    layer = layer_of()
    gates = [
        checkpoint(lambda x: layer(x).gate, normal(3, 4 * call, 6, seed=call).float(), use_reentrant=False)
        for call in (1, 2)
    ]
    with pytest.raises(RuntimeError, match="call it once for each backward"):
        gates[0].sum().backward()
