"""Where a user's objects become tensors, and a model's tensors become answers.

Here are what is known about a photograph, the processor, a tagger of pictures, explanations, gates in front of other
models, a filter for retrieved documents, and a detector with scikit-learn's methods. Each public name is imported when
it is first used: a photograph is explained without the models' share of `transformers`, whose import takes seconds.
"""

from typing import TYPE_CHECKING

from vkood.lazy_names import lazy_getattr

if TYPE_CHECKING:
    from vkood.pipelines.attention_gates import gate_attention
    from vkood.pipelines.concept_tagger import ConceptTagger, PictureConcepts
    from vkood.pipelines.detector import OutlierDetector
    from vkood.pipelines.fact_filter import FactFilter, Query, Tagger
    from vkood.pipelines.photo_explainer import PhotoExplainer, explain
    from vkood.pipelines.processor import VkoodProcessor
    from vkood.pipelines.prompts import FactPrompts, fact_prompts, open_facts
    from vkood.reporting.explanation import ExplainedFact, Explanation
    from vkood.reporting.photo_explanation import JudgedFact, PhotoExplanation

__all__ = [
    "ConceptTagger",
    "ExplainedFact",
    "Explanation",
    "FactFilter",
    "FactPrompts",
    "JudgedFact",
    "OutlierDetector",
    "PhotoExplainer",
    "PhotoExplanation",
    "PictureConcepts",
    "Query",
    "Tagger",
    "VkoodProcessor",
    "explain",
    "fact_prompts",
    "gate_attention",
    "open_facts",
]

__getattr__ = lazy_getattr(
    __name__,
    {
        "attention_gates": ["gate_attention"],
        "concept_tagger": ["ConceptTagger", "PictureConcepts"],
        "detector": ["OutlierDetector"],
        "explanation": ["ExplainedFact", "Explanation"],
        "fact_filter": ["FactFilter", "Query", "Tagger"],
        "photo_explainer": ["JudgedFact", "PhotoExplainer", "PhotoExplanation", "explain"],
        "processor": ["VkoodProcessor"],
        "prompts": ["FactPrompts", "fact_prompts", "open_facts"],
    },
)


def __dir__() -> list[str]:
    """List the public names, also those that are not imported yet."""
    return sorted(__all__)
