"""What the configurations of both families share: a gate, towers, and checks of fields before there is a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

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

    gate: GateConfig = GateConfig()

    @override
    def __setattr__(self, key: str, value: Any) -> None:
        super().__setattr__(key, GateConfig.from_dict(value) if key == "gate" else value)

    @override
    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"gate": self.gate.to_dict()}


def require_options(values: Mapping[str, Any], known: Collection[str], rules: Mapping[str, Rule]) -> None:
    """Check fields of a configuration, its gate included, before there is a whole one.

    Args:
        values: The fields' values.
        known: The names of all fields.
        rules: The rules of those that have one.

    Raises:
        ValueError: If a field is unknown, or has a value that cannot be.
    """
    require_known(values, known, "it must have fields of the model's configuration")
    require_fields(values, rules)
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
