"""`OutlierDetector` as a detector of pytorch-ood (extra `pytorch-ood`).

Legend: B samples of a batch, S training samples, D features.
"""

# The framework need not be installed where types are checked.
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from pytorch_ood.api import (
    DetectorInfo,
    FeaturesDetector,
    ModelNotSetException,
    RequiresFittingException,
    Task,
)
from pytorch_ood.utils import extract_features, is_known
from torch import Tensor
from torch.utils.data import DataLoader

from vkood.mixture import Family, Prior
from vkood.pipelines import OutlierDetector


class MixtureDetector(FeaturesDetector):
    """Outliers by their density under a mixture of the training samples' features: larger = more outlying.

    The score is the negative log density, minus `OutlierDetector.score_samples`. Of the classes of the training samples
    only their number is used; samples of negative classes, which are pytorch-ood's outliers, are left out of the fit.

    Args:
        encoder: What makes features, (B, D), of inputs; None if only `fit_features` and `predict_features` are called.
        family: As for `OutlierDetector`: `Diagonal()` by default, `Spherical(kappa=10.0)` for embeddings.
        num_components: K; as many as the training samples have classes if None.
        prior: Keeps the fit well defined; in units of the standardised features.
        random_state: Seed of the k-means from which a mixture of several components starts.

    Attributes:
        detector: The `OutlierDetector`.

    Example:
        >>> import torch
        >>> features, classes = torch.randn(100, 3), torch.zeros(100, dtype=torch.long)
        >>> detector = MixtureDetector(None).fit_features(features, classes)
        >>> detector.predict_features(torch.tensor([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]])).argmax().item()
        1
    """

    info = DetectorInfo(tasks=frozenset({Task.CLASSIFICATION}))
    requires_fit = True

    def __init__(
        self,
        encoder: Callable[[Tensor], Tensor] | None,
        family: Family | None = None,
        *,
        num_components: int | None = None,
        prior: Prior | None = None,
        random_state: Any = None,
    ) -> None:
        self.encoder = encoder
        self.num_components = num_components
        self.detector = OutlierDetector(family, prior=prior, random_state=random_state)

    def fit(self, data_loader: DataLoader[Any]) -> MixtureDetector:
        """Fit to the features of a loader's batches `(x, y)`.

        Raises:
            ModelNotSetException: There is no `encoder`.
            ValueError: As for `fit_features`.
        """
        return self.fit_features(*extract_features(data_loader, self._encoder(), self.device))

    def fit_features(self, x: Float[Tensor, "samples dim"], y: Int[Tensor, " samples"]) -> MixtureDetector:
        """Fit to features.

        Args:
            x: (S, D) features.
            y: (S,) classes; those of outliers are negative.

        Raises:
            ValueError: No sample has a class, or as for `OutlierDetector.fit`.
        """
        known = is_known(y)
        if not bool(known.any()):
            raise ValueError(
                "`y` must have a class for some sample, a number of at least 0; all are negative."
            )
        count = len(y[known].unique()) if self.num_components is None else self.num_components
        self.detector.set_params(num_components=count).fit(_array(x[known.to(x.device)]))
        return self

    @torch.no_grad()
    def predict(self, x: Tensor) -> Float[Tensor, " batch"]:
        """The scores of (B, ...) inputs, (B,); they are moved to the encoder's device.

        Raises:
            ModelNotSetException: There is no `encoder`.
            RequiresFittingException: Nothing was fitted yet.
        """
        return self.predict_features(self._encoder()(x.to(self.device)).flatten(1))

    def predict_features(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """The scores of (B, D) features, (B,), on their device.

        Raises:
            RequiresFittingException: Nothing was fitted yet.
        """
        if not hasattr(self.detector, "mixture_"):
            raise RequiresFittingException
        return torch.tensor(-self.detector.score_samples(_array(x)), dtype=torch.float32, device=x.device)

    def _encoder(self) -> Callable[[Tensor], Tensor]:
        if self.encoder is None:
            raise ModelNotSetException
        return self.encoder


def _array(features: Tensor) -> np.ndarray:
    return features.detach().cpu().double().numpy()
