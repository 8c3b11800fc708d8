"""Runs from the command line: presets, `key=value`, YAML. OmegaConf checks names and types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vkood.spelling import nearest
from vkood.train.run import Run, RunError


def with_changes(run: Run, changes: Iterable[str], *, told: str = "on the command line") -> Run:
    """A run with some values changed.

    Args:
        run: The run.
        changes: "key=value", the key with dots ("optimisation.learning_rate=1e-5"), the value as YAML has it.
        told: Where the changes come from, for errors.

    Raises:
        RunError: If a key is unknown, which the error answers with the nearest one, or a value is of the wrong type.
    """
    known = keys_of(Run())
    config = OmegaConf.structured(run)
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise RunError(f"{change!r} ({told}) must be a preset, or key=value.")
        _require_known(key, known, told)
        try:
            OmegaConf.update(config, key, OmegaConf.from_dotlist([f"value={value}"])["value"])
        except OmegaConfBaseException as error:
            reason = str(error).splitlines()[0]
            raise RunError(f"`{key}` ({told}) cannot be {value!r}: {reason}.") from None
    return _run(config)


def from_yaml(path: str | Path) -> Run:
    """A run from a YAML file, as `--dry-run` prints it and every run's folder holds it.

    Raises:
        RunError: If the file cannot be read, or a key or a type in it is wrong.
    """
    try:
        read = OmegaConf.to_container(OmegaConf.load(path))
    except (OSError, OmegaConfBaseException, ValueError) as error:
        raise RunError(f"{str(path)!r} cannot be read as YAML: {error}.") from None
    except Exception as error:  # PyYAML's own, which OmegaConf passes on
        raise RunError(f"{str(path)!r} is no YAML: {str(error).splitlines()[0]}.") from None
    if not isinstance(read, dict):
        raise RunError(f"{str(path)!r} must hold named values.")
    known = keys_of(Run())
    for key in _flat(read):
        _require_known(key, known, str(path))
    try:
        return _run(OmegaConf.merge(OmegaConf.structured(Run()), OmegaConf.create(read)))
    except OmegaConfBaseException as error:
        raise RunError(f"{str(path)!r}: {str(error).splitlines()[0]}.") from None


def to_yaml(run: Run) -> str:
    """A run as YAML, which `from_yaml` takes back."""
    return OmegaConf.to_yaml(OmegaConf.create(asdict(run)))


def keys_of(record: Any, above: str = "") -> dict[str, Any]:
    """All keys of a run, with dots, and their values."""
    found: dict[str, Any] = {}
    for one in fields(record):
        value = getattr(record, one.name)
        found |= keys_of(value, f"{above}{one.name}.") if is_dataclass(value) else {above + one.name: value}
    return found


def _flat(values: Mapping[Any, Any], above: str = "") -> list[str]:
    free = {"model.config"}
    return [
        key
        for name, value in values.items()
        for key in (
            _flat(value, f"{above}{name}.")
            if isinstance(value, Mapping) and f"{above}{name}" not in free
            else [f"{above}{name}"]
        )
    ]


def _require_known(key: str, known: Mapping[str, Any], told: str) -> None:
    if key in known or key.startswith("model.config."):
        return
    last = {name.rpartition(".")[2]: name for name in known}
    near = nearest(key, known) or [last[name] for name in nearest(key.rpartition(".")[2], last)]
    hint = f" Did you mean `{'` or `'.join(near)}`?" if near else " `vkood recipes --keys` lists all."
    raise RunError(f"there is no `{key}` ({told}).{hint}")


def _run(config: Any) -> Run:
    run: Run = OmegaConf.to_object(config)  # pyright: ignore[reportAssignmentType] - of a structured configuration
    return run
