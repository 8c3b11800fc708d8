"""Tasks: the tables and models of each, its training batches, its evaluation and its predictions."""

from vkood.tasks.answering import AnsweringTask
from vkood.tasks.generative_answering import GenerativeAnsweringTask
from vkood.tasks.pretraining import PreTrainingTask
from vkood.tasks.reasoning import ReasoningTask
from vkood.tasks.retrieval import RetrievalTask
from vkood.tasks.task import EvaluationOptions, Scores, Task

__all__ = [
    "TASKS",
    "AnsweringTask",
    "EvaluationOptions",
    "GenerativeAnsweringTask",
    "PreTrainingTask",
    "ReasoningTask",
    "RetrievalTask",
    "Scores",
    "Task",
]

TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (AnsweringTask, GenerativeAnsweringTask, ReasoningTask, RetrievalTask, PreTrainingTask)
}
"""The tasks of `vkood train` and `vkood evaluate` by their names."""
