"""What could lose a user's data or hide damage, each found by hand once."""

import gc
import sqlite3

import pytest

from vkood.knowledge import Fact, FactStore, StoreError, build_store
from vkood.knowledge.sources.batches import UnreadableSourceError
from vkood.knowledge.sources.conceptnet import ConceptNetSource
from vkood.knowledge.sources.fact_tables import TableSource

FACTS = [Fact(f"thing {number}", "IsA", f"kind {number % 3}") for number in range(200)]
ROWS = [f"{fact.subject},{fact.relation},{fact.object}" for fact in FACTS]


def assertion(start, end):
    return f'/a/x\t/r/IsA\t/c/en/{start}\t/c/en/{end}\t{{"dataset": "/d/x", "weight": 1.0}}\n'


@pytest.fixture
def store(tmp_path):
    build_store(tmp_path / "facts.db", [FACTS])
    return tmp_path / "facts.db"


def test_a_store_does_not_take_the_place_of_its_table(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["subject,relation,object", *ROWS]))
    before = table.read_bytes()
    for append in (False, True):
        with pytest.raises(StoreError, match="is not a fact store"):
            build_store(table, [TableSource(table)], append=append)
    assert table.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_a_store_takes_the_place_of_a_store_of_any_version(store):
    index = sqlite3.connect(store)
    index.execute("PRAGMA user_version = 99")
    index.commit()
    index.close()
    assert build_store(store, [FACTS[:3]]).header.num_facts == 3


@pytest.mark.parametrize("row", ['thing 50,"IsA,kind 1', '"thing 50,IsA,kind 1', 'thing 50,IsA,"kind 1'])
def test_a_quotation_mark_that_is_missing_hides_no_rows(tmp_path, row):
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["subject,relation,object", *ROWS[:50], row, *ROWS[51:]]) + "\n")
    with pytest.raises(UnreadableSourceError, match="150 of 200 lines cannot be read"):
        build_store(tmp_path / "facts.db", [TableSource(table)])


def test_other_cells_may_have_several_lines(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text('subject,note,relation,object\na,"one\ntwo",IsA,b\nc,,IsA,d\n')
    report = build_store(tmp_path / "facts.db", [TableSource(table)])
    assert (report.header.num_facts, report.tallies[0].num_unreadable) == (2, 0)


def test_terms_without_a_word_or_alike_are_left_out(tmp_path):
    dump = tmp_path / "dump.csv"
    pairs = [("cat", "animal"), ("_", "dog"), ("dog", "__"), ("Dog", "dog"), ("hot_dog", "hot__dog")]
    dump.write_text("".join(assertion(*pair) for pair in pairs))
    report = build_store(tmp_path / "facts.db", [ConceptNetSource(dump)])
    assert (report.tallies[0].num_facts, report.tallies[0].num_left_out) == (1, 4)
    with FactStore.open(tmp_path / "facts.db") as store:
        assert [(fact.subject, fact.object) for fact in store.facts()] == [("cat", "animal")]


def test_a_subject_that_was_altered_is_damage(store):
    content = store.read_bytes()
    # The text and not its index: both would be consistent, and another concept.
    store.write_bytes(content.replace(b"thing 7", b"think 7", 1))
    with FactStore.open(store) as opened, pytest.raises(StoreError, match="is damaged"):
        opened.lookup([fact.subject for fact in FACTS])
        opened.verify()


@pytest.mark.parametrize("limit", [2**63, 10**30])
def test_a_limit_beyond_all_numbers(store, limit):
    with FactStore.open(store) as opened:
        assert len(opened.lookup(["thing 1"], limit=limit)["thing 1"]) == 1
        assert len(opened.search("thing", limit=limit)) == len(FACTS)


def test_facts_that_were_not_read_to_the_end(store):
    with FactStore.open(store) as opened:
        facts = opened.facts()
        next(facts)
    with pytest.raises(ValueError, match="closed while it was read"):
        next(facts)
    with FactStore.open(store) as opened:
        facts = opened.facts()
        next(facts)
    del facts
    gc.collect()  # a complaint from there would fail this test
