"""The baseline that sees no photograph: a linear support vector machine on the words of the question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from .questions import Question

_COSTS = (0.1, 0.2, 0.5)
_FOLDS = 4


def language_alone(learnt: Sequence[Question], asked: Sequence[Question]) -> list[str]:
    """The answers of a linear SVM on TF-IDF of one to three words, whose cost is cross-validated by photograph.

    Args:
        learnt: Questions to learn from.
        asked: Questions to answer.
    """
    machine = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 3), sublinear_tf=True, token_pattern=r"\S+"), LinearSVC()
    )
    photographs = [question.photograph.name for question in learnt]
    folds = GroupKFold(min(_FOLDS, len(set(photographs))))  # no photograph is on both sides
    search = GridSearchCV(machine, {"linearsvc__C": list(_COSTS)}, cv=folds)
    search.fit(
        [question.text for question in learnt],
        np.array([question.answer for question in learnt]),
        groups=photographs,
    )
    return [str(answer) for answer in search.predict([question.text for question in asked])]
