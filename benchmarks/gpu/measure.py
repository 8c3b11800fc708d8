"""What the layer costs on a GPU: its share of a training step at full size, and the kernels beside other ways to fit.

timeout 300 python -m benchmarks.gpu    # at most five minutes; says so where there is no GPU
python -m benchmarks.gpu --smoke        # tiny sizes on the CPU with interpreted kernels, to find mistakes
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vkood.gating import OutlierLayer
from vkood.mixture import Prior, Spherical, fit_mixture
from vkood.models import VkoodConfig, VkoodForVisualQuestionAnswering
from vkood.solve import LastIterate, Picard

from ..measuring import milliseconds, print_table

TARGET = 0.05
"""Largest share of a training step that 20 facts may take."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is measured."""

    device: str
    batch: int
    facts: int
    layers: int
    width: int
    heads: int
    image: int
    patch: int
    words: int
    answers: int
    rounds: int
    steps: int

    @property
    def patches(self) -> int:
        """Tokens of a picture, less that of the class."""
        return (self.image // self.patch) ** 2


FULL = Sizes(
    device="cuda",
    batch=32,
    facts=20,
    layers=12,
    width=768,
    heads=12,
    image=384,
    patch=16,
    words=32,
    answers=3129,
    rounds=20,
    steps=30,
)
SMOKE = Sizes(
    device="cpu",
    batch=2,
    facts=3,
    layers=1,
    width=16,
    heads=2,
    image=32,
    patch=8,
    words=4,
    answers=5,
    rounds=2,
    steps=3,
)


def timed(contestants: dict[str, Callable[[], object]], sizes: Sizes) -> dict[str, list[float]]:
    """Seconds of each contestant in every round, the device's work included; they take turns."""

    def seconds(contestant: Callable[[], object]) -> float:
        _synchronize(sizes)
        begin = time.perf_counter()
        contestant()
        _synchronize(sizes)
        return time.perf_counter() - begin

    for contestant in contestants.values():
        for _ in range(3 if sizes.device == "cuda" else 1):
            contestant()
    rounds = [
        {name: seconds(contestant) for name, contestant in contestants.items()} for _ in range(sizes.rounds)
    ]
    return {name: [each[name] for each in rounds] for name in contestants}


def _synchronize(sizes: Sizes) -> None:
    if sizes.device == "cuda":
        torch.cuda.synchronize()


def training_steps(sizes: Sizes) -> dict[str, list[float]]:
    """A step of a two-stream model with facts, by kernels and by torch, and without facts: forward, backward, AdamW."""
    tower = {
        "num_hidden_layers": sizes.layers,
        "hidden_size": sizes.width,
        "num_attention_heads": sizes.heads,
        "intermediate_size": 4 * sizes.width,
    }
    config = VkoodConfig(
        image_config={
            "model_type": "clip_vision_model",
            "image_size": sizes.image,
            "patch_size": sizes.patch,
            **tower,
        },
        text_config={"model_type": "bert", **tower},
        hidden_size=sizes.width,
        num_attention_heads=sizes.heads,
        num_fusion_layers=max(1, sizes.layers // 2),
        num_answers=sizes.answers,
    )
    model: Any = VkoodForVisualQuestionAnswering(config)
    model.to(sizes.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=sizes.device == "cuda")
    inputs: dict[str, Any] = {
        "input_ids": torch.randint(5, 100, (sizes.batch, sizes.words), device=sizes.device),
        "pixel_values": torch.randn(sizes.batch, 3, sizes.image, sizes.image, device=sizes.device),
        "labels": torch.rand(sizes.batch, sizes.answers, device=sizes.device),
    }
    facts = {"fact_features": torch.randn(sizes.batch, sizes.facts, config.fact_dim, device=sizes.device)}

    def step(backend: str | None, extra: dict[str, Tensor]) -> None:
        model.vkood.outlier_layer.backend = backend
        with torch.autocast(sizes.device, dtype=torch.bfloat16):
            loss = model(**inputs, **extra).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return timed(
        {
            "without facts": lambda: step("torch", {}),
            "with facts, by kernels": lambda: step("triton", facts),
            "with facts, by torch": lambda: step("torch", facts),
        },
        sizes,
    )


def fits(sizes: Sizes) -> dict[str, list[float]]:
    """Forward and backward of fits of spherical mixtures of 4 components, by a fixed number of plain steps."""
    family, components, dim = Spherical(), 4, 64 if sizes.device == "cuda" else 8
    tokens = torch.randn(sizes.batch, sizes.patches, dim, device=sizes.device).requires_grad_()
    start = torch.nn.functional.normalize(
        torch.randn(sizes.batch, components, dim, device=sizes.device), dim=-1
    )
    solver = Picard(tolerance=0.0, max_steps=sizes.steps)

    def by(backend: Any) -> Callable[[], object]:
        def run() -> None:
            mixture, _ = fit_mixture(
                tokens,
                num_components=components,
                family=family,
                start=start,
                solver=solver,
                gradient=LastIterate(),
                backend=backend,
            )
            tokens.grad = None
            mixture.mean.square().sum().backward()

        return run

    def plain_steps() -> Tensor:
        problem = family.problem(tokens, None, Prior(), components, start)
        value = problem.start
        with torch.no_grad():
            for _ in range(sizes.steps):
                value = family.step(value, *problem.operands)
        return family.step(value, *problem.operands)[1].square().sum()

    contestants: dict[str, Callable[[], object]] = {"kernels": by("triton"), "torch": by("torch")}
    if sizes.device == "cuda":
        contestants["torch's steps in a CUDA graph, forward"] = _as_cuda_graph(plain_steps)
    else:
        contestants["torch's steps, forward"] = plain_steps
    if importlib.util.find_spec("gmm_gpu"):
        contestants["gmm-gpu, forward, one set after another"] = _by_gmm_gpu(
            tokens.detach(), components, sizes
        )
    if importlib.util.find_spec("jax"):
        contestants["jax jit(vmap), forward and backward"] = _by_jax(tokens.detach(), start, sizes)
    return timed(contestants, sizes)


def _as_cuda_graph(work: Callable[[], Tensor]) -> Callable[[], object]:
    """The same work as one graph, launched as a whole."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.no_grad(), torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        work()
    return graph.replay


def _by_gmm_gpu(tokens: Tensor, components: int, sizes: Sizes) -> Callable[[], object]:
    """Diagonal Gaussians by gmm-gpu, which has no batches."""
    mixture = importlib.import_module("gmm_gpu.gmm").GMM

    def run() -> None:
        for vectors in tokens:
            mixture(components, max_iter=sizes.steps, device=sizes.device).fit(vectors[None])

    return run


def _by_jax(tokens: Tensor, start: Tensor, sizes: Sizes) -> Callable[[], object]:
    """The same map in JAX, compiled as a whole over all sets, with the gradient of its last step."""
    jax: Any = importlib.import_module("jax")
    jnp: Any = importlib.import_module("jax.numpy")

    def step(mean: Any, log_weight: Any, x: Any) -> tuple[Any, Any]:
        shares = jax.nn.softmax(log_weight + 10.0 * x @ mean.T, axis=-1)
        count, total = shares.sum(0) + 1.0, shares.T @ x
        return total / jnp.sqrt((total**2).sum(-1, keepdims=True) + 0.01), jnp.log(count / count.sum())

    def value(x: Any, mean: Any) -> Any:
        x = x / jnp.linalg.norm(x, axis=-1, keepdims=True)
        log_weight, constant = jnp.zeros(len(mean)), jax.lax.stop_gradient(x)
        for _ in range(sizes.steps):
            mean, log_weight = step(mean, log_weight, constant)
        mean, _ = step(jax.lax.stop_gradient(mean), jax.lax.stop_gradient(log_weight), x)
        return (mean**2).sum()

    run = jax.jit(jax.vmap(jax.grad(value)))
    arrays = jnp.asarray(tokens.cpu().numpy()), jnp.asarray(start.cpu().numpy())
    return lambda: run(*arrays).block_until_ready()


def layers(sizes: Sizes) -> dict[str, list[float]]:
    """Forward and backward of the layer alone, with its defaults."""
    width = sizes.width
    facts = torch.randn(sizes.batch, sizes.facts, width, device=sizes.device)
    image = torch.randn(sizes.batch, sizes.patches, width, device=sizes.device)

    def by(backend: Any) -> Callable[[], object]:
        layer = OutlierLayer(width, width, backend=backend).to(sizes.device)
        return lambda: layer(facts, context=image).log_gate.sum().backward()

    return timed({"kernels": by("triton"), "torch": by("torch")}, sizes)


def main() -> None:
    """Measure and print; where there is no GPU, say so."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description="What the layer costs on a GPU."
    )
    parser.add_argument(
        "--smoke", action="store_true", help="tiny sizes on the CPU, with interpreted kernels"
    )
    parser.add_argument("--json", help="file for the numbers")
    arguments = parser.parse_args()
    if not (arguments.smoke or torch.cuda.is_available()):
        print(
            "There is no GPU here, so nothing was measured; `python -m benchmarks.gpu --smoke` tries it out on the CPU."
        )
        return
    sizes = SMOKE if arguments.smoke else FULL
    torch.manual_seed(0)
    results = {}
    for title, measure in (("Training step", training_steps), ("Fit", fits), ("Layer alone", layers)):
        results[title] = measure(sizes)
        rows = [[name, milliseconds(seconds)] for name, seconds in results[title].items()]
        print_table(f"{title} ({sizes.device}, batch {sizes.batch})", ["", "ms: median (min)"], rows)
    steps = {name: statistics.median(seconds) for name, seconds in results["Training step"].items()}
    share = 1 - steps["without facts"] / steps["with facts, by kernels"]
    verdict = "met" if share <= TARGET else "missed"
    judged = "of no meaning on a CPU" if arguments.smoke else f"target {TARGET:.0%}, {verdict}"
    print(f"{sizes.facts} facts take {share:.1%} of a training step; {judged}.")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"device": _device_name(sizes), "seconds": results, "share": share}, file, indent=1)


def _device_name(sizes: Sizes) -> str:
    return torch.cuda.get_device_name() if sizes.device == "cuda" else "CPU, interpreted kernels"


if __name__ == "__main__":
    main()
