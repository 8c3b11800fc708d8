"""A build joins, orders and counts, and is complete or leaves nothing."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vkood.knowledge import Fact, FactStore, SourceInfo, StoreError, UnreadableSourceError, build_store
from vkood.knowledge.building.spool import Spool
from vkood.knowledge.building.writing import write_store
from vkood.knowledge.sources.batches import FactSource, Tally

WORDS = [
    f"{first} {second}" for first in ("big", "red", "old", "wet") for second in ("cat", "hat", "bat", "mat")
]
FACTS = [
    Fact(
        WORDS[number % 16],
        ("IsA", "UsedFor", "HasA")[number % 3],
        WORDS[number * 7 % 13],
        number % 5 / 4 + 0.25,
    )
    for number in range(200)
]


def contents(path):
    with FactStore.open(path) as store:
        store.verify()
        return list(store.facts())


@settings(max_examples=10, deadline=None)
@given(st.permutations(FACTS), st.integers(1, 199))
def test_the_order_of_facts_does_not_matter(tmp_path_factory, shuffled, cut):
    """One file or three, all in memory or none of it: the same bytes."""
    folder = tmp_path_factory.mktemp("build")
    build_store(folder / "a.db", [FactSource(FACTS, SourceInfo("s"))], date="2026-01-01")
    assert os.listdir(folder) == ["a.db"]
    info = SourceInfo("s", num_facts=len(FACTS))
    spool = Spool(folder, num_texts=3, num_facts=7, block=10)
    for piece in (shuffled[:cut], shuffled[cut:]):
        for batch in FactSource(piece, info).batches(Tally()):
            spool.add(batch)
    write_store(folder / "b.db", spool, sources=(info,), date="2026-01-01", on_facts=lambda more: None)
    assert (folder / "a.db").read_bytes() == (folder / "b.db").read_bytes()


def test_the_hash_tells_facts_apart(tmp_path):
    def hash_of(*facts):
        return build_store(tmp_path / "a.db", [facts]).header.content_hash

    fact = Fact("a", "IsA", "b", 1.0, "s")
    assert hash_of(fact) == hash_of(fact, fact)
    others = [
        Fact("c", "IsA", "b", 1.0, "s"),
        Fact("a", "HasA", "b", 1.0, "s"),
        Fact("a", "IsA", "c", 1.0, "s"),
        Fact("a", "IsA", "b", 2.0, "s"),
        Fact("a", "IsA", "b", 1.0, "t"),
    ]
    assert len({hash_of(other) for other in [fact, *others]}) == 6


def test_several_sources(tmp_path):
    path = tmp_path / "facts.db"
    first = FactSource(
        [Fact("a", "IsA", "b", 1.0, "one"), Fact("a", "IsA", "c", 1.0, "one")], SourceInfo("One", "MIT")
    )
    two = FactSource([Fact("a", "IsA", "b", 2.0, "two")], SourceInfo("Two"))
    expected = [Fact("a", "IsA", "b", 2.0, "one + two"), Fact("a", "IsA", "c", 1.0, "one")]
    report = build_store(path, [first, two])
    assert contents(path) == expected
    assert [(info.name, info.licence, info.num_facts) for info in report.header.sources] == [
        ("One", "MIT", 2),
        ("Two", "", 1),
    ]
    at_once = report.header.content_hash
    build_store(path, [first])
    report = build_store(path, [two], append=True)
    assert contents(path) == expected
    assert report.header.content_hash == at_once
    again = build_store(path, [two], append=True)
    assert again.header == report.header
    build_store(path, [two])
    assert len(contents(path)) == 1


def test_append_to_nothing(tmp_path):
    assert build_store(tmp_path / "a.db", [FACTS], append=True).header.num_facts > 0


def test_append_to_something_else(tmp_path):
    (tmp_path / "a.db").write_text("not a store")
    with pytest.raises(StoreError, match="is not a fact store"):
        build_store(tmp_path / "a.db", [FACTS], append=True)
    assert (tmp_path / "a.db").read_text() == "not a store"


def test_progress(tmp_path):
    stages = []
    build_store(tmp_path / "a.db", [FACTS], on_progress=stages.append)
    assert [progress.stage for progress in stages] == ["reading", *["writing"] * (len(stages) - 1)]
    assert stages[0].num_lines == 200
    assert stages[-1].done == stages[-1].total == 200


def test_a_signal_as_soon_as_there_is_a_folder_to_sort_in(tmp_path, monkeypatch):
    make = Path.mkdir

    def make_and_be_interrupted(folder, *arguments, **options):
        make(folder, *arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "mkdir", make_and_be_interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_store(tmp_path / "facts.db", [[Fact("lemon", "IsA", "fruit")]])
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("unchecked")
def test_no_facts(tmp_path):
    with pytest.raises(UnreadableSourceError, match="no facts are left"):
        build_store(tmp_path / "a.db", [[]])
    with pytest.raises(ValueError, match="got no sources"):
        build_store(tmp_path / "a.db", [])
    with pytest.raises(ValueError, match="`date` must be like 2026-01-31"):
        build_store(tmp_path / "a.db", [FACTS], date="today")
    for sources in (FACTS, ["facts"], [3]):
        with pytest.raises(ValueError, match=r"`sources` must be sources of facts, .* got"):
            build_store(tmp_path / "a.db", sources)
    for sources in (FACTS[0], "facts", None):
        with pytest.raises(ValueError, match="`sources` must be a list of sources"):
            build_store(tmp_path / "a.db", sources)
    with pytest.raises(ValueError, match="`facts` must hold facts, of the class `Fact`; got 'a b'"):
        build_store(tmp_path / "a.db", [["a b"]])
    assert os.listdir(tmp_path) == []


class TestFailures:
    @pytest.fixture(params=[None, FACTS[:3]], ids=["new", "replaced"])
    def path(self, tmp_path, request):
        path = tmp_path / "facts.db"
        if request.param:
            build_store(path, [request.param])
        return path

    @staticmethod
    def unchanged(path, run, error, match):
        before = path.read_bytes() if path.exists() else None
        with pytest.raises(error, match=match):
            run()
        assert os.listdir(path.parent) == ([] if before is None else [path.name])
        assert before is None or path.read_bytes() == before

    def test_interrupted_while_reading(self, path):
        def facts():
            yield from FACTS
            raise KeyboardInterrupt

        self.unchanged(path, lambda: build_store(path, [facts()]), KeyboardInterrupt, None)

    def test_interrupted_while_writing(self, path):
        def interrupt(progress):
            if progress.stage == "writing":
                raise KeyboardInterrupt

        self.unchanged(
            path, lambda: build_store(path, [FACTS], on_progress=interrupt), KeyboardInterrupt, None
        )

    def test_full_disk(self, path, monkeypatch):
        def full(self):
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(Spool, "facts", full)
        self.unchanged(
            path, lambda: build_store(path, [FACTS]), OSError, "cannot be written: database or disk is full"
        )

    def test_file_limit(self, path):
        """A real limit on the size of files, as a disk that fills up."""
        program = (
            "import resource, sys; from vkood.knowledge import Fact, build_store\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))\n"
            "try:\n"
            f"    build_store({str(path)!r}, [[Fact(str(i), 'IsA', 'b') for i in range(50_000)]])\n"
            "except OSError as error:\n"
            "    print(error)\n"
        )
        before = sorted(os.listdir(path.parent))
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "File too large" in done.stdout or "cannot be written" in done.stdout
        assert sorted(os.listdir(path.parent)) == before

    def test_no_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"There is no folder '.*none' to write the store to"):
            build_store(tmp_path / "none" / "facts.db", [FACTS])

    def test_what_killed_builds_left_is_removed(self, path):
        program = (
            "import os, signal, sys; from vkood.knowledge import build_store\n"
            "class Killed:\n"
            "    from vkood.knowledge.sources.batches import SourceInfo\n"
            "    info, size = SourceInfo('killed'), None\n"
            "    def batches(self, tally):\n"
            "        os.kill(os.getpid(), signal.SIGKILL)\n"
            "        yield\n"
            "build_store(sys.argv[1], [Killed()])\n"
        )
        subprocess.run([sys.executable, "-c", program, str(path)])
        assert any(name.endswith(".unfinished.sorting") for name in os.listdir(path.parent))
        build_store(path, [FACTS])
        assert os.listdir(path.parent) == [path.name]


def test_a_million_sources_of_facts_share_few_numbers(tmp_path):
    facts = [Fact("a", "IsA", "b", 1.0, f"s{number % 3}") for number in range(9)]
    build_store(tmp_path / "a.db", [facts])
    assert contents(tmp_path / "a.db") == [Fact("a", "IsA", "b", 1.0, "s0 + s1 + s2")]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_facts(tmp_path):
    program = (
        "import resource, sys; from vkood.knowledge import build_store\n"
        "from vkood.knowledge.sources.batches import Batch, SourceInfo\n"
        "class Many:\n"
        "    info, size = SourceInfo('many'), None\n"
        "    def batches(self, tally):\n"
        "        for start in range(0, int(sys.argv[1]), 20_000):\n"
        "            numbers = range(start, start + 20_000)\n"
        "            tally.num_lines += 20_000; tally.num_facts += 20_000\n"
        "            yield Batch([f'subject {n * 7919 % 50_021}' for n in numbers], [n % 34 for n in numbers],\n"
        "                        [f'object {n * 104_729 % 50_021}' for n in numbers], [9] * 20_000, ['s'] * 20_000)\n"
        "build_store(sys.argv[2], [Many()])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )

    def peak(num_facts):
        command = [sys.executable, "-c", program, str(num_facts), str(tmp_path / "a.db")]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    # Sorting half a million facts at a time is what it takes at most.
    assert peak(1_800_000) < 1.15 * peak(600_000)
