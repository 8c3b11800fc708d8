"""Typed records: the schema of a foreign file's records, checked as they are read.

A reader declares its records once, from the types below and the rules of `vkood.fields`. Reading a value either returns
it in Python's type, or raises a `Mismatch` that names the field, the expected and the actual value; the reader adds
file and row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from vkood import fields
from vkood.fields import Rule

_INTEGER = re.compile(r"-?[0-9]{1,19}")


class Mismatch(ValueError):
    """A value is not of the type that was expected; the text is one sentence without its full stop."""


@runtime_checkable
class Type(Protocol):
    """What a value must be."""

    def read(self, value: Any, place: str = "") -> Any:
        """The value, checked and converted.

        Args:
            value: As the file has it.
            place: Its field, for the error.

        Raises:
            Mismatch: If it is something else.
        """
        ...


def shown(value: Any) -> str:
    r"""A short description of a value of a file, safe for a terminal.

    Example:
        >>> shown(None), shown([1, 2]), shown("a\x1b[1m"), shown(1.7)
        ('nothing', 'a list of 2', "'a\\x1b[1m'", '1.7')
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"a list of {len(value):,}"
    if isinstance(value, Mapping):
        return "an object"
    return fields.shown(value)


@dataclass(frozen=True)
class Text:
    """A text that can be written as UTF-8.

    Args:
        blank: Whether it may be empty or white space alone.
        pattern: A regular expression that all of it must match.
        called: What to call it in errors.
    """

    blank: bool = False
    pattern: str = ""
    called: str = "a text"

    def read(self, value: Any, place: str = "") -> str:
        """The text as it is."""
        if not isinstance(value, str) or (not self.blank and not value.strip()):
            raise _mismatch(
                place, self.called + ("" if self.blank or self.pattern else " that is not blank"), value
            )
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise _mismatch(place, self.called, value)
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _mismatch(place, f"{self.called} without single surrogates", value) from None
        return value


@dataclass(frozen=True)
class Integer:
    """A whole number of 64 bits, or a text of its digits."""

    def read(self, value: Any, place: str = "") -> int:
        """The number."""
        number = value
        if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
            number = int(value)
        if not isinstance(number, int) or isinstance(number, bool) or not -(2**63) <= number < 2**63:
            raise _mismatch(place, "a whole number of 64 bits", value)
        return number


@dataclass(frozen=True)
class Ruled:
    """What a rule for fields accepts, as it is."""

    rule: Rule

    def read(self, value: Any, place: str = "") -> Any:
        """The value."""
        if not self.rule.accepts(value):
            raise _mismatch(place, self.rule.expected, value)
        return value


@dataclass(frozen=True)
class ListOf:
    """A list.

    Args:
        item: What each item must be.
        min_length: Minimum number of items.
    """

    item: Type
    min_length: int = 0

    def read(self, value: Any, place: str = "") -> list[Any]:
        """The items."""
        if not isinstance(value, list) or len(value) < self.min_length:
            raise _mismatch(
                place, "a list" + (f" of {self.min_length} or more" if self.min_length else ""), value
            )
        return [self.item.read(item, f"{place}[{number}]") for number, item in enumerate(value)]


@dataclass(frozen=True)
class Optional:
    """A field that may be absent or null.

    Args:
        type: The type of a present value.
        default: The value for an absent or null field.
    """

    type: Type
    default: Any = None

    def read(self, value: Any, place: str = "") -> Any:
        """The value, or the default."""
        return self.default if value is None else self.type.read(value, place)


@dataclass(frozen=True)
class Record:
    """An object with certain fields; it may have others, which are left out.

    Args:
        fields: What each field must be.

    Example:
        >>> question = Record({"id": Integer(), "text": Text(), "types": Optional(ListOf(Text()), [])})
        >>> question.read({"id": "7", "text": "Where?", "more": 1})
        {'id': 7, 'text': 'Where?', 'types': []}
        >>> question.read({"id": 7, "text": "Where?", "types": ["a", 5]})
        Traceback (most recent call last):
            ...
        vkood.data.record.Mismatch: `types[1]` must be a text that is not blank; got 5
    """

    fields: Mapping[str, Type]

    def read(self, value: Any, place: str = "") -> dict[str, Any]:
        """Its fields."""
        if not isinstance(value, Mapping):
            raise _mismatch(place, "an object", value)
        record: dict[str, Any] = {}
        for name, type_ in self.fields.items():
            field = f"{place}.{name}" if place else name
            if name not in value and not isinstance(type_, Optional):
                raise Mismatch(f"it lacks `{field}`")
            record[name] = type_.read(value.get(name), field)
        return record


def _mismatch(place: str, expected: str, value: Any) -> Mismatch:
    """The error of a field, such as "answers[2].answer"; an empty place stands for the record itself."""
    return Mismatch(f"{f'`{place}`' if place else 'it'} must be {expected}; got {shown(value)}")
