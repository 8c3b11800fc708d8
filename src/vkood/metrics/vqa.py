"""The accuracy of visual question answering, as the leaderboard computes it (Antol et al., ICCV 2015).

The copies that circulate differ from the leaderboard's own on hard cases: some normalise always, some normalise the
annotators' answers less than the prediction, and some forget that an annotator is not compared with itself.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from importlib import resources

from vkood.fields import Whole, require_fields, require_kind, shown
from vkood.metrics.sums import GroupedMean

SOFT_SCORES = (0.0, 0.3, 0.6, 0.9, 1.0)
"""The score of an answer that 0, 1, 2, 3, and 4 or more annotators gave: what models are trained on."""

_NUMBERS = {
    "none": "0",
    "zero": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
}
_ARTICLES = frozenset(("a", "an", "the"))
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
# As the leaderboard has it: a full stop before a digit is kept, and no more than 32 are taken out.
_FULL_STOP = re.compile(r"(?!<=\d)\.(?!\d)")
_MAX_STOPS = 32


def normalise_punctuation(answer: str) -> str:
    """Take punctuation out of an answer, or put a space for it where it joins words.

    Example:
        >>> normalise_punctuation("red,blue"), normalise_punctuation("yes!"), normalise_punctuation("1,000")
        ('red blue', 'yes ', '1000')
    """
    in_number = _COMMA_IN_NUMBER.search(answer) is not None
    cleaned = answer
    for mark in _PUNCTUATION:
        beside_space = f"{mark} " in answer or f" {mark}" in answer
        cleaned = cleaned.replace(mark, "" if beside_space or in_number else " ")
    return _FULL_STOP.sub("", cleaned, count=_MAX_STOPS)


def normalise_words(answer: str) -> str:
    """Lower case, number words as digits, no articles, and contractions with their apostrophes.

    Example:
        >>> normalise_words("The two dogs"), normalise_words("dont know")
        ('2 dogs', "don't know")
    """
    words = (_NUMBERS.get(word, word) for word in answer.lower().split())
    return " ".join(_contractions().get(word, word) for word in words if word not in _ARTICLES)


def normalise_answer(answer: str) -> str:
    """Both, in the leaderboard's order.

    Example:
        >>> normalise_answer("The Red, umbrella.")
        'red umbrella'
    """
    return normalise_words(normalise_punctuation(answer))


def vqa_accuracy(prediction: str, answers: Sequence[str]) -> float:
    """The leaderboard's accuracy of one answer, from 0 to 1.

    The mean over annotators of min(1, matches among the others / 3). Answers are normalised only where annotators
    disagree.

    Args:
        prediction: The answer.
        answers: The annotators' answers, ten of them in VQAv2.

    Raises:
        TypeError: If an answer is no text, or `answers` is one.
        ValueError: If there are no annotators' answers.

    Example:
        >>> vqa_accuracy("Red.", ["red"] * 4 + ["blue"] * 6)
        1.0
    """
    require_kind("prediction", prediction, str)
    if isinstance(answers, str):
        raise TypeError(f"`answers` must be a list with each annotator's answer; got {shown(answers)}.")
    for answer in answers:
        require_kind("answers", answer, str)
    if not answers:
        raise ValueError("`answers` must have at least one annotator's answer; got none.")
    annotations, prediction = [_on_a_line(answer) for answer in answers], _on_a_line(prediction)
    if len(set(annotations)) > 1:
        annotations, prediction = (
            [normalise_answer(answer) for answer in annotations],
            normalise_answer(prediction),
        )
    matches = sum(answer == prediction for answer in annotations)
    # An annotator who agrees with the prediction leaves one match less among the others.
    scores = (min(1.0, (matches - (answer == prediction)) / 3) for answer in annotations)
    return sum(scores) / len(annotations)


def soft_score(count: int) -> float:
    """The training score of an answer that `count` annotators gave.

    Example:
        >>> soft_score(2), soft_score(9)
        (0.6, 1.0)
    """
    require_fields({"count": count}, {"count": Whole(0)})
    return SOFT_SCORES[min(count, len(SOFT_SCORES) - 1)]


class VqaAccuracy:
    """The leaderboard's accuracy over many questions, overall and by type. Reduction over ranks: sum.

    Example:
        >>> accuracy = VqaAccuracy()
        >>> accuracy.add("red", ["red"] * 10, answer_type="other", question_type="what color")
        >>> accuracy.add("2", ["3"] * 10, answer_type="number", question_type="how many")
        >>> accuracy.result()["overall"], accuracy.result()["answer_type: number"]
        (0.5, 0.0)
    """

    def __init__(self) -> None:
        self.sums = GroupedMean()

    def add(
        self, prediction: str, answers: Sequence[str], *, answer_type: str = "", question_type: str = ""
    ) -> None:
        """Count a question.

        Args:
            prediction: The answer.
            answers: The annotators' answers.
            answer_type: "yes/no", "number" or "other"; left out of the result if empty.
            question_type: How the question begins; left out of the result if empty.
        """
        self.sums.add(vqa_accuracy(prediction, answers), question_groups(answer_type, question_type))

    def result(self) -> dict[str, float]:
        """Accuracies, from 0 to 1, by group."""
        return self.sums.means()


def question_groups(answer_type: str = "", question_type: str = "") -> list[str]:
    """The groups that a question's accuracy counts towards; an empty type is left out.

    Example:
        >>> question_groups("number", "how many")
        ['overall', 'answer_type: number', 'question_type: how many']
    """
    types = {"answer_type": answer_type, "question_type": question_type}
    return ["overall", *(f"{name}: {value}" for name, value in types.items() if value)]


def _on_a_line(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()


@functools.cache
def _contractions() -> dict[str, str]:
    lines = (resources.files("vkood.metrics") / "contractions.tsv").read_text(encoding="utf-8").splitlines()
    return {line.partition("\t")[0]: line.partition("\t")[2] for line in lines}
