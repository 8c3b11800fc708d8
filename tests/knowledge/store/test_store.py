"""A store finds the facts that were put into it, in any process and thread."""

import multiprocessing
import os
import pickle
import sqlite3
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vkood.knowledge import Fact, FactStore, build_store

FACTS = (
    Fact("lemon", "IsA", "fruit", 2.0),
    Fact("lemon", "HasProperty", "sour", 3.0),
    Fact("lemon", "HasProperty", "yellow", 1.0),
    Fact("lemon", "AtLocation", "tree", 0.5),
    Fact("fruit", "AtLocation", "tree", 1.0),
    Fact("fire hydrant", "UsedFor", "putting out fire", 1.0),
    Fact("fireman", "AtLocation", "fire station", 1.0),
    Fact("tree", "HasA", "leaf", 1.0),
)

concepts = st.sampled_from(["a", "b", "c d", "é", "猫", "a b c", "zz", "😀", "a'b"])
facts = st.builds(
    Fact,
    concepts,
    st.sampled_from(["IsA", "UsedFor", "HasA"]),
    concepts,
    st.sampled_from([0.0, 0.333, 0.5, 1.0, 2.5]),
    st.sampled_from(["x", "y", "z"]),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "facts.db"
    build_store(path, [FACTS])
    return path


@pytest.fixture
def store(path):
    with FactStore.open(path) as store:
        yield store


def objects(results):
    return {name: [fact.object for fact in facts] for name, facts in results.items()}


class TestLookup:
    def test_many_at_once(self, store):
        assert objects(store.lookup(["Lemon", "FIRE_hydrant", "unheard of", ""])) == {
            "Lemon": ["sour", "fruit", "yellow", "tree"],
            "FIRE_hydrant": ["putting out fire"],
            "unheard of": [],
            "": [],
        }
        assert store.lookup([]) == {}

    def test_one_query(self, store):
        queries = []
        store._connection().set_trace_callback(queries.append)
        store.lookup(["lemon", "fruit", "tree", "fire hydrant"])
        store._connection().set_trace_callback(None)
        assert len(queries) == 1

    @pytest.mark.usefixtures("unchecked")
    def test_limit(self, store):
        assert objects(store.lookup(["lemon"], limit=2)) == {"lemon": ["sour", "fruit"]}
        assert len(store.lookup(["lemon"], limit=None)["lemon"]) == 4
        for limit in (0, 1.5, "2", True):
            with pytest.raises(
                ValueError, match=f"`limit` must be a whole number of at least 1; got {limit!r}"
            ):
                store.lookup(["lemon"], limit=limit)

    @pytest.mark.usefixtures("unchecked")
    def test_names_that_are_no_texts(self, store):
        with pytest.raises(ValueError, match="`concepts` must be a list of names; got 3 in it"):
            store.lookup(["lemon", 3])
        with pytest.raises(TypeError, match="`prefix` must be of type str; got 3"):
            store.search(3)
        with pytest.raises(TypeError, match="`concept` must be of type str; got 3"):
            store.neighbours(3)

    def test_relations(self, store):
        assert objects(store.lookup(["lemon"], relations=["HasProperty", "AtLocation"], limit=2)) == {
            "lemon": ["sour", "yellow"]
        }
        with pytest.raises(ValueError, match=r"`relations` must be one of.*Did you mean 'IsA'"):
            store.lookup(["lemon"], relations=["IsAn"])
        with pytest.raises(ValueError, match="at least one relation"):
            store.lookup(["lemon"], relations=[])
        with pytest.raises(ValueError, match=r"such as \['IsA'\]"):
            store.lookup(["lemon"], relations="IsA")

    def test_a_single_text_is_no_list_of_names(self, store):
        for ask in (store.lookup, store.about, store.known):
            with pytest.raises(ValueError, match=r"write \['lemon'\]"):
                ask("lemon")

    @pytest.mark.parametrize(
        "name", ["\x00", "le\x00mon", "\ud800", "😀", "レモン", "' OR 1=1 --", '"', "%", "a" * 10**6]
    )
    def test_strange_names(self, store, name):
        assert store.lookup([name]) == {name: []}
        assert store.about([name]) == {name: []}
        assert store.known([name]) == store.known([name], objects=True) == frozenset()
        assert store.search(name) == []
        assert store.neighbours(name) == []

    def test_ten_thousand_names(self, store):
        facts = store.lookup([f"nothing {number}" for number in range(10_000)] + ["lemon"])
        assert len(facts) == 10_001
        assert len(facts["lemon"]) == 4


class TestOtherQuestions:
    def test_known(self, store):
        assert store.known(["Lemon", "leaf", "fire_hydrant", "x"]) == {"lemon", "fire hydrant"}

        assert store.known(["Lemon", "leaf", "x"], objects=True) == {"lemon", "leaf"}

    def test_names(self, store):
        assert list(store.names()) == sorted({end for fact in FACTS for end in (fact.subject, fact.object)})

    def test_about(self, store):
        about = store.about(["Tree", "fire_hydrant", "x"])
        assert [(fact.subject, fact.object) for fact in about["Tree"]] == [
            ("tree", "leaf"),
            ("fruit", "tree"),
            ("lemon", "tree"),
        ]
        assert objects(about)["fire_hydrant"] == ["putting out fire"]
        assert about["x"] == []
        assert len(store.about(["tree"], limit=1)["tree"]) == 2
        with pytest.raises(ValueError, match="`limit` must be a whole number of at least 1"):
            store.about(["tree"], limit=0)

    def test_about_has_a_fact_of_a_thing_with_itself_once(self, tmp_path):
        build_store(tmp_path / "facts.db", [[Fact("dog", "IsA", "dog"), Fact("pug", "IsA", "dog")]])
        with FactStore.open(tmp_path / "facts.db") as store:
            assert [fact.subject for fact in store.about(["dog"])["dog"]] == ["dog", "pug"]

    def test_search(self, store):
        assert store.search("fire") == ["fire hydrant", "fireman"]
        assert store.search("FIRE ") == ["fire hydrant"]
        assert store.search("fire_") == ["fire hydrant"]
        assert store.search("fire", limit=1) == ["fire hydrant"]
        assert store.search("") == ["fire hydrant", "fireman", "fruit", "lemon", "tree"]
        with pytest.raises(ValueError, match="`limit`"):
            store.search("fire", limit=0)

    @pytest.mark.usefixtures("unchecked")
    def test_neighbours(self, store):
        near = store.neighbours("fruit", hops=1)
        assert [(neighbour.concept, len(neighbour.facts)) for neighbour in near] == [
            ("lemon", 1),
            ("tree", 1),
        ]
        far = {neighbour.concept: neighbour.facts for neighbour in store.neighbours("leaf", hops=3)}
        assert [fact.subject for fact in far["fruit"]] == ["tree", "fruit"]
        assert far.keys() == {"tree", "fruit", "lemon", "sour", "yellow"}
        assert {len(facts) for facts in far.values()} == {1, 2, 3}
        assert len(store.neighbours("lemon", limit=2)) == 2
        assert store.neighbours("unheard of") == []
        for hops in (0, 1.5):
            with pytest.raises(ValueError, match="`hops` must be a whole number of at least 1"):
                store.neighbours("lemon", hops=hops)

    def test_stats(self, store, path):
        stats = store.stats()
        assert (stats.path, stats.size, stats.schema_version) == (str(path), path.stat().st_size, 1)
        header = stats.header
        assert (header.num_facts, header.num_subjects, header.num_concepts) == (8, 5, 10)
        assert header.longest_entry == store.longest_entry == 2
        assert header.relations == {"AtLocation": 3, "HasA": 1, "HasProperty": 2, "IsA": 1, "UsedFor": 1}
        assert len(store) == 8
        assert repr(store) == f"FactStore({str(path)!r}, 8 facts)"

    def test_all_facts_subject_by_subject(self, store):
        facts = list(store.facts())
        assert [fact.subject for fact in facts] == sorted(fact.subject for fact in FACTS)
        assert {(fact.subject, fact.relation, fact.object, fact.weight) for fact in facts} == {
            (fact.subject, fact.relation, fact.object, fact.weight) for fact in FACTS
        }


@settings(max_examples=40, deadline=None)
@given(st.lists(facts, min_size=1, max_size=40))
def test_what_goes_in_is_found(tmp_path_factory, put):
    """Against a dictionary: joined, ordered, and found from both ends."""
    path = tmp_path_factory.mktemp("store") / "facts.db"
    build_store(path, [put])
    expected: dict[tuple[str, str, str], tuple[float, set[str]]] = {}
    for fact in put:
        key = (fact.subject, fact.relation, fact.object)
        weight, names = expected.get(key, (0.0, set()))
        expected[key] = (max(weight, fact.weight), {*names, fact.source})
    joined = [Fact(*key, weight, " + ".join(sorted(names))) for key, (weight, names) in expected.items()]
    joined.sort(key=lambda fact: (fact.subject, -fact.weight, fact.relation, fact.object))
    with FactStore.open(path) as store:
        assert list(store.facts()) == joined
        subjects = {fact.subject for fact in joined}
        for limit in (1, 2, None):
            assert store.lookup(sorted(subjects), limit=limit) == {
                subject: [fact for fact in joined if fact.subject == subject][:limit] for subject in subjects
            }
        assert store.known(["a", "b", "c d", "é", "猫", "zz"]) == subjects & {
            "a",
            "b",
            "c d",
            "é",
            "猫",
            "zz",
        }
        for name in subjects:
            ends = {fact.object for fact in joined if fact.subject == name}
            ends |= {fact.subject for fact in joined if fact.object == name}
            assert {neighbour.concept for neighbour in store.neighbours(name, hops=1)} == ends - {name}
        store.verify()


class TestManyReaders:
    def test_threads(self, store):
        facts = []
        threads = [threading.Thread(target=lambda: facts.append(store.known(["lemon"]))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert facts == [{"lemon"}] * 4

    def test_pickled(self, store):
        again = pickle.loads(pickle.dumps(store))
        assert again.lookup(["lemon"]) == store.lookup(["lemon"])
        again.close()

    def test_pickled_but_rebuilt(self, tmp_path):
        build_store(tmp_path / "a.db", [FACTS])
        store = FactStore.open(tmp_path / "a.db")
        pickled = pickle.dumps(store)
        build_store(tmp_path / "a.db", [FACTS[:3]])
        assert len(store.lookup(["lemon"])["lemon"]) == 4  # the file that was opened is still there for it
        with pytest.raises(ValueError, match="has changed since"):
            pickle.loads(pickled)

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    @pytest.mark.filterwarnings(
        "ignore:This process:DeprecationWarning"
    )  # what forking with threads is about
    def test_processes(self, store, method):
        context = multiprocessing.get_context(method)
        assert store.known(["lemon"])
        with context.Pool(2) as pool:
            assert pool.map(store.known, [["lemon"], ["fruit", "x"]]) == [{"lemon"}, {"fruit"}]

    def test_while_others_read(self, path):
        with FactStore.open(path) as first, FactStore.open(path) as other:
            first = next(first.facts())
            assert next(other.facts()) == first

    def test_a_folder_that_is_read_only(self, path, tmp_path):
        (tmp_path / "facts.db").write_bytes(path.read_bytes())
        (tmp_path / "facts.db").chmod(0o444)
        tmp_path.chmod(0o555)
        try:
            with FactStore.open(tmp_path / "facts.db") as store:
                assert store.known(["lemon"])
            assert os.listdir(tmp_path) == ["facts.db"]
        finally:
            tmp_path.chmod(0o755)

    def test_names_that_are_no_plain_text(self, path, tmp_path):
        strange = tmp_path / "a b?mode=rw&x#%41 é.db"
        strange.write_bytes(path.read_bytes())
        with FactStore.open(strange) as store:
            assert store.known(["lemon"])

    def test_nothing_can_be_written(self, store):
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            store._connection().execute("DELETE FROM fact")


def test_closed(path):
    store = FactStore.open(path)
    store.close()
    store.close()
    with pytest.raises(ValueError, match="is closed"):
        store.lookup(["lemon"])


def test_opening_is_quick(path):
    """It takes some 360 calls, however many facts there are: less than a millisecond."""
    FactStore.open(path).close()  # what is imported and cached once
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        FactStore.open(path).close()
    finally:
        sys.setprofile(None)
    assert calls < 2_000


def test_a_store_is_read_without_anything_heavy(path):
    program = (
        "import sys; from vkood.knowledge import FactStore\n"
        f"FactStore.open({str(path)!r}).lookup(['lemon'])\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"torch", "spacy", "numpy", "pyarrow", "duckdb", "transformers"}.isdisjoint(loaded.stdout.split())
