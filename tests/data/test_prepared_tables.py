"""From the owners' files to tables and examples: values, bad rows, and what others' tables lack."""

import io
import json
import pickle
import shutil

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from support import oracles, prepared
from vkood.data.check import check_folder
from vkood.data.layout import SCHEMAS, kind_of
from vkood.data.prepare import READERS, prepare, read_source
from vkood.data.readers import BadRowsError, SourceError
from vkood.data.readers.own import read_own
from vkood.data.readers.source import BadRows, Source
from vkood.data.readers.tables import answers_of, read_tables
from vkood.data.rows import Rows
from vkood.data.tables import Table, TableError, find_tables, table_writer
from vkood.data.tiny import TINY, write_tiny

METRICS = oracles.FOLDER / "metrics"


def picture_bytes() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return file.getvalue()


def test_vqav2_as_its_peers_prepare_it(tmp_path):
    """Vocabulary, labels and scores on the owners' format, against what METER's script makes of it."""
    root = tmp_path / "vqav2"
    shutil.copytree(METRICS / "vqav2_small", root)
    picture = picture_bytes()
    for folder, images in (
        ("train2014", range(101, 140)),
        ("val2014", range(201, 240)),
        ("test2015", range(301, 320)),
    ):
        (root / folder).mkdir()
        for number in images:
            (root / folder / f"COCO_{folder}_{number:012d}.jpg").write_bytes(picture)
    source = read_source("vqav2", root)
    expected = json.loads((METRICS / "vqav2_targets_expected.json").read_text())
    assert {answer: number for number, answer in enumerate(source.answers)} == expected["ans2label"]
    for split in ("train", "val", "test", "test-dev"):
        prepared_rows = {row["image_id"]: row for row in source.tables[f"vqav2_{split}"](BadRows())}
        for row in expected["expected"][f"vqav2_{split}"]:
            ours = prepared_rows.pop(row["image_id"])
            # In validation we keep questions without a known answer, for an honest accuracy.
            kept = (
                [place for place, labels in enumerate(ours["answer_labels"]) if labels]
                if row["answers"]
                else None
            )
            for name in ("questions", "question_id", "answers", "answer_labels", "answer_scores"):
                values = ours[name] if kept is None else [ours[name][place] for place in kept]
                assert values == row[name], (split, name)
        assert not any(labels for row in prepared_rows.values() for labels in row["answer_labels"])


@pytest.mark.parametrize("name", [name for name in TINY if not name.startswith("own")])
def test_every_data_set(name):
    folder = prepared.tables(name)
    tables = find_tables(folder, ["*"])
    assert {table.name for table in tables} == set(read_source(name, prepared.raw(name)).tables)
    for check in check_folder(folder):
        assert check.sound
        assert check.rows
        assert check.texts_with_facts == check.texts
    schema = "regions" if name == "visual-genome" else kind_of(tables[0].columns)
    assert tables[0].columns == SCHEMAS[schema].names
    rows = Rows(tables)
    example = rows[len(rows) - 1]
    assert example.text == rows.text(len(rows) - 1)[0]
    assert all(rows.sentences[fact] for fact in example.facts)
    assert example.images == rows.image_bytes(example.image_index)


def test_splits_are_apart():
    folder = prepared.tables("vqav2")
    ids = {
        name: {row["image_id"] for row in Table(folder / f"vqav2_{name}.arrow").scan(["image_id"])}
        for name in ("val", "trainable_val", "rest_val")
    }
    assert ids["trainable_val"] | ids["rest_val"] == ids["val"]
    assert not ids["trainable_val"] & ids["rest_val"]


def test_false_texts_are_of_other_images(tmp_path):
    with table_writer(tmp_path / "a.arrow", SCHEMAS["captions"]) as writer:
        for number in range(3):
            row = {"image": b"", "image_id": "", "split": "", "fact_ids": None}
            writer.add(row | {"caption": [f"{number}", f"{number}"]})
    rows = Rows([Table(tmp_path / "a.arrow")], num_false=9)
    first = rows[0].false_texts
    assert {text for text, _ in first} == {"1", "2"}
    assert rows[0].false_texts == first
    rows.set_epoch(1)
    assert rows[0].false_texts != first


def test_tables_of_others(tmp_path):
    """What METER's and ViLT's scripts wrote has fewer columns, and one batch for all."""
    ours = prepared.tables("vqav2")
    columns = SCHEMAS["questions"].names[:8]
    rows = list(Table(ours / "vqav2_train.arrow").scan(columns))
    table = pa.Table.from_pylist(rows)
    with (
        pa.OSFile(str(tmp_path / "vqav2_train.arrow"), "wb") as file,
        pa.RecordBatchFileWriter(file, table.schema) as out,
    ):
        out.write_table(table)
    theirs = Table(tmp_path / "vqav2_train.arrow")
    assert answers_of([theirs]) == tuple(Table(ours / "vqav2_train.arrow").metadata["answers"])
    assert Rows([theirs])[5].labels == Rows([Table(ours / "vqav2_train.arrow")])[5].labels
    result = prepare(read_tables(tmp_path), tmp_path / "with facts")
    assert result.facts > 10
    assert result.rows == {"vqav2_train": len(rows)}


def test_own_questions(tmp_path):
    """An answer that all annotators give counts in full; questions without ids get some."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "q.csv").write_text(
        'image,question,answer,split\na.png,"what, exactly?",red,train\na.png,"what, exactly?",red,train\n'
        "a.png,where?,here,train\na.png,where?,,val\n"
    )
    source = read_own(tmp_path / "q.csv", tmp_path, name="q")
    assert source.answers == ("red", "here")
    (row,) = source.tables["q_train"](BadRows())
    assert row["questions"] == ["what, exactly?", "where?"]
    assert row["answer_scores"] == [[1.0], [1.0]]
    assert row["question_id"] == [0, 1]
    (row,) = source.tables["q_val"](BadRows())
    assert row["answers"] == [[]]


@pytest.mark.parametrize("name", ["own-questions", "own-captions"])
def test_own_files(tmp_path, name):
    root = write_tiny(name, tmp_path)
    file = next(path for path in root.iterdir() if path.suffix in (".csv", ".jsonl"))
    source = read_own(file, root / "images", name="mine")
    result = prepare(source, tmp_path / "tables", facts=None)
    assert set(result.rows) == {"mine_train", "mine_val"}
    assert result.facts == 0


def test_bad_rows_are_told_and_few(tmp_path):
    """A row that cannot be read is named; more of them than may be end the work, and nothing is written."""
    root = write_tiny("coco", tmp_path / "raw")
    next((root / "train2014").iterdir()).unlink()
    with pytest.raises(
        BadRowsError, match=r"1 of 24 rows .*dataset_coco\.json, row \d+: There is no image at"
    ):
        prepare(read_source("coco", root), tmp_path / "tables", facts=None)
    assert not (tmp_path / "tables").exists()
    result = prepare(read_source("coco", root), tmp_path / "tables", facts=None, max_bad=0.1)
    assert result.rows["coco_caption_karpathy_train"] == 23
    assert len(result.left_out) == 1


@pytest.mark.parametrize("name", [name for name in READERS if name != "tables"])
def test_missing_files(tmp_path, name):
    with pytest.raises(SourceError, match="must be at"):
        read_source(name, tmp_path)


def test_what_is_wrong_is_found(tmp_path):
    row = {"caption": ["x"], "split": "train", "fact_ids": [[]]}
    with table_writer(tmp_path / "a.arrow", SCHEMAS["captions"]) as rows:
        for image, image_id in ((None, "1"), (b"no picture", "2"), (b"no picture", "2")):
            rows.add({"image": image, "image_id": image_id, **row})
    (check,) = check_folder(tmp_path)
    assert check.missing_images == ["1 (row 0)"]
    assert check.undecodable_images == ["2 (row 1)", "2 (row 2)"]
    assert check.duplicates == ["2"]


def test_damaged_tables(tmp_path):
    whole = (prepared.tables("sbu") / "sbu_0.arrow").read_bytes()
    (tmp_path / "a.arrow").write_bytes(whole[:-100])
    for path, says in ((tmp_path / "a.arrow", "truncated"), (tmp_path / "none.arrow", "no table")):
        with pytest.raises(TableError, match=says):
            Table(path)
    with pytest.raises(TableError, match=r"no table 'b\*'.*which has a"):
        find_tables(tmp_path, ["b*"])


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    def write():
        with table_writer(tmp_path / "a.arrow", SCHEMAS["captions"]) as rows:
            rows.add({"image": b"", "caption": 5, "image_id": "", "split": "", "fact_ids": []})

    with pytest.raises(Exception, match="5"):
        write()
    assert not list(tmp_path.iterdir())


def test_many_batches(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 3, 3000)
    with table_writer(tmp_path / "a.arrow", SCHEMAS["captions"]) as rows:
        for number, count in enumerate(numbers):
            captions = [f"{number} {place}" for place in range(count)]
            rows.add(
                {"image": b"", "caption": captions, "image_id": f"{number}", "split": "", "fact_ids": None}
            )
    table = pickle.loads(pickle.dumps(Table(tmp_path / "a.arrow")))
    assert len(table) == 3000
    assert table.row(2999, ["image_id"]) == {"image_id": "2999"}
    texts = Rows([table, table], images=False)
    expected = [f"{n} {p}" for _ in range(2) for n, count in enumerate(numbers) for p in range(count)]
    assert [texts.text(index)[0] for index in range(len(texts))] == expected


def test_a_source_with_facts_of_its_own(tmp_path):
    """Sentences are numbered over all tables, once each; none are looked up; which agree comes along."""
    row = {
        "image": picture_bytes(),
        "questions": ["What is red?", "Why?"],
        "answers": [["kite"], ["kite"]],
        "answer_labels": [[0], [0]],
        "answer_scores": [[1.0], [1.0]],
        "image_id": 1,
        "question_id": [1, 2],
        "split": "train",
        "annotations": [["kite"], ["kite"]],
        "answer_types": ["", ""],
        "question_types": ["", ""],
        "facts": [["A kite is red.", "A mug is blue."], []],
        "fact_matches": [[True, False], []],
    }
    other = row | {"facts": [["A mug is blue."], ["A drum is round."]], "fact_matches": [[False], [False]]}
    source = Source(
        name="own",
        kind="questions",
        schema="questions with matches",
        tables={"one": lambda bad: iter([row]), "two": lambda bad: iter([other])},
        answers=("kite",),
        has_facts=True,
    )
    assert prepare(source, tmp_path).facts == 3
    rows = Rows(find_tables(tmp_path, ["one", "two"]))
    examples = [rows[index] for index in range(4)]
    assert [[rows.sentences[fact] for fact in example.facts] for example in examples] == [
        *row["facts"],
        *other["facts"],
    ]
    assert [list(example.matches) for example in examples] == [*row["fact_matches"], *other["fact_matches"]]
    assert all(check.sound for check in check_folder(tmp_path))
    prepare(read_tables(tmp_path), tmp_path / "again", facts=None)
    assert Rows(find_tables(tmp_path / "again", ["one"]))[0].matches == ()
