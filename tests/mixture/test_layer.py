"""The outlier layer: what its gates say, what they ignore, and what trains it."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sets import FAMILIES, name, normal
from torch import nn

from ranks import in_a_new_process
from vkood.mixture import KernelGate, OutlierLayer, Prior, fit_mixture, negative_log_density
from vkood.mixture.gate import Gate
from vkood.solve import Anderson, Implicit, LastIterate, Neumann, Squarem, Status, Unrolled

SCORES = ["negative_log_density", "gem", "mahalanobis"]
each_family = pytest.mark.parametrize("covariance", FAMILIES, ids=name)
each_score = pytest.mark.parametrize("score", SCORES)


def layer_of(**options) -> OutlierLayer:
    torch.manual_seed(1)
    return OutlierLayer(6, 5, 4, **options)


def batch(candidates: int = 4, tokens: int = 9, rows: int = 3):
    return normal(rows, candidates, 6, seed=1).float(), normal(rows, tokens, 5, seed=2).float()


@each_score
@each_family
def test_gates_are_the_sigmoid_of_the_margin(covariance, score):
    layer, (facts, image) = (
        layer_of(covariance=covariance, score=score, threshold=0.5, temperature=0.3),
        batch(),
    )
    out = layer(facts, context=image)
    assert out.gate.shape == out.log_gate.shape == out.score.shape == (3, 4)
    torch.testing.assert_close(out.gate, torch.sigmoid(0.3 * (0.5 - out.score)))
    torch.testing.assert_close(out.log_gate.exp(), out.gate)
    assert out.mixture.mean.shape == (3, 2, 4)
    assert out.solution.status.shape == (3,)


def test_scores_are_those_of_the_mixture_fitted_to_the_context_in_the_joint_space():
    layer, (facts, image) = layer_of(), batch()
    with torch.no_grad():
        joint, tokens = layer.joint.candidates(facts, None), layer.joint.context(image, None)
        mixture, _ = fit_mixture(tokens, num_components=2)
        expected = negative_log_density(joint, mixture, layer.covariance)
        torch.testing.assert_close(layer(facts, context=image).score, expected)
    torch.testing.assert_close(tokens.norm(dim=-1), torch.full((3, 9), 2.0))


@each_family
def test_nothing_depends_on_batch_neighbours_or_padding(covariance):
    layer, (facts, image) = (
        layer_of(covariance=covariance, solver=Squarem(tolerance=1e-6, max_steps=500)),
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


@each_family
@each_score
def test_padding_full_of_nan_gives_finite_gradients(covariance, score):
    layer, (facts, image) = layer_of(covariance=covariance, score=score), batch()
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


def test_a_context_that_is_empty_is_the_prior():
    layer, (facts, _) = layer_of(), batch()
    for context, mask in ((torch.zeros(3, 0, 5), None), (torch.zeros(3, 4, 5), torch.zeros(3, 4))):
        out = layer(facts, context=context, context_mask=mask)
        expected = torch.full(
            (3, 4), 0.5 * (math.log(2 * math.pi) + 1)
        )  # joint vectors have the length sqrt(dim)
        torch.testing.assert_close(out.score, expected, rtol=1e-5, atol=1e-5)
        assert out.solution.converged.all()


def test_no_candidates_and_no_rows():
    layer = layer_of()
    assert layer(torch.zeros(2, 0, 6), context=torch.ones(2, 3, 5)).gate.shape == (2, 0)
    assert layer(torch.zeros(0, 4, 6), context=torch.ones(0, 3, 5)).gate.shape == (0, 4)


# -- steering --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [LastIterate(), Neumann(), Implicit(), Unrolled()], ids=name)
def test_gradients_reach_weights_prior_and_both_projections(rule):
    layer, (facts, image) = layer_of(gradient=rule), batch()
    given = {
        "context_mask": torch.full((3, 9), 0.7, requires_grad=True),
        "prior_mean": normal(3, 4, seed=3).float().requires_grad_(),
        "prior_strength": torch.tensor([1.0, 0.5, 3.0], requires_grad=True),
    }
    layer(facts, context=image, **given).log_gate.sum().backward()
    for tensor in [*given.values(), *layer.parameters()]:
        assert torch.isfinite(tensor.grad).all()
        assert (tensor.grad != 0).any()


def test_the_prior_mean_pulls_with_its_strength():
    layer, (facts, image) = layer_of(), batch()
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


def test_weights_say_which_tokens_count():
    layer, (facts, image) = layer_of(), batch()
    whole = layer(facts, context=image, context_mask=torch.tensor([[1.0, 2.0, 0.0] * 3] * 3))
    repeated = layer(facts, context=image[:, [0, 1, 1, 3, 4, 4, 6, 7, 7]])
    torch.testing.assert_close(whole.gate, repeated.gate, rtol=1e-3, atol=1e-4)
    integers = torch.tensor([[1, 1, 0] * 3] * 3)  # as tokenizers give masks
    boolean = layer(facts, context=image, context_mask=integers.bool())
    torch.testing.assert_close(layer(facts, context=image, context_mask=integers.float()).gate, boolean.gate)


def test_starts_may_be_learned_queries():
    layer, (facts, image) = layer_of(solver=Squarem(tolerance=1e-6, max_steps=500)), batch()
    queries = normal(2, 4, seed=5).float()
    out, swapped = (
        layer(facts, context=image, start=queries),
        layer(facts, context=image, start=queries.flip(0)),
    )
    torch.testing.assert_close(out.mixture.mean, swapped.mixture.mean.flip(1), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(layer(facts, context=image, start=queries.expand(3, 2, 4)).gate, out.gate)


# -- gates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["hard", "straight_through"])
def test_hard_gates_are_0_or_1_and_masked_ones_0(mode):
    soft, layer, (facts, image) = layer_of(), layer_of(gate=mode), batch(candidates=12)
    middle = float(soft(facts, context=image).score.detach().median())
    soft.gate.threshold.data.fill_(middle)
    layer.gate.threshold.data.fill_(middle)
    mask = torch.ones(3, 12, dtype=torch.bool)
    mask[:, ::3] = False
    smooth, out = (each(facts, context=image, candidate_mask=mask) for each in (soft, layer))
    assert set(out.gate.flatten().tolist()) == {0.0, 1.0}
    assert torch.equal(out.gate == 1, smooth.gate >= 0.5)
    assert torch.equal(out.log_gate, out.gate.log())
    assert (out.gate[~mask] == 0).all()
    if mode == "hard":
        assert not out.gate.requires_grad and not out.log_gate.requires_grad
        return
    weights = normal(3, 12, seed=6).float()
    expected = torch.autograd.grad((weights * smooth.gate).sum(), list(soft.parameters()), retain_graph=True)
    for left, right in zip(
        torch.autograd.grad((weights * out.gate).sum(), list(layer.parameters()), retain_graph=True),
        expected,
        strict=True,
    ):
        torch.testing.assert_close(left, right)
    opened = out.gate == 1
    expected = torch.autograd.grad((weights * smooth.log_gate)[opened].sum(), list(soft.parameters()))
    for left, right in zip(
        torch.autograd.grad((weights * out.log_gate)[opened].sum(), list(layer.parameters())),
        expected,
        strict=True,
    ):
        torch.testing.assert_close(left, right)


def test_adding_the_log_gate_to_attention_makes_closed_gates_absent():
    gate = Gate(threshold=0.0, temperature=1.0, mode="hard")
    log_gate, _ = gate(torch.tensor([[-1.0, 3.0, -0.5]]))
    logits, values = normal(1, 3).float(), normal(1, 3, 2).float()
    with_gate = torch.softmax(logits + log_gate, -1) @ values
    without = torch.softmax(logits[:, [0, 2]], -1) @ values[:, [0, 2]]
    torch.testing.assert_close(with_gate, without)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    scores=st.lists(st.floats(-1e6, 1e6, width=32) | st.just(torch.inf), min_size=1, max_size=60),
    keep_rate=st.floats(0.01, 1.0),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_calibration_keeps_exactly_the_rate(scores, keep_rate, dtype):
    given_ = torch.tensor(scores, dtype=dtype)
    given_ = given_ + (0.1 if dtype == torch.float64 else 0.0)  # not representable in single precision
    finite = torch.isfinite(given_)
    gate = Gate(threshold=0.0, temperature=1.0, mode="hard")
    if not bool(finite.any()):
        with pytest.raises(ValueError, match="`scores` must hold at least one finite score"):
            gate.calibrate(given_, keep_rate)
        return
    gate.calibrate(given_, keep_rate)
    kept = gate(given_[None])[1][0].bool() & finite
    needed = max(1, math.ceil(keep_rate * int(finite.sum()) - 1e-9))
    assert int(kept.sum()) >= needed
    strictly = int((given_[finite] < given_[kept].max()).sum())
    assert strictly < needed  # no more than ties make unavoidable


@pytest.mark.parametrize(
    "make", [layer_of, lambda: KernelGate(6, 5, 4)], ids=["outlier layer", "kernel gate"]
)
def test_a_calibrated_layer_keeps_the_rate_of_what_it_was_calibrated_on(make):
    layer, (facts, image) = make(), batch(candidates=20, rows=10)
    mask = torch.ones(10, 20, dtype=torch.bool)
    mask[:, 15:] = False
    layer.calibrate(layer(facts, context=image, candidate_mask=mask).score, keep_rate=0.9)
    gate = layer(facts, context=image, candidate_mask=mask).gate
    assert int((gate >= 0.5).sum()) == 135
    layer.calibrate(layer(facts, context=image, candidate_mask=mask).score)  # 0.95 by default
    assert int((layer(facts, context=image, candidate_mask=mask).gate >= 0.5).sum()) == 143


@each_score
@pytest.mark.parametrize("dim", [8, 64])
def test_gates_start_open_without_being_stuck(score, dim):
    """On features without structure, by the default threshold and temperature."""
    torch.manual_seed(0)
    layer = OutlierLayer(dim, dim, dim, score=score)
    gate = layer(torch.randn(8, 20, dim), context=torch.randn(8, 20, dim)).gate
    assert gate.mean() > 0.3
    assert ((gate > 0.01) & (gate < 0.999)).all()


# -- training --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [LastIterate(), Implicit()], ids=name)
def test_it_learns_to_tell_facts_that_belong(rule):
    """Candidates that lie among the context tokens belong; random ones do not."""
    torch.manual_seed(0)
    layer = OutlierLayer(8, 8, 8, gradient=rule)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.02)
    generator = torch.Generator().manual_seed(0)

    def sets():
        topic = torch.randn(32, 1, 8, generator=generator)
        image = topic + 0.3 * torch.randn(32, 12, 8, generator=generator)
        facts = torch.cat(
            [
                topic + 0.3 * torch.randn(32, 3, 8, generator=generator),
                torch.randn(32, 3, 8, generator=generator),
            ],
            1,
        )
        return facts @ mixing, image, torch.tensor([1.0] * 3 + [0.0] * 3).expand(32, 6)

    mixing = torch.randn(8, 8, generator=generator)  # so that the projections have something to learn
    for _ in range(80):
        facts, image, belongs = sets()
        gate = layer(facts, context=image).gate
        loss = nn.functional.binary_cross_entropy(gate, belongs)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    facts, image, belongs = sets()
    right = ((layer(facts, context=image).gate > 0.5) == belongs.bool()).float().mean()
    assert right > 0.85


@each_family
def test_under_autocast_the_fit_and_the_gates_are_in_single_precision(covariance):
    layer, (facts, image) = layer_of(covariance=covariance), batch()
    plain = layer(facts, context=image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(facts, context=image)
        half = layer(facts.bfloat16(), context=image.bfloat16())
    for each in (out, half):
        assert each.gate.dtype == each.score.dtype == each.mixture.mean.dtype == torch.float32
        torch.testing.assert_close(each.gate, plain.gate, rtol=0.1, atol=0.05)
    out.gate.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in layer.parameters())


def test_a_layer_in_half_precision_keeps_its_fit_in_single():
    layer, (facts, image) = layer_of().bfloat16(), batch()
    out = layer(facts.bfloat16(), context=image.bfloat16())
    assert out.gate.dtype == out.mixture.mean.dtype == torch.float32
    assert torch.isfinite(out.gate).all()


class Surrounding(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.before, self.layer, self.after = nn.Linear(6, 6), layer, nn.Linear(1, 2)

    def forward(self, facts, image, **masks):
        gate = self.layer(self.before(facts), context=image, **masks).gate
        return self.after(gate.sum(1, keepdim=True))


def graph_breaks() -> dict[str, list[str]]:
    """Where Dynamo breaks the graphs of modules around our layers; they must still compute the same."""
    facts, image = batch()
    masks = {"candidate_mask": torch.ones(3, 4, dtype=torch.bool), "context_mask": torch.rand(3, 9)}
    trained = layer_of()
    trained(facts)
    found = {}
    for key, layer, context, extra in (
        ("fit", layer_of(), image, {}),
        ("fit with masks", layer_of(), image, masks),
        ("population in training", layer_of(), None, {}),
        ("trained population", trained.eval(), None, {}),
        ("kernel", KernelGate(6, 5, 4), image, masks),
    ):
        net = Surrounding(layer)
        with torch._dynamo.config.patch(nested_graph_breaks=True):  # else every frame above breaks with it
            torch.compiler.reset()
            explained = torch._dynamo.explain(net)(facts, context, **extra)
        found[key] = [reason.reason for reason in explained.break_reasons]
        net.eval()
        torch.compiler.reset()
        compiled = torch.compile(net, backend="eager")
        torch.testing.assert_close(compiled(facts, context, **extra), net(facts, context, **extra))
    return found


def test_a_compiled_module_breaks_its_graph_at_the_solve_alone():
    breaks = in_a_new_process(graph_breaks)
    for key, function in (
        ("fit", "fixed_point"),
        ("fit with masks", "fixed_point"),
        ("population in training", "update"),
    ):
        assert len(breaks[key]) == 1
        assert function in breaks[key][0]
    assert breaks["trained population"] == breaks["kernel"] == []


def test_save_and_load_round_trip(tmp_path):
    layer, (facts, image) = layer_of(score="gem", gate="straight_through"), batch()
    layer.calibrate(layer(facts, context=image).score, 0.5)
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    torch.manual_seed(99)
    other = OutlierLayer(6, 5, 4, score="gem", gate="straight_through")
    other.load_state_dict(torch.load(tmp_path / "layer.pt", weights_only=True))
    torch.testing.assert_close(
        other(facts, context=image).gate, layer(facts, context=image).gate, rtol=0, atol=0
    )


def test_a_fit_that_runs_out_of_steps_is_reported_and_still_gates():
    layer, (facts, image) = layer_of(solver=Anderson(tolerance=0.0, max_steps=2)), batch()
    out = layer(facts, context=image)
    assert out.solution.status.tolist() == [Status.OUT_OF_STEPS] * 3
    assert torch.isfinite(out.gate).all()


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument():
    layer, (facts, image) = layer_of(), batch()
    nan_facts, nan_image = facts.clone(), image.clone()
    nan_facts[1, 2, 0], nan_image[2, 4, 3] = torch.nan, torch.inf
    for call, words in (
        (
            lambda: layer(facts[0], context=image),
            r"`candidates` must be \(batch, items, 6\); got \(4, 6\). Add an axis",
        ),
        (
            lambda: layer(facts[..., :5], context=image),
            r"`candidates` must be \(batch, items, 6\); got \(3, 4, 5\)",
        ),
        (
            lambda: layer(facts, context=image[..., :4]),
            r"`context` must be \(batch, items, 5\); got \(3, 9, 4\)",
        ),
        (
            lambda: layer(facts, context=image[:2]),
            r"`context` must have the batch size of `candidates`, 3; got \(2, 9, 5\)",
        ),
        (
            lambda: layer(nan_facts, context=image),
            "`candidates` must be finite .* row 1, item 2.*`candidate_mask`",
        ),
        (
            lambda: layer(facts, context=nan_image),
            "`context` must be finite .* row 2, item 4.*`context_mask`",
        ),
        (
            lambda: layer(facts, context=image, candidate_mask=torch.ones(3, 5).bool()),
            r"`candidate_mask` must be .*\(3, 4\)",
        ),
        (
            lambda: layer(facts, context=image, candidate_mask=torch.ones(3, 4)),
            "`candidate_mask` must be boolean",
        ),
        (
            lambda: layer(facts, context=image, context_mask=torch.ones(3, 8)),
            r"`context_mask` must be .*\(3, 9\)",
        ),
        (
            lambda: layer(facts, context=image, context_mask=-torch.ones(3, 9)),
            "`context_mask` must hold weights of at",
        ),
        (
            lambda: layer(facts, context=image, context_mask=torch.full((3, 9), torch.nan)),
            "`context_mask` .* NaN",
        ),
        (
            lambda: layer(facts, context=image, prior_mean=torch.zeros(3, 5)),
            r"`prior_mean` .*\(3, 4\) or \(3, 2, 4\)",
        ),
        (
            lambda: layer(facts, context=image, prior_strength=torch.zeros(3)),
            "`prior_strength` must be positive",
        ),
        (
            lambda: layer(facts, context=image, prior_strength=torch.ones(4)),
            r"`prior_strength` .*\(3,\) or \(3, 2\)",
        ),
        (lambda: layer(facts, context=image, start=torch.zeros(3, 4)), r"`start` .*\(2, 4\) or \(3, 2, 4\)"),
        (lambda: layer_of(score="density"), "`score` must be one of negative_log_density, gem, mahalanobis"),
        (lambda: layer_of(gate="open"), "`gate` must be one of soft, hard, straight_through"),
        (lambda: layer_of(num_components=0), "`num_components`"),
        (lambda: layer_of(temperature=0.0), "`temperature`"),
        (lambda: OutlierLayer(6, 5, 0), "`joint_dim`"),
        (lambda: OutlierLayer(0, 5), "`candidate_dim`"),
        (
            lambda: OutlierLayer(6, None)(facts, context=image),
            "`context` was given to a layer made with `context_dim=None`",
        ),
        (lambda: layer.calibrate(torch.zeros(0)), "`scores` must hold at least one finite score"),
        (lambda: layer.calibrate(torch.full((3,), torch.nan)), "`scores` must be numbers"),
        (lambda: layer.calibrate(torch.zeros(3), keep_rate=0.0), "`keep_rate`"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_options_are_kept_apart():
    """Two layers do not share a prior that was changed in one of them."""
    prior = Prior(variance=0.3)
    assert dataclasses.replace(prior, variance=0.5) != prior
    assert layer_of(prior=prior).prior.variance == 0.3
    assert layer_of().prior.variance == 1.0
