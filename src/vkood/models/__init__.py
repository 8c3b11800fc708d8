"""Vision-language models with explicit knowledge: towers, fusion, heads, and what is made of them.

Models receive tensors of facts, never the facts themselves. When this room is first touched, its models are
registered with the Auto classes of `transformers`.
"""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForVisualQuestionAnswering,
    AutoProcessor,
)

from vkood.models.blip import (
    BlipVkoodConfig,
    BlipVkoodForImageTextRetrieval,
    BlipVkoodForQuestionAnswering,
    BlipVkoodForVisualReasoning,
    BlipVkoodModel,
    BlipVkoodOutput,
    UniAdapter,
)
from vkood.models.explain import ExplainedFact, Explanation
from vkood.models.processing import FactForText, VkoodProcessor
from vkood.models.roles import Role, parameter_role
from vkood.models.towers import ImageTower, SentenceEncoder, TextTower
from vkood.models.two_stream.answering import VkoodForVisualQuestionAnswering
from vkood.models.two_stream.configuration import GateConfig, VkoodConfig
from vkood.models.two_stream.core import VkoodModel, VkoodOutput, VkoodPreTrainedModel
from vkood.models.two_stream.pretraining import VkoodForPreTraining
from vkood.models.two_stream.reasoning import VkoodForVisualReasoning
from vkood.models.two_stream.retrieval import VkoodForImageTextRetrieval

__all__ = [
    "BlipVkoodConfig",
    "BlipVkoodForImageTextRetrieval",
    "BlipVkoodForQuestionAnswering",
    "BlipVkoodForVisualReasoning",
    "BlipVkoodModel",
    "BlipVkoodOutput",
    "ExplainedFact",
    "Explanation",
    "FactForText",
    "GateConfig",
    "ImageTower",
    "Role",
    "SentenceEncoder",
    "TextTower",
    "UniAdapter",
    "VkoodConfig",
    "VkoodForImageTextRetrieval",
    "VkoodForPreTraining",
    "VkoodForVisualQuestionAnswering",
    "VkoodForVisualReasoning",
    "VkoodModel",
    "VkoodOutput",
    "VkoodPreTrainedModel",
    "VkoodProcessor",
    "parameter_role",
]

AutoConfig.register("vkood", VkoodConfig)
AutoModel.register(VkoodConfig, VkoodModel)
AutoModelForVisualQuestionAnswering.register(VkoodConfig, VkoodForVisualQuestionAnswering)
AutoModelForPreTraining.register(VkoodConfig, VkoodForPreTraining)
AutoConfig.register("blip-vkood", BlipVkoodConfig)
AutoModel.register(BlipVkoodConfig, BlipVkoodModel)
AutoModelForVisualQuestionAnswering.register(BlipVkoodConfig, BlipVkoodForQuestionAnswering)
AutoProcessor.register(VkoodConfig, VkoodProcessor)
AutoProcessor.register(BlipVkoodConfig, VkoodProcessor)
