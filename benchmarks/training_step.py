"""What the outlier layer costs within a training step of the demo's model."""

from __future__ import annotations

from typing import Any, cast

import torch
from measuring import interleaved, milliseconds, print_table, ratio
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from vkood.data import joint_answers, load_easy_vqa, normalise_images
from vkood.mixture import OutlierLayer, fit_mixture
from vkood.models import VkoodForVisualQuestionAnswering
from vkood.recipes import easy_vqa


def training_step(rounds: int, steps_before: int) -> dict[str, object]:
    """The layer's share in a training step of the demo's model, after a few steps on one batch.

    Real pictures, with questions and facts of random content in the demo's shapes.
    """
    torch.manual_seed(0)
    run, answers = easy_vqa(), joint_answers()
    model = VkoodForVisualQuestionAnswering(
        run.model_config("filtered", cast(PreTrainedTokenizerBase, _Vocabulary()), answers)
    )
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - torch's stub lacks it
    batch = _batch(run.joint.batch_size, run.plain + run.knowledge, len(answers))
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.joint.learning_rate)
    layer = model.vkood.outlier_layer
    assert isinstance(layer, OutlierLayer)
    seen: dict[str, Any] = {}

    def remember(module: object, positional: tuple[Tensor, ...], named: dict[str, Any], output: Any) -> None:
        del module
        seen.update(positional=positional, named=named, solution=output.solution)

    handle = layer.register_forward_hook(remember, with_kwargs=True)

    def whole() -> None:
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()

    for _ in range(steps_before):
        whole()
    handle.remove()

    def detached(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.detach().requires_grad_(value.requires_grad)

    positional = [detached(value) for value in seen["positional"]]
    named = {name: detached(value) for name, value in seen["named"].items()}

    def alone() -> None:
        layer(*positional, **named).log_gate.sum().backward()

    tokens = layer.joint.context(named["context"], None).detach().requires_grad_()

    def fit() -> None:
        mixture, _ = fit_mixture(
            tokens, num_components=layer.num_components, prior=layer.prior, solver=layer.solver
        )
        (mixture.mean.sum() + mixture.log_scale.sum()).backward()

    contestants = {"whole step": whole, "layer alone": alone, "of which the fit": fit}
    seconds = interleaved(contestants, rounds)
    taken = seen["solution"].steps
    steps = f"{float(taken.float().mean()):.0f} / {int(taken.max())}"
    context = tuple(named["context"].shape)
    _print_shares(f"context {context}; fit: {steps} steps", seconds)
    return {"context": context, "steps": steps, "seconds": seconds}


def _print_shares(measured: str, seconds: dict[str, list[float]]) -> None:
    print_table(
        f"Layer in a training step of the demo's model ({measured})",
        ["forward + backward of", "ms: median (least)", "share"],
        [
            [name, milliseconds(times), f"{ratio(times, seconds['whole step']):.1%}"]
            for name, times in seconds.items()
        ],
    )


def _batch(rows: int, questions: int, answers: int) -> dict[str, Tensor]:
    return {
        "input_ids": torch.randint(1, 400, (rows, questions, 12)),
        "attention_mask": torch.ones(rows, questions, 12, dtype=torch.long),
        "pixel_values": normalise_images(load_easy_vqa("train").images[:rows]),
        "fact_features": torch.nn.functional.normalize(torch.randn(rows, questions, 6, 384), dim=-1),
        "fact_mask": torch.ones(rows, questions, 6, dtype=torch.bool),
        "labels": torch.randint(answers, (rows, questions)),
    }


class _Vocabulary:
    """What a model's configuration asks of a tokenizer."""

    pad_token = "[PAD]"

    def __len__(self) -> int:
        return 400

    def get_vocab(self) -> dict[str, int]:
        """One word, for padding."""
        return {self.pad_token: 0}
