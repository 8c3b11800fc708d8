"""Data: from the files of data sets to tables, rows and named batches."""

from vkood.data.easy_vqa import COLOURS, SHAPES, EasyVqa, easy_vqa_answers, load_easy_vqa, picture_attributes
from vkood.data.easy_vqa_knowledge import (
    KNOWLEDGE_ENTITIES,
    EasyVqaKnowledge,
    FactDraw,
    Question,
    TrainingQuestions,
    entity_facts,
    joint_answers,
)
from vkood.data.irrelevant import irrelevant_facts, read_irrelevant_facts

__all__ = [
    "COLOURS",
    "KNOWLEDGE_ENTITIES",
    "SHAPES",
    "EasyVqa",
    "EasyVqaKnowledge",
    "FactDraw",
    "Question",
    "TrainingQuestions",
    "easy_vqa_answers",
    "entity_facts",
    "irrelevant_facts",
    "joint_answers",
    "load_easy_vqa",
    "picture_attributes",
    "read_irrelevant_facts",
]
