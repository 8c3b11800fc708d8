"""Parameter groups of an optimiser: a learning rate for each role, and weight decay for matrices alone."""

from __future__ import annotations

from typing import Any

from torch import nn

from vkood.models import parameter_role


def parameter_groups(
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    fusion_factor: float = 1.0,
    head_factor: float = 1.0,
) -> list[dict[str, Any]]:
    """Parameter groups of an optimiser: a rate for each role, and no weight decay for what has a single axis.

    Args:
        model: The model; what is frozen is left out.
        learning_rate: The towers' rate.
        weight_decay: Of matrices.
        fusion_factor: Factor on the towers' learning rate for the fusion; roles are `parameter_role`'s.
        head_factor: Factor on the towers' learning rate for heads.
    """
    factors = {"tower": 1.0, "fusion": fusion_factor, "head": head_factor}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = learning_rate * factors[parameter_role(name)]
            decay = weight_decay if parameter.dim() >= 2 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in sorted(groups.items(), key=lambda group: group[0], reverse=True)
    ]
