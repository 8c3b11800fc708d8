"""Vision-language models with explicit knowledge, and the layer that gates irrelevant knowledge out.

Importing `vkood` alone loads no PyTorch and touches no disk, network or GPU: each public name below is
imported when it is first used.
"""

from typing import TYPE_CHECKING

from vkood.lazy_names import lazy_getattr
from vkood.registration import register_with_transformers

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vkood import data, demo, gating, knowledge, metrics, mixture, models, pipelines, solve, tasks, train
    from vkood.gating import Calibration, Gate, GateOutput, KernelGate, OutlierLayer
    from vkood.knowledge import Fact, FactStore, LinkedFact, build_store, facts_for
    from vkood.mixture import Diagonal, Full, Isotropic, Mixture, Prior, Spherical, Tied, fit_mixture
    from vkood.models import (
        BlipVkoodConfig,
        BlipVkoodForImageTextRetrieval,
        BlipVkoodForVisualQuestionAnswering,
        BlipVkoodForVisualReasoning,
        BlipVkoodModel,
        GateConfig,
        VkoodConfig,
        VkoodForImageTextRetrieval,
        VkoodForPreTraining,
        VkoodForVisualQuestionAnswering,
        VkoodForVisualReasoning,
        VkoodModel,
        load_checkpoint,
        load_model,
    )
    from vkood.pipelines import (
        ConceptTagger,
        Explanation,
        FactFilter,
        OutlierDetector,
        PhotoExplanation,
        PictureConcepts,
        VkoodProcessor,
        explain,
        gate_attention,
    )
    from vkood.solve import (
        Anderson,
        Implicit,
        LastIterate,
        Neumann,
        Picard,
        Solution,
        Squarem,
        Status,
        Unrolled,
        fixed_point,
    )

__all__ = [
    "Anderson",
    "BlipVkoodConfig",
    "BlipVkoodForImageTextRetrieval",
    "BlipVkoodForVisualQuestionAnswering",
    "BlipVkoodForVisualReasoning",
    "BlipVkoodModel",
    "Calibration",
    "ConceptTagger",
    "Diagonal",
    "Explanation",
    "Fact",
    "FactFilter",
    "FactStore",
    "Full",
    "Gate",
    "GateConfig",
    "GateOutput",
    "Implicit",
    "Isotropic",
    "KernelGate",
    "LastIterate",
    "LinkedFact",
    "Mixture",
    "Neumann",
    "OutlierDetector",
    "OutlierLayer",
    "PhotoExplanation",
    "Picard",
    "PictureConcepts",
    "Prior",
    "Solution",
    "Spherical",
    "Squarem",
    "Status",
    "Tied",
    "Unrolled",
    "VkoodConfig",
    "VkoodForImageTextRetrieval",
    "VkoodForPreTraining",
    "VkoodForVisualQuestionAnswering",
    "VkoodForVisualReasoning",
    "VkoodModel",
    "VkoodProcessor",
    "__version__",
    "build_store",
    "data",
    "demo",
    "explain",
    "facts_for",
    "fit_mixture",
    "fixed_point",
    "gate_attention",
    "gating",
    "knowledge",
    "load_checkpoint",
    "load_model",
    "metrics",
    "mixture",
    "models",
    "pipelines",
    "solve",
    "tasks",
    "train",
]

_OFFERED_BY = {
    "gating": ["Calibration", "Gate", "GateOutput", "KernelGate", "OutlierLayer"],
    "knowledge": ["Fact", "FactStore", "LinkedFact", "build_store", "facts_for"],
    "mixture": ["Diagonal", "Full", "Isotropic", "Mixture", "Prior", "Spherical", "Tied", "fit_mixture"],
    "models": [
        "BlipVkoodConfig",
        "BlipVkoodForImageTextRetrieval",
        "BlipVkoodForVisualQuestionAnswering",
        "BlipVkoodForVisualReasoning",
        "BlipVkoodModel",
        "GateConfig",
        "VkoodConfig",
        "VkoodForImageTextRetrieval",
        "VkoodForPreTraining",
        "VkoodForVisualQuestionAnswering",
        "VkoodForVisualReasoning",
        "VkoodModel",
        "load_checkpoint",
        "load_model",
    ],
    "pipelines": [
        "ConceptTagger",
        "Explanation",
        "FactFilter",
        "OutlierDetector",
        "PhotoExplanation",
        "PictureConcepts",
        "VkoodProcessor",
        "explain",
        "gate_attention",
    ],
    "solve": [
        "Anderson",
        "Implicit",
        "LastIterate",
        "Neumann",
        "Picard",
        "Solution",
        "Squarem",
        "Status",
        "Unrolled",
        "fixed_point",
    ],
}
_OFFERED = frozenset(name for names in _OFFERED_BY.values() for name in names)
_ROOMS = sorted(frozenset(__all__).difference(_OFFERED, ["__version__"]))

__getattr__ = lazy_getattr(__name__, _OFFERED_BY, _ROOMS)


def __dir__() -> list[str]:
    """List the public names, also those that are not imported yet."""
    return sorted(__all__)


register_with_transformers()
