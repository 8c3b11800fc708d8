"""Training of fusion, gate and head on what frozen towers made of photographs and texts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a model is built and trained.

    Args:
        model: Fields of `VkoodConfig`.
        epochs: Passes over the examples.
        batch_size: Examples of a step.
        learning_rate: The highest; it rises over the first tenth of the steps, and then falls as a cosine.
        weight_decay: Of weights that are no biases, norms or scalars.
        feature_dropout: The share of the towers' features that are left out in training.
        fact_dropout: The share of examples whose facts are all left out in training, so that the rest is learnt too.
        averaging: The weights used in the end are an exponential moving average, which keeps this share a step.
        label_smoothing: The share of a target that goes to all classes alike.
    """

    model: dict[str, Any]
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.05
    feature_dropout: float = 0.2
    fact_dropout: float = 0.0
    averaging: float = 0.99
    label_smoothing: float = 0.1


def train(
    model: nn.Module,
    loss_of: Callable[[Tensor], Tensor],
    num_examples: int,
    settings: Settings,
    seed: int,
) -> None:
    """Train a model, and leave it in eval mode with the average of its last weights.

    Args:
        model: The model; parameters that need no gradient stay as they are.
        loss_of: The loss of some examples, given by their numbers.
        num_examples: How many there are.
        settings: How it is trained.
        seed: Of the order of examples and of dropout.
    """
    torch.manual_seed(seed)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, settings.learning_rate)
    steps = settings.epochs * math.ceil(num_examples / settings.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=max(steps, 2), pct_start=0.1
    )
    average = [parameter.detach().clone() for parameter in parameters]
    model.train()
    for _ in range(settings.epochs):
        for examples in torch.randperm(num_examples).split(settings.batch_size):
            loss = loss_of(examples)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                for mean, parameter in zip(average, parameters, strict=True):
                    mean.lerp_(parameter, 1 - settings.averaging)
    with torch.no_grad():
        for parameter, mean in zip(parameters, average, strict=True):
            parameter.copy_(mean)
    model.eval()
