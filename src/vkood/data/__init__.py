"""Data: files on disk to rows to named batches. One module for each dataset."""

from vkood.data.collate import VqaCollator, VqaExample, normalise_images
from vkood.data.easy_vqa import COLOURS, SHAPES, EasyVqa, easy_vqa_answers, load_easy_vqa, picture_attributes
from vkood.data.easy_vqa_knowledge import (
    KNOWLEDGE_ENTITIES,
    EasyVqaKnowledge,
    FactDraw,
    KnowledgeQuestion,
    entity_facts,
)
from vkood.data.fact_table import FactTable
from vkood.data.irrelevant import irrelevant_facts, read_irrelevant_facts
from vkood.data.joint import (
    EasyVqaQuestions,
    JointVqa,
    PlainQuestion,
    VqaDataset,
    all_sentences,
    joint_answers,
)

__all__ = [
    "COLOURS",
    "KNOWLEDGE_ENTITIES",
    "SHAPES",
    "EasyVqa",
    "EasyVqaKnowledge",
    "EasyVqaQuestions",
    "FactDraw",
    "FactTable",
    "JointVqa",
    "KnowledgeQuestion",
    "PlainQuestion",
    "VqaCollator",
    "VqaDataset",
    "VqaExample",
    "all_sentences",
    "easy_vqa_answers",
    "entity_facts",
    "irrelevant_facts",
    "joint_answers",
    "load_easy_vqa",
    "normalise_images",
    "picture_attributes",
    "read_irrelevant_facts",
]
