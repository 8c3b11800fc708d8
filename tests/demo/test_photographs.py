"""`vkood demo`: five photographs, explained in earnest."""

import json

import pytest

from vkood.demo import photographs
from vkood.demo.photographs import PAGE, RECORD, demo_photographs, explain_photographs
from vkood.images import decode_image


def test_photographs_come_with_packages():
    paths = demo_photographs()
    assert len(paths) == 5
    for path in paths.values():
        assert min(decode_image(path, name="photograph").size) >= 300


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(photographs, "_PHOTOGRAPHS", {"cat": ("no_such_package", "cat.png", "Is it?")})
    with pytest.raises(ImportError, match="scikit-image"):
        demo_photographs()


def test_a_page_and_a_record(tmp_path):
    explained = explain_photographs(tmp_path)
    record = json.loads((tmp_path / RECORD).read_text(encoding="utf-8"))
    assert [photo["name"] for photo in record] == [photo.name for photo in explained]
    assert (tmp_path / PAGE).read_text(encoding="utf-8").count("<article") == 5
    assert (tmp_path / PAGE).stat().st_size < 400_000
    named = dict(zip(demo_photographs(), explained, strict=True))
    for name, belongs, foreign in (
        ("cat", "a cat can purr.", "a dog can bark."),
        ("coffee", "coffee is hot.", "snow is cold."),
        ("rocket", "a rocket can fly.", "a fish can swim."),
    ):
        assert belongs in [fact.sentence for fact in named[name].kept]
        assert foreign in [fact.sentence for fact in named[name].dropped]
