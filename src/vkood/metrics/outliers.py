"""How well a score separates outliers from inliers, over all thresholds. Larger score = more outlying.

Both curves come from scikit-learn, which handles ties correctly.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor

from vkood.fields import Real, require_fields, require_kind


def auroc(score: Float[Tensor, " items"], outlier: Bool[Tensor, " items"]) -> float:
    """Area under the ROC curve: how often an outlier scores above an inlier; 0.5 is chance.

    Args:
        score: (items,) larger = more outlying.
        outlier: (items,) which items are outliers.

    Raises:
        ValueError: There are no outliers, or no inliers; or a score is NaN or infinite.

    Example:
        >>> import torch
        >>> auroc(torch.tensor([0.1, 0.4, 0.3, 0.9]), torch.tensor([False, False, True, True]))
        0.75
    """
    scores, outliers = _checked(score, outlier)
    return float(roc_auc_score(outliers, scores))


def false_positive_rate(
    score: Float[Tensor, " items"], outlier: Bool[Tensor, " items"], *, keep_rate: float = 0.95
) -> float:
    """Share of outliers let through where `keep_rate` of the inliers pass (FPR95 by default).

    Args:
        score: (items,) larger = more outlying.
        outlier: (items,) which items are outliers.
        keep_rate: Share of inliers that has to be kept.

    Raises:
        ValueError: There are no outliers, or no inliers; or a score is NaN or infinite.

    Example:
        >>> import torch
        >>> false_positive_rate(torch.tensor([0.1, 0.4, 0.3, 0.9]), torch.tensor([False, False, True, True]))
        0.5
    """
    require_fields({"keep_rate": keep_rate}, {"keep_rate": Real(0, 1, above=True)})
    scores, outliers = _checked(score, outlier)
    kept_outliers, kept_inliers, _ = roc_curve(~outliers, -scores, drop_intermediate=False)
    return float(kept_outliers[np.argmax(kept_inliers >= keep_rate)])


class OutlierScores:
    """Accumulates scores and outlier labels; `merge` combines those of several ranks.

    Example:
        >>> import torch
        >>> scores = OutlierScores()
        >>> scores.add(torch.tensor([0.1, 0.4]), torch.tensor([False, False]))
        >>> scores.add(torch.tensor([0.3, 0.9]), torch.tensor([True, True]))
        >>> scores.result()
        {'auroc': 0.75, 'fpr95': 0.5}
    """

    def __init__(self) -> None:
        self._scores: list[Tensor] = []
        self._outliers: list[Tensor] = []

    def add(self, score: Float[Tensor, " items"], outlier: Bool[Tensor, " items"]) -> None:
        """Add the scores of a batch of items."""
        self._scores.append(score.detach().float().cpu())
        self._outliers.append(outlier.cpu())

    def merge(self, other: OutlierScores) -> None:
        """Add the items of another accumulator, such as that of another rank."""
        self._scores += other._scores
        self._outliers += other._outliers

    def result(self) -> dict[str, float]:
        """`auroc` and `fpr95`; empty unless there are both outliers and inliers."""
        outlier = torch.cat([torch.zeros(0, dtype=torch.bool), *self._outliers])
        if bool(outlier.all()) or not bool(outlier.any()):
            return {}
        score = torch.cat(self._scores)
        return {"auroc": auroc(score, outlier), "fpr95": false_positive_rate(score, outlier)}


def _checked(score: Tensor, outlier: Tensor) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    require_kind("score", score, Tensor)
    require_kind("outlier", outlier, Tensor)
    if outlier.dtype != torch.bool or outlier.dim() != 1 or score.shape != outlier.shape:
        raise ValueError(
            "`outlier` must be boolean (items,), and `score` of the same shape; "
            f"got {outlier.dtype} {tuple(outlier.shape)} and {tuple(score.shape)}."
        )
    if not bool(torch.isfinite(score).all()):
        raise ValueError("`score` must be finite; some are NaN or infinite. Leave out masked items.")
    if bool(outlier.all()) or not bool(outlier.any()):
        raise ValueError("`outlier` must have outliers and inliers; got only one kind.")
    return score.detach().double().cpu().numpy(), outlier.cpu().numpy()
