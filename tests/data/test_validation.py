"""Tables of others and damaged ones: column types, lists of different lengths, labels and facts out of range."""

import numpy as np
import pyarrow as pa
import pytest

from support import prepared
from vkood.data.check import check_folder
from vkood.data.layout import SCHEMAS, unfit_column
from vkood.data.prepare import prepare
from vkood.data.readers import SourceError
from vkood.data.readers.tables import answers_of, read_tables
from vkood.data.rows import Rows
from vkood.data.tables import Table, TableError, find_tables, sentences_of, table_writer

QUESTION = {
    "image": b"",
    "questions": ["a", "b"],
    "answers": [["red"], []],
    "answer_labels": [[0], []],
    "answer_scores": [[1.0], []],
    "image_id": 1,
    "question_id": [1, 2],
    "split": "val",
    "annotations": [["red"], ["x"]],
    "answer_types": ["", ""],
    "question_types": ["", ""],
    "fact_ids": [[0], [1, 0]],
}


def write(path, *rows, metadata=None, schema="questions"):
    with table_writer(path, SCHEMAS[schema], metadata) as writer:
        for row in rows:
            writer.add(row)
    return Table(path)


def problems(tmp_path, *rows, num_facts=2):
    table = write(tmp_path / "a.arrow", *rows, metadata={"answers": ["red", "blue"]})
    return list(table.invalid_rows(num_facts=num_facts))


def test_sound_rows(tmp_path):
    test = {name: [] for name in ("answers", "answer_labels", "answer_scores", "annotations", "answer_types")}
    nothing = {"fact_ids": None, "question_types": None}
    assert problems(tmp_path, QUESTION, QUESTION | test | nothing, QUESTION) == []


@pytest.mark.parametrize(
    ("matches", "says"),
    [
        ([[True], [False, True]], []),
        (None, []),
        ([[True], [False]], [(0, "`fact_matches` must have as many values as `fact_ids`")]),
        ([[True]], [(0, "`fact_matches` must have as many values as `questions`")]),
    ],
)
def test_which_facts_agree_is_known_for_each_or_none(tmp_path, matches, says):
    row = QUESTION | {"fact_matches": matches}
    table = write(tmp_path / "a.arrow", row, metadata={"answers": ["red"]}, schema="questions with matches")
    assert table.kind == "questions"
    assert list(table.invalid_rows(num_facts=2)) == says


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"questions": None}, "`questions` is null"),
        ({"questions": ["a", None]}, "`questions` has a text that is null"),
        ({"question_id": [1]}, "`question_id` must have as many values as `questions`"),
        ({"question_id": None}, "`question_id` must have as many values"),
        ({"question_id": [1, None]}, "`question_id` has a null"),
        ({"answer_types": ["a"]}, "`answer_types` must have as many values"),
        ({"annotations": [["a"]] * 3}, "`annotations` must have as many values"),
        ({"answers": []}, "`answers` must be there where `answer_labels` is"),
        ({"answers": [["red", "x"], []]}, "`answers` must have as many values as `answer_labels`"),
        ({"answer_scores": [[], [1.0]]}, "`answer_scores` must have as many values as `answer_labels`"),
        ({"answer_labels": [[2], []]}, "`answer_labels` must be from 0 to 1, the answers of the vocabulary"),
        ({"answer_labels": [[-1], []]}, "`answer_labels` must be from 0 to 1"),
        ({"answer_labels": [[None], []]}, "`answer_labels` must be from 0 to 1"),
        ({"answer_scores": [[float("nan")], []]}, "`answer_scores` must be finite"),
        ({"answer_scores": [[-0.5], []]}, "`answer_scores` must be finite and not negative"),
        ({"fact_ids": [[2], []]}, "`fact_ids` must be from 0 to 1"),
        ({"fact_ids": [[None], []]}, "`fact_ids` must be from 0 to 1"),
        ({"fact_ids": [[0]]}, "`fact_ids` must have as many values"),
    ],
)
def test_rows_that_do_not_hang_together(tmp_path, changes, says):
    """Whatever stands around them; readers of such a table refuse it before anything else."""
    reasons = problems(tmp_path, QUESTION, QUESTION | changes, QUESTION, QUESTION | changes)
    assert [row for row, _ in reasons] == [1, 3]
    assert all(says in reason for _, reason in reasons)
    if "fact_ids" not in changes:
        with pytest.raises(TableError, match=r"a.arrow', row 1: .*vkood data check"):
            Rows(find_tables(tmp_path, ["a"]))
    (check,) = check_folder(tmp_path)
    assert not check.sound


def test_judgements(tmp_path):
    row = {
        "image_0": b"",
        "image_1": b"",
        "questions": ["a"],
        "identifier": "x",
        "identifiers": ["x"],
        "fact_ids": None,
    }
    rows = [row | {"answers": answers} for answers in (["True"], ["yes"], [], ["False"])]
    table = write(tmp_path / "a.arrow", *rows, schema="pairs")
    assert list(table.invalid_rows()) == [
        (1, "`answers` must be 'True' or 'False' each"),
        (2, "`answers` must have as many values as `questions`"),
    ]


def test_column_types():
    """Those of other scripts are read; what cannot be is reported."""
    theirs = SCHEMAS["questions"]
    for name, type_ in (
        ("answers", pa.list_(pa.null())),
        ("image", pa.large_binary()),
        ("answer_labels", pa.large_list(pa.list_(pa.int32()))),
        ("answer_scores", pa.list_(pa.list_(pa.int64()))),
    ):
        theirs = theirs.set(theirs.get_field_index(name), pa.field(name, type_))
    assert unfit_column(theirs) == ""
    captions = SCHEMAS["captions"]
    assert unfit_column(captions.set(2, pa.field("image_id", pa.int64()))) == ""
    for type_ in (pa.int64(), pa.list_(pa.binary()), pa.string()):
        assert "`caption` must be of the type list<string>" in unfit_column(
            captions.set(1, pa.field("caption", type_))
        )
    assert "must occur once" in unfit_column(captions.append(pa.field("caption", pa.string())))


def test_tables_of_wrong_types(tmp_path):
    table = pa.table({"image": ["a"], "caption": [["b"]]})
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
        out.write_table(table)
    for use in (read_tables, check_folder, lambda folder: Rows(find_tables(folder, ["*"]))):
        with pytest.raises(
            TableError, match=r"a.arrow': the column `image` must be of the type binary; it is string"
        ):
            use(tmp_path)


def test_answers_that_contradict_each_other(tmp_path):
    tables = [write(tmp_path / "a.arrow", QUESTION, QUESTION | {"answers": [["blue"], []]})]
    with pytest.raises(SourceError, match="answer 0 is 'red' in one row and 'blue' in another"):
        answers_of(tables)
    tables = [write(tmp_path / "a.arrow", QUESTION | {"answer_labels": [[10**18], []]})]
    with pytest.raises(SourceError, match="no row uses answer 0"):
        answers_of(tables)


@pytest.mark.parametrize(
    "metadata",
    [
        {"answers": ["a", 1]},
        {"answers": "a"},
        {"facts": "../x"},
        {"facts": 3},
        {"name": "a/b"},
    ],
)
def test_what_tables_say_of_themselves(tmp_path, metadata):
    with pytest.raises(TableError, match="damaged in its metadata: `"):
        write(tmp_path / "a.arrow", QUESTION, metadata=metadata)


def test_tables_of_no_texts(tmp_path):
    write(tmp_path / "a.arrow")
    with pytest.raises(TableError, match="no texts in the tables a"):
        Rows(find_tables(tmp_path, ["a"]))
    nothing = {name: [[], []] for name in ("answers", "answer_labels", "answer_scores", "fact_ids")}
    write(tmp_path / "b.arrow", QUESTION | nothing)
    with pytest.raises(TableError, match="no texts with a target in the tables b"):
        Rows(find_tables(tmp_path, ["b"]), answered=True)


def test_facts_that_are_none(tmp_path):
    table = write(tmp_path / "a.arrow", QUESTION, metadata={"facts": "b"})
    with pytest.raises(TableError, match=r"no table at .*b.arrow"):
        sentences_of(table)
    write(tmp_path / "b.arrow", QUESTION)
    with pytest.raises(TableError, match="must have the column `sentence`"):
        sentences_of(table)


def test_pictures_in_tables(tmp_path):
    """A table of others with a damaged picture loses that row when it is prepared."""
    rows = list(Table(prepared.tables("sbu") / "sbu_0.arrow").scan(["image", "caption", "image_id", "split"]))
    rows[1]["image"], rows[2]["image"] = b"<html>", None
    (tmp_path / "theirs").mkdir()
    write(tmp_path / "theirs" / "a.arrow", *(row | {"fact_ids": None} for row in rows), schema="captions")
    result = prepare(read_tables(tmp_path / "theirs"), tmp_path / "ours", facts=None, max_bad=0.5)
    assert (result.num_kept, result.num_left_out) == (len(rows) - 2, 2)
    assert "a.arrow, row 1: `image` must be a picture, but is a web page" in result.left_out[0]


def test_damaged_bytes_of_offsets(tmp_path):
    """Offsets that point out of the file are found before they are followed."""
    path = tmp_path / "a.arrow"
    write(path, *[QUESTION] * 50)
    content = np.frombuffer(path.read_bytes(), np.uint8)
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = content.copy()
        damaged[generator.integers(len(content), size=20)] = generator.integers(256, size=20)
        path.write_bytes(damaged.tobytes())
        try:
            rows = Rows([Table(path)], images=False)
            assert all(isinstance(rows[index].text, str) for index in range(len(rows)))
        except TableError:
            refused += 1
    assert refused > 20
