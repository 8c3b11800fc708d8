"""Both families at full size: against the same fusion with eager attention, as METER writes it, and plain BLIP.

    python -m benchmarks.models --json benchmarks/results/models.json

Random weights, since only time and memory are asked for; contestants take turns and share their weights.
"""

from __future__ import annotations

import argparse
import gc
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    BlipConfig,
    BlipForQuestionAnswering,
    BlipTextConfig,
    BlipVisionConfig,
    CLIPVisionConfig,
    RobertaConfig,
)

from vkood.models import (
    BlipVkoodConfig,
    BlipVkoodForVisualQuestionAnswering,
    VkoodConfig,
    VkoodForVisualQuestionAnswering,
)
from vkood.models.fusion import Attention, CoAttention

from ..measuring import as_read, peak_bytes, print_tables, ratio, setting, write_json
from .tables import tables

NUM_FACTS, WORDS = 20, 50
_MASKED = -10_000.0


class EagerFusion(nn.Module):
    """The fusion as METER writes it: attention step by step, and a mask on each stream, full or not.

    Args:
        fusion: Whose weights it takes.
    """

    def __init__(self, fusion: CoAttention) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(
        self,
        text: Tensor,
        image: Tensor,
        text_bias: Tensor,
        image_bias: Tensor | None = None,
        *,
        first_token: bool = False,
        attentions: Any = None,
    ) -> tuple[Tensor, Tensor]:
        """Both streams after all layers."""
        del image_bias, first_token, attentions
        text_mask = text_bias.clamp_min(_MASKED)[:, None, None]
        image_mask = torch.zeros_like(image[:, :, 0])[:, None, None]
        for words, tokens in zip(self.fusion.text_layers, self.fusion.image_layers, strict=True):
            streams = (
                (words, text, text_mask, image, image_mask),
                (tokens, image, image_mask, text, text_mask),
            )
            text, image = (self._layer(*stream) for stream in streams)
        return text, image

    def _layer(self, layer: Any, own: Tensor, own_mask: Tensor, other: Tensor, other_mask: Tensor) -> Tensor:
        states = self._attend(layer.self_attention, own, own, own_mask)
        return layer.feed_forward(self._attend(layer.cross_attention, states, other, other_mask))

    @staticmethod
    def _attend(part: Attention, states: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        def heads(projected: Tensor) -> Tensor:
            return projected.view(*projected.shape[:-1], part.num_heads, -1).permute(0, 2, 1, 3)

        query, key, value = heads(part.query(states)), heads(part.key(source)), heads(part.value(source))
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + mask
        weights = functional.dropout(scores.softmax(-1), part.dropout.p, part.training)
        merged = (weights @ value).permute(0, 2, 1, 3).contiguous().flatten(2)
        return part.norm(part.dropout(part.output(merged)) + states)


def two_stream(layers: int) -> VkoodForVisualQuestionAnswering:
    """CLIP-B/16 and RoBERTa-base at 224 pixels, with towers of so many layers and half as many of co-attention."""
    image = CLIPVisionConfig(
        hidden_size=768,
        num_hidden_layers=layers,
        num_attention_heads=12,
        intermediate_size=3072,
        patch_size=16,
        image_size=224,
    )
    text = RobertaConfig(
        vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, num_hidden_layers=layers
    )
    return VkoodForVisualQuestionAnswering(
        VkoodConfig(image_config=image, text_config=text, num_fusion_layers=layers // 2)
    )


def batch(rows: int, vocabulary: int, device: str, facts: int = NUM_FACTS) -> dict[str, Tensor]:
    """Pictures, texts of 50 words, and facts."""
    generator = torch.Generator().manual_seed(0)
    inputs = {
        "pixel_values": torch.randn(rows, 3, 224, 224, generator=generator),
        "input_ids": torch.randint(5, vocabulary, (rows, WORDS), generator=generator),
        "attention_mask": torch.ones(rows, WORDS, dtype=torch.long),
        "fact_features": functional.normalize(torch.randn(rows, facts, 384, generator=generator), dim=-1),
        "fact_mask": torch.ones(rows, facts, dtype=torch.bool),
    }
    return {name: part.to(device) for name, part in inputs.items()}


def without_facts(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same without facts."""
    return {name: part for name, part in inputs.items() if not name.startswith("fact")}


class Bench:
    """Times contestants in turn.

    Args:
        device: "cpu" or "cuda".
        rounds: How often each of them runs.
        bfloat16: Whether to run under autocast.
    """

    def __init__(self, device: str, rounds: int, *, bfloat16: bool) -> None:
        self.device, self.rounds, self.bfloat16 = device, rounds, bfloat16

    def step(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, inputs: dict[str, Any]
    ) -> Callable[[], None]:
        """A training step."""

        def work() -> None:
            with torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16):
                loss = model(**inputs).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()  # not before: what a step frees must be its own, for its peak to be right

        return work

    def forward(self, model: nn.Module, inputs: dict[str, Any]) -> Callable[[], None]:
        """A forward pass without a graph."""

        def work() -> None:
            with torch.inference_mode(), torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16):
                model(**inputs)

        return work

    def measure(
        self, contestants: dict[str, Callable[[], None]]
    ) -> tuple[dict[str, list[float]], dict[str, int]]:
        """Seconds of every contestant in every round, and the most memory that each takes beside the weights."""
        for work in contestants.values():
            work()
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        for number in range(self.rounds):
            # Whoever begins changes from round to round: the first to run finds the memory as the last has left it.
            first = number % len(contestants)
            names = list(contestants)
            for name in names[first:] + names[:first]:
                seconds[name].append(self._timed(contestants[name]))
        return seconds, {name: self._peak(work) for name, work in contestants.items()}

    def _timed(self, work: Callable[[], None]) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
            begin = time.perf_counter()
            work()
            torch.cuda.synchronize()
            return time.perf_counter() - begin
        clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
        begin = clock()
        work()
        return clock() - begin

    def _peak(self, work: Callable[[], None]) -> int:
        if self.device != "cuda":
            return peak_bytes(work)
        gc.collect()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before


class Swapped(nn.Module):
    """A model that runs with another fusion, which shares its weights."""

    def __init__(self, model: VkoodForVisualQuestionAnswering) -> None:
        super().__init__()
        self.model, self.ours, self.theirs = model, model.vkood.fusion, EagerFusion(model.vkood.fusion)

    def forward(self, **inputs: Tensor) -> Any:
        """The model's output."""
        core: Any = self.model.vkood
        core.fusion = self.theirs
        try:
            return self.model(**inputs)
        finally:
            core.fusion = self.ours


def two_stream_family(bench: Bench, rows: int, layers: int) -> dict[str, Any]:
    """Ours against the eager fusion, and what facts cost."""
    torch.manual_seed(0)
    model: Any = two_stream(layers)
    model = model.to(bench.device)
    eager = Swapped(model)
    facts = batch(rows, 50_000, bench.device)
    plain = without_facts(facts)
    labels = {"labels": torch.rand(rows, 3129, device=bench.device)}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    model.eval()
    with torch.inference_mode():
        apart = (model(**plain).logits - eager(**plain).logits).abs().max().item()
    print(f"two-stream: the eager fusion's logits differ by {apart:.1e}")
    names = ("eager fusion, no facts", "ours, no facts", f"ours, {NUM_FACTS} facts")
    models: tuple[Any, ...] = (eager, model, model)
    batches = (plain, plain, facts)
    forward = bench.measure(
        {
            name: bench.forward(model, inputs)
            for name, model, inputs in zip(names, models, batches, strict=True)
        }
    )
    model.train()
    step = bench.measure(
        {
            name: bench.step(model, optimizer, inputs | labels)
            for name, model, inputs in zip(names, models, batches, strict=True)
        }
    )
    return _record(names, forward, step)


def with_weights_of(plain: nn.Module, ours: nn.Module) -> nn.Module:
    """Our BLIP on the parameters of the plain one: where weights lie in memory makes a step some percent faster."""
    ours_alone = dict(ours.named_parameters())
    for name, parameter in plain.named_parameters():
        place = (
            name if name.startswith("text_decoder") else f"blip.{name.replace('vision_model', 'image_tower')}"
        )
        assert ours_alone.pop(place).shape == parameter.shape
        owner, _, attribute = place.rpartition(".")
        setattr(ours.get_submodule(owner), attribute, parameter)
    assert all(name.startswith(("blip.fact_projection", "blip.outlier_layer")) for name in ours_alone)
    ours.tie_weights()  # pyright: ignore[reportCallIssue] - of transformers
    return ours


def blip_family(bench: Bench, rows: int, layers: int) -> dict[str, Any]:
    """Ours against `transformers`' BLIP of the same size."""
    torch.manual_seed(0)
    vision: dict[str, Any] = {"image_size": 224, "num_hidden_layers": layers}
    text: dict[str, Any] = {
        "num_hidden_layers": layers,
        "bos_token_id": 30522,
        "sep_token_id": 102,
        "eos_token_id": 102,
        "label_smoothing": 0.1,
    }
    plain: Any = BlipForQuestionAnswering(
        BlipConfig(
            text_config=BlipTextConfig(**text).to_dict(), vision_config=BlipVisionConfig(**vision).to_dict()
        )
    )
    plain = plain.to(bench.device)
    ours: Any = BlipVkoodForVisualQuestionAnswering(BlipVkoodConfig(vision_config=vision, text_config=text))
    ours = with_weights_of(plain, ours.to(bench.device))
    facts = batch(rows, 30_000, bench.device)
    facts["input_ids"][:, 0] = ours.config.encode_token_id  # as ours has it whatever comes
    no_facts = without_facts(facts)
    labels = {"labels": torch.tensor([[30522, 2417, 102]] * rows, device=bench.device)}
    names = ("transformers' BLIP", "ours, no facts", f"ours, {NUM_FACTS} facts")
    models, batches = (plain, ours, ours), (no_facts, no_facts, facts)
    optimizer = torch.optim.AdamW(ours.parameters(), lr=1e-5, fused=True)
    for model in (plain, ours):
        model.eval()
    with torch.inference_mode():
        losses = [model(**no_facts, **labels).loss.item() for model in (plain, ours)]
    # The mean over an answer's two tokens, and their sum.
    print(f"BLIP: the losses without facts differ by {abs(2 * losses[0] - losses[1]):.1e}")
    forward = bench.measure(
        {
            name: bench.forward(model, inputs | labels)
            for name, model, inputs in zip(names, models, batches, strict=True)
        }
    )
    for model in (plain, ours):
        model.train()
    step = bench.measure(
        {
            name: bench.step(model, optimizer, inputs | labels)
            for name, model, inputs in zip(names, models, batches, strict=True)
        }
    )
    return _record(names, forward, step)


def _record(names: tuple[str, ...], forward: Any, step: Any) -> dict[str, Any]:
    seconds = step[0]
    cost = ratio(seconds[names[2]], seconds[names[1]]) - 1
    return {
        "forward": {"seconds": forward[0], "peak_bytes": forward[1]},
        "step": {"seconds": seconds, "peak_bytes": step[1]},
        "facts_cost": cost,
    }


def main() -> None:
    """Run, print the tables, write the numbers."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="two layers, one round, one picture: no result")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--bfloat16", action="store_true", help="under autocast")
    parser.add_argument("--only", choices=("two-stream", "blip"), help="one family alone")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    layers = 12
    if arguments.quick:
        layers, arguments.rounds, arguments.batch_size = 2, 1, 1
    bench = Bench(arguments.device, arguments.rounds, bfloat16=arguments.bfloat16)
    results: dict[str, Any] = {"setting": setting() | {"device": arguments.device}}
    for name, family in (("two-stream", two_stream_family), ("blip", blip_family)):
        if arguments.only in (None, name):
            results[name] = family(bench, arguments.batch_size, layers)
            print_tables(tables(as_read({name: results[name]})))
            gc.collect()
    if arguments.json:
        write_json(arguments.json, results)


if __name__ == "__main__":
    main()
