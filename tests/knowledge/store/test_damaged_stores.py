"""What is no store, or no longer as it was written, is found out, and told in one sentence."""

import hashlib
import sqlite3

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vkood.knowledge import RELATIONS, Fact, FactStore, StoreError, build_store
from vkood.knowledge.building import writing
from vkood.knowledge.sources.batches import FactSource, SourceInfo
from vkood.knowledge.store import stamp
from vkood.knowledge.store.stamp import NO_STAMP, STAMP

FACTS = [Fact(f"thing {number}", "IsA", f"kind {number % 7}", 1.0, "s") for number in range(500)]
INFO = SourceInfo("Ours", "MIT", "table 'my facts.csv'")


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "facts.db"
    build_store(path, [FactSource(FACTS, INFO)])
    return path


@pytest.fixture(scope="module")
def sound(sound_file):
    return sound_file.read_bytes()


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
    with pytest.raises(StoreError, match=r"is not a fact store; `vkood knowledge build` makes one"):
        FactStore.open(tmp_path / "a.db")


def test_other_databases(tmp_path):
    change(tmp_path / "a.db", "CREATE TABLE fact (subject)")
    with pytest.raises(StoreError, match="is not a fact store"):
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
        "DELETE FROM relation WHERE id > 35",
        "DELETE FROM relation",
        "DELETE FROM concept WHERE id = 9",
        "DROP TABLE source",
    ],
)
def test_altered_facts(path, statement):
    change(path, statement)
    with pytest.raises(StoreError, match=r"is damaged: .*Copy or build it again"):
        verify(path)


def test_a_store_from_before_relations_were_added_is_sound(tmp_path, monkeypatch):
    path = tmp_path / "facts.db"
    with monkeypatch.context() as patch:
        patch.setattr(writing, "RELATIONS", RELATIONS[:34])
        build_store(path, [FactSource(FACTS, INFO)])
    verify(path)
    build_store(path, [[Fact("thing 1", "NotIsA", "kind 2")]], append=True)
    verify(path)
    with FactStore.open(path) as store:
        assert [fact.relation for fact in store.lookup(["thing 1"])["thing 1"]] == ["IsA", "NotIsA"]


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, 4095) | st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255))
@example(place=117, flipped=8)  # SQLite then quotes lines of its schema
@example(place=3487, flipped=235)
def test_no_byte_changes_unnoticed(tmp_path_factory, sound_file, place, flipped):
    # Or a share of the file, for the number of bytes differs from run to run: the header holds the date and the path.
    changed = bytearray(sound_file.read_bytes())
    changed[place if isinstance(place, int) else int(place * len(changed))] ^= flipped
    path = tmp_path_factory.mktemp("store") / "facts.db"
    path.write_bytes(changed)
    with pytest.raises(
        StoreError, match=r"Copy or build it again|is not a fact store|schema version"
    ) as caught:
        verify(path)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).isprintable()


def test_bytes_that_hold_nothing(path, sound):
    """SQLite leaves room in its pages, which neither its own check nor the hash of the facts looks at."""
    place = sound.rindex(bytes(200)) + 100
    path.write_bytes(sound[:place] + b"!" + sound[place + 1 :])
    with pytest.raises(StoreError, match="its bytes are not those that were written"):
        verify(path)


@pytest.mark.parametrize("offset", range(-3, 4))
def test_stamps_that_lie_across_blocks(tmp_path, offset):
    path = tmp_path / "file"
    before = stamp._BLOCK - 40 + 20 * offset
    path.write_bytes(b"a" * before + (STAMP + NO_STAMP).encode() + b"b" * 100)
    stamp.stamp_file(path)
    written_stamp = path.read_bytes()[before + len(STAMP) :][:64].decode()
    assert (
        written_stamp
        == stamp.stamped_hash(path, written_stamp)
        == hashlib.sha256(b"a" * before + (STAMP + NO_STAMP).encode() + b"b" * 100).hexdigest()
    )
    with pytest.raises(ValueError, match="stamp was altered"):
        stamp.stamp_file(path)


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
