"""Predictions in a file: scored, or refused by row and field."""

import json
from collections import Counter

import pytest

from support import prepared
from vkood.data.rows import Rows
from vkood.data.tables import find_tables
from vkood.train.evaluation import evaluate_predictions
from vkood.train.run import RunError

TABLES = {
    "questions": ("vqav2", "vqav2_val"),
    "pairs": ("nlvr2", "nlvr2_dev"),
    "captions": ("coco", "coco_caption_karpathy_val"),
}


def sound(kind):
    """Right predictions for all rows of a table."""
    data, table = TABLES[kind]
    rows = Rows(find_tables(prepared.tables(data), [table]), images=False)
    examples = [rows[index] for index in range(len(rows))]
    if kind == "questions":
        return [
            {"question_id": example.id, "answer": Counter(example.answers).most_common(1)[0][0]}
            for example in examples
        ]
    if kind == "pairs":
        return [
            {"identifier": example.id, "answer": "True" if example.labels[0] else "False"}
            for example in examples
        ]
    images = rows.image_index.tolist()
    texts = [{"text": text, "images": [image]} for text, image in enumerate(images)]
    return texts + [{"image": image, "texts": [images.index(image)]} for image in sorted(set(images))]


def score(kind, text, folder):
    data, table = TABLES[kind]
    (folder / "file.jsonl").write_text(text)
    return evaluate_predictions(prepared.tables(data), table, folder / "file.jsonl")


def lines(predictions):
    return "".join(json.dumps(prediction) + "\n" for prediction in predictions)


@pytest.mark.parametrize("kind", TABLES)
def test_right_predictions(kind, tmp_path):
    for text in (lines(sound(kind)), json.dumps(sound(kind)), "\ufeff" + lines(sound(kind)) + "\n"):
        metrics = score(kind, text, tmp_path)
        assert (
            metrics[{"questions": "accuracy", "pairs": "consistency", "captions": "mean_recall"}[kind]] == 1
        )


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("questions", {"question_id": "x"}, "as `question_id` a whole number; got 'x'"),
        ("questions", {"question_id": 1.7}, "as `question_id` a whole number; got 1.7"),
        ("questions", {"question_id": [1]}, "as `question_id` a whole number; got [1]"),
        ("questions", {"question_id": 2**70}, "as `question_id` a whole number"),
        ("questions", {"answer": None}, "as `answer` a text; got None"),
        ("questions", {"question_id": 5}, "1 of 72 are missing"),
        ("pairs", {"identifier": 3}, "as `identifier` a text; got 3"),
        ("pairs", {"answer": "yes"}, 'as `answer` "True" or "False"; got \'yes\''),
        ("pairs", {"identifier": "other"}, "'other' is of none"),
        ("captions", {"text": -1}, "as `text` a whole number from 0 to"),
        ("captions", {"images": "x"}, "as `images` a list of numbers of images; got 'x'"),
        ("captions", {"images": [10**6]}, "as `images` a list, each a whole number from 0 to"),
        ("captions", {"images": [float("inf")]}, "got inf"),
        ("captions", {"images": [3, 3]}, "as `images` a list without repetitions; got [3, 3]"),
    ],
)
def test_a_wrong_value_is_told_by_row_and_field(kind, change, words, tmp_path):
    predictions = sound(kind)
    predictions[1] |= change
    with pytest.raises(RunError) as error:
        score(kind, lines(predictions), tmp_path)
    assert words in str(error.value)
    if "as `" in words:
        assert "file.jsonl', line 2, must have" in str(error.value)


@pytest.mark.parametrize("kind", TABLES)
def test_each_is_predicted_once(kind, tmp_path):
    predictions = sound(kind)
    with pytest.raises(RunError, match=rf"line {len(predictions) + 1}, predicts .* again, which .* line 1"):
        score(kind, lines([*predictions, predictions[0]]), tmp_path)
    with pytest.raises(RunError, match=r"must|missing"):
        score(kind, lines(predictions[1:]), tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "are missing"),
        ("[1]", "prediction 1, must be an object with fields; got 1"),
        ("3\n", "line 1, must be an object with fields; got 3"),
        ('{"answer": "red"}\n', "line 1, must have the field `question_id`; it has ['answer']"),
        ("{}\n{\n", "line 1, must have the field"),
        ('{"question_id": \n', "cannot be read as JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_no_predictions(text, words, tmp_path):
    with pytest.raises(RunError) as error:
        score("questions", text, tmp_path)
    assert words in str(error.value)
    assert "file.jsonl" in str(error.value) or words == "are missing"


def test_a_missing_file(tmp_path):
    with pytest.raises(RunError, match="There is no file of predictions"):
        evaluate_predictions(prepared.tables("vqav2"), "vqav2_val", tmp_path / "none.jsonl")
