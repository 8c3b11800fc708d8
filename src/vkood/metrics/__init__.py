"""Metrics: pure functions, and accumulators that sum over ranks."""

from vkood.metrics.outliers import OutlierScores, auroc, false_positive_rate
from vkood.metrics.reasoning import ReasoningAccuracy
from vkood.metrics.retrieval import recall_at
from vkood.metrics.sums import GroupedMean
from vkood.metrics.vqa import VqaAccuracy, normalise_answer, question_groups, soft_score, vqa_accuracy

__all__ = [
    "GroupedMean",
    "OutlierScores",
    "ReasoningAccuracy",
    "VqaAccuracy",
    "auroc",
    "false_positive_rate",
    "normalise_answer",
    "question_groups",
    "recall_at",
    "soft_score",
    "vqa_accuracy",
]
