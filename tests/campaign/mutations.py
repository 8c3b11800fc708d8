"""Ways to damage values, JSON documents and bytes."""

from __future__ import annotations

import codecs
import copy
import json
import random
from typing import Any

WRONG: list[Any] = [
    None,
    True,
    "",
    "x",
    "1",
    "NaN",
    -1,
    0,
    1.7,
    2**31,
    2**63,
    2**70,
    -(2**70),
    1e300,
    float("nan"),
    float("inf"),
    [],
    [[]],
    {},
    {"a": {"b": None}},
    [None],
    ["x", 1],
    "é" * 10,
    "\ud800",
    "a" * 200_000,
    [0] * 1000,
    "../../etc/passwd",
]
"""Values that few fields can take."""


def label(value: Any) -> str:
    """A value in few characters."""
    text = repr(value)
    return text if len(text) < 30 else f"{text[:20]}... ({len(text)})"


def places(document: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in a JSON document; of long lists the first and the last items."""
    paths = [above] if above else []
    if isinstance(document, dict):
        for key, value in document.items():
            paths += places(value, (*above, key))
    elif isinstance(document, list):
        for index in sorted({0, 1, len(document) - 1} & set(range(len(document)))):
            paths += places(document[index], (*above, index))
    return paths


def at(document: Any, place: tuple[Any, ...]) -> Any:
    """The value at a path."""
    for key in place:
        document = document[key]
    return document


def with_value(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at a path."""
    document = copy.deepcopy(document)
    at(document, place[:-1])[place[-1]] = value
    return document


def without(document: Any, place: tuple[Any, ...]) -> Any:
    """A copy that lacks what is at a path."""
    document = copy.deepcopy(document)
    del at(document, place[:-1])[place[-1]]
    return document


def damaged_json(text: str, rng: random.Random) -> tuple[str, bytes]:
    """A JSON document with one fault, and what that is."""
    document = json.loads(text)
    if rng.random() < 0.75:
        paths = places(document)
        place = rng.choice(paths) if paths else ()
        name = ".".join(map(str, place))
        if not place or rng.random() < 0.05:
            value = rng.choice(WRONG)
            return f"the document is {label(value)}", _dumped(value)
        if rng.random() < 0.2:
            return f"without {name}", _dumped(without(document, place))
        value = rng.choice(WRONG)
        return f"{name} = {label(value)}", _dumped(with_value(document, place, value))
    return damaged_text(text, rng)


def damaged_lines(text: str, rng: random.Random) -> tuple[str, bytes]:
    """JSON lines, one of which has a fault."""
    lines = text.splitlines()
    index = rng.randrange(len(lines))
    name, line = damaged_json(lines[index], rng)
    before, after = "\n".join(lines[:index]).encode(), "\n".join(lines[index + 1 :]).encode()
    return f"line {index}: {name}", before + b"\n" * (index > 0) + line + b"\n" + after + b"\n"


def damaged_table(text: str, separator: str, rng: random.Random) -> tuple[str, bytes]:
    """A table of separated values with one fault."""
    if rng.random() < 0.25:
        return damaged_text(text, rng)
    rows = [line.split(separator) for line in text.splitlines()]
    row = rng.randrange(len(rows))
    column = rng.randrange(len(rows[row]))
    kind = rng.choice(("cell", "missing", "more", "quote", "blank", "repeat", "header"))
    if kind == "cell":
        rows[row][column] = rng.choice(
            (
                "",
                " ",
                "\x00",
                "nan",
                "1e999",
                "-1",
                "../../x",
                "/etc/passwd",
                "a" * 200_000,
                "[1, 2]",
                '{"a": 1}',
                "\u202e",
                "[/b]",
                "1.7",
            )
        )
    elif kind == "missing":
        del rows[row][column]
    elif kind == "more":
        rows[row].append("more")
    elif kind == "quote":
        rows[row][column] = '"' + rows[row][column]
    elif kind == "blank":
        rows[row:row] = [[""] * len(rows[0])] * 3
    elif kind == "repeat":
        rows.insert(row, rows[row])
    else:
        rows[0][rng.randrange(len(rows[0]))] = rng.choice(("", "other", rows[0][0]))
    return f"{kind} in row {row}, column {column}", "\n".join(map(separator.join, rows)).encode() + b"\n"


def damaged_text(text: str, rng: random.Random) -> tuple[str, bytes]:
    """A text file with a fault that does not depend on what is in it."""
    content = text.encode()
    faults: dict[str, bytes] = {
        "empty": b"",
        "blank": b" \n\t\n",
        "cut": content[: rng.randrange(1, max(2, len(content)))],
        "bom": codecs.BOM_UTF8 + content,
        "utf-16": text.encode("utf-16"),
        "latin-1": text.encode("latin-1", "replace") + b" \xe9\xff",
        "nul": b"\x00" * 100,
        "nested": b"[" * 100_000,
        "nested objects": b'{"a":' * 20_000,
        "an error page": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "git lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "bytes": rng.randbytes(500),
        "twice": content + content,
        "a long number": b"9" * 10_000,
        "null": b"null",
        "no list": b'"text"',
    }
    name = rng.choice(list(faults))
    return name, faults[name]


def damaged_bytes(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """A binary file with a fault."""
    kind = rng.choice(("empty", "cut", "flipped", "zeros", "text", "head", "tail"))
    at_byte = rng.randrange(max(1, len(content)))
    damaged = {
        "empty": b"",
        "cut": content[:at_byte],
        "flipped": content[:at_byte]
        + bytes(255 - byte for byte in content[at_byte : at_byte + 16])
        + content[at_byte + 16 :],
        "zeros": b"\x00" * len(content),
        "text": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "head": rng.randbytes(64) + content[64:],
        "tail": content + rng.randbytes(64),
    }[kind]
    return f"{kind} at {at_byte}", damaged


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")
