"""What the configurations of both families share: a gate, towers, and checks of fields before there is a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from typing_extensions import override

from vkood.fields import Rule, require_fields
from vkood.gating.configuration import GateConfig
from vkood.models.fields import reason, require_plausible
from vkood.spelling import require_known


class GatedConfig(PreTrainedConfig):
    """A configuration with a gate: `gate` is a `GateConfig`, whatever of it is assigned, and a dictionary in JSON."""

    # transformers wraps `__init__` to take further keywords; jaxtyping's checks under pytest must not wrap it again.
    __no_type_check__ = True

    rules: ClassVar[Mapping[str, Rule]]
    """Of the fields that have one."""

    gate: GateConfig = GateConfig()

    @override
    def __setattr__(self, key: str, value: Any) -> None:
        super().__setattr__(key, GateConfig.from_dict(value) if key == "gate" else value)

    @override
    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"gate": self.gate.to_dict()}

    @classmethod
    def options(cls) -> set[str]:
        """The names of all options beside the towers."""
        own = {field.name for field in fields(cls)}  # pyright: ignore[reportArgumentType] - transformers makes it one
        towers: Any = cls.sub_configs
        return own.difference(towers)

    @classmethod
    def require_options(cls, values: Mapping[str, Any]) -> None:
        """Check fields by themselves, each as far as it does not depend on others, before there is a configuration.

        Raises:
            ValueError: If one is unknown, or has a value that cannot be.
        """
        towers: Any = cls.sub_configs
        known = cls.options().union(towers)
        require_known(values, known, "it must have fields of the model's configuration")
        require_fields(values, cls.rules)
        if "gate" in values:
            GateConfig.from_dict(values["gate"])


def tower_config(name: str, values: Any, default: str) -> PreTrainedConfig:
    """The configuration of a tower, whose values have been checked.

    Args:
        name: The field that it stands in, for errors.
        values: A configuration, or what its JSON holds, `model_type` included.
        default: The `model_type` of values without one.

    Raises:
        ValueError: If there is none of that type, or a value cannot be.
    """
    if isinstance(values, PreTrainedConfig):
        require_plausible(values.to_dict(), f"{name}.")
        return values
    if values is not None and not isinstance(values, Mapping):
        raise ValueError(
            f"`{name}` must have named values, as a tower's config.json has them; got {values!r}."
        )
    options = dict(values or {})
    kind = options.pop("model_type", default)
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise ValueError(
            f"`{name}.model_type` must be a kind of model that `transformers` has; got {kind!r}."
        )
    require_plausible(options, f"{name}.")
    try:
        return AutoConfig.for_model(kind, **options)
    except Exception as error:  # a strict configuration has errors of its own
        raise ValueError(f"`{name}` cannot be the configuration of a {kind}: {reason(error)}") from error
