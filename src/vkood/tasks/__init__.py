"""Tasks: what each needs of tables and models, its training batches, its evaluation and its predictions."""

from vkood.tasks.answering import AnsweringTask
from vkood.tasks.generative_answering import GenerativeAnsweringTask
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
from vkood.tasks.pretraining import PreTrainingTask
from vkood.tasks.reasoning import ReasoningTask
from vkood.tasks.retrieval import RetrievalTask
from vkood.tasks.saved import load_vqa_model
from vkood.tasks.task import EvaluationOptions, Scores, Task
from vkood.tasks.vqa import Evaluation, evaluate_vqa

__all__ = [
    "FACTS_FILE",
    "FACT_ENCODER",
    "TASKS",
    "AnsweringTask",
    "Evaluation",
    "EvaluationOptions",
    "FilterScores",
    "GenerativeAnsweringTask",
    "PreTrainingTask",
    "ReasoningTask",
    "RetrievalTask",
    "Scores",
    "Task",
    "VqaScores",
    "encode_facts",
    "evaluate_easy_vqa",
    "evaluate_easy_vqa_knowledge",
    "evaluate_vqa",
    "fact_encoder",
    "facts_of",
    "load_vqa_model",
]

TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (AnsweringTask, GenerativeAnsweringTask, ReasoningTask, RetrievalTask, PreTrainingTask)
}
"""The tasks of `vkood train` and `vkood evaluate` by their names."""
