"""How many rows a reader says that a table will have, against those that it has."""

import json
import shutil

import pytest
from PIL import Image

from support import prepared
from vkood.data import TrainingQuestions
from vkood.data.prepare import prepare, read_source
from vkood.data.readers import BadRows, captions
from vkood.data.readers.easy_vqa import KNOWLEDGE_TRAIN, Flood, read_easy_vqa, read_easy_vqa_knowledge
from vkood.data.readers.own import read_own
from vkood.data.readers.tables import read_tables
from vkood.data.tables import find_tables
from vkood.data.tiny import TINY, write_tiny


def num_rows(source):
    return {table: sum(1 for _ in read(BadRows())) for table, read in source.tables.items()}


@pytest.mark.parametrize("name", [name for name in TINY if not name.startswith("own")])
def test_owners_files(name):
    source = read_source(name, prepared.raw(name))
    assert source.sizes == num_rows(source)
    assert all(source.sizes.values())
    assert source.sizes == {table.name: len(table) for table in find_tables(prepared.tables(name), ["*"])}


def test_pictures_without_a_known_answer(tmp_path):
    """They are no rows of a table to train on, and are rows of the others."""
    root = shutil.copytree(prepared.raw("okvqa"), tmp_path / "okvqa")
    path = root / "mscoco_train2014_annotations.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"][:10]:
        unknown = f"unknown {annotation['question_id']}"
        annotation["multiple_choice_answer"] = unknown
        annotation["answers"] = [{"answer": unknown}] * 10
    path.write_text(json.dumps(content))
    source, whole = read_source("okvqa", root), read_source("okvqa", prepared.raw("okvqa"))
    assert source.sizes == num_rows(source)
    assert source.sizes["okvqa_train"] < whole.sizes["okvqa_train"]
    assert source.sizes["okvqa_val"] == whole.sizes["okvqa_val"]


def test_web_captions_in_several_tables(tmp_path, monkeypatch):
    root = shutil.copytree(prepared.raw("sbu"), tmp_path / "sbu")
    path = root / "sbu.tsv"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"\n", b"not text \xff\t1.jpg\n", *lines[3:], b"\n"]))
    monkeypatch.setattr(captions, "_TABLE_ROWS", 7)
    source = read_source("sbu", root)
    assert source.sizes == num_rows(source)
    assert len(source.sizes) == -(-(len(lines) + 3) // 7)
    assert source.sizes["sbu_0"] == 5
    assert sum(source.sizes.values()) == len(lines)


@pytest.mark.parametrize("kind", ["questions", "captions"])
def test_own_files(tmp_path, kind):
    root = write_tiny(f"own-{kind}", tmp_path, num_images=5)
    (file,) = root.glob(f"{kind}.*")
    source = read_own(file, root / "images", name="mine")
    assert source.sizes == num_rows(source) == {"mine_train": 5, "mine_val": 5}


@pytest.mark.parametrize("name", ["vqav2", "nlvr2", "coco"])
def test_tables_of_others(name):
    source = read_tables(prepared.tables(name))
    assert source.sizes == num_rows(source)
    assert all(source.sizes.values())


def test_fvqa(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / name)
    lines = [
        {"question_id": number, "question": f"What is {number}?", "image": image, "answer": "trumpet"}
        for number, image in enumerate(("a.png", "b.png", "a.png"))
    ]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = read_source("fvqa", tmp_path)
    assert source.sizes == num_rows(source) == {"fvqa_train": 2}


def test_easy_vqa(monkeypatch):
    source = read_easy_vqa(num_images=3)
    assert source.sizes == num_rows(source) == {"easy_vqa_train": 3, "easy_vqa_test": 3}
    monkeypatch.setattr(TrainingQuestions, "__len__", lambda self: 5)  # all 4,000 pictures take seconds
    knowledge = read_easy_vqa_knowledge(epochs=2, floods=[Flood()])
    assert knowledge.sizes == num_rows(knowledge) == {KNOWLEDGE_TRAIN: 10, Flood().table: 888}


def test_progress_is_of_all_rows(tmp_path):
    calls = []
    source = read_source("coco", prepared.raw("coco"))
    rows = prepare(source, tmp_path, facts=None, on_rows=lambda *call: calls.append(call)).rows
    for table, size in source.sizes.items():
        of_table = [call[1:] for call in calls if call[0] == table]
        assert of_table[0] == (0, size)
        assert of_table[-1] == (size, size)
        assert rows[table] == size
