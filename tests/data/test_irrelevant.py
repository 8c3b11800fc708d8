"""Irrelevant facts: what ours may not say, and every way in which a user's file can be wrong."""

import os
import re

import pytest

from vkood.data import COLOURS, KNOWLEDGE_ENTITIES, SHAPES, irrelevant_facts, read_irrelevant_facts

WORDS = "|".join((*COLOURS, *SHAPES, "colou?r", "shape", "gold", "polar", "arctic"))


def subject(fact):
    """The head of a fact: its first words up to a noun, in the singular."""
    words = re.sub(r"^(an?|the) ", "", fact.rstrip(".").lower()).split()
    head = words[:2] if re.fullmatch(WORDS, words[0]) else words[:1]
    for ending, singular in (
        ("ies$", "y"),
        ("(?<=ch|sh|ss)es$", ""),
        ("(?<=[xo])es$", ""),
        ("(?<![su])s$", ""),
    ):
        head = [re.sub(ending, singular, word) if len(word) > 3 else word for word in head]
    return " ".join(head)


@pytest.mark.parametrize(("split", "min_facts"), [("train", 400), ("test", 300)])
def test_pools(split, min_facts):
    facts = irrelevant_facts(split)
    assert len(set(facts)) == len(facts) >= min_facts
    assert len({subject(fact) for fact in facts}) >= 90
    for fact in facts:
        assert re.fullmatch(r"[A-Z][A-Za-z' -]+\.", fact), fact
        words = set(re.findall("[a-z]+", fact.lower()))
        for entity in KNOWLEDGE_ENTITIES:
            assert not words & {entity, entity + "s", entity + "es"}, fact


@pytest.mark.parametrize("split", ["train", "test"])
def test_no_fact_gives_a_thing_a_colour_or_a_shape(split):
    values = "|".join(COLOURS + SHAPES)
    giving = re.compile(
        rf"\b(is|are|has|have|be|looks?|turns?)( an?| the)?( \w+)? ({values})s?( colou?r)?\.$"
    )
    for fact in irrelevant_facts(split):
        assert not giving.search(fact.lower()), fact
        assert not re.search(r"shaped like|the shape of|the colou?r of|\b(round|square)\b", fact.lower()), (
            fact
        )


@pytest.mark.parametrize("split", ["train", "test"])
def test_some_facts_have_words_of_colours_and_shapes(split):
    values = "|".join(COLOURS + SHAPES)
    assert sum(bool(re.search(rf"\b({values})\b", fact.lower())) for fact in irrelevant_facts(split)) >= 10


def test_pools_share_neither_sentences_nor_subjects():
    train, test = irrelevant_facts("train"), irrelevant_facts("test")
    assert not set(train) & set(test)
    assert not {subject(fact) for fact in train} & {subject(fact) for fact in test}


def test_unknown_split():
    with pytest.raises((ValueError, TypeError), match="split"):  # TypeError if types are checked
        irrelevant_facts("valid")


@pytest.mark.parametrize(
    "content",
    [
        b"A lemon is sour.\nBread is baked.\n",
        b"\xef\xbb\xbfA lemon is sour.\r\n\r\n  Bread is baked.  ",
        b"\n\n\tA lemon is sour.\rBread is baked.\n \n",
    ],
)
def test_reading(tmp_path, content):
    path = tmp_path / "facts.txt"
    path.write_bytes(content)
    assert (
        read_irrelevant_facts(path)
        == read_irrelevant_facts(str(path))
        == ("A lemon is sour.", "Bread is baked.")
    )


def test_reading_other_languages(tmp_path):
    path = tmp_path / "facts.txt"
    path.write_text("Zitronen schmecken säuerlich.\n柠檬很酸。\n", encoding="utf-8")
    assert read_irrelevant_facts(path) == ("Zitronen schmecken säuerlich.", "柠檬很酸。")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b" \n\t\n\r\n", "is empty"),
        (b"\xff\xfeA\x00 \x00l\x00", "is not UTF-8 text"),
        ("ein Säugetier".encode("latin-1"), "is not UTF-8 text"),
        (b"A lemon\x00 is sour.", "is not UTF-8 text"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not UTF-8 text"),
        (b"\x1b[31mred", "is not UTF-8 text"),
        (b"fine\n" + b"x" * 1001, "Line 2 .* 1,001 characters"),
    ],
)
def test_bad_files_get_one_clear_sentence(tmp_path, content, says):
    path = tmp_path / "facts.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=says) as caught:
        read_irrelevant_facts(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert message.endswith(".")


def test_longest_line(tmp_path):
    path = tmp_path / "facts.txt"
    path.write_text("x" * 1000)
    assert len(read_irrelevant_facts(path)[0]) == 1000


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file of irrelevant facts at"):
        read_irrelevant_facts(tmp_path / "none.txt")
    with pytest.raises(ValueError, match="but is a folder"):
        read_irrelevant_facts(tmp_path)
    (tmp_path / "facts.txt").write_text("x")
    with pytest.raises(ValueError, match="There is no file of irrelevant facts at"):
        read_irrelevant_facts(tmp_path / "facts.txt" / "inside")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="must be a regular file, but is a pipe"):
        read_irrelevant_facts(tmp_path / "pipe")
