"""How fast the fit inside the outlier layer is, beside torchdeq, scikit-learn and its own floor.

    python -m benchmarks.outlier_layer --threads 1 --json benchmarks/results/outlier_layer.json

All contestants of a table solve the same EM map on the same data from the same start, in the same process,
taking turns. Legend: B sets, M tokens, D dimensions, K components.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vkood.mixture import BackendName, Diagonal, Mixture, Prior, em_step, farthest_tokens, fit_mixture
from vkood.mixture.families.gaussian import expectation, maximization, starting_mixture
from vkood.mixture.fit import DEFAULT_SOLVER
from vkood.solve import Anderson, LastIterate, Picard, Solver, Squarem, Unrolled

from ..measuring import (
    as_read,
    interleaved,
    peak_bytes,
    print_tables,
    setting,
    write_json,
)
from ..synthetic_sets import clustered_sets
from .tables import tables
from .training_step import training_step

TOLERANCE, BUDGET = 1e-4, 300
SHAPES = ((64, 40, 64, 2), (32, 197, 64, 4))
PARTS = ("torchdeq", "scikit_learn", "floor", "memory", "training_step")
# Distance of the centres in noise widths, and the number of dimensions along which they differ.
DATA = {
    "overlapping": {(64, 40, 64, 2): (1.5, 4), (32, 197, 64, 4): (2.0, 8)},
    "easy": {(64, 40, 64, 2): (2.0, 32), (32, 197, 64, 4): (2.0, 32)},
}


@dataclass
class Problem:
    """Sets to be fitted, where from, and a gradient that arrives at the answer."""

    shape: tuple[int, int, int, int]
    tokens: Tensor
    means: Tensor
    cotangent: Tensor  # (B, K, 2D + 1): of log_weight, mean, log_scale
    steps: dict[str, str] = field(default_factory=dict)

    @classmethod
    def drawn(cls, shape: tuple[int, int, int, int], distance: float, informative: int) -> Problem:
        """Sets whose centres differ by `distance` noise widths along `informative` dimensions."""
        sets, _, dim, components = shape
        tokens = clustered_sets(shape, distance=distance, informative=informative)
        # Around their means, where `fit_mixture` works too, so that all measure the same relative residual.
        tokens = tokens - tokens.mean(1, keepdim=True)
        means = farthest_tokens(tokens, torch.ones(tokens.shape[:2]), components)
        generator = torch.Generator().manual_seed(1)
        cotangent = torch.randn(sets, components, 2 * dim + 1, generator=generator)
        return cls(shape, tokens.requires_grad_(), means, cotangent)

    def packed_start(self) -> Tensor:
        """The mixture that `fit_mixture` starts from, (B, K, 2D + 1)."""
        weights = torch.ones(self.tokens.shape[:2])
        return packed(
            starting_mixture(
                self.tokens, weights, self.means, Diagonal(), Prior().of_sets(len(weights), self.tokens)
            )
        )


def packed(mixture: Mixture) -> Tensor:
    """One tensor (B, K, 2D + 1) of log_weight, mean, log_scale."""
    return torch.cat([mixture.log_weight[..., None], mixture.mean, mixture.log_scale], -1)


def unpacked(state: Tensor) -> Mixture:
    """The inverse of `packed`."""
    dim = state.shape[-1] // 2
    return Mixture(log_weight=state[..., 0], mean=state[..., 1 : dim + 1], log_scale=state[..., dim + 1 :])


# The EM map, as a user of torchdeq would give it


def broadcast_map(tokens: Tensor) -> Callable[[Tensor], Tensor]:
    """EM by the book: distances and scatters as (B, M, K, D)."""
    prior = Prior()
    strength, floor = float(prior.mean_strength), prior.variance_strength * prior.variance

    def step(state: Tensor) -> Tensor:
        mixture = unpacked(state)
        squares = (tokens[:, :, None] - mixture.mean[:, None]).square()
        distance = (squares * torch.exp(-mixture.log_scale)[:, None]).sum(-1)
        logits = mixture.log_weight[:, None] - 0.5 * (distance + mixture.log_scale.sum(-1)[:, None])
        shares = torch.softmax(logits, -1)  # (B, M, K)
        count = shares.sum(1)
        mean = torch.bmm(shares.mT, tokens) / (count + strength)[..., None]
        scatter = (shares[..., None] * (tokens[:, :, None] - mean[:, None]).square()).sum(1)
        variance = (floor + scatter + strength * mean.square()) / (count + prior.variance_strength)[..., None]
        counted = count + prior.concentration
        log_weight = torch.log(counted / counted.sum(-1, keepdim=True))
        return packed(Mixture(log_weight=log_weight, mean=mean, log_scale=variance.log()))

    return step


def own_map(tokens: Tensor) -> Callable[[Tensor], Tensor]:
    """Our own differentiable step, as torch does it."""
    weights, prior = torch.ones(tokens.shape[:2]), Prior().of_sets(len(tokens), tokens)

    def step(state: Tensor) -> Tensor:
        statistics = expectation(tokens, weights, unpacked(state), Diagonal())
        return packed(maximization(statistics, Diagonal(), prior))

    return step


MAPS = {"our step": own_map, "broadcasting": broadcast_map}


def with_torchdeq(
    problem: Problem, name: str, solver: str, make_map: Callable[[Tensor], Callable[[Tensor], Tensor]]
) -> Callable[[], None]:
    """Forward and backward with torchdeq: its solver, one-step gradient, and relative tolerance."""
    import torchdeq  # pyright: ignore[reportMissingImports] - of the extra `bench`

    deq = torchdeq.get_deq(f_solver=solver, f_max_iter=BUDGET, f_tol=TOLERANCE, f_stop_mode="rel", grad=1)
    deq.train()

    def run() -> None:
        problem.tokens.grad = None
        fixed_points, report = deq(make_map(problem.tokens), problem.packed_start())
        (fixed_points[0] * problem.cotangent).sum().backward()
        missed = int((report["rel_lowest"] > TOLERANCE).sum())
        # It runs all rows until the last has converged: these are the steps at which the rows were best.
        problem.steps[name] = _steps(report["nstep"].float(), missed)

    return run


def with_vkood(
    problem: Problem, name: str, solver: Solver, backend: BackendName | None = None
) -> Callable[[], None]:
    """Forward and backward with `fit_mixture` and the gradient of the last iterate."""

    def run() -> None:
        problem.tokens.grad = None
        mixture, solution = fit_mixture(
            problem.tokens,
            num_components=problem.shape[3],
            start=problem.means,
            solver=solver,
            backend=backend,
        )
        (packed(mixture) * problem.cotangent).sum().backward()
        problem.steps[name] = _steps(solution.steps.float(), int((~solution.converged).sum()))

    return run


def _steps(steps: Tensor, missed: int) -> str:
    return f"{float(steps.mean()):.0f} / {int(steps.max())}" + (f" ({missed} missed)" if missed else "")


def beside_torchdeq(arguments: argparse.Namespace) -> list[dict[str, object]]:
    """Our solvers and torchdeq's, on overlapping and on easy sets."""
    records: list[dict[str, object]] = []
    for kind, settings in DATA.items():
        for shape, (distance, informative) in settings.items():
            problem = Problem.drawn(shape, distance, informative)
            options = {"tolerance": TOLERANCE, "max_steps": BUDGET}
            ours = {
                "Squarem": Squarem(**options),
                "Picard": Picard(**options),
                "Anderson": Anderson(**options),
            }
            contestants = {
                f"vkood {name}": with_vkood(problem, f"vkood {name}", solver) for name, solver in ours.items()
            }
            name = "vkood Squarem in torch"
            contestants[name] = with_vkood(problem, name, ours["Squarem"], "torch")
            solvers = (
                ("fixed_point_iter",) if arguments.quick else ("fixed_point_iter", "anderson", "broyden")
            )
            for solver in solvers:
                for map_name, make_map in MAPS.items():
                    name = f"torchdeq {solver}, {map_name}"
                    contestants[name] = with_torchdeq(problem, name, solver, make_map)
            seconds = _without_laggards(contestants, arguments.rounds)
            records.append({"shape": shape, "data": kind, "seconds": seconds, "steps": dict(problem.steps)})
    return records


def _without_laggards(contestants: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """All in turns; those ten times slower than the fastest sit out after two rounds."""
    first = interleaved(contestants, 2, warm_up=1)
    best = min(min(times) for times in first.values())
    near = {name: run for name, run in contestants.items() if min(first[name]) < 10 * best}
    return {**first, **interleaved(near, rounds)}


# Scikit-learn


def beside_scikit_learn(arguments: argparse.Namespace) -> list[dict[str, object]]:
    """Many small sets, each to convergence by its own rule, and one large set for a fixed number of steps."""
    from sklearn.mixture import GaussianMixture

    warnings.simplefilter("ignore")  # its ConvergenceWarning where a number of steps is fixed
    records: list[dict[str, object]] = []

    def contest(title: str, tokens: Tensor, components: int, steps: int | None, rounds: int) -> None:
        means = farthest_tokens(tokens, torch.ones(tokens.shape[:2]), components)
        first = starting_mixture(
            tokens, torch.ones(tokens.shape[:2]), means, Diagonal(), Prior().of_sets(len(tokens), tokens)
        )
        precisions = torch.exp(-first.log_scale)
        options: dict[str, Any] = {"max_iter": 300} if steps is None else {"max_iter": steps, "tol": 0.0}
        solver = DEFAULT_SOLVER if steps is None else Picard(tolerance=0.0, max_steps=steps)
        numbers: dict[str, str] = {}

        def theirs() -> None:
            taken = []
            for row in range(len(tokens)):
                model = GaussianMixture(
                    components,
                    covariance_type="diag",
                    means_init=means[row].numpy(),
                    weights_init=[1 / components] * components,
                    precisions_init=precisions[row].numpy(),
                    **options,
                )
                taken.append(model.fit(tokens[row].numpy()).n_iter_)
            numbers["scikit-learn"] = f"{sum(taken) / len(taken):.0f} / {max(taken)}"

        def ours(backend: BackendName | None = None) -> None:
            with torch.no_grad():
                _, solution = fit_mixture(
                    tokens, num_components=components, start=means, solver=solver, backend=backend
                )
            numbers["vkood"] = _steps(solution.steps.float(), 0)

        contestants = {"vkood": ours, "vkood in torch": lambda: ours("torch"), "scikit-learn": theirs}
        seconds = interleaved(contestants, rounds, warm_up=1)
        records.append({"title": title, "seconds": seconds, "steps": numbers})

    shape = SHAPES[0]
    many = clustered_sets(shape, distance=1.5, informative=4)
    contest(f"scikit-learn in a loop over {shape}, float32, to convergence", many, 2, None, arguments.rounds)
    shape = (1, 2_000, 384, 8) if arguments.quick else (1, 20_000, 384, 8)
    large = clustered_sets(shape, distance=1.0, informative=32)
    contest(f"One set, {shape}, float32, 10 steps of EM", large, 8, 10, max(3, arguments.rounds // 4))
    return records


# Floor, memory, training step


def above_the_floor(arguments: argparse.Namespace) -> list[dict[str, object]]:
    """The fit without gradients, against the matrix products of these row-steps alone."""
    records: list[dict[str, object]] = []
    for shape in SHAPES:
        problem = Problem.drawn(shape, *DATA["overlapping"][shape])
        tokens, components = problem.tokens.detach(), shape[3]
        features = torch.cat([tokens.square(), tokens, torch.ones_like(tokens[..., :1])], dim=-1)
        coefficients = torch.randn(shape[0], components, features.shape[-1])
        shares = torch.rand(shape[0], components, shape[1])
        with torch.no_grad():
            _, solution = fit_mixture(
                tokens, num_components=components, start=problem.means, solver=DEFAULT_SOLVER
            )
        alive = [int((solution.steps > step).sum()) for step in range(int(solution.steps.max()))]

        operands = (alive, features.numpy(), coefficients.numpy(), shares.numpy())

        def products(operands: tuple[list[int], Any, Any, Any] = operands) -> None:
            alive, features, coefficients, shares = operands
            for rows_left in alive:
                np.matmul(coefficients[:rows_left], features[:rows_left].transpose(0, 2, 1))
                np.matmul(shares[:rows_left], features[:rows_left])

        def fit(tokens: Tensor = tokens, problem: Problem = problem, components: int = components) -> None:
            with torch.no_grad():
                fit_mixture(tokens, num_components=components, start=problem.means, solver=DEFAULT_SOLVER)

        seconds = interleaved({"fit": fit, "products": products}, arguments.rounds)
        records.append({"shape": shape, "seconds": seconds})
    return records


def memory(arguments: argparse.Namespace) -> dict[str, dict[int, int]]:
    """Most bytes alive during forward and backward, by the number of steps."""
    problem = Problem.drawn(SHAPES[1], *DATA["overlapping"][SHAPES[1]])
    budgets = (5, 20) if arguments.quick else (5, 20, 80)
    peaks: dict[str, dict[int, int]] = {}
    for gradient in (LastIterate(), Unrolled()):
        for steps in budgets:

            def work(steps: int = steps, gradient: LastIterate | Unrolled = gradient) -> None:
                problem.tokens.grad = None
                mixture, _ = fit_mixture(
                    problem.tokens,
                    num_components=problem.shape[3],
                    start=problem.means,
                    solver=Squarem(tolerance=0.0, max_steps=steps),
                    gradient=gradient,
                    backend="torch",
                )
                (packed(mixture) * problem.cotangent).sum().backward()

            peaks.setdefault(type(gradient).__name__, {})[steps] = peak_bytes(work)
    return peaks


def main() -> None:
    """Run all, print the tables, write the numbers."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.outlier_layer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--quick", action="store_true", help="few rounds, small sets, the usual solver of torchdeq"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=None, help="how often each contestant runs")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts alone")
    parser.add_argument("--json", type=Path, help="file for the raw numbers")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (3 if arguments.quick else 20)
    torch.set_num_threads(arguments.threads)
    from threadpoolctl import threadpool_limits

    threadpool_limits(arguments.threads)  # NumPy's and scikit-learn's
    print(", ".join(f"{name} {value}" for name, value in setting().items()))
    check_the_maps()
    parts = {
        "torchdeq": beside_torchdeq,
        "scikit_learn": beside_scikit_learn,
        "floor": above_the_floor,
        "memory": memory,
        "training_step": lambda arguments: training_step(arguments.rounds, 3 if arguments.quick else 30),
    }
    results: dict[str, object] = {}
    if arguments.json and arguments.json.exists():  # parts that are not measured now stay
        results = json.loads(arguments.json.read_text())
    measured: dict[str, object] = {}
    for name in arguments.only or parts:
        measured[name] = parts[name](arguments)
        print_tables(tables(as_read({name: measured[name]})))
        settings = as_read(results).get("settings", {}) | {name: setting()}
        results |= {"settings": settings, name: measured[name]}
        write_json(arguments.json, results)


def check_the_maps() -> None:
    """All contestants iterate the same map."""
    problem = Problem.drawn((3, 20, 8, 2), 1.5, 4)
    tokens, start = problem.tokens.detach(), problem.packed_start()
    expected = packed(em_step(tokens, torch.ones(tokens.shape[:2]), unpacked(start), Diagonal(), Prior()))
    for make_map in MAPS.values():
        torch.testing.assert_close(make_map(tokens)(start), expected, rtol=1e-4, atol=1e-4)


if __name__ == "__main__":
    main()
