"""The leaderboard's accuracy, against its own script's numbers."""

import json

import pytest

from support.oracles import FOLDER
from vkood.metrics import ReasoningAccuracy
from vkood.metrics.sums import GroupedMean
from vkood.metrics.vqa import (
    VqaAccuracy,
    normalise_answer,
    normalise_punctuation,
    normalise_words,
    soft_score,
    vqa_accuracy,
)


def test_normalisation_step_by_step():
    table = json.loads((FOLDER / "metrics" / "answer_normalization.json").read_text())
    assert len(table) == 253
    for row in table:
        assert normalise_punctuation(row["in"]) == row["processPunctuation"]
        assert normalise_words(row["in"]) == row["processDigitArticle"]
        assert normalise_answer(row["in"]) == row["both"]


def test_every_case():
    cases = json.loads((FOLDER / "metrics" / "vqa_accuracy.json").read_text())["cases"]
    accuracy, halves = VqaAccuracy(), (VqaAccuracy(), VqaAccuracy())
    for number, case in enumerate(cases):
        answers = [answer["answer"] for answer in case["answers"]]
        assert vqa_accuracy(case["prediction"], answers) == pytest.approx(case["accuracy_official"], abs=1e-9)
        types = {"answer_type": case["answer_type"], "question_type": case["question_type"]}
        accuracy.add(case["prediction"], answers, **types)
        halves[number % 2].add(case["prediction"], answers, **types)
    mean = sum(case["accuracy_official"] for case in cases) / len(cases)
    assert accuracy.result()["overall"] == pytest.approx(mean)
    halves[0].sums.merge(halves[1].sums)
    assert halves[0].result() == pytest.approx(accuracy.result())


def test_agreeing_annotators_are_taken_at_their_word():
    assert vqa_accuracy("Yes", ["yes"] * 10) == 0.0
    assert vqa_accuracy("Yes", ["yes"] * 9 + ["no"]) == 1.0
    with pytest.raises(ValueError, match="at least one annotator"):
        vqa_accuracy("yes", [])


def test_soft_scores():
    assert [soft_score(count) for count in (0, 1, 2, 3, 4, 10)] == [0.0, 0.3, 0.6, 0.9, 1.0, 1.0]


@pytest.mark.usefixtures("unchecked")
def test_what_is_no_count_or_no_answer_is_refused():
    for count in (-1, 1.5, True, float("nan")):
        with pytest.raises(ValueError, match="`count` must be a whole number from 0"):
            soft_score(count)
    with pytest.raises(TypeError, match="`answers` must be a list"):
        vqa_accuracy("red", "red")
    with pytest.raises(TypeError, match="`prediction` must be of type str"):
        vqa_accuracy(None, ["red"])
    with pytest.raises(ValueError, match="`value` must be finite"):
        GroupedMean().add(float("nan"), ["all"])
    with pytest.raises(TypeError, match="`prediction` must be of type bool"):
        ReasoningAccuracy().add(float("nan"), True, "dev-1-0-0")
