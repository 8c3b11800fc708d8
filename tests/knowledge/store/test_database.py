"""What a file of a stranger brings along is not run, and no query on it goes on without end."""

import os
import re
import sqlite3
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from vkood.cli import app
from vkood.knowledge import Fact, FactStore, StoreError, build_store
from vkood.knowledge.embeddings.vector_cache import VectorCache
from vkood.knowledge.sources.batches import MAX_LINE_BYTES, Tally, UnreadableSourceError
from vkood.knowledge.sources.conceptnet import ConceptNetSource
from vkood.knowledge.sources.fact_tables import TableSource
from vkood.knowledge.sources.wordnet import WordNetSource

FACTS = [Fact(f"thing {number}", "IsA", f"kind {number % 7}") for number in range(300)]
ENDLESS = (
    "WITH RECURSIVE more(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more) SELECT n, n, n, n, n, n FROM more"
)


@pytest.fixture
def store(tmp_path):
    build_store(tmp_path / "facts.db", [FACTS])
    return tmp_path / "facts.db"


def change(path, *statements):
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "statements",
    [
        ("ALTER TABLE fact RENAME TO facts", f"CREATE VIEW fact AS {ENDLESS}"),
        ("ALTER TABLE concept RENAME TO concepts", f"CREATE VIEW concept AS {ENDLESS}"),
        ("ALTER TABLE header RENAME TO headers", f"CREATE VIEW header AS {ENDLESS}"),
        (f"CREATE VIEW more AS {ENDLESS}",),
        ("CREATE TRIGGER run AFTER UPDATE ON fact BEGIN DELETE FROM fact; END",),
        ("CREATE INDEX expression ON concept (length(hex(text)))",),
        ("ALTER TABLE source ADD COLUMN computed AS (hex(zeroblob(1000000)))",),
        ("DROP INDEX incoming",),
        ("CREATE TABLE another (a)",),
    ],
)
def test_a_schema_that_is_not_ours_is_refused(store, statements):
    change(store, *statements)
    with pytest.raises(StoreError, match=r"is damaged: it"):
        FactStore.open(store)


def test_another_version_is_not_run_either(store):
    change(
        store,
        "ALTER TABLE header RENAME TO headers",
        f"CREATE VIEW header(name, value) AS SELECT 'sources', n FROM ({ENDLESS.replace('n, n, n, n, n, n', 'n')})",
        "PRAGMA user_version = 7",
    )
    with pytest.raises(StoreError, match="must have schema version"):
        FactStore.open(store)


def test_pages_in_circles_end(store):
    """A tree of pages whose branches are one and the same has more rows than atoms."""
    connection = sqlite3.connect(store)
    ((root,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'concept'")
    ((size,),) = connection.execute("PRAGMA page_size")
    connection.close()
    content = bytearray(store.read_bytes())
    page = memoryview(content)[(root - 1) * size : root * size]
    if page[0] != 5:  # an interior page of a table
        pytest.skip("the table is too small to have branches")
    for cell in range(int.from_bytes(page[3:5], "big")):
        pointer = int.from_bytes(page[12 + 2 * cell : 14 + 2 * cell], "big")
        page[pointer : pointer + 4] = root.to_bytes(4, "big")
    store.write_bytes(content)
    started = time.process_time()
    with pytest.raises(StoreError, match="is damaged"), FactStore.open(store) as opened:
        opened.search("")
        list(opened.facts())
    assert time.process_time() - started < 60


def test_a_query_without_end_is_ended(store):
    with FactStore.open(store) as opened, pytest.raises(StoreError, match="a query on it does not end"):
        for _ in opened._query(ENDLESS, {}):
            pass


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_regular_file(tmp_path, make):
    path = tmp_path / "a.csv"
    make(path)
    for use in (
        lambda: FactStore.open(path),
        lambda: TableSource(path),
        lambda: list(ConceptNetSource(path).batches(Tally())),
        lambda: build_store(path, [FACTS]),
    ):
        with pytest.raises(ValueError, match="must be a regular file, but is"):
            use()
    os.mkdir(tmp_path / "dict")
    for name in ("data.noun", "index.noun"):
        make(tmp_path / "dict" / name)
    with pytest.raises(ValueError, match=r"must be|lacks"):
        WordNetSource(tmp_path / "dict").info  # noqa: B018 - it reads the file
    done = CliRunner().invoke(app, ["knowledge", "stats", str(path)])
    assert done.exit_code == 2


def test_a_line_without_end(tmp_path):
    path = tmp_path / "a.csv"
    with path.open("wb") as file:
        file.write(b"subject,relation,object\n")
        file.truncate(MAX_LINE_BYTES + 1000)
    with pytest.raises(
        UnreadableSourceError, match=re.escape(f"line 2 has more than {MAX_LINE_BYTES:,} bytes")
    ):
        build_store(tmp_path / "facts.db", [TableSource(path)])


class TestVectors:
    @pytest.fixture
    def cache(self, tmp_path):
        cache = VectorCache(folder=tmp_path, encoder="ones", width=2)
        cache.add(["a", "b"], np.ones((2, 2), np.float32))
        return cache

    @pytest.mark.parametrize(
        "statements",
        [
            ("CREATE TRIGGER run AFTER INSERT ON vectors BEGIN DELETE FROM vectors; END",),
            ("ALTER TABLE vectors RENAME TO others", "CREATE VIEW vectors AS SELECT * FROM others"),
            ("ALTER TABLE cache RENAME TO caches", f"CREATE VIEW cache AS {ENDLESS}"),
        ],
    )
    def test_an_index_that_is_not_ours_is_refused(self, cache, statements):
        change(cache.folder / "index.sqlite", *statements)
        for use in (
            lambda: cache.read(["a"]),
            lambda: cache.known(["a"]),
            lambda: cache.add(["c"], np.ones((1, 2), np.float32)),
            lambda: len(cache),
        ):
            with pytest.raises(ValueError, match=r"are damaged: its index says .*is not one of ours"):
                use()

    @pytest.mark.parametrize("name", ["index.sqlite", "vectors.f32"])
    def test_a_pipe_in_place_of_a_file(self, cache, name):
        (cache.folder / name).unlink()
        os.mkfifo(cache.folder / name)
        with pytest.raises(ValueError, match=r"are damaged: .*regular file"):
            cache.read(["a"])
