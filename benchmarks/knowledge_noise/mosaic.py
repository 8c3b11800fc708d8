"""Mosaics of several shapes, where the question must steer the fit: what is tried, and what of it is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vkood.gating import OutlierLayer
from vkood.models import VkoodForVisualQuestionAnswering

from .arms import GAUSSIAN, IMPLICIT, Arm, set_gradient
from .questions import Mix
from .training import Plan, Schedule

# One plain question a row teaches the weights. Mosaics with fewer shapes and questions with fewer facts come
# in training beside those of the test: facts are read and chosen from long before when few come along.
_TRAINED = Mix(knowledge=3, plain=1, shapes=(1, 3), mosaic_facts=(1, 6))
MOSAIC = Plan(
    steps=1200,
    mosaic=True,
    mix=_TRAINED,
    irrelevant=(0, 48, 150),
    contradicting=(24,),
    num_test=600,
    open=0.8,
)
SCREEN = replace(MOSAIC, steps=700, num_test=200)
SCREEN_RATE = 1e-3
_TEMPERATURE = 4.0


def _held(model: VkoodForVisualQuestionAnswering) -> None:
    """Keep the joint space's biases at 0 and the threshold as it is, so that gates cannot all open at once."""
    layer = model.vkood.outlier_layer
    assert layer is not None
    for projection in (layer.joint.candidate_projection, layer.joint.context_projection):
        assert projection is not None
        projection.bias.data.zero_()
        projection.bias.requires_grad_(False)
    layer.gate.threshold.requires_grad_(False)


def _mixture(num_components: int = 1, variance: float = 1.0, *, fusion: bool = True, **gate: Any) -> Arm:
    # Weights add up to the 64 tokens however few they pick, and the variance of a single token is 0: a prior
    # that counts as much keeps the density as wide as it says.
    options = (
        {"steering": "weights", "variance_strength": 64.0, "temperature": _TEMPERATURE} | GAUSSIAN | gate
    )
    options |= {"num_components": num_components, "variance": variance}
    return Arm(gate=options, change=_held, steer_fusion=fusion)


def _kernel(variance: float = 1.0, *, fusion: bool = True) -> Arm:
    options = {"kind": "kernel", "steering": "weights", "variance": variance, "temperature": _TEMPERATURE}
    return Arm(gate=options, change=_held, steer_fusion=fusion)


def _spherical(*, fusion: bool = True) -> Arm:
    return Arm(gate={"steering": "weights", "temperature": None}, change=_held, steer_fusion=fusion)


def _implicit(model: VkoodForVisualQuestionAnswering) -> None:
    _held(model)
    set_gradient(model, IMPLICIT)


def narrowing(model: VkoodForVisualQuestionAnswering, done: float) -> None:
    """Let the prior's variance fall from 2 to a half in the first half of the training."""
    layer = model.vkood.outlier_layer
    assert isinstance(layer, OutlierLayer)
    layer.prior = replace(layer.prior, variance=2.0 * 0.25 ** min(1.0, 2 * done))


MOSAIC_ARMS: dict[str, Arm] = {
    "no gate": Arm(gate={"kind": "none"}),
    "mixture K=4, not steered": _mixture(4, fusion=False, steering="none", variance_strength=1.0),
    "spherical K=1, in the fusion too": _spherical(),
    "spherical K=1, weights": _spherical(fusion=False),
    "spherical K=1, weights, free threshold": replace(_spherical(fusion=False), change=None),
    "spherical K=1, in the fusion too, free threshold": replace(_spherical(), change=None),
    "kernel, weights": _kernel(fusion=False),
    "kernel, weights in the fusion too": _kernel(),
    "kernel, in the fusion too, free threshold": replace(_kernel(), change=None),
    "kernel, in the fusion too, variance 0.5": _kernel(0.5),
    "kernel, in the fusion too, variance 2": _kernel(2.0),
    "mixture K=1, weights": _mixture(fusion=False),
    "mixture K=1, weights in the fusion too": _mixture(),
    "mixture K=1, in the fusion too, free threshold": replace(_mixture(), change=None),
    "mixture K=1, in the fusion too, weak prior": _mixture(variance_strength=1.0),
    "mixture K=1, in the fusion too, variance 0.5": _mixture(variance=0.5),
    "mixture K=1, in the fusion too, variance 2": _mixture(variance=2.0),
    "mixture K=1, in the fusion too, variance 2 to 0.5": _mixture(variance=2.0),
    "mixture K=1, in the fusion too, Implicit": replace(_mixture(), change=_implicit),
    "mixture K=2, in the fusion too": _mixture(2),
    "mixture K=4, in the fusion too": _mixture(4),
    "mixture K=4, in the fusion too, Implicit": replace(_mixture(4), change=_implicit),
    "mixture K=2, weights and prior, in the fusion too": _mixture(
        2, steering="weights_and_prior", mean_strength=16.0
    ),
}

MOSAIC_DEFAULT = "spherical K=1, weights, free threshold"
"""The default layer, steered by the question, with nothing held."""

SCHEDULES: dict[str, Schedule] = {"mixture K=1, in the fusion too, variance 2 to 0.5": narrowing}
