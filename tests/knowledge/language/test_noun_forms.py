"""How nouns are written: names and their articles, masses, and that the table can be built again."""

import gzip
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vkood.knowledge.language.noun_forms import is_kind_of_name, kind_form, may_be_place, name_form, noun_form

ROOT = Path(__file__).resolve().parents[3]
DATA = """00000001 15 n 01 river 0 000 | a large natural stream of water
00000002 17 n 02 Elbe 0 Elbe_River 0 001 @i 00000001 n 0000 | a river in central Europe
00000003 05 n 01 turkey 0 000 | a large bird
00000004 15 n 01 Turkey 0 001 @i 00000005 n 0000 | a country
00000005 15 n 01 country 0 000 | a territory
00000006 12 n 01 distrust 0 000 | doubt about someone; "a look full of distrust"
00000007 18 n 01 Frenchman 0 000 | a person of French nationality
"""
INDEX = """river n 1 0 1 0 00000001
elbe n 1 0 1 0 00000002
elbe_river n 1 0 1 0 00000002
turkey n 2 0 2 0 00000003 00000004
country n 1 0 1 0 00000005
distrust n 1 0 1 0 00000006
frenchman n 1 0 1 0 00000007
"""


@pytest.fixture(scope="module")
def script() -> Iterator[object]:
    sys.path.insert(0, str(ROOT / "scripts"))
    yield importlib.import_module("build_noun_forms")
    sys.path.remove(str(ROOT / "scripts"))


def test_the_table_is_built_from_wordnets_files(tmp_path, script):
    (tmp_path / "data.noun").write_text(DATA)
    (tmp_path / "index.noun").write_text(INDEX)
    assert script.lines(script.Nouns(tmp_path)) == [
        "udistrust",
        "tElbe",
        "tElbe River",
        "cFrenchman",
        "NTurkey",
        "kcountry",
        "kriver",
    ]


@pytest.mark.parametrize(
    ("concept", "text", "article"),
    [
        ("wilhelm konrad roentgen", "Wilhelm Konrad Roentgen", "none"),
        ("scheldt", "Scheldt", "the"),
        ("republic of panama", "Republic of Panama", "the"),
        ("capital of the united kingdom", "capital of the United Kingdom", "the"),
        ("joan of arc", "Joan of Arc", "none"),
        ("algonquian", "Algonquian", "a"),
        ("veronica americana", "Veronica americana", "none"),
        ("siamese cat", "Siamese cat", "a"),
    ],
)
def test_forms(concept, text, article):
    form = noun_form(concept)
    assert form is not None
    assert (form.text, form.article) == (text, article)


def test_plurals_and_corrections_decide(tmp_path, script):
    (tmp_path / "data.noun").write_text(DATA)
    (tmp_path / "index.noun").write_text(INDEX)
    (tmp_path / "corrections.txt").write_text("# by hand\n[p]\nElbe; x\n[n]\nElbe River\n")
    with gzip.open(tmp_path / "plurals.csv.gz", "wt") as file:
        file.write("distrust,noun,distrusts\ndistrust,verb,distrusted\nriver,noun,river\n")
    plurals = script.read_plurals(tmp_path / "plurals.csv.gz")
    corrections = script.read_corrections(tmp_path / "corrections.txt")
    lines = script.lines(script.Nouns(tmp_path, plurals, corrections))
    assert lines[:4] == ["pElbe", "nElbe River", "cFrenchman", "uriver"]
    assert "udistrust" not in lines


def test_each_correction_is_of_a_known_class(script):
    corrections = script.read_corrections(script.CORRECTIONS)
    assert len(corrections) > 4_000 and set(corrections.values()) == set("aubnctp")


def test_a_word_of_one_kind_is_written_otherwise():
    assert kind_form("pa", "communication system").text == "PA"
    assert kind_form("pa", "father") is None
    assert may_be_place("turkey") and not may_be_place("stone")


def test_a_word_that_is_also_a_name():
    assert noun_form("turkey") is None
    assert name_form("turkey").text == "Turkey"
    assert name_form("dog") is None
    assert is_kind_of_name("city") and not is_kind_of_name("bird")
