"""Where a user's objects become tensors, and a model's tensors become answers.

Here are the processor, explanations, gates in front of other models, a filter for retrieved documents, and a detector
with scikit-learn's methods. The processor is registered with `AutoProcessor` of `transformers` when this room is first
imported.
"""

from transformers import AutoProcessor

from vkood.models import BlipVkoodConfig, VkoodConfig
from vkood.pipelines.attention_gates import gate_attention
from vkood.pipelines.detector import OutlierDetector
from vkood.pipelines.fact_filter import FactFilter, Query, Tagger
from vkood.pipelines.fact_prompts import FactPrompts, fact_prompts, open_facts
from vkood.pipelines.processor import VkoodProcessor
from vkood.reporting.explanation import ExplainedFact, Explanation

__all__ = [
    "ExplainedFact",
    "Explanation",
    "FactFilter",
    "FactPrompts",
    "OutlierDetector",
    "Query",
    "Tagger",
    "VkoodProcessor",
    "fact_prompts",
    "gate_attention",
    "open_facts",
]

AutoProcessor.register(VkoodConfig, VkoodProcessor)
AutoProcessor.register(BlipVkoodConfig, VkoodProcessor)
