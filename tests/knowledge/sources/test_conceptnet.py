"""ConceptNet's dump: what is kept of it, what is left out, and what cannot be read."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.synthetic_dump import assertion
from vkood.knowledge import ConceptNetSource, Fact, FactStore, UnreadableSourceError, build_store
from vkood.knowledge.sources.batches import MAX_LINE_BYTES, Tally


def build(tmp_path, text, **options):
    """Build from a dump; returns the facts and the account."""
    dump = tmp_path / "dump.csv"
    dump.write_bytes(text if isinstance(text, bytes) else text.encode())
    report = build_store(tmp_path / "facts.db", [ConceptNetSource(dump, **options)])
    with FactStore.open(tmp_path / "facts.db") as store:
        return list(store.facts()), report.tallies[0]


def counts(tally):
    return tally.num_lines, tally.num_facts, tally.num_left_out, tally.num_unreadable


def test_an_assertion(tmp_path):
    facts, tally = build(tmp_path, assertion("/c/en/fire_hydrant/n/wn/artifact", weight=2.828))
    assert facts == [Fact("fire hydrant", "IsA", "animal", 2.828, "ConceptNet /d/wordnet/3.1")]
    assert counts(tally) == (1, 1, 0, 0)


def test_left_out(tmp_path):
    text = "".join(
        [
            assertion(),
            assertion(relation="/r/ExternalURL", end="http://dbpedia.org/resource/Cat"),
            assertion(start="/c/fr/chat", end="/c/fr/animal"),
            assertion(start="/c/fr/chat"),
            assertion(end="/c/fr/animal/n"),
            assertion(relation="/r/dbpedia/genre"),
            assertion(relation="/r/Entails"),
            assertion(start="/c/en/cat/n", end="/c/en/cat/v"),
        ]
    )
    facts, tally = build(tmp_path, text)
    assert [(fact.subject, fact.object) for fact in facts] == [("cat", "animal")]
    assert counts(tally) == (8, 1, 7, 0)
    assert tally.unknown_relations == {"dbpedia/genre": 1, "Entails": 1}
    facts, tally = build(tmp_path, text, language="fr")
    assert not tally.unknown_relations
    assert [(fact.subject, fact.object) for fact in facts] == [("chat", "animal")]


def test_negated_and_earlier_relations(tmp_path):
    names = ("NotCapableOf", "NotHasProperty", "InstanceOf", "DesireOf", "InheritsFrom")
    text = "".join(assertion(relation=f"/r/{name}") for name in names)
    facts, tally = build(tmp_path, text)
    assert [fact.relation for fact in facts] == ["Desires", "IsA", "NotCapableOf", "NotHasProperty"]
    assert counts(tally) == (5, 4, 1, 0)
    assert tally.unknown_relations == {"InheritsFrom": 1}
    facts, _ = build(tmp_path, text, relations=frozenset({"IsA", "NotCapableOf"}))
    assert [fact.relation for fact in facts] == ["IsA", "NotCapableOf"]


def test_filters(tmp_path):
    text = "".join(
        assertion(f"/c/en/{relation}", f"/r/{relation}", weight=weight)
        for relation in ("IsA", "UsedFor", "RelatedTo")
        for weight in (0.5, 1.0)
    )
    assert len(build(tmp_path, text)[0]) == 3
    facts, tally = build(tmp_path, text, relations=frozenset({"IsA", "UsedFor"}))
    assert {fact.relation for fact in facts} == {"IsA", "UsedFor"}
    assert counts(tally) == (6, 4, 2, 0)
    assert counts(build(tmp_path, text, min_weight=1.0)[1]) == (6, 3, 3, 0)
    assert counts(build(tmp_path, text, min_weight=0.5)[1]) == (6, 6, 0, 0)
    with pytest.raises(UnreadableSourceError, match="ConceptNet: no facts are left of 6 lines, of which 6"):
        build(tmp_path, text, min_weight=9.0)


def test_senses_become_one_fact(tmp_path):
    text = assertion("/c/en/cat/n", weight=1.0, dataset="/d/a") + assertion(
        "/c/en/cat", weight=2.0, dataset="/d/b"
    )
    assert build(tmp_path, text)[0] == [
        Fact("cat", "IsA", "animal", 2.0, "ConceptNet /d/a + ConceptNet /d/b")
    ]


@pytest.mark.parametrize(
    "line",
    [
        assertion()
        .replace('{"dataset": "/d/wordnet/3.1", ', '{"weight": 1.0, "dataset": "/d/wordnet/3.1", ')
        .replace(', "weight": 1.0}', "}"),
        assertion().replace(": ", ":").replace(", ", ","),
        assertion().replace("\n", "\r\n"),
        assertion().rstrip("\n"),
        assertion(surfaceText='[[a "weight": 3 cat]] is\t[[an animal]]'.replace("\t", " ")),
        assertion().replace("1.0}", "1}"),
        assertion().replace("1.0}", "100e-2}"),
        assertion().replace("1.0}", "1.0 }"),
        assertion("/c/en/Cat"),
        assertion("/c/en/_cat_"),
    ],
)
def test_other_ways_to_write_it(tmp_path, line):
    facts, tally = build(tmp_path, line)
    assert facts == [Fact("cat", "IsA", "animal", 1.0, "ConceptNet /d/wordnet/3.1")]
    assert counts(tally) == (1, 1, 0, 0)


def test_no_dataset(tmp_path):
    line = assertion().replace('"dataset": "/d/wordnet/3.1", ', "")
    assert build(tmp_path, line)[0] == [Fact("cat", "IsA", "animal", 1.0, "ConceptNet")]


def test_other_scripts(tmp_path):
    text = assertion("/c/ja/猫", end="/c/ja/動物/n") + assertion("/c/ja/ﾈｺ", end="/c/ja/動物")
    facts, _ = build(tmp_path, text, language="ja")
    assert [fact.subject for fact in facts] == ["ネコ", "猫"]


def test_gzip(tmp_path):
    text = "".join(assertion(f"/c/en/cat_{number}") for number in range(500))
    plain = build(tmp_path, text)
    packed = build(tmp_path, gzip.compress(text.encode()))  # whatever its name is
    assert packed[0] == plain[0]
    with pytest.raises(UnreadableSourceError, match=r"is damaged after line .*get it again"):
        build(tmp_path, gzip.compress(text.encode())[:-30])


GOOD = [assertion(f"/c/en/cat_{number}", "/r/UsedFor", weight=number % 5 + 0.5) for number in range(400)]

BAD = {
    "": "must have 5 columns separated by tabs, but has 1",
    "one\ttwo": "must have 5 columns",
    assertion()[:-4].rstrip("\n"): 'JSON object with a number "weight"',
    assertion(relation="IsA").rstrip("\n"): "must be a relation, such as /r/IsA; got 'IsA'",
    assertion(start="cat").rstrip("\n"): "must relate terms, such as /c/en/cat; got 'cat'",
    assertion(end="animal").rstrip("\n"): "must relate terms, such as /c/en/cat; got 'animal'",
    assertion(weight="much").rstrip("\n"): 'a number "weight"',
    assertion(weight=-1.0).rstrip("\n"): 'a number "weight"',
    assertion(weight=float("nan")).rstrip("\n"): 'a number "weight"',
    assertion(weight=1e300).rstrip("\n"): 'a number "weight"',
    assertion().replace("{", "[").rstrip("\n"): 'a number "weight"',
    "\ud800": "it is not UTF-8",
}


@pytest.mark.parametrize("bad", BAD)
def test_unreadable_lines(tmp_path, bad):
    lines = [*GOOD[:123], bad + "\n", *GOOD[123:]]
    facts, tally = build(tmp_path, "".join(lines).encode(errors="surrogatepass"))
    assert len(facts) == 400
    assert counts(tally) == (401, 400, 0, 1)
    [line] = tally.first_unreadable
    assert (line.file, line.line) == ("dump.csv", 124)
    assert BAD[bad] in line.reason
    assert str(line).startswith("dump.csv, line 124: it")


def test_too_many_unreadable_lines(tmp_path):
    lines = list(GOOD)
    for number in (10, 20, 30, 350, 360):
        lines[number] = "bad\n"
    with pytest.raises(UnreadableSourceError) as caught:
        build(tmp_path, "".join(lines))
    text = str(caught.value)
    assert "ConceptNet: 5 of 400 lines cannot be read, more than 1%; nothing was written" in text
    for number in (11, 21, 31, 351, 361):
        assert f"line {number}: it must have 5 columns" in text
    assert not (tmp_path / "facts.db").exists()
    lines[10] = GOOD[10]
    assert counts(build(tmp_path, "".join(lines))[1]) == (400, 396, 0, 4)


def test_another_kind_of_file_is_refused_early(tmp_path):
    with pytest.raises(UnreadableSourceError, match=r"of 2\d,\d\d\d lines cannot be read"):
        build(tmp_path, f"{'no assertion at all':99}\n" * 100_000)


def test_no_lines_at_all(tmp_path):
    with pytest.raises(UnreadableSourceError, match=r"has more than .* bytes: this is not a dump"):
        build(tmp_path, bytes(2 * MAX_LINE_BYTES))
    with pytest.raises(UnreadableSourceError, match="no facts are left of 0 lines"):
        build(tmp_path, "")


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3000))
def test_pieces_of_any_size(tmp_path_factory, size):
    folder = tmp_path_factory.mktemp("dump")
    text = "".join([*GOOD[:20], "bad\n", *GOOD[20:110]])
    (folder / "dump.csv").write_text(text)
    source, tally = ConceptNetSource(folder / "dump.csv"), Tally()
    batches = list(source.batches(tally, chunk=size))
    subjects = [subject for batch in batches for subject in batch.subjects]
    [whole] = source.batches(Tally())
    assert len(subjects) == 110
    assert subjects == whole.subjects
    assert [line.line for line in tally.first_unreadable] == [21]
    assert tally.bytes_read == len(text)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"language": "English!"}, "`language` must be the code of a language, such as 'en'; got 'English!'"),
        ({"min_weight": -1.0}, "`min_weight` must be a number from 0"),
        ({"min_weight": float("nan")}, "`min_weight` must be a number from 0"),
        ({"relations": frozenset({"UsdFor"})}, "Did you mean 'UsedFor'"),
        ({"relations": frozenset()}, "at least one relation"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        ConceptNetSource(tmp_path / "dump.csv", **options)


def test_how_to_rebuild(tmp_path):
    source = ConceptNetSource(tmp_path / "my dump.csv", "fr", 1.5, frozenset({"UsedFor", "IsA"}))
    assert (
        source.info.rebuild
        == "conceptnet 'my dump.csv' --language fr --min-weight 1.5 --relations IsA,UsedFor"
    )
