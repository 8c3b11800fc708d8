"""Files read piece by piece: the same values as Python's parser has them, and one sentence for what is none."""

import json
import os
import random

import pytest

from vkood.data.readers import SourceError, streams
from vkood.data.readers.source import BadRows, BadRowsError
from vkood.data.record import Integer, Mismatch, Record


class Whole:
    """A record that takes any value."""

    def read(self, value, place=""):
        return value


def random_value(generator: random.Random, depth: int = 0):
    kind = generator.randrange(7 if depth < 3 else 5)
    if kind < 5:
        return generator.choice(
            [
                None,
                True,
                12345,
                -1.5e-7,
                10**20,
                "",
                'é\n"\\',
                "], [",
                "\U0001f600",
                "x" * generator.randrange(40),
            ]
        )
    items = [random_value(generator, depth + 1) for _ in range(generator.randrange(4))]
    return items if kind == 5 else {f"k{place} ,:": item for place, item in enumerate(items)}


@pytest.mark.parametrize("key", [None, "questions"])
def test_json_is_what_pythons_parser_has(tmp_path, key):
    """Also where a piece ends in the middle of a value, a number or a character."""
    generator = random.Random(0)
    for number in range(60):
        values = [random_value(generator) for _ in range(generator.randrange(1, 6))]
        content = values if key is None else {"info": random_value(generator), key: values, "more": [1]}
        spaces = {"indent": generator.choice([None, 2]), "ensure_ascii": generator.random() < 0.5}
        path = tmp_path / f"{number}.json"
        path.write_text(
            generator.choice(["", "\ufeff"]) + json.dumps(content, **spaces) + "\n ", encoding="utf-8"
        )
        records = list(streams.json_records(path, Whole(), BadRows(), key=key, chunk=5))
        assert records == list(enumerate(json.loads(json.dumps(values))))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "must hold an object with a list 'a' at the end of the file"),
        ("[]", "must hold an object with a list 'a'"),
        ('{"b": []}', "it has no 'a'"),
        ('{"a": {}}', "'a' must be a list"),
        ('{"a": []}', "has no records in 'a'"),
        ('{"a": [1, 2', "at the end of the file"),
        ('{"a": [1 2]}', "a comma or ']' is expected; near '2]}'"),
        ('{"a": [1,]}', "a value is expected after a comma"),
        ('{"a": [1]} x', "nothing is expected after its end; near 'x'"),
        ('{"a" [1]}', "a colon are expected"),
        ("{1: [1]}", "a colon are expected"),
        ('{"a": [nul]}', "Expecting value; near 'nul]}'"),
        ('{"a": ["x]}', "Unterminated string"),
        ('{"a": [' + "[" * 100_000, "nested too deeply"),
        ('{"a": [' + "9" * 5000 + "]}", "digits"),
        (b'{"a": ["\xff"]}', "not UTF-8"),
        (b'{"a": ["\0"]}', "not UTF-8"),
        ('{"a": []}'.encode("utf-16"), "UTF-16"),
    ],
)
def test_json_that_is_none(tmp_path, content, says):
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SourceError, match=says):
        list(streams.json_records(path, Whole(), BadRows(), key="a"))


def test_a_value_that_is_too_long(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('["' + "x" * 2 * streams.MAX_RECORD + '"]')
    with pytest.raises(SourceError, match="more than 33,554,432 characters"):
        list(streams.json_records(path, Whole(), BadRows()))


def test_a_file_of_other_values_ends_soon(tmp_path):
    """Before all of it is read; reasons do not fill the memory."""
    path = tmp_path / "a.json"
    path.write_text("[0" + ",0" * 7000 + "]")
    bad = BadRows(num_bad=95_000)
    with pytest.raises(BadRowsError, match="100,001 of 100,001 rows so far"):
        list(streams.json_records(path, Record({"a": Integer()}), bad))
    assert len(bad.reasons) == 1000


def test_lines(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(b"\xef\xbb\xbfa\tb\r\n\r\nc\rd\xff\n" + b"x" * (streams.MAX_LINE + 5) + b"\ne\0\nf")
    numbered = list(streams.lines(path))
    assert [number for number, _ in numbered] == list(range(1, 8))
    texts = [line if isinstance(line, str) else type(line) for _, line in numbered]
    assert texts == ["a\tb", "", "c", streams.UndecodedLine, Mismatch, streams.UndecodedLine, "f"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_regular_file(tmp_path, make):
    make(tmp_path / "a")
    with pytest.raises(SourceError, match="regular file"):
        list(streams.lines(tmp_path / "a"))


def test_a_line_without_an_end_ends_the_work(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a\n" + "b" * 2 * streams.MAX_LINE + "\nc\n" + "d" * 2 * streams.MAX_RECORD)
    read = streams.lines(path)
    assert [next(read) for _ in range(3)][::2] == [(1, "a"), (3, "c")]
    with pytest.raises(SourceError, match="row 4, has more than 33,554,432 characters"):
        next(read)
