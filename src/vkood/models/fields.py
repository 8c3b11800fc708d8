"""Rules for the fields of configurations: type, range or choice, checked before anything is built from them."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

MAX_LAYERS, MAX_HEADS, MAX_WIDTH = 1_000, 1_024, 65_536
MAX_IMAGE_SIZE = 4_096
"""Pixels: at 14 pixels a patch, 85,000 tokens, for which no attention has the memory."""
MAX_VOCABULARY = 10_000_000
_SHOWN = 60


class Rule(ABC):
    """What a field has to be."""

    @property
    @abstractmethod
    def expected(self) -> str:
        """The rule in words, as the end of "must be"."""

    @abstractmethod
    def accepts(self, value: Any) -> bool:
        """Whether a value keeps to the rule."""


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

    @property
    @override
    def expected(self) -> str:
        low = "" if self.lowest == -math.inf else f" {'above' if self.above else 'from'} {self.lowest:g}"
        high = "" if self.highest == math.inf else f" to {self.highest:g}"
        return f"a finite number{low}{high}"

    @override
    def accepts(self, value: Any) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        high_enough = value > self.lowest if self.above else value >= self.lowest
        return high_enough and value <= self.highest and abs(value) < math.inf


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
            return 0 < len(value) <= MAX_LAYERS and all(map(self.rule.accepts, value))
        return self.rule.accepts(value)


def require_fields(values: Mapping[str, Any], rules: Mapping[str, Rule], within: str = "") -> None:
    """Refuse the first value that breaks its rule; a name without a value is fine.

    Args:
        values: The values by name.
        rules: The rules by name.
        within: What stands before each name in the error, such as "gate.".

    Raises:
        ValueError: Says the field, what was expected, and what came.
    """
    for name, rule in rules.items():
        if name in values and not rule.accepts(values[name]):
            raise ValueError(f"`{within}{name}` must be {rule.expected}; got {_shown(values[name])}.")


# What the configurations of `transformers`' encoders have in common is how their fields are called. The ranges are wide
# enough for every published encoder, and narrow enough that a model is laid out without its weights in seconds.
_PATTERNS: tuple[tuple[re.Pattern[str], Rule], ...] = tuple(
    (re.compile(pattern), rule)
    for pattern, rule in (
        (r"vocab_size$", Whole(0, MAX_VOCABULARY)),
        (r"^image_size$", Each(Whole(1, MAX_IMAGE_SIZE))),
        (r"^(patch|kernel)_size$|^patch_stride$", Each(Whole(1, MAX_IMAGE_SIZE))),
        (
            r"^(num|n|encoder|decoder)_(\w+_)?(layers?|blocks|stages|groups)$|^depths?$",
            Each(Whole(0, MAX_LAYERS)),
        ),
        (r"^(num|n|encoder|decoder)_(\w+_)?heads?$", Each(Whole(1, MAX_HEADS))),
        (r"^(num|n)_(\w+_)?experts$", Each(Whole(0, MAX_WIDTH))),
        (r"^(hidden|intermediate|embedding)_sizes?$|^embed_dim$|^d_(model|ff)$", Each(Whole(1, 2**20))),
        (r"^max_position_embeddings$", Real(-1, MAX_VOCABULARY)),
        (r"^num_(channels|labels)$", Whole(0, MAX_VOCABULARY)),
        (r"(dropout(_prob|_rate)?|drop_path_rate|_dropout_p)$", Each(Real(0, 1))),
        (r"_eps$", Real(0, 1)),
        (r"^initializer_(range|factor)$", Real(0)),
        (r"^(height|width|shortest_edge|longest_edge|size|crop_size)$", Each(Whole(1, MAX_IMAGE_SIZE))),
        (r"^image_std$", Each(Real(0, above=True))),
        (r"^(image_mean|rescale_factor)$", Each(Real())),
    )
)
_NUMBER = re.compile(r"num_|hidden_|intermediate_|image_|patch_|vocab_|max_")
"""What is a number by its name; other switches end like the numbers that they switch on."""
_FREE = ("id2label", "label2id", "task_specific_params")


def require_plausible(values: Mapping[str, Any], within: str = "") -> None:
    """Refuse a foreign configuration with a field of a type, sign or size that no encoder has.

    Args:
        values: The configuration as its file holds it, those of its parts nested.
        within: What stands before each name in the error, such as "text_config.".

    Raises:
        ValueError: Says the field, what was expected, and what came.
    """
    for name, value in values.items():
        if name in _FREE or value is None:
            continue
        if isinstance(value, Mapping):
            require_plausible(value, f"{within}{name}.")
            continue
        for pattern, rule in _PATTERNS:
            if pattern.search(name) and not (isinstance(value, bool) and not _NUMBER.match(name)):
                require_fields(values, {name: rule}, within)
                break


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."
