"""The BLIP family with gated facts: `transformers`' BLIP, whose text attends to facts beside the image.

Facts absent, or the gate closed, each model is exactly the plain BLIP. The losses that `transformers` lacks
(contrastive with a momentum encoder, matching with hard negatives, weighted answers) are here.
"""

from vkood.models.blip.adapters import UniAdapter
from vkood.models.blip.answering import BlipVkoodForVisualQuestionAnswering
from vkood.models.blip.configuration import BlipVkoodConfig
from vkood.models.blip.core import BlipVkoodModel, BlipVkoodOutput, BlipVkoodPreTrainedModel
from vkood.models.blip.reasoning import BlipVkoodForVisualReasoning
from vkood.models.blip.retrieval import BlipVkoodForImageTextRetrieval

__all__ = [
    "BlipVkoodConfig",
    "BlipVkoodForImageTextRetrieval",
    "BlipVkoodForVisualQuestionAnswering",
    "BlipVkoodForVisualReasoning",
    "BlipVkoodModel",
    "BlipVkoodOutput",
    "BlipVkoodPreTrainedModel",
    "UniAdapter",
]
