"""How close each gradient of a fit is to the exact one, and what it costs.

    python -m benchmarks.gradients --threads 1 --json benchmarks/results/gradients.json

The exact gradient takes the Jacobian J of the EM map as a dense matrix and solves u = (I - J^T)^-1 g, all in
float64, at a fixed point found to 1e-12. A cosine of 1 and a norm ratio of 1 are exact.
Legend: B sets, M tokens, D dimensions, K components, n numbers in the state of a row.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from vkood.mixture import Diagonal, Mixture, Prior, em_step, farthest_tokens, fit_mixture
from vkood.solve import Gradient, Implicit, LastIterate, Neumann, Squarem, Unrolled

from ..measuring import as_read, interleaved, print_tables, setting, write_json
from ..synthetic_sets import clustered_sets
from .tables import tables

SOLVER = Squarem(tolerance=1e-12, max_steps=3000)
GRADIENTS: dict[str, Gradient] = {
    "LastIterate": LastIterate(),
    "Neumann(2)": Neumann(terms=2),
    "Neumann(5)": Neumann(terms=5),
    "Neumann(20)": Neumann(terms=20),
    "Implicit": Implicit(),
    "Unrolled": Unrolled(),
}
# Distance of the centres in noise widths, and the number of the 8 dimensions along which they differ.
DATA = {"easy": (4.0, 8), "overlapping": (1.5, 4), "hard": (1.0, 2)}


def flattened(mixture: Mixture) -> Tensor:
    """(B, n): log_weight, mean, log_scale."""
    return torch.cat([mixture.log_weight, mixture.mean.flatten(1), mixture.log_scale.flatten(1)], 1)


def unflattened(state: Tensor, components: int, dim: int) -> Mixture:
    """The inverse of `flattened`."""
    log_weight, mean, log_scale = state.split([components, components * dim, components * dim], 1)
    shape = (len(state), components, dim)
    return Mixture(log_weight=log_weight, mean=mean.reshape(shape), log_scale=log_scale.reshape(shape))


def exact_gradient(
    tokens: Tensor, fixed: Tensor, cotangent: Tensor, components: int
) -> tuple[Tensor, Tensor]:
    """The gradient (B, M, D), and the largest size of an eigenvalue of J for each row (B,)."""
    gradients, radii = [], []
    for row in range(len(tokens)):
        own = tokens[row : row + 1].detach().requires_grad_()
        weights = torch.ones(own.shape[:2], dtype=own.dtype)

        def em(state: Tensor, own: Tensor = own, weights: Tensor = weights) -> Tensor:
            mixture = unflattened(state[None], components, own.shape[-1])
            return flattened(em_step(own, weights, mixture, Diagonal(), Prior()))[0]

        jacobian = torch.autograd.functional.jacobian(em, fixed[row])
        assert isinstance(jacobian, Tensor)
        system = torch.eye(len(jacobian), dtype=own.dtype) - jacobian.T
        corrected = torch.linalg.solve(system, cotangent[row])
        (gradient,) = torch.autograd.grad(em(fixed[row]), own, corrected)
        gradients.append(gradient)
        radii.append(torch.linalg.eigvals(jacobian).abs().max())
    return torch.cat(gradients), torch.stack(radii)


def compared(kind: str, shape: tuple[int, int, int, int], rounds: int) -> dict[str, object]:
    """Every gradient on one kind of data."""
    distance, informative = DATA[kind]
    components = shape[3]
    tokens = clustered_sets(shape, distance=distance, informative=informative, dtype=torch.float64)
    tokens = (tokens - tokens.mean(1, keepdim=True)).requires_grad_()
    means = farthest_tokens(tokens.detach(), torch.ones(tokens.shape[:2], dtype=tokens.dtype), components)
    generator = torch.Generator().manual_seed(1)
    cotangent = torch.randn(
        shape[0], components * (2 * shape[2] + 1), generator=generator, dtype=tokens.dtype
    )
    # Weights count up to a constant, which the fit takes out: what arrives must not depend on it.
    cotangent[:, :components] -= cotangent[:, :components].mean(1, keepdim=True)

    def fitted(gradient: Gradient) -> Tensor:
        mixture, solution = fit_mixture(
            tokens, num_components=components, start=means, solver=SOLVER, gradient=gradient
        )
        solution.require_convergence()
        return flattened(mixture)

    def passed(gradient: Gradient) -> Tensor:
        return torch.autograd.grad(fitted(gradient), tokens, cotangent)[0]

    with torch.no_grad():
        fixed = fitted(LastIterate())
    exact, radius = exact_gradient(tokens, fixed, cotangent, components)
    contestants: dict[str, Callable[[], object]] = {
        name: lambda gradient=gradient: passed(gradient) for name, gradient in GRADIENTS.items()
    }

    def solve_alone() -> None:
        with torch.no_grad():
            fitted(LastIterate())

    seconds = interleaved({"the solve alone": solve_alone, **contestants}, rounds, warm_up=1)
    numbers: dict[str, dict[str, list[float]]] = {}
    for name, gradient in GRADIENTS.items():
        measured = passed(gradient).flatten(1)
        cosine = torch.cosine_similarity(measured, exact.flatten(1))
        norms = measured.norm(dim=1) / exact.flatten(1).norm(dim=1)
        numbers[name] = {"cosine": cosine.tolist(), "norm_ratio": norms.tolist()}
    return {"shape": shape, "radius": radius.tolist(), "gradients": numbers, "seconds": seconds}


def main() -> None:
    """Run all, print the tables, write the numbers."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gradients",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="few sets and rounds")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=None, help="how often each contestant runs")
    parser.add_argument("--json", type=Path, help="file for the raw numbers")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(", ".join(f"{name} {value}" for name, value in setting().items()))
    shape = (4, 30, 8, 2) if arguments.quick else (32, 60, 8, 3)
    rounds = arguments.rounds or (2 if arguments.quick else 10)
    results = {"setting": setting(), **{kind: compared(kind, shape, rounds) for kind in DATA}}
    print_tables(tables(as_read(results)))
    write_json(arguments.json, results)


if __name__ == "__main__":
    main()
