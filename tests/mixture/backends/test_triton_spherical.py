"""Triton's kernels for spherical mixtures, interpreted on the CPU, against torch: values and gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from support.sets import normal
from vkood.mixture import Prior, Spherical, fit_mixture
from vkood.solve import Picard, Status

pytest.importorskip("triton", reason="the extra `gpu` is not installed")
from vkood.mixture.backends.triton_backend import TritonBackend
from vkood.mixture.params import Mixture

STEPS = Picard(tolerance=1e-5, max_steps=6)


@dataclass(frozen=True)
class Case:
    """Sizes and options of a batch of sets; what they hold is random but for `masked` tokens, of weight 0."""

    tokens: int = 9
    candidates: int = 5
    dim: int = 5
    components: int = 3
    sets: int = 2
    background: float = 0.0
    prior_means: int = 0
    weighted: bool = True

    def leaves(self, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Everything that gradients reach."""
        weights = normal(self.sets, self.tokens, seed=2).clamp_min(0)
        tensors = {
            "tokens": 3 * normal(self.sets, self.tokens, self.dim, seed=1).to(dtype),
            "candidates": normal(self.sets, self.candidates, self.dim, seed=3).to(dtype),
            "strength": normal(self.sets, max(1, self.prior_means), seed=4).square() + 0.2,
            "kappa": torch.tensor([7.0]),
            "threshold": torch.tensor([-0.3]),
            "log_temperature": torch.tensor([0.2]),
        }
        if self.weighted:
            tensors["weights"] = weights
        if self.prior_means:
            tensors["prior_mean"] = 0.2 * normal(self.sets, self.prior_means, self.dim, seed=5)
        halves = ("tokens", "candidates")
        return {
            name: (tensor if name in halves else tensor.float()).requires_grad_()
            for name, tensor in tensors.items()
        }

    def parts(self, leaves: dict[str, Tensor]) -> tuple[Spherical, Prior, Tensor, Tensor]:
        """Family, prior, start and the candidates' mask."""
        prior = Prior(concentration=1.3, mean=leaves.get("prior_mean"), mean_strength=leaves["strength"])
        start = functional.normalize(normal(self.sets, self.components, self.dim, seed=6).float(), dim=-1)
        mask = normal(self.sets, self.candidates, seed=7) > -1
        return Spherical(kappa=leaves["kappa"], background=self.background), prior, start, mask


def by_torch(case: Case, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    """The fit and the gates, by the reference."""
    family, prior, start, mask = case.parts(leaves)
    mixture, solution = fit_mixture(
        leaves["tokens"].float(),
        leaves.get("weights"),
        num_components=case.components,
        family=family,
        prior=prior,
        start=start,
        solver=STEPS,
        backend="torch",
    )
    score = family.score(leaves["candidates"].float(), mixture)
    margin = leaves["log_temperature"].exp() * (leaves["threshold"] - score)
    return {
        "log_weight": mixture.log_weight,
        "mean": mixture.mean,
        "log_scale": mixture.log_scale,
        "log_gate": functional.logsigmoid(margin).masked_fill(~mask, -torch.inf),
        "gate": torch.sigmoid(margin).masked_fill(~mask, 0.0),
        "score": score.masked_fill(~mask, torch.inf),
        "steps": solution.steps,
    }


def by_kernels(case: Case, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same, by kernels."""
    family, prior, start, mask = case.parts(leaves)
    backend = TritonBackend()
    solution = backend.fit(
        leaves["tokens"], leaves.get("weights"), family, prior, case.components, start, STEPS
    )
    mixture = Mixture.of(solution.value)
    log_gate, gate, score = backend.gates(
        leaves["candidates"], mask, mixture, family, leaves["threshold"], leaves["log_temperature"]
    )
    log_weight, mean, log_scale = solution.value
    return {
        "log_weight": log_weight,
        "mean": mean,
        "log_scale": log_scale,
        "log_gate": log_gate,
        "gate": gate,
        "score": score,
        "steps": solution.steps,
    }


def value_of(results: dict[str, Tensor]) -> Tensor:
    """A number that depends on everything, so that its gradient shows all of them."""
    parts = [tensor[tensor.isfinite()].sin() for name, tensor in results.items() if name != "steps"]
    return torch.stack(
        [((i + 1) * part * torch.arange(1, len(part) + 1)).sum() for i, part in enumerate(parts)]
    ).sum()


def compare(case: Case, dtype: torch.dtype = torch.float32) -> None:
    leaves = case.leaves(dtype)
    results = [way(case, leaves) for way in (by_kernels, by_torch)]
    for name, expected in results[1].items():
        torch.testing.assert_close(
            results[0][name], expected, rtol=1e-5, atol=1e-5, msg=lambda text, n=name: n + text
        )
    gradients = [torch.autograd.grad(value_of(result), list(leaves.values())) for result in results]
    size = max(float(gradient.abs().max()) for gradient in gradients[1] if gradient.numel())
    for name, actual, expected in zip(leaves, *gradients, strict=True):
        assert actual.dtype == expected.dtype == leaves[name].dtype
        loose = 1e-2 if expected.dtype == torch.bfloat16 else 1e-5
        torch.testing.assert_close(
            actual, expected, rtol=loose, atol=loose * size, msg=lambda text, n=name: n + text
        )


@pytest.mark.parametrize(
    "case",
    [
        Case(components=1),
        Case(components=1, tokens=70, candidates=40, dim=64, prior_means=1, weighted=False),
        Case(components=1, background=0.2),
        Case(),
        Case(components=5, prior_means=5, tokens=40, dim=64, weighted=False),
        Case(components=17, tokens=70, candidates=40, dim=64, background=0.3, sets=1),
        Case(tokens=0, prior_means=1),
        Case(tokens=0, components=1),
        Case(tokens=1),
        Case(candidates=0),
    ],
    ids=repr,
)
def test_values_and_gradients_are_those_of_torch(case):
    compare(case)


def test_half_precision_comes_in_and_goes_out():
    compare(Case(dim=7), torch.bfloat16)


def test_batches_may_be_empty():
    results = by_kernels(Case(sets=0), Case(sets=0).leaves())
    assert results["gate"].shape == (0, 5)


def test_kappa_may_differ_from_set_to_set():
    case = Case()
    leaves = case.leaves() | {"kappa": torch.tensor([3.0, 9.0], requires_grad=True)}
    gradients = [
        torch.autograd.grad(value_of(way(case, leaves)), leaves["kappa"])[0] for way in (by_kernels, by_torch)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-4)


def changed(leaves: dict[str, Tensor], name: str, place: Any, value: float) -> dict[str, Tensor]:
    """The leaves with another value at a place of one of them."""
    tensor = leaves[name].detach().clone()
    tensor[place] = value
    return leaves | {name: tensor.requires_grad_()}


@pytest.mark.parametrize("components", [1, 3])
def test_what_does_not_count_may_hold_anything(components):
    case = Case(components=components)
    leaves = case.leaves()
    none = leaves["weights"] == 0
    assert none.any()
    *_, mask = case.parts(leaves)
    assert not mask.all()
    spoilt = changed(changed(leaves, "tokens", none, torch.nan), "candidates", ~mask, torch.inf)
    results = [by_kernels(case, some_leaves) for some_leaves in (spoilt, leaves)]
    for name, expected in results[1].items():
        assert torch.equal(results[0][name], expected)
    gradients = torch.autograd.grad(value_of(results[0]), list(spoilt.values()))
    for actual, expected in zip(
        gradients, torch.autograd.grad(value_of(results[1]), list(leaves.values())), strict=True
    ):
        assert torch.equal(actual, expected)


@pytest.mark.filterwarnings(
    "ignore:All-NaN slice:RuntimeWarning"
)  # of the interpreter, which computes by NumPy
@pytest.mark.parametrize("components", [1, 3])
def test_a_set_that_is_not_finite_is_alone(components):
    case = Case(components=components, weighted=False)
    leaves = changed(case.leaves(), "tokens", (1, 2, 0), torch.nan)
    family, prior, start, _ = case.parts(leaves)
    solution = TritonBackend().fit(leaves["tokens"], None, family, prior, components, start, STEPS)
    assert solution.status[1] == Status.NOT_FINITE
    assert solution.status[0] != Status.NOT_FINITE
    gradient = torch.autograd.grad(solution.value[1].sin().sum(), leaves["tokens"])[0]
    assert torch.equal(gradient[1], torch.zeros_like(gradient[1]))
    assert gradient[0].isfinite().all()
    assert gradient[0].any()


def test_antipodal_tokens_and_vectors_of_any_size_have_finite_gradients():
    tokens = torch.tensor([[[1e30, 0.0], [-1e30, 0.0], [0.0, 0.0], [0.0, 1e-30]]], requires_grad=True)
    solution = TritonBackend().fit(tokens, None, Spherical(), Prior(), 1, None, STEPS)
    torch.testing.assert_close(solution.value[1], torch.tensor([[[0.0, 1 / 1.01**0.5]]]))
    assert torch.autograd.grad(solution.value[1].sum(), tokens)[0].isfinite().all()


def test_the_trace_ends_where_a_set_stops():
    case = Case()
    leaves = case.leaves()
    family, prior, start, _ = case.parts(leaves)
    solver = Picard(tolerance=1e-3, max_steps=40)
    solution = TritonBackend().fit(leaves["tokens"], None, family, prior, 3, start, solver)
    for row in range(case.sets):
        steps = int(solution.steps[row])
        assert steps < 40
        assert solution.trace[row, steps - 1] == solution.residual[row]
        assert solution.residual[row] <= 1e-3
        assert (solution.trace[row, : steps - 1] > 1e-3).all()
        assert solution.trace[row, steps:].isnan().all()
