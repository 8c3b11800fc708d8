"""Rules for the fields of records and configurations: type, range or choice, checked before anything is built."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from typing_extensions import override

_MAX_LENGTH = 1_000
_SHOWN = 60
_RULE = "rule"


class Rule(ABC):
    """A rule for the value of a field."""

    @property
    @abstractmethod
    def expected(self) -> str:
        """The rule in words, as the end of "must be"."""

    @abstractmethod
    def accepts(self, value: Any) -> bool:
        """Whether a value satisfies the rule."""


@dataclass(frozen=True, slots=True)
class Whole(Rule):
    """A whole number within a range."""

    lowest: int = 1
    highest: int = 2**31 - 1

    @property
    @override
    def expected(self) -> str:
        return f"a whole number from {self.lowest:,} to {self.highest:,}"

    @override
    def accepts(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.lowest <= value <= self.highest


@dataclass(frozen=True, slots=True)
class Real(Rule):
    """A finite number within a range, whose ends may be left out."""

    lowest: float | int = -math.inf
    highest: float | int = math.inf
    above: bool = False
    """Whether the lowest value itself is left out."""
    below: bool = False
    """Whether the highest value itself is left out."""

    @property
    @override
    def expected(self) -> str:
        low = "" if self.lowest == -math.inf else f" {'above' if self.above else 'from'} {self.lowest:g}"
        high = "" if self.highest == math.inf else f" {'and below' if self.below else 'to'} {self.highest:g}"
        return f"a finite number{low}{high}"

    @override
    def accepts(self, value: Any) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        high_enough = value > self.lowest if self.above else value >= self.lowest
        low_enough = value < self.highest if self.below else value <= self.highest
        return high_enough and low_enough and abs(value) < math.inf


@dataclass(frozen=True, slots=True)
class Flag(Rule):
    """True or false."""

    @property
    @override
    def expected(self) -> str:
        return "true or false"

    @override
    def accepts(self, value: Any) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Choice(Rule):
    """One of several names."""

    names: Sequence[str]

    @property
    @override
    def expected(self) -> str:
        return f"one of {', '.join(self.names)}"

    @override
    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.names


@dataclass(frozen=True, slots=True)
class Optional(Rule):
    """None, or what another rule accepts."""

    rule: Rule

    @property
    @override
    def expected(self) -> str:
        return f"{self.rule.expected}, or null"

    @override
    def accepts(self, value: Any) -> bool:
        return value is None or self.rule.accepts(value)


@dataclass(frozen=True, slots=True)
class Each(Rule):
    """What another rule accepts, or a short list of such values."""

    rule: Rule

    @property
    @override
    def expected(self) -> str:
        return f"{self.rule.expected}, or a list of such"

    @override
    def accepts(self, value: Any) -> bool:
        if isinstance(value, list | tuple):
            return 0 < len(value) <= _MAX_LENGTH and all(map(self.rule.accepts, value))
        return self.rule.accepts(value)


@dataclass(frozen=True, slots=True)
class Several(Rule):
    """A list of fixed length, each element of which another rule accepts."""

    length: int
    rule: Rule

    @property
    @override
    def expected(self) -> str:
        return f"a list of {self.length}, each {self.rule.expected}"

    @override
    def accepts(self, value: Any) -> bool:
        right_length = isinstance(value, list | tuple) and len(value) == self.length
        return right_length and all(map(self.rule.accepts, value))


def ruled(default: Any, rule: Rule) -> Any:
    """A field of a dataclass with its default and its rule, which `require_rules` checks."""
    metadata = {_RULE: rule}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def rules_of(kind: Any) -> dict[str, Rule]:
    """The rules of a dataclass's fields by name; fields without one are left out."""
    return {item.name: item.metadata[_RULE] for item in dataclasses.fields(kind) if _RULE in item.metadata}


def require_rules(record: Any, within: str = "") -> None:
    """Refuse the first value of a dataclass, or of a dataclass in it, that breaks its rule.

    Args:
        record: The dataclass.
        within: Prefix of each name in the error, such as "optimisation.".

    Raises:
        ValueError: Names the field, the expected value and the actual one.
    """
    values = {item.name: getattr(record, item.name) for item in dataclasses.fields(record)}
    require_fields(values, rules_of(record), within)
    for name, value in values.items():
        if dataclasses.is_dataclass(value):
            require_rules(value, f"{within}{name}.")


def require_fields(values: Mapping[str, Any], rules: Mapping[str, Rule], within: str = "") -> None:
    """Refuse the first value that breaks its rule; a name without a value is fine.

    Args:
        values: The values by name.
        rules: The rules by name.
        within: Prefix of each name in the error, such as "gate.".

    Raises:
        ValueError: Names the field, the expected value and the actual one.
    """
    for name, rule in rules.items():
        if name in values and not rule.accepts(values[name]):
            raise ValueError(f"`{within}{name}` must be {rule.expected}; got {shown(values[name])}.")


def require_kind(name: str, value: Any, kind: type | tuple[type, ...]) -> None:
    """Refuse an argument that is not an instance of `kind`.

    Raises:
        TypeError: Names the argument, the expected type and the actual value.
    """
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        expected = " or ".join(each.__name__ for each in kinds)
        hint = (
            f" Call it: `{value.__name__}()`." if isinstance(value, type) and issubclass(value, kind) else ""
        )
        raise TypeError(f"`{name}` must be of type {expected}; got {shown(value)}.{hint}")


def as_count(name: str, value: Any, highest: int | None = None) -> int:
    """A number of things, at least 1, as Python's; whole numbers of numpy are as good.

    Raises:
        ValueError: Names the argument and the actual value.
    """
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or int(value) < 1 or (highest is not None and int(value) > highest):
        limits = "of at least 1" if highest is None else f"from 1 to {highest:,}"
        raise ValueError(f"`{name}` must be a whole number {limits}; got {shown(value)}.")
    return int(value)


def require_unicode(name: str, text: str) -> None:
    """Refuse a text that has half of a surrogate pair, which neither files nor tokenizers take.

    Raises:
        ValueError: Names the argument and the place.
    """
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} must be Unicode text; {text[:80]!r} has half of a surrogate pair at {error.start}. "
            "Decode it as what it is, for instance with `errors='replace'`."
        ) from None


def shown(value: Any) -> str:
    """A value as errors show it, truncated if it is long."""
    try:
        text = repr(value)
    except ValueError:  # more digits than Python writes
        return "a number of too many digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."
