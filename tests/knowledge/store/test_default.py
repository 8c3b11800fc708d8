"""The store that comes with vkood: that it opens, and has what it must have."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vkood.knowledge import FactStore
from vkood.knowledge.sources.batches import Tally
from vkood.knowledge.sources.everyday import SOURCE, everyday_facts
from vkood.knowledge.sources.wordnet import WordNetSource
from vkood.knowledge.store.default import default_store_path

ROOT = Path(__file__).resolve().parents[3]

LICENCE = "  1 Permission to use, copy, modify and distribute this software is granted.  \n"
DATA = (
    LICENCE
    + """00000001 05 n 01 animal 0 000 | a living thing
00000002 05 n 01 mammal_genus 0 000 | a genus of mammals
00000003 05 n 02 Felis 0 genus_Felis 0 001 @ 00000002 n 0000 | a genus
00000004 05 n 02 gorilla 0 Gorilla_gorilla 0 001 @ 00000001 n 0000 | an ape
00000005 05 n 01 Gorilla 0 001 @ 00000002 n 0000 | its genus
00000006 06 n 02 sofa 0 couch 0 001 @ 00000001 n 0000 | a seat
00000007 05 n 02 cat 0 true_cat 0 002 @ 00000001 n 0000 %p 00000003 n 0000 | a pet
"""
)
INDEX = (
    LICENCE
    + """animal n 1 0 1 0 00000001
mammal_genus n 1 0 1 0 00000002
felis n 1 0 1 0 00000003
genus_felis n 1 0 1 0 00000003
gorilla n 2 0 2 0 00000004 00000005
gorilla_gorilla n 1 0 1 0 00000004
sofa n 1 0 1 0 00000006
couch n 1 0 1 0 00000006
cat n 1 0 1 0 00000007
true_cat n 1 0 1 0 00000007
"""
)


@pytest.fixture(scope="module")
def store() -> Iterator[FactStore]:
    with FactStore.open() as store:
        yield store


@pytest.fixture
def wordnet(tmp_path: Path) -> Path:
    (tmp_path / "data.noun").write_text(DATA)
    (tmp_path / "index.noun").write_text(INDEX)
    (tmp_path / "data.adj").write_text(LICENCE)
    return tmp_path


@pytest.fixture(scope="module")
def script() -> Iterator[object]:
    sys.path.insert(0, str(ROOT / "scripts"))
    yield importlib.import_module("build_default_store")
    sys.path.remove(str(ROOT / "scripts"))


def test_it_opens_without_a_path(store: FactStore) -> None:
    assert store.path == default_store_path()
    assert len(store) > 150_000
    assert store.header.num_subjects > 80_000


def test_it_is_small_enough_for_the_wheel() -> None:
    assert sum(file.stat().st_size for file in default_store_path().parent.iterdir()) <= 12_000_000


def test_the_header_names_sources_and_licences(store: FactStore) -> None:
    wordnet, everyday = store.header.sources
    assert wordnet.name.startswith("WordNet 3.")
    assert "Princeton" in wordnet.licence
    assert (everyday.name, everyday.licence) == (SOURCE, "Apache-2.0")
    assert everyday.num_facts == len(everyday_facts())


def test_wordnets_licence_lies_beside_it() -> None:
    text = (default_store_path().parent / "WORDNET-LICENSE.txt").read_text()
    assert "Princeton University" in text
    assert "that the same appear on ALL copies" in text


def test_everyday_facts_are_in_it_as_the_tables_have_them(store: FactStore) -> None:
    """It fails when a table was edited and the store not rebuilt."""
    everyday = {(fact.subject, fact.relation, fact.object): fact.weight for fact in everyday_facts()}
    stored = store.lookup(sorted({subject for subject, _, _ in everyday}), limit=None)
    stored = {
        (fact.subject, fact.relation, fact.object): fact.weight
        for facts in stored.values()
        for fact in facts
        if SOURCE in fact.source.split(" + ")
    }
    assert stored == pytest.approx(everyday)


def test_everyday_facts_come_before_wordnets(store: FactStore) -> None:
    facts = store.lookup(["lemon"])["lemon"]
    assert {fact.source.split(" + ")[-1] for fact in facts} == {SOURCE}


def test_it_is_as_it_was_written(store: FactStore) -> None:
    store.verify()


def test_names_of_ranks_and_long_synonyms_are_left_out(wordnet: Path, script: object) -> None:
    tally = Tally()
    batches = list(script.EverydayNouns(WordNetSource(wordnet), script.Nouns(wordnet)).batches(tally))
    facts = {
        (subject, object_)
        for batch in batches
        for subject, object_ in zip(batch.subjects, batch.objects, strict=True)
    }
    assert facts == {
        ("gorilla", "animal"),
        ("gorilla gorilla", "animal"),
        ("sofa", "animal"),
        ("couch", "animal"),
        ("sofa", "couch"),
        ("couch", "sofa"),
        ("cat", "animal"),
        ("true cat", "animal"),
    }
    assert tally.num_facts == len(facts)


def test_facts_that_would_be_worded_in_a_doubtful_way_are_left_out(tmp_path: Path, script: object) -> None:
    """Of a rare noun that nothing counts, and of a word in a sense in which it is written otherwise."""
    (tmp_path / "data.noun").write_text(
        LICENCE
        + """00000001 04 n 01 care 0 000 | a deed
00000002 04 n 01 ordinary_care 0 001 @ 00000001 n 0000 | the care of a reasonable man
00000003 04 n 01 special_care 0 001 @ 00000001 n 0000 | a care for the weak; a care that helps; a care of many
00000004 18 n 01 person 0 000 | a human being
00000005 07 n 01 black 0 000 | the colour of the night
00000006 18 n 01 Black 0 001 @ 00000004 n 0000 | a person with dark skin
00000007 18 n 01 runner 0 001 @ 00000006 n 0000 | a person who runs
"""
    )
    (tmp_path / "index.noun").write_text(
        LICENCE
        + """care n 1 0 1 1 00000001
ordinary_care n 1 0 1 0 00000002
special_care n 1 0 1 0 00000003
person n 1 0 1 1 00000004
black n 2 0 2 2 00000005 00000006
runner n 1 0 1 1 00000007
"""
    )
    (tmp_path / "data.adj").write_text(LICENCE)
    nouns = script.Nouns(tmp_path)
    (batch,) = script.EverydayNouns(WordNetSource(tmp_path), nouns).batches(Tally())
    facts = list(zip(batch.subjects, batch.objects, strict=True))
    assert ("special care", "care") in facts
    assert ("ordinary care", "care") not in facts  # "an ordinary care"
    assert ("runner", "black") not in facts  # "a runner is black"


@pytest.mark.parametrize(
    ("subject", "relation", "object_"),
    [
        ("bison bison", "HasA", "buffalo"),  # "has Buffalo"
        ("body politic", "HasA", "estate of the realm"),
    ],
)
def test_the_store_lacks_parts_that_would_be_worded_wrongly(
    store: FactStore, subject: str, relation: str, object_: str
) -> None:
    facts = store.lookup([subject], limit=None).get(subject, [])
    assert (relation, object_) not in {(fact.relation, fact.object) for fact in facts}


@pytest.mark.parametrize(
    ("subject", "object_"),
    [
        ("genus cryptoprocta", "civet"),  # "a genus Cryptoprocta"
        ("aegypiidae", "vulture"),
        ("dean", "cardinal"),  # "Dean is a cardinal"
        ("cirrhosis of the liver", "liver disease"),  # "the cirrhosis"
        ("tenth cranial nerve", "cranial nerve"),  # "a tenth cranial nerve"
        ("labia majora", "labium"),  # "are labiums"
        ("adam's needle", "yucca"),
        ("three-fourths", "common fraction"),  # "are common fractions"
        ("pleasure principle", "principle"),  # "a pleasure principle"
        ("spirilla", "eubacteria"),  # "a spirilla"
        ("two dozen", "large integer"),  # "are large integers"
        ("cycladic culture", "aegean civilization"),  # "is the Aegean civilization"
        ("stirk", "cattle"),
        ("livestock", "placental"),
        ("dada", "artistic movement"),  # "a dada"
        ("quadrantanopia", "blindness"),
        ("elf", "radio frequency"),  # "an ELF"
        ("oncorhynchus keta", "salmon"),  # "is salmon"
        ("armour", "military unit"),  # "is a military unit"
        ("brassie", "wood"),  # "brassie is a wood"
        ("carotene", "provitamin"),  # "is provitamin"
    ],
)
def test_the_store_lacks_what_would_be_worded_wrongly(store: FactStore, subject: str, object_: str) -> None:
    facts = store.lookup([subject], limit=None).get(subject, [])
    assert object_ not in {fact.object for fact in facts if fact.relation == "IsA"}


def test_a_file_without_the_licence_is_refused(tmp_path: Path, script: object) -> None:
    (tmp_path / "data.noun").write_text("00000001 03 n 01 entity 0 000 | something\n")
    with pytest.raises(ValueError, match="must begin with WordNet's licence"):
        script.licence(tmp_path / "data.noun")
