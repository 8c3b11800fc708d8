"""How well a score tells outliers from inliers, threshold by threshold. Larger score = more outlying.

Both curves come from scikit-learn, which handles ties as they should be.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor


def auroc(score: Float[Tensor, " items"], outlier: Bool[Tensor, " items"]) -> float:
    """Area under the ROC curve: how often an outlier scores above an inlier; 0.5 is chance.

    Args:
        score: (items,) larger = more outlying.
        outlier: (items,) which items are outliers.

    Raises:
        ValueError: There is no outlier, or nothing else.

    Example:
        >>> import torch
        >>> auroc(torch.tensor([0.1, 0.4, 0.3, 0.9]), torch.tensor([False, False, True, True]))
        0.75
    """
    _check(outlier)
    return float(roc_auc_score(outlier.cpu().numpy(), score.cpu().numpy()))


def false_positive_rate(
    score: Float[Tensor, " items"], outlier: Bool[Tensor, " items"], *, keep_rate: float = 0.95
) -> float:
    """Share of outliers let through where `keep_rate` of the inliers pass (FPR95 by default).

    Args:
        score: (items,) larger = more outlying.
        outlier: (items,) which items are outliers.
        keep_rate: Share of inliers that has to be kept.

    Raises:
        ValueError: There is no outlier, or nothing else.

    Example:
        >>> import torch
        >>> false_positive_rate(torch.tensor([0.1, 0.4, 0.3, 0.9]), torch.tensor([False, False, True, True]))
        0.5
    """
    _check(outlier)
    kept_outliers, kept_inliers, _ = roc_curve(
        ~outlier.cpu().numpy(), -score.cpu().numpy(), drop_intermediate=False
    )
    return float(kept_outliers[np.argmax(kept_inliers >= keep_rate)])


def _check(outlier: Tensor) -> None:
    if bool(outlier.all()) or not bool(outlier.any()):
        raise ValueError("`outlier` must have outliers and inliers; got only one kind.")
