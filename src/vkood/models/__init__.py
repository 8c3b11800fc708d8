"""Vision-language models with explicit knowledge: towers, fusion, heads, and what is made of them.

Models receive tensors of facts, never the facts themselves.
"""

from vkood.models.configuration import GateConfig, VkoodConfig
from vkood.models.towers import ImageTower, SentenceEncoder, TextTower
from vkood.models.two_stream import (
    VkoodAnswerOutput,
    VkoodForVisualQuestionAnswering,
    VkoodModel,
    VkoodModelOutput,
    VkoodPreTrainedModel,
)

__all__ = [
    "GateConfig",
    "ImageTower",
    "SentenceEncoder",
    "TextTower",
    "VkoodAnswerOutput",
    "VkoodConfig",
    "VkoodForVisualQuestionAnswering",
    "VkoodModel",
    "VkoodModelOutput",
    "VkoodPreTrainedModel",
]
