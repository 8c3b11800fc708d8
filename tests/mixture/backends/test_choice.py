"""Which back end computes, how it is forced, and that all of them agree."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import torch

from support.sets import NEEDS_NUMBA, NEEDS_TRITON, batch, clusters, each_backend, layer_of, normal, numbers
from vkood.mixture import BackendName, Diagonal, Full, Spherical, backends, choose_backend, fit_mixture
from vkood.solve import Anderson, Implicit, LastIterate, Neumann, Picard, Solver, Squarem

TOKENS = torch.zeros(1, 4, 3)


@pytest.fixture
def without_numba(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where the extra is not installed."""
    monkeypatch.setitem(sys.modules, "numba", None)
    for name in ("numba_backend", "numba_em", "numba_density"):
        monkeypatch.delitem(sys.modules, f"vkood.mixture.backends.{name}", raising=False)
        monkeypatch.delattr(f"vkood.mixture.backends.{name}", raising=False)
    backends._numba_backend.cache_clear()
    yield
    backends._numba_backend.cache_clear()


@NEEDS_NUMBA
def test_numba_takes_what_it_can():
    assert choose_backend(TOKENS).name == "numba"
    assert choose_backend(TOKENS, Full()).name == "torch"
    assert choose_backend(TOKENS.to("meta")).name == "torch"


@each_backend
def test_a_backend_can_be_forced(backend: BackendName):
    assert choose_backend(TOKENS, Diagonal(), backend).name == backend


@each_backend
def test_outputs_say_which_was_used(backend: BackendName):
    assert fit_mixture(TOKENS, backend=backend)[1].backend == backend
    facts, image = batch()
    output = layer_of(backend=backend)(facts, context=image)
    assert output.backend == output.solution.backend == backend
    chosen = fit_mixture(TOKENS)[1].backend
    assert chosen == choose_backend(TOKENS).name


@pytest.mark.usefixtures("without_numba")
def test_without_numba_torch_computes():
    assert choose_backend(TOKENS).name == "torch"
    with pytest.raises(ImportError, match=r'`backend` "numba" needs Numba, of the extra `fast`.*\[fast\]'):
        fit_mixture(TOKENS, backend="numba")


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r'"numba" fits the family `Diagonal` only; got `Full`'):
        fit_mixture(TOKENS, family=Full(), backend="numba")
    with pytest.raises(ValueError, match='"numba" takes tensors on the CPU only; got one on meta'):
        choose_backend(TOKENS.to("meta"), Diagonal(), "numba")
    with pytest.raises(ValueError, match="`backend` must be one of torch, numba, triton"):
        fit_mixture(TOKENS, backend="cuda")
    with pytest.raises(ValueError, match="`backend` must be one of torch, numba, triton"):
        layer_of(backend="jax")


@pytest.fixture
def without_triton(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where the extra is not installed."""
    monkeypatch.setitem(sys.modules, "vkood.mixture.backends.triton_backend", None)
    backends._triton_backend.cache_clear()
    yield
    backends._triton_backend.cache_clear()


@NEEDS_TRITON
def test_triton_takes_what_it_can():
    for family in (None, Diagonal(), Spherical()):
        assert choose_backend(TOKENS, family, "triton").name == "triton"
        assert choose_backend(TOKENS.to("meta"), family, "triton").name == "triton"
    assert choose_backend(TOKENS, Spherical()).name == "torch"
    assert fit_mixture(TOKENS, family=Spherical(), backend="triton")[1].backend == "triton"


@pytest.mark.usefixtures("without_triton")
def test_without_triton_torch_computes():
    with pytest.raises(ImportError, match=r'`backend` "triton" needs Triton, of the extra `gpu`.*\[gpu\]'):
        fit_mixture(TOKENS, backend="triton")


@NEEDS_TRITON
@pytest.mark.usefixtures("unchecked")
def test_what_triton_cannot_do_is_refused(monkeypatch: pytest.MonkeyPatch):
    from vkood.mixture.backends import triton_backend

    with pytest.raises(ValueError, match='"triton" fits `Diagonal` and `Spherical` only; got `Full`'):
        fit_mixture(TOKENS, family=Full(), backend="triton")
    with pytest.raises(ValueError, match='"triton" computes in single precision; got float64'):
        fit_mixture(TOKENS.double(), backend="triton")
    monkeypatch.setattr(triton_backend, "INTERPRETED", False)
    with pytest.raises(ValueError, match=r'"triton" takes tensors on a GPU; .*TRITON_INTERPRET=1'):
        fit_mixture(TOKENS, backend="triton")


def fitted(backend: BackendName, dtype: torch.dtype, solver: Solver, rule: object) -> list[torch.Tensor]:
    """Parameters, steps and gradients of a fit of overlapping sets, some of whose tokens do not count."""
    tokens = clusters(apart=2.0, dim=4).to(dtype).requires_grad_()
    weights = (normal(3, 30, seed=4).clamp_min(0) > 0.1).to(dtype).requires_grad_()
    mixture, solution = fit_mixture(
        tokens, weights, num_components=3, solver=solver, gradient=rule, backend=backend
    )
    value = sum(part.square().sum() for part in numbers(mixture))
    steps = [solution.steps] if dtype == torch.float64 else []  # which rounding decides in single precision
    return [*numbers(mixture), *steps, *torch.autograd.grad(value, [tokens, weights])]


@NEEDS_NUMBA
@pytest.mark.parametrize(("dtype", "loose"), [(torch.float32, 1e-3), (torch.float64, 1e-10)])
@pytest.mark.parametrize("solver", [Squarem, Picard, Anderson])
@pytest.mark.parametrize("rule", [LastIterate(), Neumann(3), Implicit(1e-6)], ids=repr)
def test_fits_and_gradients_agree(dtype, loose, solver, rule):
    options = {"tolerance": 1e-5, "max_steps": 200}
    numba, in_torch = (fitted(name, dtype, solver(**options), rule) for name in ("numba", "torch"))
    for actual, expected in zip(numba, in_torch, strict=True):
        torch.testing.assert_close(actual, expected, rtol=loose, atol=loose)


@NEEDS_NUMBA
@pytest.mark.parametrize(("dtype", "loose"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_one_step_and_densities_agree_to_rounding(dtype, loose):
    tokens, results = clusters(dim=4).to(dtype), []
    for name in ("numba", "torch"):
        chosen = choose_backend(tokens, backend=name)
        mixture, _ = fit_mixture(tokens, backend=name, solver=Picard(tolerance=0.0, max_steps=2))
        results.append([*numbers(mixture), chosen.score(tokens, mixture, Diagonal())])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=10 * loose, atol=loose)


@NEEDS_NUMBA
def test_layers_agree():
    results = []
    for name in ("numba", "torch"):
        layer, (facts, image) = layer_of(backend=name), batch()
        mask = torch.tensor([[True] * 4, [True] * 2 + [False] * 2, [False] * 4])
        out = layer(facts, context=image, candidate_mask=mask)
        gradients = torch.autograd.grad(out.gate.square().sum(), list(layer.joint.parameters()))
        results.append([out.score, out.gate, *gradients])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
