import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

from vkood import Diagonal, Full, OutlierDetector, OutlierLayer, Prior, Spherical

# What scikit-learn cannot check without pandas, or without a variable of the environment that is read at its import.
NEEDS_MORE = {"check_array_api_input", "check_classifier_data_not_an_array"}


def clusters(*, samples=400, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(samples, 4)) * [1.0, 1e-4, 1e3, 5.0] + [0.0, 7.0, -1e3, 2.0]


@pytest.mark.parametrize("detector", [OutlierDetector(), OutlierDetector(Spherical())])
def test_contract_of_scikit_learn(detector):
    results = check_estimator(detector, on_skip=None)
    assert len(results) > 40
    assert {result["check_name"] for result in results if result["status"] != "passed"} <= NEEDS_MORE


def test_density_is_that_of_scikit_learns_mixture():
    X = clusters(samples=2000)
    reference = GaussianMixture(1, reg_covar=0.0).fit(X)
    detector = OutlierDetector(Full(), prior=Prior(variance_strength=1e-6, mean_strength=1e-6)).fit(X)
    np.testing.assert_allclose(detector.score_samples(X), reference.score_samples(X), rtol=1e-5)


def test_units_of_features_do_not_matter():
    X = clusters()
    detector = OutlierDetector().fit(X)
    other = OutlierDetector().fit(X * [1e3, 1e5, 1.0, 1e-6] + 3.0)
    assert detector.predict(X).tolist() == other.predict(X * [1e3, 1e5, 1.0, 1e-6] + 3.0).tolist()


def test_signs_and_contamination():
    X = clusters()
    detector = OutlierDetector(contamination=0.05).fit(X)
    outlier = X.mean(0) + 9 * X.std(0)
    assert (detector.predict(X) == -1).sum() == 20
    assert detector.predict([X.mean(0), outlier]).tolist() == [1, -1]
    assert detector.score_samples([X.mean(0)]) > detector.score_samples([outlier])
    np.testing.assert_allclose(detector.decision_function(X), detector.score_samples(X) - detector.offset_)


def test_real_digits_with_outliers_among_the_training_samples():
    X, y = load_digits(return_X_y=True)
    zeros, others = X[y == 0], X[y != 0]
    detector = OutlierDetector().fit(np.concatenate([zeros[:90], others[:9]]))
    test = np.concatenate([zeros[90:], others[9:400]])
    assert roc_auc_score(np.arange(len(test)) < len(zeros) - 90, detector.score_samples(test)) > 0.96


def test_components_find_clusters_whatever_the_seed():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(centre, 0.1, (100, 2)) for centre in (-3, 0, 3)])
    for seed in range(3):
        detector = OutlierDetector(Diagonal(), num_components=3, random_state=seed).fit(X)
        between, within = detector.score_samples([[1.5, 1.5], [0.0, 0.0]])
        assert within > between + 3


def test_parameters_can_be_searched():
    search = GridSearchCV(
        OutlierDetector(random_state=0),
        {"num_components": np.arange(1, 3), "family": [Spherical(5.0), Spherical(50.0)]},
        scoring=lambda fitted, X, y=None: float(fitted.score_samples(X).mean()),
        cv=2,
    )
    rng = np.random.default_rng(0)
    search.fit(
        np.concatenate([rng.normal([5, 0], 0.3, (30, 2)), rng.normal([0, 5], 0.3, (30, 2))])[::-1][
            rng.permutation(60)
        ]
    )
    assert search.best_params_["num_components"] == 2
    copy = pickle.loads(pickle.dumps(search.best_estimator_))  # our own bytes
    assert copy.score_samples([[1.0, 0.0]]) == search.best_estimator_.score_samples([[1.0, 0.0]])


def test_candidates_of_a_query_score_as_in_the_layer():
    context, candidates = torch.randn(3, 6, 5), torch.randn(3, 4, 5)
    weights = torch.rand(3, 6)
    layer = OutlierLayer(5, 5, joint="identity")
    with torch.no_grad():
        expected = layer(candidates, context=context, context_mask=weights).score
    detector = OutlierDetector(Spherical())
    scores = detector.score_candidates(context, candidates, context_weights=weights)
    # the detector's scores have the density's constant too, which is the same for all
    difference = scores * 5 - expected.numpy()
    np.testing.assert_allclose(difference, difference[0, 0], atol=1e-5)
    alone = detector.score_candidates(context[1], candidates[1], context_weights=weights[1])
    np.testing.assert_allclose(alone, scores[1], atol=1e-6)


def test_candidates_are_judged_in_the_units_of_the_fit():
    X = clusters()
    detector = OutlierDetector().fit(X)
    scores = detector.score_candidates(X[:30], X.mean(0) + np.outer([0, 1], [0.0, 1e-3, 0.0, 0.0]))
    assert scores[1] > scores[0] + 1


def test_gaussian_candidates_need_a_fit():
    with pytest.raises(NotFittedError):
        OutlierDetector().score_candidates([[0.0, 1.0]], [[0.0, 1.0]])


def test_unfinished_fits_warn():
    X = np.random.default_rng(0).normal(size=(500, 3))
    with pytest.warns(ConvergenceWarning, match="ran out of steps; what was reached is used"):
        OutlierDetector(num_components=12, random_state=0).fit(X)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"contamination": 0.6},
            ValueError,
            "`contamination` must be a finite number above 0 to 0.5; got 0.6",
        ),
        ({"num_components": 0}, ValueError, "`num_components` must be a whole number"),
        ({"family": "full"}, TypeError, "`family` must be of type Family or NoneType; got 'full'"),
        ({"prior": 1.0}, TypeError, "`prior` must be of type Prior"),
        ({"family": Spherical(torch.tensor(2.0))}, ValueError, "`kappa` of `family` must be a number"),
    ],
)
def test_bad_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        OutlierDetector(**options).fit([[0.0], [1.0]])


def test_bad_shapes_are_refused():
    detector = OutlierDetector(Spherical())
    with pytest.raises(ValueError, match=r"got \(1, 1, 2\) and \(1, 2\)"):
        detector.score_candidates([[[0.0, 1.0]]], [[0.0, 1.0]])


def test_padding_of_contexts_may_hold_anything():
    detector = OutlierDetector(Spherical())
    context, weights, candidates = [[1.0, 0.1], [np.nan, np.inf]], [1.0, 0.0], [[2.0, 0.0], [0.0, 2.0]]
    scores = detector.score_candidates(context, candidates, context_weights=weights)
    np.testing.assert_allclose(scores, detector.score_candidates(context[:1], candidates), rtol=1e-6)


@pytest.mark.parametrize("weights", [[1.0], [[1.0, 1.0]], 1.0])
def test_weights_of_another_shape_are_refused(weights):
    with pytest.raises(
        ValueError, match=r"`context_weights` must have a weight for each context vector, \(1, 2\)"
    ):
        OutlierDetector(Spherical()).score_candidates(
            [[1.0, 0.1], [1.0, 0.2]], [[2.0, 0.0]], context_weights=weights
        )


def test_another_family_counts_from_the_next_fit_on():
    X = clusters()
    detector = OutlierDetector().fit(X)
    before = detector.score_samples(X)
    np.testing.assert_array_equal(detector.set_params(family=Spherical()).score_samples(X), before)
    detector.fit(X)
    with pytest.raises(NotFittedError, match="call `fit` again"):
        detector.set_params(family=None).score_candidates(X[:3], X[:2])
