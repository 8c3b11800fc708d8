"""Numbers that say how well something works, as pure functions."""

from vkood.metrics.outliers import auroc, false_positive_rate

__all__ = ["auroc", "false_positive_rate"]
