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


def language_alone(training: Sequence[Question], target: Sequence[Question]) -> list[str]:
    """The answers of a linear SVM on TF-IDF of one to three words, whose cost is cross-validated by photograph.

    Args:
        training: Questions to learn from.
        target: Questions to answer.
    """
    machine = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 3), sublinear_tf=True, token_pattern=r"\S+"), LinearSVC()
    )
    photographs = [question.photograph.name for question in training]
    folds = GroupKFold(min(_FOLDS, len(set(photographs))))  # no photograph is on both sides
    search = GridSearchCV(machine, {"linearsvc__C": list(_COSTS)}, cv=folds)
    search.fit(
        [question.text for question in training],
        np.array([question.answer for question in training]),
        groups=photographs,
    )
    return [str(answer) for answer in search.predict([question.text for question in target])]
