"""Vision-language models with explicit knowledge: towers, fusion, heads, saving, loading and checkpoint conversion.

Models receive tensors of facts, never the facts themselves. When this room is first imported, its models are
registered with the Auto classes of `transformers` that exist for their heads; for visual reasoning and for image-text
retrieval there is none.
"""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForVisualQuestionAnswering,
)

from vkood.gating.configuration import GateConfig
from vkood.models.blip import (
    BlipVkoodConfig,
    BlipVkoodForImageTextRetrieval,
    BlipVkoodForVisualQuestionAnswering,
    BlipVkoodForVisualReasoning,
    BlipVkoodModel,
    BlipVkoodOutput,
    UniAdapter,
)
from vkood.models.convert import load_checkpoint
from vkood.models.loading import load_model
from vkood.models.roles import Role, parameter_role
from vkood.models.towers import ImageTower, SentenceEncoder, TextTower
from vkood.models.two_stream.answering import VkoodForVisualQuestionAnswering
from vkood.models.two_stream.configuration import VkoodConfig
from vkood.models.two_stream.core import VkoodModel, VkoodOutput, VkoodPreTrainedModel
from vkood.models.two_stream.pretraining import VkoodForPreTraining
from vkood.models.two_stream.reasoning import VkoodForVisualReasoning
from vkood.models.two_stream.retrieval import VkoodForImageTextRetrieval

__all__ = [
    "BlipVkoodConfig",
    "BlipVkoodForImageTextRetrieval",
    "BlipVkoodForVisualQuestionAnswering",
    "BlipVkoodForVisualReasoning",
    "BlipVkoodModel",
    "BlipVkoodOutput",
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
    "load_checkpoint",
    "load_model",
    "parameter_role",
]

AutoConfig.register("vkood", VkoodConfig)
AutoModel.register(VkoodConfig, VkoodModel)
AutoModelForVisualQuestionAnswering.register(VkoodConfig, VkoodForVisualQuestionAnswering)
AutoModelForPreTraining.register(VkoodConfig, VkoodForPreTraining)
AutoConfig.register("blip-vkood", BlipVkoodConfig)
AutoModel.register(BlipVkoodConfig, BlipVkoodModel)
AutoModelForVisualQuestionAnswering.register(BlipVkoodConfig, BlipVkoodForVisualQuestionAnswering)
