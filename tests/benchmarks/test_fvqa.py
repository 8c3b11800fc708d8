"""The benchmark of gold facts: which fact counts as a question's own, and what is counted."""

import json

import pytest
from benchmarks.fvqa.__main__ import main
from benchmarks.fvqa.questions import ends_of, read_questions

from vkood.knowledge import Fact, build_store

ROWS = [
    {
        "question_id": "1",
        "question": "Which object can cut things?",
        "gold_ends": ["A knife", "cutting things"],
    },
    {
        "question_id": "2",
        "question": "Which animal in this image drinks milk?",
        "gold_ends": ["milk", "cats"],
        "captions": ["a cat and a dog"],
        "concepts": [["cat", 0.9]],
    },
    {
        "question_id": "3",
        "question": "What is it?",
        "gold_ends": ["dog", "unheard of"],
        "captions": ["a dog"],
    },
]


@pytest.fixture
def files(tmp_path):
    path = tmp_path / "facts.db"
    facts = [Fact("knife", "UsedFor", "cut thing"), Fact("cat", "Desires", "milk"), Fact("dog", "IsA", "pet")]
    build_store(path, [facts])
    questions = tmp_path / "questions.jsonl"
    questions.write_text("\n".join(map(json.dumps, ROWS)))
    return questions, path


def test_recall_and_coverage(files, tmp_path, capsys):
    questions, store = files
    main(["--questions", str(questions), "--store", str(store), "--json", str(tmp_path / "out.json")])
    out = json.loads((tmp_path / "out.json").read_text())
    assert set(out["recall"]["question"]) == {"questions", "candidates", "5", "10", "20", "50", "all"}
    with_captions = out["recall"]["question+captions"]
    assert (with_captions["questions"], with_captions["5"], with_captions["all"]) == (2, 0.5, 0.5)
    assert out["recall"]["question+concepts"]["5"] == 1.0
    assert out["coverage"] == {
        "concepts": pytest.approx(5 / 6),
        "pairs": pytest.approx(2 / 3),
        "pairs_to_the_letter": 0.0,
    }
    assert out["recall_of_parts"]["even lines"]["question"]["questions"] == 2
    assert "Recall of the gold fact" in capsys.readouterr().out


def test_the_two_ends_are_recognised_in_other_words():
    assert ends_of("a knife", "cutting things") == ends_of("cut thing", "knives")
    assert ends_of("cat", "dog") != ends_of("cat", "cat")


def test_absent_and_damaged_questions(tmp_path, capsys):
    main(["--questions", str(tmp_path / "none.jsonl")])
    assert "Skipped: there are no questions of FVQA" in capsys.readouterr().out
    (tmp_path / "bad.jsonl").write_text('{"question_id": 1, "question": "x", "gold_ends": ["a"]}')
    with pytest.raises(ValueError, match="line 1, must be an object with question_id"):
        read_questions(tmp_path / "bad.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(ValueError, match="at least one question"):
        read_questions(tmp_path / "empty.jsonl")
