"""Values of foreign configurations, which may hold anything, read by their types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vkood.fields import Real, Rule, Whole, shown
from vkood.models.convert.reading import CheckpointError

_MAX_VALUE = 10**7


def whole_number(settings: Mapping[str, Any], name: str, where: str, *, lowest: int = 1) -> int | None:
    """A whole number; None if it is not there.

    Args:
        settings: The configuration.
        name: What it is called there.
        where: What the configuration is, such as "the checkpoint's hyper-parameters".
        lowest: The smallest that makes sense.

    Raises:
        CheckpointError: If it is no whole number, or out of range.
    """
    return _ruled(settings, name, where, Whole(lowest, _MAX_VALUE))


def number(
    settings: Mapping[str, Any], name: str, where: str, *, lowest: float, highest: float
) -> float | None:
    """A number within a range; None if it is not there; arguments as for `whole_number`."""
    value = _ruled(settings, name, where, Real(lowest, highest))
    return None if value is None else float(value)


def _ruled(settings: Mapping[str, Any], name: str, where: str, rule: Rule) -> Any:
    value = settings.get(name)
    if value is not None and not rule.accepts(value):
        raise CheckpointError(f"`{name}` in {where} must be {rule.expected}; got {shown(value)}.")
    return value


def text(settings: Mapping[str, Any], name: str, where: str) -> str | None:
    """A text; None if it is not there; arguments as for `whole_number`."""
    value = settings.get(name)
    if value is not None and not isinstance(value, str):
        raise CheckpointError(f"`{name}` in {where} must be a text; got {shown(value)}.")
    return value


def section(settings: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    """A part with named values; empty if it is not there; arguments as for `whole_number`."""
    value = settings.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise CheckpointError(f"`{name}` in {where} must be named values; got {shown(value)}.")
    return value


def require_heads(heads: int, width: int, what: str) -> int:
    """A number of attention heads that divides a width.

    Args:
        heads: The number.
        width: The width.
        what: What has them, such as "the image tower".

    Raises:
        CheckpointError: If it does not divide the width.
    """
    if width % heads:
        raise CheckpointError(
            f"{what} has width {width}, which is not a multiple of its {heads} attention heads."
        )
    return heads


def require_agreement(
    config: Mapping[str, Any], from_shapes: Mapping[str, int | tuple[int, ...]], where: str
) -> None:
    """Refuse a configuration that contradicts the checkpoint's shapes.

    Args:
        config: The configuration.
        from_shapes: What the shapes determine; a tuple has all values that agree with them.
        where: What the configuration is.

    Raises:
        CheckpointError: If a value that both have differs.
    """
    for name, value in from_shapes.items():
        agreeing = value if isinstance(value, tuple) else (value,)
        stated = whole_number(config, name, where, lowest=0)
        if stated is not None and stated not in agreeing:
            raise CheckpointError(
                f"`{name}` is {stated} in {where}, but {agreeing[0]} by the checkpoint's shapes: the file has lost "
                "layers or is damaged, or the configuration is another model's."
            )
