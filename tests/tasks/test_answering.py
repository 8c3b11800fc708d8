"""How answers on tables are counted."""

from types import SimpleNamespace
from unittest.mock import create_autospec

import pytest

from vkood.data.rows import Example, Rows
from vkood.metrics import vqa_accuracy
from vkood.tasks.answering import AnswerAccuracy


def question(answers, scores, **types):
    labels = tuple(range(len(scores)))
    return Example(
        index=0, name="row 0", images=(), text="?", labels=labels, scores=scores, answers=answers, **types
    )


def counted(*pairs):
    """The numbers of (answer, question)."""
    rows = create_autospec(Rows, instance=True)
    rows.tables = (SimpleNamespace(metadata={"answers": ["red", "blue"]}),)
    metrics = AnswerAccuracy(rows, ())
    for answer, example in pairs:
        metrics.add(answer, example)
    return metrics.result()


def test_enough_annotators_count_as_on_the_leaderboard():
    ten = ("red",) * 4 + ("blue",) * 6
    metrics = counted(("red", question(ten, (1.0, 1.0), answer_type="other")))
    assert metrics["accuracy"] == vqa_accuracy("red", ten) == 1.0
    two = ("red",) * 2 + ("blue",) * 8
    metrics = counted(("red", question(two, (0.6, 1.0), answer_type="other")))
    assert (
        metrics["accuracy"]
        == metrics["accuracy, answer_type: other"]
        == pytest.approx(vqa_accuracy("red", two))
    )
    assert metrics["soft_score"] == 0.6


@pytest.mark.parametrize(("answer", "score"), [("red", 1.0), ("blue", 0.0), ("green", 0.0)])
def test_the_only_annotator_is_right(answer, score):
    """The leaderboard's rule, which asks for three others who agree, would give 0 to every answer."""
    assert vqa_accuracy("red", ("red",)) == 0.0
    metrics = counted((answer, question(("red",), (1.0,), answer_type="other")))
    assert metrics == {"soft_score": score, "accuracy": score, "accuracy, answer_type: other": score}


def test_questions_without_answers_do_not_count():
    assert counted(("red", question((), ()))) == {}
