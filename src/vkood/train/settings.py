"""Runs from the command line: presets, `key=value`, YAML. OmegaConf checks names and types."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vkood.fields import shown
from vkood.files import FileProblem, read_text
from vkood.spelling import nearest
from vkood.train.run import Run, RunError, require_values

_FREE = ("model.config", "optimisation.arguments")
"""Keys below which there may be any name, since others know which there are."""
_MAX_BYTES = 2**20
_MAX_DEPTH = 20
_SHOWN = 60


def with_changes(run: Run, changes: Iterable[str], *, source: str = "on the command line") -> Run:
    """A run with some values changed.

    `optimisation.steps` counts in place of `optimisation.epochs`, so a change of the epochs alone takes back the steps.

    Args:
        run: The run.
        changes: "key=value", the key with dots ("optimisation.learning_rate=1e-5"), the value as YAML has it.
        source: Where the changes come from, for errors.

    Raises:
        RunError: If a key is unknown, which the error answers with the nearest one, or a value is of the wrong type or
            out of range.
    """
    known = keys_of(Run())
    config = OmegaConf.structured(run)
    changed: set[str] = set()
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise RunError(f"{change!r} ({source}) must be a preset, or key=value.")
        _require_known(key, known, source)
        with _as_run_error(f"`{key}` ({source}) cannot be {shown(value)}"):
            require_plain(value)
            OmegaConf.update(config, key, OmegaConf.from_dotlist([f"value={value}"])["value"])
        changed.add(key)
    if "optimisation.epochs" in changed and "optimisation.steps" not in changed:
        config.optimisation.steps = None
    return _run(config, source)


def from_yaml(path: str | Path) -> Run:
    """A run from a YAML file, as `--dry-run` prints it and every run's folder holds it.

    Raises:
        RunError: If the file cannot be read, or a key, a type or a value in it is wrong.
    """
    name = repr(os.fspath(path))
    values = read_yaml(path)
    known = keys_of(Run())
    for key in _flat(values):
        _require_known(key, known, name)
    with _as_run_error(name):
        config = OmegaConf.merge(OmegaConf.structured(Run()), OmegaConf.create(values))
    return _run(config, name)


def read_yaml(path: str | Path) -> dict[Any, Any]:
    """The named values of a YAML file.

    Raises:
        RunError: If it cannot be read, is not plain YAML, or holds something else.
    """
    name = repr(os.fspath(path))
    try:
        text = read_text(path, what="configuration", max_bytes=_MAX_BYTES)
    except FileProblem as error:
        raise RunError(str(error)) from None
    with _as_run_error(f"{name} cannot be read as YAML"):
        require_plain(text)
        values = OmegaConf.to_container(OmegaConf.load(io.StringIO(text)))
    if not isinstance(values, dict) or not values:
        raise RunError(f"{name} must hold named values.")
    return values


def require_plain(text: str) -> None:
    """Refuse YAML with what no run needs: tags, which may name Python objects; anchors, which multiply; deep nesting.

    Raises:
        ValueError: If there is any of it.
        yaml.YAMLError: If it is no YAML.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ValueError(f"anchors and aliases (& and *) are not supported, line {line}")
        if getattr(event, "tag", None):
            raise ValueError(
                f"tags (such as !!{str(event.tag).removeprefix('tag:yaml.org,2002:')}) are not supported, line {line}"
            )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {_MAX_DEPTH} levels, line {line}")


def to_yaml(run: Run) -> str:
    """A run as YAML, which `from_yaml` takes back."""
    return OmegaConf.to_yaml(OmegaConf.create(asdict(run)))


def keys_of(record: Any, above: str = "") -> dict[str, Any]:
    """All keys of a run, with dots, and their values."""
    values: dict[str, Any] = {}
    for item in fields(record):
        value = getattr(record, item.name)
        values |= (
            keys_of(value, f"{above}{item.name}.") if is_dataclass(value) else {above + item.name: value}
        )
    return values


def _flat(values: Mapping[Any, Any], above: str = "") -> list[str]:
    return [
        key
        for name, value in values.items()
        for key in (
            _flat(value, f"{above}{name}.")
            if isinstance(value, Mapping) and f"{above}{name}" not in _FREE
            else [f"{above}{name}"]
        )
    ]


def _require_known(key: str, known: Mapping[str, Any], source: str) -> None:
    if key in known or (key.startswith(tuple(f"{free}." for free in _FREE)) and all(key.split("."))):
        return
    if inner := [name for name in known if name.startswith(f"{key}.")]:
        raise RunError(
            f"`{key}` ({source}) holds several values: set each by its own key, such as `{inner[0]}`."
        )
    last = {name.rpartition(".")[2]: name for name in known}
    near = nearest(key, known) or [last[name] for name in nearest(key.rpartition(".")[2], last)]
    hint = f" Did you mean `{'` or `'.join(near)}`?" if near else " `vkood recipes --keys` lists all."
    raise RunError(f"there is no key `{key[:_SHOWN]}` ({source}).{hint}")


def _run(config: Any, source: str) -> Run:
    """The run of a structured configuration, with its values checked."""
    with _as_run_error(source):
        run: Run = OmegaConf.to_object(config)  # pyright: ignore[reportAssignmentType] - of a structured configuration
        OmegaConf.structured(run)  # merging does not check the items of lists
    require_values(run)
    return run


@contextmanager
def _as_run_error(what: str) -> Iterator[None]:
    """Turn what YAML and OmegaConf raise for bad values into a sentence."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise RunError(f"{what}: {error.problem or 'it is damaged'}{line}.") from None
    except (OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError) as error:  # the last of merging
        raise RunError(f"{what}: {str(error).splitlines()[0].rstrip('.')}.") from None
