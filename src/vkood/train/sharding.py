"""Whole models of those whose weights are sharded over processes (FSDP)."""

from __future__ import annotations

import copy
from typing import Any

import torch


class WholeCopy:
    """A copy of a model that has all weights in every process, for what uses parts of it, or not at the same time.

    In an evaluation, processes have different rows, and different numbers of them; sharded layers would wait for each
    other.

    Args:
        model: The model, before its weights are sharded.
    """

    def __init__(self, model: Any) -> None:
        self._copy = copy.deepcopy(model)

    @torch.no_grad()
    def of(self, sharded: Any) -> Any:
        """The copy with the weights of the model now; every process has to call this."""
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        state: dict[str, Any] = get_model_state_dict(sharded, options=StateDictOptions(full_state_dict=True))
        device = next(iter(state.values())).device
        self._copy.load_state_dict(state)
        return self._copy.to(device)
