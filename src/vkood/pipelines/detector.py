"""The mixture as an estimator of scikit-learn: outliers among feature vectors, and per-query contexts.

Legend: S samples, Q queries, M context vectors, N candidates, K components, D features.
"""

from __future__ import annotations

import warnings
from types import NoneType
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float64
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import Tensor

from vkood.fields import Real, as_count, require_fields, require_kind
from vkood.mixture import Diagonal, Family, Prior, Spherical, fit_mixture, log_density, negative_log_density
from vkood.mixture.families.spherical import directions
from vkood.solve import Status

_RULES = {"contamination": Real(0, 0.5, above=True)}
_KINDS = [np.float64, np.float32]


class OutlierDetector(OutlierMixin, BaseEstimator):
    """Outliers by their density under a mixture, with scikit-learn's methods and signs.

    `fit` fits one mixture to all samples. `score_samples` and `decision_function` are **larger for normal samples**, as
    everywhere in scikit-learn; `score_candidates`, which has no counterpart there, is vkood's score: **larger = more
    outlying**.

    By default the mixture is one Gaussian with a variance for each feature. Raw features have units and an origin that
    means nothing, so they are standardised, and what counts is how far a sample lies out; of the direction from the
    origin alone, which is all that `Spherical` looks at, little can be said. `Full()` sees correlations too, but has as
    many numbers to estimate as pairs of features, and outliers among the training samples turn it towards themselves.
    For embeddings, whose length means nothing, pass `family=Spherical()`: they are taken as they are.

    Args:
        family: `Diagonal()` (the default), `Isotropic()`, `Tied()` or `Full()` for raw features; for embeddings
            `Spherical(kappa=10.0)`, with a larger `kappa` for narrower components.
        num_components: K.
        prior: Keeps the fit well defined; in units of the standardised features.
        contamination: The share of the training samples that are outliers, in (0, 0.5]; only `predict` and
            `decision_function` depend on it.
        random_state: Seed of the k-means from which a mixture of several components starts.

    Attributes:
        mixture_: The fitted mixture, one set; of standardised features if Gaussian.
        family_: Its family.
        scaler_: What standardises features; None for `Spherical`.
        offset_: `decision_function` is `score_samples` less this.
        n_features_in_: D.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(200, 3))
        >>> detector = OutlierDetector(contamination=0.05).fit(X)
        >>> int((detector.predict(X) == -1).sum()), detector.predict([[0.1, 0.0, 0.2], [9.0, 9.0, -9.0]]).tolist()
        (10, [1, -1])
    """

    @no_type_check  # scikit-learn wants any value taken here, and refused by `fit`
    def __init__(
        self,
        family: Family | None = None,
        *,
        num_components: int = 1,
        prior: Prior | None = None,
        contamination: float = 0.1,
        random_state: Any = None,
    ) -> None:
        self.family = family
        self.num_components = num_components
        self.prior = prior
        self.contamination = contamination
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> OutlierDetector:
        """Fit the mixture to samples.

        Args:
            X: (S, D) feature vectors.
            y: Ignored, as in scikit-learn's other detectors.

        Raises:
            ValueError: An option is out of range, `X` is not finite numbers, or its spread leaves no covariance.
            TypeError: An option is of the wrong type.
        """
        family, num_components = self._checked()
        X = validate_data(self, X, dtype=_KINDS)
        self.family_ = family
        self.scaler_ = None if isinstance(family, Spherical) else StandardScaler().fit(X)
        vectors = _vectors(X, self.scaler_)
        self.mixture_, solution = fit_mixture(
            vectors[None],
            num_components=num_components,
            family=family,
            prior=self.prior,
            start=self._start(vectors, num_components),
            backend="torch",  # a single set: there is nothing to gain by compiling
        )
        (status,) = solution.status.tolist()
        if status == Status.NOT_FINITE:
            raise ValueError(
                "`X` spreads too widely for a mixture; look for features that are no measurements."
            )
        if status == Status.OUT_OF_STEPS:
            warnings.warn(
                "The mixture's fit ran out of steps; what was reached is used. Try fewer components.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self.offset_ = float(np.percentile(self._log_density(vectors), 100.0 * self.contamination))
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """How normal each sample is: the logarithm of its density, larger = more normal.

        Args:
            X: (S, D) feature vectors.

        Returns:
            (S,) log densities, in the units of `X`, or per area of the sphere.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=_KINDS, reset=False)
        return self._log_density(_vectors(X, self.scaler_))

    def decision_function(self, X: Any) -> np.ndarray:
        """`score_samples` less `offset_`, (S,): negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """+1 for each of (S,) samples that is normal, -1 for outliers."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def score_candidates(self, context: Any, candidates: Any, *, context_weights: Any = None) -> np.ndarray:
        """How outlying candidates are under a mixture fitted to their own query's context: larger = more outlying.

        `OutlierLayer` is the same where gradients are needed. With a Gaussian family `fit` comes first: it learns the
        features' units, in which the prior is that of a few vectors; `Spherical` needs no `fit`.

        Args:
            context: (Q, M, D) what each query's candidates should belong to, or (M, D) for one query.
            candidates: (Q, N, D) or (N, D) vectors to judge.
            context_weights: (Q, M) or (M,) how much each context vector counts, 0 for padding; all alike if None.

        Returns:
            (Q, N) or (N,) scores, as `vkood.mixture.negative_log_density` has them.

        Raises:
            ValueError: A shape does not fit, or a number is not finite.

        Example:
            >>> detector = OutlierDetector(Spherical(kappa=20.0))
            >>> scores = detector.score_candidates([[1.0, 0.1], [1.0, -0.1]], [[2.0, 0.0], [0.0, 2.0]])
            >>> bool(scores[0] < scores[1])
            True
        """
        family, num_components = self._checked()
        scaler = None
        if not isinstance(family, Spherical):
            check_is_fitted(self)
            if self.scaler_ is None:
                raise NotFittedError("`family` was set to a Gaussian one after `fit`; call `fit` again.")
            scaler = self.scaler_
        sets = [np.asarray(context, np.float64), np.asarray(candidates, np.float64)]
        single = sets[0].ndim == 2
        if single:
            sets = [vectors[None] if vectors.ndim == 2 else vectors for vectors in sets]
        if any(vectors.ndim != 3 or vectors.shape[::2] != sets[0].shape[::2] for vectors in sets):
            raise ValueError(
                "`context` and `candidates` must be (queries, vectors, features), with as many queries and features "
                f"each, or (vectors, features); got {np.shape(context)} and {np.shape(candidates)}."
            )
        queries, count, dim = sets[0].shape
        weights = None
        if context_weights is not None:
            shape = np.shape(context_weights)
            if shape != ((count,) if single else (queries, count)):
                raise ValueError(
                    f"`context_weights` must have a weight for each context vector, {(queries, count)}; got {shape}."
                )
            weights = torch.as_tensor(np.asarray(context_weights, float)).reshape(queries, count)
            sets[0] = np.where((weights > 0).numpy()[..., None], sets[0], 0.0)  # padding may hold anything
        tokens, judged = (
            _vectors(check_array(vectors.reshape(-1, dim)), scaler).reshape(vectors.shape) for vectors in sets
        )
        mixture, _ = fit_mixture(
            tokens,
            weights,
            num_components=num_components,
            family=family,
            prior=self.prior,
        )
        scores = negative_log_density(judged, mixture, family).numpy()
        return scores[0] if single else scores

    def _checked(self) -> tuple[Family, int]:
        """The family and the number of components, once all options are checked."""
        require_kind("family", self.family, (Family, NoneType))
        require_kind("prior", self.prior, (Prior, NoneType))
        if isinstance(self.family, Spherical) and isinstance(self.family.kappa, torch.Tensor):
            raise ValueError(
                "the `kappa` of `family` must be a number, since nothing is learnt by gradients here; got a tensor."
            )
        require_fields({"contamination": self.contamination}, _RULES)
        return self.family or Diagonal(), as_count("num_components", self.num_components)

    def _start(self, vectors: Tensor, num_components: int) -> Float64[Tensor, "components features"] | None:
        """Centres of k-means: the mixtures' own start takes tokens far apart, which many samples' outliers are."""
        if num_components == 1 or len(vectors) < num_components:
            return None
        points = directions(vectors) if self.scaler_ is None else vectors
        kmeans = KMeans(num_components, random_state=self.random_state)
        return torch.as_tensor(kmeans.fit(points.numpy()).cluster_centers_)

    def _log_density(self, vectors: Tensor) -> np.ndarray:
        density = log_density(vectors[None], self.mixture_, self.family_)[0].numpy()
        return (
            density
            if self.scaler_ is None
            else density - np.log(np.asarray(self.scaler_.scale_, float)).sum()
        )


def _vectors(X: np.ndarray, scaler: StandardScaler | None) -> Float64[Tensor, "samples features"]:
    """What mixtures are fitted to."""
    return torch.tensor(X if scaler is None else scaler.transform(X), dtype=torch.float64)
