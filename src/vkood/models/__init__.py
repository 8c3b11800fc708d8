"""Vision-language models with explicit knowledge: towers, fusion, heads, and what is made of them.

Models receive tensors of facts, never the facts themselves. When this room is first touched, its models are
registered with the Auto classes of `transformers`.
"""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForVisualQuestionAnswering,
)

from vkood.models.answering import VkoodForVisualQuestionAnswering
from vkood.models.configuration import GateConfig, VkoodConfig
from vkood.models.pretraining import VkoodForPreTraining
from vkood.models.reasoning import VkoodForVisualReasoning
from vkood.models.retrieval import VkoodForImageTextRetrieval
from vkood.models.towers import ImageTower, SentenceEncoder, TextTower
from vkood.models.two_stream import VkoodModel, VkoodOutput, VkoodPreTrainedModel

__all__ = [
    "GateConfig",
    "ImageTower",
    "SentenceEncoder",
    "TextTower",
    "VkoodConfig",
    "VkoodForImageTextRetrieval",
    "VkoodForPreTraining",
    "VkoodForVisualQuestionAnswering",
    "VkoodForVisualReasoning",
    "VkoodModel",
    "VkoodOutput",
    "VkoodPreTrainedModel",
]

AutoConfig.register("vkood", VkoodConfig)
AutoModel.register(VkoodConfig, VkoodModel)
AutoModelForVisualQuestionAnswering.register(VkoodConfig, VkoodForVisualQuestionAnswering)
AutoModelForPreTraining.register(VkoodConfig, VkoodForPreTraining)
