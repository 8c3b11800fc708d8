"""The outlier layer: what its gates say, what they ignore, and what steers them."""

import math

import pytest
import torch
from torch import nn

from support.sets import batch, each_backend, each_layer, layer_of, name, normal
from vkood.gating import OutlierLayer
from vkood.mixture import Spherical, fit_mixture, negative_log_density
from vkood.solve import Anderson, Implicit, LastIterate, Neumann, Squarem, Status, Unrolled

SCORES = ["negative_log_density", "gem", "mahalanobis"]
each_score = pytest.mark.parametrize("score", SCORES)


@each_score
@each_layer
def test_gates_are_the_sigmoid_of_the_margin(covariance, backend, score):
    layer, (facts, image) = (
        layer_of(family=covariance, backend=backend, score=score, threshold=0.5, temperature=0.3),
        batch(),
    )
    out = layer(facts, context=image)
    assert out.gate.shape == out.log_gate.shape == out.score.shape == (3, 4)
    torch.testing.assert_close(out.gate, torch.sigmoid(0.3 * (0.5 - out.score)))
    torch.testing.assert_close(out.log_gate.exp(), out.gate)
    assert out.mixture.mean.shape == (3, 2, 4)
    assert out.solution.status.shape == (3,)


@each_backend
def test_scores_are_those_of_the_mixture_fitted_to_the_context_in_the_joint_space(backend):
    layer, (facts, image) = layer_of(backend=backend), batch()
    with torch.no_grad():
        joint, tokens = layer.joint.candidates(facts, None), layer.joint.context(image, None)
        mixture, _ = fit_mixture(tokens, backend=backend, num_components=2)
        expected = negative_log_density(joint, mixture, layer.family)
        torch.testing.assert_close(layer(facts, context=image).score, expected)
    torch.testing.assert_close(tokens.norm(dim=-1), torch.full((3, 9), 2.0))


@each_layer
def test_nothing_depends_on_batch_neighbours_or_padding(covariance, backend):
    layer, (facts, image) = (
        layer_of(family=covariance, backend=backend, solver=Squarem(tolerance=1e-6, max_steps=500)),
        batch(),
    )
    out = layer(facts, context=image)
    torch.testing.assert_close(
        layer(facts[[2, 0]], context=image[[2, 0]]).gate, out.gate[[2, 0]], rtol=1e-4, atol=1e-5
    )
    padded_facts = torch.cat([torch.full((3, 2, 6), torch.nan), facts], 1)
    padded_image = torch.cat([torch.full((3, 3, 5), torch.inf), image], 1)
    masks = {
        "candidate_mask": torch.tensor([[False] * 2 + [True] * 4] * 3),
        "context_mask": torch.tensor([[False] * 3 + [True] * 9] * 3),
    }
    padded = layer(padded_facts, context=padded_image, **masks)
    torch.testing.assert_close(padded.gate[:, 2:], out.gate, rtol=1e-4, atol=1e-5)
    assert (padded.gate[:, :2] == 0).all()
    assert (padded.log_gate[:, :2] == -torch.inf).all()
    assert (padded.score[:, :2] == torch.inf).all()


@each_layer
@each_score
def test_padding_full_of_nan_gives_finite_gradients(covariance, backend, score):
    layer, (facts, image) = layer_of(family=covariance, backend=backend, score=score), batch()
    facts[:, 1], image[:, :2] = torch.nan, torch.inf
    facts.requires_grad_()
    image.requires_grad_()
    fact_mask, image_mask = (
        torch.tensor([[True, False, True, True]] * 3),
        torch.tensor([[False] * 2 + [True] * 7] * 3),
    )
    image_mask[2] = False  # a row without any context at all
    out = layer(facts, context=image, candidate_mask=fact_mask, context_mask=image_mask)
    (out.gate.sum() + out.log_gate[fact_mask].sum()).backward()
    used = [parameter.grad for key, parameter in layer.named_parameters()]
    for gradient in [*used, facts.grad, image.grad]:
        assert torch.isfinite(gradient).all()
    assert (facts.grad[:, 1] == 0).all()
    assert (image.grad[:, :2] == 0).all()
    assert (image.grad[2] == 0).all()
    assert all((gradient != 0).any() for gradient in used)


@each_backend
def test_a_context_that_is_empty_is_the_prior(backend):
    layer, (facts, _) = layer_of(backend=backend), batch()
    for context, mask in ((torch.zeros(3, 0, 5), None), (torch.zeros(3, 4, 5), torch.zeros(3, 4))):
        out = layer(facts, context=context, context_mask=mask)
        expected = torch.full(
            (3, 4), 0.5 * (math.log(2 * math.pi) + 1)
        )  # joint vectors have the length sqrt(dim)
        torch.testing.assert_close(out.score, expected, rtol=1e-5, atol=1e-5)
        assert out.solution.converged.all()


@each_backend
def test_no_candidates_and_no_rows(backend):
    layer = layer_of(backend=backend)
    assert layer(torch.zeros(2, 0, 6), context=torch.ones(2, 3, 5)).gate.shape == (2, 0)
    assert layer(torch.zeros(0, 4, 6), context=torch.ones(0, 3, 5)).gate.shape == (0, 4)


@each_backend
@pytest.mark.parametrize("rule", [LastIterate(), Neumann(), Implicit(), Unrolled()], ids=name)
def test_gradients_reach_weights_prior_and_both_projections(rule, backend):
    layer, (facts, image) = layer_of(backend=backend, gradient=rule), batch()
    options = {
        "context_mask": torch.full((3, 9), 0.7, requires_grad=True),
        "prior_mean": normal(3, 4, seed=3).float().requires_grad_(),
        "prior_strength": torch.tensor([1.0, 0.5, 3.0], requires_grad=True),
    }
    layer(facts, context=image, **options).log_gate.sum().backward()
    for tensor in [*options.values(), *layer.parameters()]:
        assert torch.isfinite(tensor.grad).all()
        assert (tensor.grad != 0).any()


@each_backend
def test_the_prior_mean_pulls_with_its_strength(backend):
    layer, (facts, image) = layer_of(backend=backend), batch()
    towards = normal(3, 4, seed=3).float()
    distances = []
    for strength in (0.1, 10.0, 1e4):
        mixture = layer(
            facts, context=image, prior_mean=towards, prior_strength=torch.full((3,), strength)
        ).mixture
        distances.append((mixture.mean - towards[:, None]).norm(dim=-1).amax(1))
    assert (distances[0] > distances[1]).all()
    assert (distances[1] > distances[2]).all()
    assert (distances[2] < 1e-2).all()
    each = layer(
        facts,
        context=image,
        prior_mean=normal(3, 2, 4, seed=4).float(),
        prior_strength=torch.full((3, 2), 1e4),
    )
    torch.testing.assert_close(each.mixture.mean, normal(3, 2, 4, seed=4).float(), rtol=0, atol=1e-2)


@each_backend
def test_weights_say_which_tokens_count(backend):
    layer, (facts, image) = layer_of(backend=backend), batch()
    whole = layer(facts, context=image, context_mask=torch.tensor([[1.0, 2.0, 0.0] * 3] * 3))
    repeated = layer(facts, context=image[:, [0, 1, 1, 3, 4, 4, 6, 7, 7]])
    torch.testing.assert_close(whole.gate, repeated.gate, rtol=1e-3, atol=1e-4)
    integers = torch.tensor([[1, 1, 0] * 3] * 3)  # as tokenizers give masks
    boolean = layer(facts, context=image, context_mask=integers.bool())
    torch.testing.assert_close(layer(facts, context=image, context_mask=integers.float()).gate, boolean.gate)


@each_backend
def test_starts_may_be_learned_queries(backend):
    layer, (facts, image) = layer_of(backend=backend, solver=Squarem(tolerance=1e-6, max_steps=500)), batch()
    queries = normal(2, 4, seed=5).float()
    out, swapped = (
        layer(facts, context=image, start=queries),
        layer(facts, context=image, start=queries.flip(0)),
    )
    torch.testing.assert_close(out.mixture.mean, swapped.mixture.mean.flip(1), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(layer(facts, context=image, start=queries.expand(3, 2, 4)).gate, out.gate)


def test_save_and_load_round_trip(tmp_path):
    layer, (facts, image) = layer_of(score="gem", gate="straight_through"), batch()
    layer.calibrate(layer(facts, context=image).score, 0.5)
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    other = layer_of(score="gem", gate="straight_through")
    for parameter in other.parameters():
        nn.init.ones_(parameter)
    other.load_state_dict(torch.load(tmp_path / "layer.pt", weights_only=True))
    torch.testing.assert_close(
        other(facts, context=image).gate, layer(facts, context=image).gate, rtol=0, atol=0
    )


@each_backend
def test_a_fit_that_runs_out_of_steps_is_reported_and_still_gates(backend):
    layer, (facts, image) = layer_of(backend=backend, solver=Anderson(tolerance=0.0, max_steps=2)), batch()
    out = layer(facts, context=image)
    assert out.solution.status.tolist() == [Status.OUT_OF_STEPS] * 3
    assert torch.isfinite(out.gate).all()


def outside(shape: tuple[int, ...], *where: int) -> torch.Tensor:
    """Features that are infinite in one place."""
    features = torch.zeros(shape)
    features[where] = torch.inf
    return features


@each_layer
def test_no_rows_at_all(covariance, backend):
    facts, image = batch()
    layer = layer_of(family=covariance, backend=backend)
    assert layer(facts[:0], image[:0]).gate.shape == (0, facts.shape[1])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"candidates": torch.zeros(4, 6)},
            r"`candidates` must be \(batch, items, 6\); got \(4, 6\). Add an axis",
        ),
        ({"candidates": torch.zeros(3, 4, 5)}, r"`candidates` must be \(batch, items, 6\); got \(3, 4, 5\)"),
        ({"candidates": outside((3, 4, 6), 1, 2, 0)}, "`candidates` .* row 1, item 2.*`candidate_mask`"),
        ({"context": torch.zeros(3, 9, 4)}, r"`context` must be \(batch, items, 5\); got \(3, 9, 4\)"),
        ({"context": torch.zeros(2, 9, 5)}, r"`context` must have the batch size .* 3; got \(2, 9, 5\)"),
        ({"context": outside((3, 9, 5), 2, 4, 3)}, "`context` .* row 2, item 4.*`context_mask`"),
        ({"candidate_mask": torch.ones(3, 5).bool()}, r"`candidate_mask` must be .*\(3, 4\)"),
        ({"candidate_mask": torch.ones(3, 4)}, "`candidate_mask` must be boolean"),
        ({"context_mask": torch.ones(3, 8)}, r"`context_mask` must be .*\(3, 9\)"),
        ({"context_mask": -torch.ones(3, 9)}, "`context_mask` must hold finite weights of at least 0"),
        ({"context_mask": torch.full((3, 9), torch.inf)}, "`context_mask` .* infinite"),
        ({"context_mask": torch.ones(3, 9, dtype=torch.cfloat)}, "`context_mask` must hold real numbers"),
        ({"candidates": torch.ones(3, 4, 6, dtype=torch.cfloat)}, "`candidates` must be real numbers"),
        ({"context_mask": torch.full((3, 9), torch.nan)}, "`context_mask` .* NaN"),
        ({"prior_mean": torch.zeros(3, 5)}, r"`prior_mean` .*\(3, 4\) or \(3, 2, 4\)"),
        ({"prior_strength": torch.zeros(3)}, "`prior_strength` must be positive"),
        ({"prior_strength": torch.ones(4)}, r"`prior_strength` .*\(3,\) or \(3, 2\)"),
        ({"start": torch.zeros(3, 4)}, r"`start` .*\(2, 4\) or \(3, 2, 4\)"),
    ],
)
def test_errors_name_the_argument(changed, words):
    facts, image = batch()
    with pytest.raises(ValueError, match=words):
        layer_of()(**{"candidates": facts, "context": image, **changed})


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: layer_of(score="density"), "`score` must be one of negative_log_density, gem, mahalanobis"),
        (lambda: layer_of(gate="open"), "`gate` must be one of soft, hard, straight_through"),
        (lambda: layer_of(num_components=0), "`num_components`"),
        (lambda: layer_of(temperature=0.0), "`temperature`"),
        (lambda: OutlierLayer(6, 5, 0), "`joint_dim`"),
        (lambda: OutlierLayer(0, 5), "`candidate_dim`"),
        (
            lambda: OutlierLayer(6, None)(*batch()),
            "`context` was given to a layer made with `context_dim=None`",
        ),
    ],
)
def test_errors_name_the_option(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("which", ["candidate", "context"])
def test_a_projection_that_is_not_finite_is_told_from_features_that_are_not(which):
    layer, (facts, image) = layer_of(), batch()
    projection = getattr(layer.joint, f"{which}_projection")
    with torch.no_grad():
        projection.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match=f"`{which}s?` is finite, but its projection .* is not"):
        layer(facts, context=image)


# -- joint spaces ----------------------------------------------------------------------------------


def test_a_layer_on_vectors_of_one_encoder_needs_no_training():
    """Facts near the context's topic score lower than others, with every projection that both share."""
    torch.manual_seed(0)
    topic, other = torch.randn(1, 1, 32), torch.randn(1, 1, 32)
    context = topic + 0.5 * torch.randn(1, 12, 32)
    facts = torch.cat([topic + 0.5 * torch.randn(1, 4, 32), other + 0.5 * torch.randn(1, 4, 32)], 1)
    for joint in ("identity", "shared"):
        layer = OutlierLayer(32, 32, joint=joint)
        score = layer(facts, context=context).score[0]
        assert score[:4].max() < score[4:].min()
    untouched = OutlierLayer(32, 32, joint="identity")
    assert {key for key, _ in untouched.named_parameters()} == {
        "log_kappa",
        "gate.threshold",
        "gate.log_temperature",
    }
    assert untouched(facts, context=context).mixture.mean.shape == (1, 1, 32)


def test_a_shared_projection_is_one_module():
    layer = OutlierLayer(6, 6, 4, joint="shared")
    assert sum(parameter.numel() for parameter in layer.joint.parameters()) == 4 * 6 + 4
    with pytest.raises(RuntimeError, match="context_projection"):
        layer.load_state_dict(OutlierLayer(6, 6, 4).state_dict())
    facts = batch()[0]
    torch.testing.assert_close(layer.joint.candidates(facts, None), layer.joint.context(facts, None))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (
            (6, 5),
            {"joint": "shared"},
            "`context_dim` must be `candidate_dim`, 6, where `joint` is 'shared'; got 5",
        ),
        ((6, 6, 4), {"joint": "identity"}, "`joint_dim` must be None or `candidate_dim`, 6"),
        ((6, 6), {"joint": "both"}, "`joint` must be one of separate, shared, identity"),
        ((6, 6), {"family": Spherical(kappa=torch.ones(1))}, "the family's kappa"),
    ],
)
def test_joint_spaces_that_cannot_be_are_refused(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        OutlierLayer(*arguments, **options)


def test_the_concentration_is_learnt_and_saved():
    layer, (facts, image) = layer_of(family=Spherical(kappa=7.0), num_components=1), batch()
    layer(facts, context=image).log_gate.sum().backward()
    assert layer.log_kappa.grad.abs() > 0
    assert math.isclose(float(layer.family.kappa.detach()), 7.0, rel_tol=1e-6)
    other = layer_of(family=Spherical(kappa=3.0), num_components=1)
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other(facts, context=image).score, layer(facts, context=image).score)


@pytest.mark.parametrize("log_kappa", [-1e30, -50.0, 50.0, 1e30])
def test_a_concentration_that_is_learnt_stays_within_its_range(log_kappa):
    layer, (facts, image) = layer_of(family=Spherical(kappa=7.0, background=0.1), num_components=2), batch()
    with torch.no_grad():
        layer.log_kappa.fill_(log_kappa)
    out = layer(facts, context=image)
    out.log_gate.sum().backward()
    assert 1e-3 <= float(layer.family.kappa.detach()) <= 1000.0
    assert torch.isfinite(out.score).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in layer.parameters())


@pytest.mark.parametrize("kappa", [0.001, 50.0, 1000.0])
def test_a_concentration_at_an_end_of_its_range_learns_too(kappa):
    layer, (facts, image) = layer_of(family=Spherical(kappa=kappa), num_components=1), batch()
    layer(facts, context=image).score.sum().backward()
    assert layer.log_kappa.grad.abs() > 0
