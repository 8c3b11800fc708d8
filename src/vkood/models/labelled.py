"""What the Hugging Face Trainer is to know of a model's labels and outputs, by its class's `forward`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

NOT_PREDICTIONS = [
    "contrastive_loss",
    "match_loss",
    "pooled",
    "text_states",
    "image_states",
    "fact_gate",
    "fact_score",
    "solve_status",
    "attentions",
]
"""Outputs that the Trainer does not gather when it evaluates: logits alone are predictions, and states take memory and
have other lengths in each batch."""


class trained_with:
    """A `forward` for which the Trainer computes a loss whenever those labels are there that it needs.

    The Trainer takes every argument with "label" in its name, of the class's `forward`, for one that evaluation needs,
    and reports no loss where one is missing. Optional ones are therefore left out of the class's signature, and stay in
    the instance's, by which the Trainer chooses what it passes on.

    Args:
        optional: The labels without which there is still a loss.
        returns_loss: Whether there is a loss without any argument that is called a label.

    Example:
        >>> class Model:
        ...     @trained_with(optional=("match_labels",))
        ...     def forward(self, labels=None, match_labels=None): ...
        >>> list(inspect.signature(Model.forward).parameters)
        ['self', 'labels']
        >>> list(inspect.signature(Model().forward).parameters)
        ['labels', 'match_labels']
    """

    def __init__(self, *, optional: tuple[str, ...] = (), returns_loss: bool = False) -> None:
        self._optional, self._returns_loss = optional, returns_loss

    def __call__(self, forward: Callable[..., Any]) -> Any:
        """The decorated method."""
        signature = inspect.signature(forward)
        parameters = [
            parameter for parameter in signature.parameters.values() if parameter.name not in self._optional
        ]
        if self._returns_loss:
            parameters.append(inspect.Parameter("return_loss", inspect.Parameter.KEYWORD_ONLY, default=True))

        @functools.wraps(forward)
        def of_class(*args: Any, **options: Any) -> Any:
            return forward(*args, **options)

        of_class.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue] - read by inspect
        return _Forward(forward, of_class)


class _Forward:
    """A method that looks one way on the class, and another on its instances."""

    def __init__(self, forward: Any, of_class: Callable[..., Any]) -> None:
        self._forward, self._of_class = forward, of_class
        self.__doc__ = forward.__doc__

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self._of_class
        return self._forward.__get__(instance, owner)  # what torch.compile can follow
