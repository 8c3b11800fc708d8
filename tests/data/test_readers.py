"""Each reader of owners' files on records of other types than they should be: read rightly, or told by file and row."""

import json
import os
from pathlib import Path

import pytest

from vkood.data.prepare import prepare, read_source
from vkood.data.readers import BadRowsError, SourceError
from vkood.data.tiny import write_tiny

FAULTS = Path(__file__).parent / "faults"
QUESTIONS = "OpenEnded_mscoco_train2014_questions.json"
ANNOTATIONS = "mscoco_train2014_annotations.json"


@pytest.fixture
def tiny(tmp_path):
    """Writes a synthetic data set, with a change to the content of one of its JSON files."""

    def write(name, file=None, change=lambda content: None):
        root = write_tiny(name, tmp_path / name, num_images=4)
        if file is not None:
            path = root / file
            text = path.read_text()
            as_lines = name in ("nlvr2", "sbu")
            content = text.splitlines() if as_lines else json.loads(text)
            content = change(content) or content
            path.write_text("\n".join(content) if as_lines else json.dumps(content))
        return root

    return write


def first(key, **fields):
    """Change fields of the first record."""

    def change(content):
        (content if key is None else content[key])[0].update(fields)

    return change


def told_of(root, name, tmp_path, **options):
    """Why rows are left out, where all may be."""
    prepared = prepare(read_source(name, root, **options), tmp_path / "tables", facts=None, max_bad=1.0)
    assert prepared.num_left_out
    with pytest.raises(BadRowsError):
        prepare(read_source(name, root, **options), tmp_path / "tables", facts=None, max_bad=0.0)
    return prepared.left_out[0]


@pytest.mark.parametrize(
    ("file", "fields", "says"),
    [
        (
            QUESTIONS,
            {"question_id": "x"},
            f"{QUESTIONS}, row 0: `question_id` must be a whole number of 64 bits; got",
        ),
        (QUESTIONS, {"image_id": 10**30}, "`image_id` must be a whole number of 64 bits"),
        (QUESTIONS, {"question": None}, "`question` must be a text that is not blank; got nothing"),
        (QUESTIONS, {"question_id": 5}, "row 0: question 5 has no annotation"),
        (QUESTIONS, {"question_id": 1000001}, "row 1: its `question_id` 1000001 is that of another question"),
        (
            ANNOTATIONS,
            {"answers": None},
            f"{ANNOTATIONS}, row 0: `answers` must be a list of 1 or more; got nothing",
        ),
        (ANNOTATIONS, {"answers": []}, "`answers` must be a list of 1 or more"),
        (ANNOTATIONS, {"answers": {"answer": "a"}}, "`answers` must be a list of 1 or more; got an object"),
        (ANNOTATIONS, {"answers": [{"answer": None}]}, "`answers[0].answer` must be a text; got nothing"),
        (ANNOTATIONS, {"answers": ["a", [1]]}, "`answers[1]` must be a text; got a list of 1"),
        (ANNOTATIONS, {"multiple_choice_answer": {}}, "`multiple_choice_answer.answer` must be a text"),
        (ANNOTATIONS, {"answer_type": 3}, "`answer_type` must be a text; got 3"),
        (ANNOTATIONS, {"question_id": 1000001}, "row 1: question 1000001 has an annotation already"),
    ],
)
def test_vqa(tmp_path, tiny, file, fields, says):
    key = "questions" if file == QUESTIONS else "annotations"
    root = tiny("okvqa", file, first(key, **fields))
    assert says in told_of(root, "okvqa", tmp_path, min_occurrences=1)


def test_vqas_other_forms(tmp_path, tiny):
    """Ids as texts, answers as plain texts and numbers."""

    def change(content):
        for annotation in content["annotations"]:
            annotation["question_id"] = str(annotation["question_id"])
            annotation["answers"] = [answer["answer"] for answer in annotation["answers"]]
        content["annotations"][0]["answers"] = [3] * 10

    whole = read_source("okvqa", tiny("okvqa"), min_occurrences=1)
    changed = read_source("okvqa", tiny("okvqa", ANNOTATIONS, change), min_occurrences=1)
    assert changed.answers == whole.answers
    prepared = prepare(changed, tmp_path / "tables", facts=None)
    assert prepared.num_left_out == 0
    assert prepared.skipped == {"questions to be trained on without an answer in the vocabulary": 1}


def test_ids_as_texts_in_a_small_file(tmp_path, tiny):
    root = tiny("okvqa")
    (root / QUESTIONS).write_bytes((FAULTS / "ids_as_strings_questions.json").read_bytes())
    source = read_source("okvqa", root, min_occurrences=1)
    with pytest.raises(
        BadRowsError, match=rf"{QUESTIONS}, row 0: `image_id` must be a whole number .*COCO_val2014"
    ):
        prepare(source, tmp_path / "tables", facts=None)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"split": None},
            "dataset_coco.json, row 0: `split` must be one of train, restval, val, test; got nothing",
        ),
        ({"split": "other"}, "`split` must be one of"),
        ({"filename": 3}, "`filename` must be a text"),
        ({"filename": "../x.png"}, "is an absolute path or leads out of the folder"),
        ({"filepath": "/etc"}, "is an absolute path or leads out of the folder"),
        ({"sentences": None}, "`sentences` must be a list; got nothing"),
        ({"sentences": {"raw": "a"}}, "`sentences` must be a list; got an object"),
        ({"sentences": [{"raw": "a"}, {"raw": 5}]}, "`sentences[1].raw` must be a text; got 5"),
        ({"sentences": [{"raw": " "}]}, "it has no captions"),
    ],
)
def test_karpathy(tmp_path, tiny, fields, says):
    root = tiny("coco", "dataset_coco.json", first("images", **fields))
    assert says in told_of(root, "coco", tmp_path)


def test_karpathy_without_a_split(tmp_path, tiny):
    """A split that no image has gets no table, which is reported; a file without images is an error."""

    def change(content):
        content["images"] = [image for image in content["images"] if image["split"] != "restval"]

    prepared = prepare(
        read_source("coco", tiny("coco", "dataset_coco.json", change)), tmp_path / "t", facts=None
    )
    assert set(prepared.rows) == {f"coco_caption_karpathy_{split}" for split in ("train", "val", "test")}
    assert list(prepared.notes) == ["split without images, for which there is no table: restval"]
    (tmp_path / "coco" / "dataset_coco.json").write_bytes((FAULTS / "bom.json").read_bytes())
    with pytest.raises(SourceError, match="has no records in 'images'"):
        read_source("coco", tmp_path / "coco")


def test_visual_genome(tmp_path, tiny):
    root = tiny("visual-genome")
    images = json.loads((root / "region_descriptions.json").read_text())
    images[0]["regions"][0]["phrase"] = None
    wrong = json.loads((FAULTS / "null_regions.json").read_text())
    more = [
        5,
        {"regions": []},
        {"id": "../../x", "regions": []},
        {"id": 1, "regions": [{"phrase": "a", "x": 1.5}]},
    ]
    (root / "region_descriptions.json").write_text(json.dumps([*images, *wrong, *more]))
    prepared = prepare(read_source("visual-genome", root), tmp_path / "tables", facts=None, max_bad=1.0)
    assert (prepared.num_read, prepared.num_kept, prepared.num_left_out) == (10, 4, 6)
    assert [reason.partition(": ")[2] for reason in prepared.left_out] == [
        "it has no regions",
        "it has no regions",
        "it must be an object; got 5",
        "it has no `id`",
        "`id` must be a whole number of 64 bits; got '../../x'",
        "`regions[0].x` must be a whole number of 64 bits; got 1.5",
    ]
    assert prepared.notes == {"regions without a phrase, left out": 2}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            '{"sentence": "a", "identifier": "../../x-0-0-0", "label": "True"}',
            "`identifier` must be a split and three",
        ),
        (
            '{"sentence": "a", "identifier": "train-0-0-7", "label": true}',
            "`label` must be one of True, False; got true",
        ),
        ('{"sentence": 1, "identifier": "train-0-0-7", "label": "True"}', "`sentence` must be a text"),
        (
            '{"sentence": "a", "identifier": "train-0-0-7", "label": "True", "directory": "../x"}',
            "`directory` must be",
        ),
        (
            '{"sentence": "a", "identifier": "train-0-0-0", "label": "True"}',
            "its `identifier` 'train-0-0-0' is that",
        ),
        ('{"sentence": "a"}', "it lacks `identifier`"),
        ("[1]", "it must be an object; got a list of 1"),
        ("{", "it is not JSON"),
    ],
)
def test_nlvr2(tmp_path, tiny, line, says):
    root = tiny("nlvr2", "train.json", lambda lines: [*lines, "", line])
    assert f"train.json, row 10: {says}" in told_of(root, "nlvr2", tmp_path)


def test_web_captions(tmp_path, tiny):
    root = tiny(
        "sbu", "sbu.tsv", lambda lines: ["", *lines, "a cat\t../images/0.jpg", "a cat", 'say "a\t0.jpg']
    )
    prepared = prepare(read_source("sbu", root), tmp_path / "tables", facts=None, max_bad=0.5)
    assert (prepared.num_read, prepared.num_kept, prepared.num_left_out, prepared.skipped) == (
        8,
        5,
        2,
        {"empty rows": 1},
    )
    allowed = read_source("sbu", root, any_image_path=True)
    assert prepare(allowed, tmp_path / "tables", facts=None, max_bad=0.5).num_left_out == 1


@pytest.mark.parametrize("name", ["vqav2", "coco"])
def test_only_web_lists_and_own_files_may_name_any_image(tiny, name):
    with pytest.raises(ValueError, match="takes no `any_image_path`"):
        read_source(name, tiny(name), any_image_path=True)


def test_a_table_of_no_rows(tmp_path, tiny):
    root = tiny("sbu", "sbu.tsv", lambda lines: [""])
    with pytest.raises(SourceError, match=r"sbu_0 would have no rows.*Nothing was written"):
        prepare(read_source("sbu", root), tmp_path / "tables", facts=None)
    assert not (tmp_path / "tables").exists()


def test_a_table_of_no_rows_names_what_was_wrong(tmp_path, tiny):
    def change(content):
        for image in content["images"]:
            del image["split"]

    root = tiny("coco", "dataset_coco.json", change)
    with pytest.raises(SourceError, match=r"no rows.* dataset_coco.json, row 0: it lacks `split`"):
        prepare(read_source("coco", root), tmp_path / "tables", facts=None, max_bad=1.0)


def test_readers_advise_no_option_that_they_do_not_take(tmp_path, tiny):
    root = tiny("coco", "dataset_coco.json", first("images", filename="../x.png"))
    assert "any-image-path" not in told_of(root, "coco", tmp_path)
    root = tiny("sbu", "sbu.tsv", lambda lines: [*lines, "a cat\t../x.png"])
    assert "`--any-image-path` allows that" in told_of(root, "sbu", tmp_path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_validation_file_that_is_none_is_not_passed_over(tiny, make):
    root = tiny("conceptual-captions")
    file = root / "Validation_GCC-1.1.0-Validation.tsv"
    file.unlink()
    make(file)
    with pytest.raises(SourceError, match="must be a regular file"):
        read_source("conceptual-captions", root)


@pytest.mark.parametrize(
    ("name", "file"), [("okvqa", QUESTIONS), ("nlvr2", "train.json"), ("sbu", "sbu.tsv")]
)
def test_pipes(tmp_path, tiny, name, file):
    root = tiny(name)
    (root / file).unlink()
    os.mkfifo(root / file)
    options = {"min_occurrences": 1} if name == "okvqa" else {}
    with pytest.raises(SourceError, match="must be a regular file, but is a pipe"):
        prepare(read_source(name, root, **options), tmp_path / "tables", facts=None)
