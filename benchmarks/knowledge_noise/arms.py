"""The arms: what stands between the facts and the model. What the library lacks is here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import ResNetConfig, set_seed
from typing_extensions import override

from vkood.demo.towers import text_config
from vkood.gating import Gate, GateOutput, OutlierLayer
from vkood.gating.joint_space import JointSpace
from vkood.models import VkoodConfig, VkoodForVisualQuestionAnswering
from vkood.recipes.easy_vqa import SMALL_FUSION, SMALL_RESNET
from vkood.solve import Gradient, Implicit
from vkood.solve.loop import FlatMap

from .materials import Materials, answers

# Of all gates at first, as in the recipe; a run then moves the threshold so that gates begin 95 % open.
THRESHOLD, TEMPERATURE = 3.9, 2.0
STEEP = 10.0
"""A temperature of rivals as steep as the default layer's, whose score moves by kappa = 10 as a cosine moves by 1."""
AS_STEEP = 6.0
"""A temperature with which two Gaussians begin as steep as the default layer (measured as the README says)."""
GAUSSIAN: dict[str, Any] = {"family": "diagonal", "num_components": 2}
"""What the arms called "mixture" fit."""


class NoFitGradient(Gradient):
    """The fixed point as a constant: the mixture is fitted, but no gradient passes through the fit."""

    __slots__ = ()

    @override
    def _through(self, map: FlatMap, fixed: Tensor, operands: tuple[Tensor, ...]) -> Tensor:
        return fixed.detach()


class DotProductGate(nn.Module):
    """Gate by the cosine of a candidate and the context's mean, with the face of `OutlierLayer`.

    The score, 1.92 - cosine, is the negative log density of one component of variance 1 at the pooled
    context: on the scale of the other gates, and with their projections.

    Args:
        candidate_dim: Width of the candidates.
        context_dim: Width of the context tokens.
        joint_dim: Width of the joint space.
        threshold: Score at which gates are half open, to begin with.
        temperature: Steepness of the gate, to begin with.
    """

    def __init__(
        self,
        candidate_dim: int,
        context_dim: int,
        joint_dim: int = 64,
        *,
        threshold: float = THRESHOLD,
        temperature: float = TEMPERATURE,
    ) -> None:
        super().__init__()
        self.joint = JointSpace(candidate_dim, context_dim, joint_dim)
        self.gate = Gate(threshold=threshold, temperature=temperature)

    @override
    def forward(
        self,
        candidates: Float[Tensor, "batch candidates candidate_dim"],
        context: Float[Tensor, "batch tokens context_dim"],
        *,
        candidate_mask: Bool[Tensor, "batch candidates"] | None = None,
        context_mask: Bool[Tensor, "batch tokens"] | Float[Tensor, "batch tokens"] | None = None,
    ) -> GateOutput:
        """Score and gate the candidates; arguments as for `OutlierLayer`."""
        facts = functional.normalize(self.joint.candidates(candidates, candidate_mask), dim=-1)
        tokens = self.joint.context(context, context_mask)
        if context_mask is not None:
            tokens = tokens * context_mask[..., None]
        pooled = functional.normalize(tokens.mean(1), dim=-1)  # (B, D)
        score = 1.92 - (facts @ pooled[..., None])[..., 0]
        log_gate, gate = self.gate(score, candidate_mask)
        if candidate_mask is not None:
            score = score.masked_fill(~candidate_mask, float("inf"))
        return GateOutput(log_gate=log_gate, gate=gate, score=score)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """An arm.

    Attributes:
        gate: Options of `GateConfig` that differ from the recipe's.
        use_facts: Whether the model sees facts.
        irrelevant: Irrelevant facts that come with a training question, (lowest, highest).
        change: What to change in a new model.
        steer_fusion: Whether the token weights of a steered gate act in the fusion too.
    """

    gate: dict[str, Any] = field(default_factory=dict)
    use_facts: bool = True
    irrelevant: tuple[int, int] = (0, 2)
    change: Callable[[VkoodForVisualQuestionAnswering], None] | None = None
    steer_fusion: bool = False


def _dot_product(model: VkoodForVisualQuestionAnswering, temperature: float = TEMPERATURE) -> None:
    vkood = model.vkood
    gate = DotProductGate(model.config.fact_dim, vkood.image_tower.width, temperature=temperature)
    # Its projections begin as those of the layer whose place it takes.
    assert vkood.outlier_layer is not None
    gate.joint.load_state_dict(vkood.outlier_layer.joint.state_dict())
    nn.Module.__setattr__(vkood, "outlier_layer", gate)


def set_gradient(model: VkoodForVisualQuestionAnswering, gradient: Gradient) -> None:
    """Change how gradients pass through the fits of a model."""
    assert isinstance(model.vkood.outlier_layer, OutlierLayer)
    model.vkood.outlier_layer.gradient = gradient


# Tolerances as loose as the fits' own: tighter ones cost steps and, in single precision, are often missed.
IMPLICIT = Implicit(tolerance=1e-3, max_steps=30)

ARMS: dict[str, Arm] = {
    "no facts": Arm(gate={"kind": "none"}, use_facts=False),
    "unfiltered": Arm(gate={"kind": "none"}),
    "trained with noise": Arm(gate={"kind": "none"}, irrelevant=(0, 24)),
    "dot-product gate": Arm(gate=GAUSSIAN, change=_dot_product),
    "dot-product gate, steep": Arm(gate=GAUSSIAN, change=lambda model: _dot_product(model, STEEP)),
    "kernel gate": Arm(gate={"kind": "kernel"}),
    "kernel gate, steep": Arm(gate={"kind": "kernel", "temperature": STEEP}),
    "mixture, no gradient through the fit": Arm(
        gate=GAUSSIAN, change=lambda model: set_gradient(model, NoFitGradient())
    ),
    "mixture, LastIterate": Arm(gate=GAUSSIAN),
    "mixture, LastIterate, as steep": Arm(gate=GAUSSIAN | {"temperature": AS_STEEP}),
    "mixture, LastIterate, steep": Arm(gate=GAUSSIAN | {"temperature": STEEP}),
    "mixture, Implicit": Arm(gate=GAUSSIAN, change=lambda model: set_gradient(model, IMPLICIT)),
    "spherical, K = 1": Arm(gate={"temperature": None}),
    "spherical, K = 4": Arm(gate={"temperature": None, "num_components": 4}),
}


def new_model(materials: Materials, arm: Arm, seed: int) -> VkoodForVisualQuestionAnswering:
    """An arm's model before training; the image tower is not asked, since its tokens are there already.

    Args:
        materials: For the tokenizer.
        arm: The arm.
        seed: Of the weights.
    """
    options = {"threshold": THRESHOLD, "temperature": TEMPERATURE} | arm.gate
    fusion: dict[str, Any] = SMALL_FUSION | {"gate": options}
    set_seed(seed)
    config = VkoodConfig(
        image_config=ResNetConfig(**SMALL_RESNET),
        text_config=text_config(materials.tokenizer),
        id2label=dict(enumerate(answers())),
        label2id={answer: index for index, answer in enumerate(answers())},
        **fusion,
    )
    config.steer_fusion = arm.steer_fusion
    model = VkoodForVisualQuestionAnswering(config)
    model.vkood.image_tower.freeze()
    if arm.change is not None:
        arm.change(model)
    return model
