"""Seeing what a model's gate takes and gives while the model runs."""

from __future__ import annotations

from types import TracebackType
from typing import Any, TypeVar

from torch import nn

from vkood.gating import GateOutput

_Watch = TypeVar("_Watch", bound="LayerWatch")


class LayerWatch:
    """A context in which `note` is called with every pass of a layer.

    Args:
        layer: The layer; None if there is none to watch.
    """

    def __init__(self, layer: nn.Module | None) -> None:
        self._watched = layer

    def __enter__(self: _Watch) -> _Watch:
        """Begin to watch."""

        def hook(
            _: nn.Module, positional: tuple[Any, ...], named: dict[str, Any], output: GateOutput
        ) -> None:
            del positional
            self.note(named, output)

        layer = self._watched
        self._handle = None if layer is None else layer.register_forward_hook(hook, with_kwargs=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Watch no more."""
        if self._handle is not None:
            self._handle.remove()

    def note(self, arguments: dict[str, Any], output: GateOutput) -> None:
        """Keep what is wanted of a pass.

        Args:
            arguments: What the layer was given by name.
            output: What it gave.
        """
        raise NotImplementedError
