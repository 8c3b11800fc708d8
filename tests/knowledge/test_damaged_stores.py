"""What is no store, or no longer as it was written, is found out, and told in one sentence."""

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vkood.knowledge import Fact, FactStore, StoreError, build_store
from vkood.knowledge.batches import FactSource, SourceInfo

FACTS = [Fact(f"thing {number}", "IsA", f"kind {number % 7}", 1.0, "s") for number in range(500)]
INFO = SourceInfo("Ours", "MIT", "table 'my facts.csv'")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "facts.db"
    build_store(path, [FactSource(FACTS, INFO)])
    return path.read_bytes()


@pytest.fixture
def path(tmp_path, sound):
    path = tmp_path / "facts.db"
    path.write_bytes(sound)
    return path


def change(path, *statements):
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def verify(path):
    with FactStore.open(path) as store:
        store.verify()


def test_sound(path):
    verify(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no fact store at '.*none.db'"):
        FactStore.open(tmp_path / "none.db")
    with pytest.raises(StoreError, match="is a folder"):
        FactStore.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", b"SQLite format 3\x00", bytes(5000)])
def test_other_files(tmp_path, content):
    (tmp_path / "a.db").write_bytes(content)
    with pytest.raises(StoreError, match=r"is no fact store; `vkood knowledge build` makes one"):
        FactStore.open(tmp_path / "a.db")


def test_other_databases(tmp_path):
    change(tmp_path / "a.db", "CREATE TABLE fact (subject)")
    with pytest.raises(StoreError, match="is no fact store"):
        FactStore.open(tmp_path / "a.db")


def test_other_versions(path):
    change(path, "PRAGMA user_version = 7")
    with pytest.raises(StoreError, match="must have schema version 1, but has 7") as caught:
        FactStore.open(path)
    assert f"vkood knowledge build table 'my facts.csv' --output {path}" in str(caught.value)
    change(path, "DROP TABLE header")
    with pytest.raises(StoreError, match=r"vkood knowledge build conceptnet\|wordnet\|table INPUT --output"):
        FactStore.open(path)


@pytest.mark.parametrize("cut", [1, 4096, 20_000])
def test_truncated(path, sound, cut):
    path.write_bytes(sound[:-cut])
    with pytest.raises(StoreError, match=r"is damaged: it must have .* bytes, but has"):
        FactStore.open(path)


def test_appended_to(path):
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(StoreError, match="is damaged"):
        FactStore.open(path)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE header SET value = 'public domain' WHERE name = 'sources'",
        "UPDATE header SET value = '0' WHERE name = 'content_hash'",
        "DELETE FROM header WHERE name = 'date'",
        "DELETE FROM header",
    ],
)
def test_altered_headers(path, statement):
    change(path, statement)
    with pytest.raises(StoreError, match="is damaged: its header was altered"):
        FactStore.open(path)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE fact SET thousandths = 5000 WHERE subject = 9",
        "UPDATE fact SET object = 400 WHERE subject = 9",
        "UPDATE fact SET relation = 3 WHERE subject = 9",
        "UPDATE fact SET relation = 99 WHERE subject = 9",
        "UPDATE fact SET thousandths = -5 WHERE subject = 9",
        "UPDATE fact SET thousandths = 'text' WHERE subject = 9",
        "UPDATE fact SET position = 5 WHERE subject = 9",
        "DELETE FROM fact WHERE subject = 9",
        "INSERT INTO fact VALUES (9, 1, 1, 1, 1, 0)",
        "UPDATE concept SET text = 'thinner' WHERE id = 9",
        "UPDATE concept SET id = 9999 WHERE id = 9",
        "UPDATE source SET name = 'theirs'",
        "UPDATE relation SET name = 'IsNotA' WHERE name = 'IsA'",
        "DELETE FROM concept WHERE id = 9",
        "DROP TABLE source",
    ],
)
def test_altered_facts(path, statement):
    change(path, statement)
    with pytest.raises(StoreError, match=r"is damaged: .*Copy or build it anew"):
        verify(path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_byte_changes_unnoticed(tmp_path_factory, sound, data):
    """A changed byte is found out, unless it lies where SQLite keeps nothing."""
    path = tmp_path_factory.mktemp("store") / "facts.db"
    place = data.draw(st.integers(0, len(sound) - 1))
    changed = bytearray(sound)
    changed[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        verify(path)
    except StoreError as error:
        assert len(str(error).splitlines()) == 1
    else:
        with FactStore.open(path) as store:
            assert list(store.facts()) == sorted(FACTS, key=lambda fact: fact.subject)


def test_damage_that_is_met_on_the_way(path, sound):
    """Without `verify`, what cannot be is found when it is read."""
    change(path, "UPDATE fact SET relation = 99 WHERE subject = 9")
    with FactStore.open(path) as store, pytest.raises(StoreError, match="is damaged"):
        list(store.facts())
    content = bytearray(sound)
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"), FactStore.open(path) as store:
        store.lookup(["thing 3"])
