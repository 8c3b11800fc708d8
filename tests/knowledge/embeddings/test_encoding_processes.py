"""Several processes encode into one folder at once; some are killed at the worst moment."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from support.encoding_worker import BATCH_SIZE, MOMENTS, sentences_between
from support.hashed_tower import HashedTower, hashed
from vkood.knowledge import FactEncoder, VectorCache
from vkood.knowledge.embeddings.claims import Claims

NUMBER = 200
TESTS = Path(__file__).parents[2]
SENTENCES = sentences_between(0, NUMBER)


def start(folder: Path, *, seconds: float = 0.0, first: int = 0, last: int = NUMBER, moment: str = "never"):
    """Start a worker, and wait until it is about to encode."""
    record = folder.parent / "record.txt"
    worker = [sys.executable, "-m", "support.encoding_worker"]
    arguments = map(str, (folder.resolve(), record.resolve(), seconds, first, last, moment))
    process = subprocess.Popen([*worker, *arguments], stdout=subprocess.PIPE, text=True, cwd=TESTS)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=600)
    return process.returncode


def recorded(folder: Path) -> list[str]:
    record = folder.parent / "record.txt"
    return record.read_text().splitlines() if record.exists() else []


def eventually(happens, seconds: float = 30) -> None:
    for _ in range(int(seconds * 200)):
        if happens():
            return
        time.sleep(0.005)
    raise TimeoutError


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "vectors"


def test_each_sentence_is_encoded_by_one(folder):
    ranges = [(0, 200), (0, 200), (50, 150), (100, 300)]
    workers = [start(folder, seconds=0.005, first=first, last=last) for first, last in ranges]
    assert [finish(worker) for worker in workers] == [0, 0, 0, 0]
    assert sorted(recorded(folder)) == sorted(sentences_between(0, 300))
    idle = HashedTower()
    everything = sentences_between(0, 300)
    np.testing.assert_array_equal(FactEncoder(idle, folder).encode(everything), hashed(everything))
    assert idle.batches == []
    assert {file.name for file in (folder).glob("*/claims/*")} <= {"turn.lock"}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_worker_loses_nothing_that_was_finished(folder, moment):
    assert finish(start(folder, moment=moment)) == -9
    tower = HashedTower()
    encoder = FactEncoder(tower, folder, batch_size=BATCH_SIZE)
    finished = sorted(encoder.cache.sentences())
    assert finished == sorted(sorted(SENTENCES, key=len)[: 3 * BATCH_SIZE])
    np.testing.assert_array_equal(encoder.encode(SENTENCES), hashed(SENTENCES))
    assert len(tower.encoded) == NUMBER - len(finished)


def test_a_worker_that_is_killed_at_any_time(folder):
    tower = HashedTower()
    encoder = FactEncoder(tower, folder, batch_size=BATCH_SIZE)
    for attempt in range(6):
        before = len(encoder.cache)
        worker = start(folder)
        eventually(lambda before=before: len(encoder.cache) > before)
        time.sleep(0.0013 * attempt)
        worker.kill()
        finish(worker)
        finished = list(encoder.cache.sentences())
        vectors, absent = encoder.cache.read(finished)
        assert absent == []
        np.testing.assert_array_equal(vectors, hashed(finished))
        if len(finished) == NUMBER:
            break
    np.testing.assert_array_equal(encoder.encode(SENTENCES), hashed(SENTENCES))


def test_the_work_of_a_killed_worker_is_taken_over(folder):
    slow = start(folder, seconds=30)
    eventually(lambda: any(claims.stat().st_size for claims in folder.glob("*/claims/*.claims")))
    others = start(folder)
    encoder = FactEncoder(HashedTower(), folder)
    eventually(lambda: len(encoder.cache) == NUMBER - BATCH_SIZE)
    time.sleep(0.2)
    assert others.poll() is None  # it waits for what the slow one has claimed
    slow.kill()
    finish(slow)
    assert finish(others) == 0
    assert sorted(recorded(folder)) == sorted(SENTENCES)


def test_an_index_whose_writer_was_killed_halfway(folder):
    program = """
import os, signal, sys
from pathlib import Path
import numpy as np
from vkood.knowledge import VectorCache
from vkood.knowledge.embeddings import vector_cache

cache = VectorCache(folder=Path(sys.argv[1]), encoder="zeros", width=1)
cache.add(["first"], np.zeros((1, 1), np.float32))

def checksums(sentences, vectors):
    yield from [0] * len(vectors)  # more than SQLite keeps in memory: it has begun to write to the index
    os.kill(os.getpid(), signal.SIGKILL)

vector_cache._checksums = checksums
cache.add([f"sentence {number} {'x' * 100}" for number in range(60_000)], np.zeros((60_000, 1), np.float32))
"""
    assert subprocess.run([sys.executable, "-c", program, str(folder)]).returncode == -9
    assert (folder / "index.sqlite-journal").exists()
    assert (folder / "index.sqlite").stat().st_size > 1e6
    cache = VectorCache(folder=folder, encoder="zeros", width=1)
    assert list(cache.sentences()) == ["first"]
    assert cache.read(["first", "sentence 1"])[1] == [1]


class TestClaims:
    def test_what_one_has_claimed_others_do_not_get(self, folder):
        ours, theirs = Claims(folder), Claims(folder)
        ours.begin()
        theirs.begin()
        assert ours.take(["a", "b"]) == ["a", "b"]
        assert theirs.take(["b", "c", "a"]) == ["c"]
        assert ours.take(["d"]) == ["d"]  # in place of the first two
        assert theirs.take(["a", "b", "d"]) == ["a", "b"]
        theirs.end()
        assert ours.take(["a", "b", "d"]) == ["a", "b", "d"]
        ours.end()
        assert {file.name for file in folder.iterdir()} <= {"turn.lock"}

    def test_a_lock_that_is_never_given_back(self, folder):
        ours, theirs = Claims(folder), Claims(folder, patience=0.1)
        ours.begin()
        with (
            ours._taking_turns(),
            pytest.raises(TimeoutError, match=r"Another process has held .*turn\.lock"),
        ):
            theirs.begin()
        ours.end()


def test_vectors_that_another_adds_while_one_reads(folder):
    """Those that came after the rows were counted are read like the others."""
    cache = VectorCache(folder=folder, encoder="numbers", width=1)
    cache.add(["first"], np.ones((1, 1), np.float32))

    class Adding(list):
        """Sentences that are looked up after the rows were counted: then another adds one."""

        def __getitem__(self, place):
            if isinstance(place, slice):
                other = VectorCache(folder=folder, encoder="numbers", width=1)
                other.add(["second"], np.full((1, 1), 2, np.float32))
            return super().__getitem__(place)

    vectors, absent = cache.read(Adding(["second", "first"]))
    assert absent == []
    assert vectors[:, 0].tolist() == [2.0, 1.0]
