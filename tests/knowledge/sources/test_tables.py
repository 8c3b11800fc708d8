"""Tables of facts, in every form."""

import gzip
import json

import pytest

from vkood.knowledge import Fact, FactStore, TableSource, UnreadableSourceError, build_store

ROWS = [
    {
        "subject": "Fire_hydrant",
        "relation": "UsedFor",
        "object": 'putting out, "fire"',
        "weight": "2.5",
        "source": "us",
    },
    {"subject": "lemon", "relation": "/r/has_property", "object": "sour", "weight": "", "source": ""},
    {"subject": "レモン", "relation": "is a", "object": "fruit 😀", "weight": "0", "source": "us"},
]
FACTS = {
    Fact("fire hydrant", "UsedFor", 'putting out, "fire"', 2.5, "us"),
    Fact("lemon", "HasProperty", "sour", 1.0, "table"),
    Fact("レモン", "IsA", "fruit 😀", 0.0, "us"),
}
CSV = '''Subject, RELATION ,object,more,weight,source
Fire_hydrant,UsedFor,"putting out, ""fire""",x,2.5,us

lemon,/r/has_property,sour
レモン,is a,fruit 😀,,0,us
'''
TSV = "\n".join("\t".join(row) for row in [ROWS[0].keys(), *(row.values() for row in ROWS)]) + "\n"
JSON_LINES = "\n".join(json.dumps(row) for row in ROWS) + "\n\n"


def build(path, **options):
    report = build_store(path.with_name("facts.db"), [TableSource(path, **options)])
    with FactStore.open(path.with_name("facts.db")) as store:
        return set(store.facts()), report


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        ("csv", CSV),
        ("csv", "\ufeff" + CSV.replace("\n", "\r\n")),
        ("tsv", TSV),
        ("jsonl", JSON_LINES),
        ("NDJSON", JSON_LINES),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_text(tmp_path, ending, text, compressed):
    path = tmp_path / f"table.{ending}{'.gz' * compressed}"
    content = text.encode()
    path.write_bytes(gzip.compress(content) if compressed else content)
    built, report = build(path)
    assert built == FACTS
    assert report.tallies[0].num_lines == 3
    assert report.header.sources[0].rebuild == f"table {path.name}"


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {name.upper(): [row[name] or None for row in ROWS] for name in ROWS[0]}
    columns["WEIGHT"] = [2.5, None, 0.0]
    parquet.write_table(pyarrow.table({**columns, "more": [1, 2, 3]}), tmp_path / "table.parquet")
    assert build(tmp_path / "table.parquet")[0] == FACTS
    parquet.write_table(pyarrow.table({"subject": ["a"], "object": ["b"]}), tmp_path / "table.parquet")
    with pytest.raises(UnreadableSourceError, match="must have the columns subject, relation, object"):
        build(tmp_path / "table.parquet")
    (tmp_path / "table.parquet").write_text("no parquet")
    with pytest.raises(UnreadableSourceError, match="table: it cannot be read as Parquet"):
        build(tmp_path / "table.parquet")


def test_names_and_licences(tmp_path):
    path = tmp_path / "my table.csv"
    path.write_text("subject,relation,object\na,IsA,b\n")
    built, report = build(path, name="Our own ", licence="CC0")
    assert {fact.source for fact in built} == {"Our own"}
    [source] = report.header.sources
    assert (source.name, source.licence) == ("Our own", "CC0")
    assert source.rebuild == "table 'my table.csv' --name 'Our own ' --licence CC0"


BAD_ROWS = {
    "a,IsAn,b": "its relation must be one of ConceptNet's 40 relations; got 'IsAn'. Did you mean 'IsA'?",
    "a,zzzzzz,b": "its relation must be one of ConceptNet's 40 relations; got 'zzzzzz'",
    "a": "it must have a text in the column relation",
    ",IsA,b": "it must have a text in the column subject; got ''",
    "_,IsA,b": "its subject and object must have at least one word",
    "a,IsA,b,many": "its weight must be a number from 0; got 'many'",
    "a,IsA,b,-1": "its weight must be a number from 0; got '-1'",
    "a,IsA,b,nan": "its weight must be a number from 0; got 'nan'",
    "a,IsA,b,1,c,d": "it must have 4 cells, but has 6",
    "\udcff,IsA,b": "it is not UTF-8",
}


@pytest.mark.parametrize("bad", BAD_ROWS)
def test_unreadable_rows(tmp_path, bad):
    path = tmp_path / "table.csv"
    rows = [f"thing {number},IsA,b" for number in range(200)]
    rows.insert(57, bad)
    text = "subject,relation,object,weight\n" + "\n".join(rows) + "\n"
    path.write_bytes(text.encode(errors="surrogateescape"))
    built, report = build(path)
    assert len(built) == 200
    [line] = report.tallies[0].first_unreadable
    assert (line.file, line.line) == ("table.csv", 59)
    assert line.reason.rstrip(".").startswith(BAD_ROWS[bad].rstrip("."))
    path.write_bytes("\n".join(text.splitlines()[:100]).encode(errors="surrogateescape"))
    with pytest.raises(
        UnreadableSourceError, match=r"table: 1 of 99 lines cannot be read, more than 1%.*line 59"
    ):
        build(path)


@pytest.mark.parametrize(
    "line", ["[1, 2]", "{", '"text"', '{"subject": 5, "relation": "IsA", "object": "b"}', "[" * 9999]
)
def test_unreadable_json(tmp_path, line):
    path = tmp_path / "table.jsonl"
    path.write_text(f"{JSON_LINES}{line}\n")
    with pytest.raises(UnreadableSourceError, match="1 of 4 lines cannot be read"):
        build(path)


def test_null_bytes(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_bytes(b"subject\trelation\tobject\n" + b"le\x00mon\tIsA\tfruit\n")
    try:
        assert {fact.subject for fact in build(path)[0]} == {"le mon"}
    except UnreadableSourceError as error:  # Python 3.10 reads no such line
        assert "NUL" in str(error)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        (
            "table.csv",
            b"a,b\n1,2\n",
            "'table.csv' must have the columns subject, relation, object.*are: a, b",
        ),
        ("table.csv", b"subject,relation,object,object\n", "each once"),
        ("table.csv", b"", "table: it is empty"),
        ("table.csv", b"subject,relation,object\n", "no facts are left of 0 lines"),
        ("table.csv", bytes(range(256)), "must have the columns"),
        ("table.csv.gz", b"subject,relation,object\n", "is damaged after row 0: Not a gzipped file"),
        ("table.csv.gz", gzip.compress(CSV.encode(), mtime=0)[:40], "is damaged after row"),
    ],
)
def test_other_content(tmp_path, name, content, complaint):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableSourceError, match=complaint):
        build(path)
    assert not (tmp_path / "facts.db").exists()


def test_other_files(tmp_path):
    with pytest.raises(ValueError, match="There is no table"):
        TableSource(tmp_path / "none.csv")
    for name in ("table.xlsx", "table", "table.parquet.gz", "table.gz"):
        (tmp_path / name).touch()
        with pytest.raises(ValueError, match=r"must be a file that ends in .csv, .tsv"):
            TableSource(tmp_path / name)


def write(path, *relations):
    path.write_text("subject,relation,object\n" + "".join(f"fish,{name},walk\n" for name in relations))
    return path


def test_negated_and_earlier_relations(tmp_path):
    names = ("NotCapableOf", "/r/not_has_property", "not is a", "InstanceOf", "desire_of", "InheritsFrom")
    built, report = build(write(tmp_path / "table.csv", *names))
    assert {fact.relation for fact in built} == {
        "NotCapableOf",
        "NotHasProperty",
        "NotIsA",
        "IsA",
        "Desires",
    }
    [tally] = report.tallies
    assert (tally.num_facts, tally.num_left_out, tally.num_unreadable) == (5, 1, 0)
    assert tally.unknown_relations == {"InheritsFrom": 1}


def test_unknown_relations_are_counted_by_name(tmp_path):
    path = write(tmp_path / "table.csv", "IsA", "Eats", "/r/Eats", "UnusedFor")
    with pytest.raises(
        UnreadableSourceError, match=r"3 of 4 lines.*Unknown relations: Eats 2, UnusedFor 1; `unknown_"
    ):
        build(path)
    built, report = build(path, unknown_relations="skip")
    assert built == {Fact("fish", "IsA", "walk", 1.0, "table")}
    [tally] = report.tallies
    assert (tally.num_left_out, tally.num_unreadable) == (3, 0)
    assert tally.unknown_relations == {"Eats": 2, "UnusedFor": 1}
    assert report.header.sources[0].rebuild == "table table.csv --unknown-relations skip"
    names = [f"relation {number}" for number in range(150)]
    [tally] = build(write(path, "IsA", *names), unknown_relations="skip")[1].tallies
    assert len(tally.unknown_relations) == 101
    assert tally.unknown_relations["others"] == 50


def test_a_file_says_what_unknown_relations_stand_for(tmp_path):
    relations = tmp_path / "relations.tsv"
    relations.write_text("# ours\tConceptNet's\n\nis unable to\tNotCapableOf\nEats,\n")
    path = write(tmp_path / "table.csv", "IsUnableTo", "Eats")
    built, report = build(path, unknown_relations=relations)
    assert built == {Fact("fish", "NotCapableOf", "walk", 1.0, "table")}
    assert report.tallies[0].unknown_relations == {"Eats": 1}
    assert report.header.sources[0].rebuild == "table table.csv --unknown-relations relations.tsv"
    with pytest.raises(UnreadableSourceError, match="Unknown relations: Other 1"):
        build(write(path, "Other"), unknown_relations=relations)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Eats", r"relations.tsv, line 1: it must have a name and the relation.*got 'Eats'"),
        ("#\na\tIsA\tb", "line 2: it must have"),
        ("Eats\tCapabelOf", "line 1: the second column must be one of .* Did you mean 'CapableOf'"),
        ("NotCapableOf\tCapableOf", "line 1: 'NotCapableOf' is a relation already"),
    ],
)
def test_a_file_of_relations_that_is_none(tmp_path, text, complaint):
    relations = tmp_path / "relations.tsv"
    relations.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        TableSource(write(tmp_path / "table.csv", "IsA"), unknown_relations=relations)


def test_other_unknown_relations(tmp_path):
    path = write(tmp_path / "table.csv", "IsA")
    with pytest.raises(ValueError, match="There is no file of relations at"):
        TableSource(path, unknown_relations=tmp_path / "none.tsv")
    with pytest.raises(ValueError, match="must be 'error', 'skip' or a `Path`; got 'drop'"):
        TableSource(path, unknown_relations="drop")
