"""Where a user's objects become tensors, and a model's tensors become answers: the processor and explanations.

The processor is registered with `AutoProcessor` of `transformers` when this room is first imported.
"""

from transformers import AutoProcessor

from vkood.models import BlipVkoodConfig, VkoodConfig
from vkood.pipelines.processor import VkoodProcessor
from vkood.reporting.explanation import ExplainedFact, Explanation

__all__ = ["ExplainedFact", "Explanation", "VkoodProcessor"]

AutoProcessor.register(VkoodConfig, VkoodProcessor)
AutoProcessor.register(BlipVkoodConfig, VkoodProcessor)
