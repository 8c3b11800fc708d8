"""FVQA's questions, as their owners distribute them and in JSON lines."""

import json

import numpy as np
import pytest
from PIL import Image

from vkood.data.prepare import prepare, read_source
from vkood.data.readers import BadRows, SourceError


def question(number, image, answer="trumpet", **fields):
    return {
        "question_id": str(number),
        "question": f"Which thing is number {number}?",
        "img_file": image,
        "answer": answer,
        "fact_surface": "You are likely to find [[a trumpet]] in [[a jazz club]]",
    } | fields


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "new_dataset_release"
    (folder / "images").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "images" / name)
    questions = {
        str(n): question(n, name) for n, name in enumerate(("a.jpg", "b.jpg", "a.jpg", "c.jpg"), start=1)
    }
    (folder / "all_qs_dict_release.json").write_text(json.dumps(questions))
    (folder / "Name_Lists").mkdir()
    (folder / "Name_Lists" / "train_list_0.txt").write_text("a.jpg\n")
    (folder / "Name_Lists" / "test_list_0.txt").write_text("b.jpg\n")
    return tmp_path


def rows(source, table):
    return list(source.tables[table](BadRows()))


def test_the_owners_files(root):
    source = read_source("fvqa", root)
    assert list(source.tables) == ["fvqa_train", "fvqa_test"]
    (row,) = rows(source, "fvqa_train")
    assert row["question_id"] == [1, 3]
    assert row["questions"][0] == "Which thing is number 1?"
    assert (source.answers, row["answer_labels"], row["answer_scores"]) == (
        ("trumpet",),
        [[0], [0]],
        [[1.0], [1.0]],
    )
    assert [row["question_id"] for row in rows(source, "fvqa_test")] == [[2]]
    assert sum(source.bad.skipped.values()) == 1


def test_without_lists_all_are_to_train_on(root):
    for path in (root / "new_dataset_release" / "Name_Lists").iterdir():
        path.unlink()
    source = read_source("fvqa", root)
    assert list(source.tables) == ["fvqa_train"]
    prepared = prepare(source, root / "tables", max_bad=0.5)
    assert (prepared.num_kept, prepared.num_left_out) == (3, 1)
    assert "c.jpg" in prepared.left_out[0]


def test_json_lines(root):
    folder = root / "new_dataset_release"
    (folder / "all_qs_dict_release.json").unlink()
    lines = [
        json.dumps({"image": "a.jpg", "question": "What?", "answer": "Drum", "question_id": 7}),
        "",
        '{"image": "a.jpg"}',
        "no JSON",
    ]
    (folder / "questions.jsonl").write_text("\n".join(lines))
    source = read_source("fvqa", folder)
    (row,) = rows(source, "fvqa_train")
    assert (row["question_id"], source.answers) == ([7], ("drum",))
    assert source.bad.num_bad == 2
    assert "questions.jsonl, row 3: it lacks `question`" in source.bad.reasons[0]


@pytest.mark.parametrize(
    "change", [{"question": None}, {"img_file": 5}, {"answer": ""}, {"question_id": "x"}]
)
def test_bad_questions_are_named(root, change):
    path = root / "new_dataset_release" / "all_qs_dict_release.json"
    path.write_text(json.dumps({"1": question(1, "a.jpg"), "2": question(2, "a.jpg") | change, "3": "text"}))
    bad = read_source("fvqa", root).bad
    assert bad.num_bad == 2
    assert f"`{next(iter(change))}`" in bad.reasons[0]
    assert "row 2" in bad.reasons[0]


def test_missing_files(root):
    folder = root / "new_dataset_release"
    with pytest.raises(SourceError, match="FVQA's questions must be at"):
        read_source("fvqa", folder / "images")
    (folder / "all_qs_dict_release.json").write_text("[]")
    with pytest.raises(SourceError, match="must hold a JSON object"):
        read_source("fvqa", root)
    (folder / "images").rename(folder / "pictures")
    with pytest.raises(SourceError, match="no folder of images"):
        read_source("fvqa", root)
