"""How open a model's gates are over all the facts that it is given."""

from __future__ import annotations

from typing import Any

import torch
from typing_extensions import override

from vkood.gating import GateOutput
from vkood.models.layer_watch import LayerWatch


class GateWatch(LayerWatch):
    """Sums up the gates of a model's facts while the model runs.

    Args:
        core: A model without head, of either family.
    """

    def __init__(self, core: Any) -> None:
        super().__init__(getattr(core, "outlier_layer", None))
        self._gates: list[torch.Tensor] = []

    def summary(self) -> dict[str, int | float]:
        """Number of facts, their mean gate, and the share of gates above one half; empty if there were no gates."""
        sums = torch.stack(self._gates).cpu().double().sum(0).tolist() if self._gates else [0.0]
        if not sums[0]:
            return {}
        count, total, num_open = sums
        return {"facts": int(count), "mean gate": total / count, "share of gates above 0.5": num_open / count}

    @override
    def note(self, arguments: dict[str, Any], output: GateOutput) -> None:
        """Add a pass's gates."""
        gates = output.gate[torch.isfinite(output.score)].float()  # absent facts score infinity
        self._gates.append(
            torch.stack([gates.new_tensor(len(gates)), gates.sum(), (gates > 0.5).float().sum()])
        )
