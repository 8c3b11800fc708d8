"""Rules for the fields of foreign configurations, checked before anything is built from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from vkood.fields import Each, Flag, Real, Rule, Whole, require_fields

MAX_LAYERS, MAX_HEADS, MAX_WIDTH = 1_000, 1_024, 65_536
MAX_IMAGE_SIZE = 4_096
"""Pixels: at 14 pixels a patch, 85,000 tokens, for which no attention has the memory."""
MAX_VOCABULARY = 10_000_000
MAX_LABELS = 1_000_000


@dataclass(frozen=True, slots=True)
class Labels(Rule):
    """Texts by their numbers, as JSON has them."""

    @property
    @override
    def expected(self) -> str:
        return "texts by their numbers"

    @override
    def accepts(self, value: Any) -> bool:
        return isinstance(value, Mapping) and all(
            str(number).isdecimal() and isinstance(label, str) for number, label in value.items()
        )


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
        (r"^num_(channels|labels)$", Whole(0, MAX_LABELS)),
        (r"(dropout(_prob|_rate)?|drop_path_rate|_dropout_p)$", Each(Real(0, 1))),
        (r"_eps$", Real(0, 1)),
        (r"^initializer_(range|factor)$", Real(0)),
        (r"^chunk_size_feed_forward$", Whole(0)),
        (r"^output_(hidden_states|attentions)$|^return_dict$|^is_(encoder_)?decoder$|^use_cache$", Flag()),
    )
)
_NUMBER = re.compile(r"num_|hidden_|intermediate_|image_|patch_|vocab_|max_")
"""What is a number by its name; other switches end like the numbers that they switch on."""
_MAX_REASON_LENGTH = 300
_FREE = ("id2label", "label2id", "task_specific_params")


def require_plausible(values: Mapping[str, Any], within: str = "") -> None:
    """Refuse a foreign configuration with a field of a type, sign or size that no encoder has.

    Args:
        values: The configuration as its file holds it, those of its parts nested.
        within: What stands before each name in the error, such as "text_config.".

    Raises:
        ValueError: With the field, what was expected, and what came.
    """
    for name, value in values.items():
        if name in _FREE or value is None:
            continue
        if isinstance(value, Mapping):
            require_plausible(value, f"{within}{name}.")
            continue
        for pattern, rule in _PATTERNS:
            switch = isinstance(value, bool) and not isinstance(rule, Flag) and not _NUMBER.match(name)
            if pattern.search(name) and not switch:
                require_fields(values, {name: rule}, within)
                break


def reason(error: BaseException) -> str:
    """The reason in an error, as the end of a sentence: a strict configuration has its reason in the second line."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):
        lines[0] = f"{lines[0]} {lines[1]}"
    text = lines[0].rstrip(".:") if lines else ""
    text = (
        text if len(text) <= _MAX_REASON_LENGTH else f"{text[:_MAX_REASON_LENGTH]} ..."
    )  # some list all that there is
    named = isinstance(error, ValueError | OSError | RuntimeError) or len(text.split()) > 2
    return f"{text}." if text and named else f"{type(error).__name__} {text}".rstrip() + "."
