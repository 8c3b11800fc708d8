"""Tasks: from a model and a dataset to numbers."""

from vkood.tasks.knowledge import (
    FACT_ENCODER,
    FACTS_FILE,
    FilterScores,
    VqaScores,
    encode_facts,
    evaluate_easy_vqa,
    evaluate_easy_vqa_knowledge,
    fact_encoder,
    facts_of,
)
from vkood.tasks.saved import load_vqa_model
from vkood.tasks.vqa import Evaluation, evaluate_vqa

__all__ = [
    "FACTS_FILE",
    "FACT_ENCODER",
    "Evaluation",
    "FilterScores",
    "VqaScores",
    "encode_facts",
    "evaluate_easy_vqa",
    "evaluate_easy_vqa_knowledge",
    "evaluate_vqa",
    "fact_encoder",
    "facts_of",
    "load_vqa_model",
]
