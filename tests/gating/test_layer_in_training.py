"""The layers in training: learning, mixed precision and compiled modules."""

from typing import Any

import pytest
import torch
from torch import nn

from support.ranks import in_a_new_process
from support.sets import NEEDS_NUMBA, batch, each_backend, each_layer, layer_of, name
from vkood.gating import KernelGate, OutlierLayer
from vkood.mixture import Diagonal, Prior, Spherical, fit_mixture, graph_operator
from vkood.mixture.fit import DEFAULT_SOLVER
from vkood.solve import Implicit, LastIterate, Status


@pytest.mark.parametrize(
    ("family", "backend"),
    [(Diagonal(), "torch"), pytest.param(Diagonal(), "numba", marks=NEEDS_NUMBA), (Spherical(), None)],
    ids=str,
)
@pytest.mark.parametrize("rule", [LastIterate(), Implicit()], ids=name)
def test_it_learns_to_tell_facts_that_belong(rule, family, backend):
    """Candidates that lie among the context tokens belong; random ones do not."""
    torch.manual_seed(0)
    layer = OutlierLayer(8, 8, 8, num_components=2, family=family, gradient=rule, backend=backend)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.05)
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
    for _ in range(100):
        facts, image, belongs = sets()
        gate = layer(facts, context=image).gate
        loss = nn.functional.binary_cross_entropy(gate, belongs)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    facts, image, belongs = sets()
    right = ((layer(facts, context=image).gate > 0.5) == belongs.bool()).float().mean()
    assert right > 0.85


@each_layer
def test_under_autocast_the_fit_and_the_gates_are_in_single_precision(covariance, backend):
    layer, (facts, image) = layer_of(family=covariance, backend=backend), batch()
    plain = layer(facts, context=image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(facts, context=image)
        half = layer(facts.bfloat16(), context=image.bfloat16())
    for each in (out, half):
        assert each.gate.dtype == each.score.dtype == each.mixture.mean.dtype == torch.float32
        torch.testing.assert_close(each.gate, plain.gate, rtol=0.1, atol=0.05)
    out.gate.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in layer.parameters())


@each_backend
def test_a_layer_in_half_precision_keeps_its_fit_in_single(backend):
    layer, (facts, image) = layer_of(backend=backend).bfloat16(), batch()
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
    breaks = {}
    for key, layer, context, extra in (
        ("fit", layer_of(), image, {}),
        ("fit with an implicit gradient", layer_of(gradient=Implicit()), image, {}),
        ("fit with masks", layer_of(), image, masks),
        ("population in training", layer_of(), None, {}),
        ("trained population", trained.eval(), None, {}),
        ("kernel", KernelGate(6, 5, 4), image, masks),
    ):
        net = Surrounding(layer)
        with torch._dynamo.config.patch(nested_graph_breaks=True):  # else every frame above breaks with it
            torch.compiler.reset()
            explained = torch._dynamo.explain(net)(facts, context, **extra)
        breaks[key] = [reason.reason for reason in explained.break_reasons]
        net.eval()
        torch.compiler.reset()
        compiled = torch.compile(net, backend="eager")
        torch.testing.assert_close(compiled(facts, context, **extra), net(facts, context, **extra))
    return breaks


def test_a_compiled_module_breaks_its_graph_once_if_at_all():
    breaks = in_a_new_process(graph_breaks)
    for key, function in (
        ("fit with an implicit gradient", "solve_fit"),
        ("population in training", "update"),
    ):
        assert len(breaks[key]) == 1
        assert function in breaks[key][0]
    for key in ("fit", "fit with masks", "trained population", "kernel"):
        assert breaks[key] == []


def compiled_fit() -> dict[str, Any]:
    """A compiled fit of three sets, of which the second has NaN, beside a plain one."""
    tokens, weights = torch.randn(3, 9, 4, dtype=torch.float64), torch.rand(3, 9, dtype=torch.float64)
    tokens[1, 2] = torch.nan
    strength = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    tensors: dict[str, Any] = {}
    for way, fit in (
        ("plain", fit_mixture),
        ("compiled", torch.compile(fit_mixture, fullgraph=True, backend="aot_eager")),
    ):
        leaves = [tensor.clone().requires_grad_() for tensor in (tokens, weights, strength)]
        mixture, solution = fit(leaves[0], leaves[1], prior=Prior(mean_strength=leaves[2]))
        (mixture.mean[[0, 2]].square().sum() + mixture.log_scale[[0, 2]].sum()).backward()
        tensors |= {f"{way} gradient {number}": leaf.grad for number, leaf in enumerate(leaves)}
        tensors |= {
            f"{way} {part}": getattr(solution, part) for part in ("status", "steps", "residual", "trace")
        }
        tensors |= {f"{way} mean": mixture.mean.detach(), f"{way} scale": mixture.log_scale.detach()}
    return tensors


def test_a_compiled_fit_is_the_plain_one_and_survives_nan():
    tensors = in_a_new_process(compiled_fit)
    assert tensors["compiled status"].tolist() == [Status.CONVERGED, Status.NOT_FINITE, Status.CONVERGED]
    columns = tensors["plain trace"].shape[1]
    assert tensors["compiled trace"][:, columns:].isnan().all()
    tensors["compiled trace"] = tensors["compiled trace"][:, :columns]
    for key, tensor in tensors.items():
        if key.startswith("plain"):
            torch.testing.assert_close(tensors[key.replace("plain", "compiled")], tensor, equal_nan=True)
    assert all(tensors[f"compiled gradient {number}"].isfinite().all() for number in range(3))


def other_sizes() -> list[float]:
    """How far a layer that was compiled once is from the plain one, with other sizes and under autocast."""
    layer = layer_of().eval()
    compiled_layer = torch.compile(layer, backend="eager", fullgraph=True, dynamic=True)
    apart: list[float] = []
    for rows, facts, tokens in ((3, 4, 9), (5, 7, 12), (2, 6, 5)):
        inputs = torch.randn(rows, facts, 6), torch.randn(rows, tokens, 5)
        for enabled in (False, True):
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
                score = compiled_layer(inputs[0], context=inputs[1]).score
                apart.append((score - layer(inputs[0], context=inputs[1]).score).abs().max().item())
    return apart


def test_a_compiled_layer_serves_other_sizes():
    assert max(in_a_new_process(other_sizes)) < 1e-4


def the_operator() -> None:
    """What torch itself asks of an operator: its schema, its shapes, and that it has no hidden gradient."""
    tokens, weights = torch.randn(2, 5, 3), torch.rand(2, 5)
    torch.compile(fit_mixture, backend="eager")(tokens, weights)
    (method,) = graph_operator._methods
    first = (torch.zeros(2, 2), torch.randn(2, 2, 3), torch.zeros(2, 2, 3))
    prior = Prior().of_sets(2, tokens)
    arguments = (method, 0.0, DEFAULT_SOLVER.max_steps, [tokens, weights, *prior], list(first))
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")  # others tell NaN from NaN
    torch.library.opcheck(graph_operator._solve, arguments, test_utils=checks)


def test_the_operator_is_one_that_torch_accepts():
    in_a_new_process(the_operator)


def compiled_spherical_layers() -> dict[str, Any]:
    """How far compiled layers, whose fits iterate, are from the plain ones in gates and gradients."""
    differences: dict[str, Any] = {}
    for name_, options in (
        ("components", {"num_components": 3}),
        ("background", {"family": Spherical(kappa=5.0, background=0.2)}),
    ):
        torch.manual_seed(0)
        layer, (facts, image) = OutlierLayer(6, 5, 4, **options), batch()
        compiled: Any = torch.compile(layer, backend="eager", fullgraph=True)
        results = []
        for each in (layer, compiled):
            out = each(facts, context=image)
            results.append([out.gate, *torch.autograd.grad(out.log_gate.sum(), list(layer.parameters()))])
        differences[name_] = torch.stack(
            [(left - right).abs().max() for left, right in zip(*results, strict=True)]
        ).detach()
    return differences


def test_compiled_spherical_layers_are_the_plain_ones():
    for difference in in_a_new_process(compiled_spherical_layers).values():
        assert (difference < 1e-5).all()
