"""How open a model's gates are over all the facts that it is given."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import nn

from vkood.gating import GateOutput


class GateWatch:
    """Sums up the gates of a model's facts while the model runs.

    Args:
        core: A model without head, of either family.
    """

    def __init__(self, core: Any) -> None:
        self._layer: nn.Module | None = getattr(core, "outlier_layer", None)
        self._gates: list[torch.Tensor] = []

    def __enter__(self) -> GateWatch:
        """Begin to watch."""
        self._handle = None if self._layer is None else self._layer.register_forward_hook(self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Watch no more."""
        if self._handle is not None:
            self._handle.remove()

    def summary(self) -> dict[str, int | float]:
        """Number of facts, their mean gate, and the share of gates above one half; empty if there were no gates."""
        sums = torch.stack(self._gates).cpu().double().sum(0).tolist() if self._gates else [0.0]
        if not sums[0]:
            return {}
        count, total, num_open = sums
        return {"facts": int(count), "mean gate": total / count, "share of gates above 0.5": num_open / count}

    def _note(self, layer: nn.Module, arguments: tuple[Any, ...], output: GateOutput) -> None:
        gates = output.gate[torch.isfinite(output.score)].float()  # absent facts score infinity
        self._gates.append(
            torch.stack([gates.new_tensor(len(gates)), gates.sum(), (gates > 0.5).float().sum()])
        )
