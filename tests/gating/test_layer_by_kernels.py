"""The layer as it runs on a GPU: two operators between projections and gates, and nothing waits for the host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from support.ranks import in_a_new_process
from support.sets import NEEDS_TRITON, batch, layer_of, normal
from vkood.gating import OutlierLayer
from vkood.mixture import Diagonal, Full, Spherical
from vkood.solve import Picard, Squarem

# Operators that compute nothing: they call others, look at the same numbers in another way, or reserve memory.
FREE = {
    *(
        "linear",
        "to",
        "matmul",
        "reshape",
        "view",
        "_unsafe_view",
        "as_strided",
        "t",
        "transpose",
        "expand",
        "alias",
    ),
    *(
        "unsqueeze",
        "squeeze",
        "select",
        "slice",
        "narrow",
        "detach",
        "empty",
        "empty_like",
        "empty_strided",
        "new_empty",
    ),
    *("resolve_conj", "resolve_neg", "result_type", "lift_fresh", "set_", "where_scalar"),
}

pytestmark = NEEDS_TRITON


def spherical_layer(**options: Any) -> OutlierLayer:
    """A small layer with the default family, always with the same weights."""
    return layer_of(**({"family": Spherical(), "num_components": 1} | options))


def masks(rows: int = 3) -> dict[str, Tensor]:
    """Masks of `batch`, of which none lets everything pass."""
    return {
        "candidate_mask": torch.tensor([[True] * 4, [True] * 2 + [False] * 2, [False] * 4])[:rows],
        "context_mask": normal(rows, 9, seed=4) > -0.5,
    }


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_components": 3},
        {"num_components": 2, "family": Spherical(kappa=5.0, background=0.1)},
        {"gate": "straight_through"},
    ],
    ids=str,
)
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_the_layer_of_torch(options, masked):
    results = []
    for backend in ("triton", "torch"):
        layer, (facts, image) = (
            spherical_layer(backend=backend, solver=Picard(tolerance=1e-6, max_steps=100), **options),
            batch(),
        )
        leaves = [facts.requires_grad_(), image.requires_grad_(), *layer.parameters()]
        out = layer(facts, context=image, **(masks() if masked else {}))
        assert out.backend == backend
        value = out.gate.square().sum() + out.score[out.score.isfinite()].sin().sum()
        results.append([out.score, out.gate, out.log_gate, *torch.autograd.grad(value, leaves)])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_steering_reaches_the_fit():
    extra = {
        "prior_mean": normal(3, 4, seed=5).float(),
        "prior_strength": torch.tensor([0.5, 1.0, 2.0]),
        "context_mask": normal(3, 9, seed=6).square().float(),
    }
    results = []
    for backend in ("triton", "torch"):
        layer, (facts, image) = spherical_layer(backend=backend), batch()
        leaves = [tensor.clone().requires_grad_() for tensor in extra.values()]
        out = layer(facts, context=image, **dict(zip(extra, leaves, strict=True)))
        results.append([out.score, *torch.autograd.grad(out.gate.sum(), leaves)])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_padding_may_hold_anything():
    facts, image = batch()
    extra, gradients = masks(), []
    for padding in (0.0, torch.nan):
        layer = spherical_layer(backend="triton")
        spoilt = facts.masked_fill(~extra["candidate_mask"][..., None], padding)
        out = layer(spoilt, context=image.masked_fill(~extra["context_mask"][..., None], padding), **extra)
        gradients.append(torch.autograd.grad(out.gate.sum(), list(layer.parameters())))
    for actual, expected in zip(*gradients, strict=True):
        assert torch.equal(actual, expected)


def launched(work: Callable[[], Any]) -> Counter[str]:
    """The operators that compute something, each with all that it calls."""
    counts: Counter[str] = Counter()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        work()

    def visit(event: Any) -> None:
        room, _, operator = event.name.partition("::")
        if room == "vkood" or (room == "aten" and operator not in FREE):
            counts[event.name] += 1
        else:
            for child in event.cpu_children:
                visit(child)

    for event in profiler.events() or []:
        if event.cpu_parent is None:
            visit(event)
    return counts


@pytest.mark.parametrize("masked", [False, True])
def test_at_most_twelve_operators_are_launched_forward_and_twelve_backward(masked):
    layer, (facts, image) = spherical_layer(backend="triton"), batch()
    leaves = [facts.requires_grad_(), image.requires_grad_(), *layer.parameters()]
    extra, outputs = masks() if masked else {}, []
    forward = launched(lambda: outputs.append(layer(facts, context=image, **extra)))
    log_gate = outputs[0].log_gate
    gradient = torch.ones_like(log_gate)
    backward = launched(lambda: torch.autograd.grad(log_gate, leaves, gradient))
    assert forward["vkood::fit_spherical"] == forward["vkood::gate_spherical"] == 1
    assert backward["vkood::fit_spherical_backward"] == backward["vkood::gate_spherical_backward"] == 1
    assert backward["aten::mm"] == 4
    assert forward.total() <= 12, forward
    assert backward.total() <= 12, backward


def test_how_many_are_launched_does_not_depend_on_the_steps():
    facts, image = batch()
    start, counts, steps = normal(2, 4).float(), [], []
    for max_steps in (2, 8):
        layer = spherical_layer(
            backend="triton", num_components=2, solver=Squarem(tolerance=0.0, max_steps=max_steps)
        )
        counts.append(
            launched(
                lambda layer=layer: steps.append(layer(facts, context=image, start=start).solution.steps)
            )
        )
    assert [int(taken.max()) for taken in steps] == [2, 8]
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("backend", "family"),
    [
        *((backend, Spherical(background=share)) for backend in ("triton", "torch") for share in (0.0, 0.2)),
        *((backend, Diagonal()) for backend in ("triton", "torch")),
        ("torch", Full()),
    ],
    ids=repr,
)
@pytest.mark.parametrize("components", [1, 4])
def test_no_value_is_looked_at(backend, components, family):
    layer = OutlierLayer(6, 5, 4, components, family=family, backend=backend).to("meta")
    facts, image = (tensor.to("meta").requires_grad_() for tensor in batch())
    extra = {name: mask.to("meta") for name, mask in masks().items()}
    out = layer(facts, context=image, **extra)
    out.gate.sum().backward()
    assert out.gate.shape == (3, 4)
    assert facts.grad.shape == facts.shape


def whole_graphs() -> list[float]:
    """How far compiled layers are from plain ones, in gates and gradients."""
    apart = []
    for backend, components in (("torch", 1), ("triton", 1), ("triton", 2)):
        layer, (facts, image) = spherical_layer(backend=backend, num_components=components), batch()
        extra, gradients = masks(), []
        for run in (layer, torch.compile(layer, backend="aot_eager", fullgraph=True)):
            out = run(facts, context=image, **extra)
            gradients.append(
                [out.gate, *torch.autograd.grad(out.gate.square().sum(), list(layer.parameters()))]
            )
        apart += [
            float((actual - expected).detach().abs().max())
            for actual, expected in zip(*gradients, strict=True)
        ]
    return apart


def test_it_is_compiled_as_one_graph():
    assert max(in_a_new_process(whole_graphs)) < 1e-5
